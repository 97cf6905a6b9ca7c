"""Attacks on marks: whatever runs beside a wrong answer, the answer stays wrong."""

import json
import os
import resource
import signal
from typing import Any

import pytest
import torch

from autograder.sandbox.session import Died, Raised, Session, TimedOut
from autograder.testing import expect, stand_ins
from tests.attack_tools import findings, said
from tests.defences import stopped_by
from tests.one_process import ways_to_full_marks
from tests.toy_course import toy, toy_course  # noqa: F401

pytest_plugins = ["tests.attack_tools"]

pytestmark = pytest.mark.usefixtures("toy_course")

WRONG = "def double(x):\n    return 0 * x"
PATCHES = {
    "comparisons": """
        import operator, math, numpy, torch
        for where, names in ((torch, 'isclose allclose equal eq all any'), (numpy, 'isclose allclose array_equal all'),
                             (operator, 'eq ne'), (math, 'isclose')):
            for name in names.split():
                setattr(where, name, lambda *a, **k: True)
        torch.Tensor.__eq__ = torch.Tensor.isclose = torch.Tensor.allclose = lambda *a, **k: True""",
    "builtins": """
        import builtins
        for name in ('all', 'any', 'abs', 'sorted'): setattr(builtins, name, lambda *a, **k: True)""",
    "types": """
        import builtins
        builtins.isinstance = builtins.issubclass = lambda *a, **k: True""",
    "pytest": """
        import sys, types
        for name in ('pytest', '_pytest', 'autograder', 'autograder.testing.expect'):
            sys.modules[name] = types.SimpleNamespace(raises=None, close=lambda *a, **k: None, main=lambda *a: 0)
        import builtins
        builtins.AssertionError = type('Quiet', (Exception,), {})""",
    "hooks": """
        shell = get_ipython()
        shell.input_transformers_post.append(lambda lines: [l for l in lines if 'assert' not in l])
        shell.events.register('pre_run_cell', lambda info: setattr(info, 'raw_cell', 'pass'))
        shell.events.register('post_run_cell', lambda outcome: setattr(outcome, 'error_in_exec', None))
        shell.showtraceback = shell._showtraceback = lambda *a, **k: None""",
    "worker": """
        import sys
        space = sys.modules['worker.namespace'].NotebookNamespace
        space.call = lambda self, *a, **k: True
        space.has = lambda self, name: True
        sys.modules['worker.wire'].encode = lambda *a, **k: {'d': [['number', 1], ['value', True], ['passed', True]]}""",
    "exit": """
        import atexit, os, signal, sys
        atexit.register(os._exit, 0)
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, lambda *a: os._exit(0))
        sys.excepthook = lambda *a: os._exit(0)
        sys.exit = lambda *a: None""",
    "search": """
        import gc, sys, torch
        def steal():
            frame = sys._getframe()
            while frame:
                for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
                    if any(word in name for word in ('expected', 'reference', 'solution', 'answer_key', 'verdict')):
                        yield value
                frame = frame.f_back
            yield from (o for o in gc.get_objects() if callable(o) and getattr(o, '__name__', '') == 'double')
            yield from (o for o in gc.get_objects() if type(o).__name__ in ('Reference', 'Finding', 'Pass', 'Result'))
        stolen = list(steal())
        print(len(stolen))""",
    "files": """
        import json, os, sqlite3
        full = json.dumps({'score': 6, 'max_score': 6, 'status': 'graded', 'cells': {}})
        for folder in ('.', '..', '/', '/tmp', os.path.expanduser('~')):
            for name in ('ada.json', 'toy.json', 'results/ada.json'):
                try: open(os.path.join(folder, name), 'w').write(full)
                except OSError: pass
        try:
            base = sqlite3.connect('gradebook.db'); base.execute('create table grade (score)')
        except sqlite3.Error: pass""",
}
VALUES = {
    "equal to everything": """
        class Yes(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return True
            __eq__ = __le__ = __ge__ = lambda s, o: True
        def double(x): return torch.zeros(3).as_subclass(Yes)""",
    "a lying class": """
        class Lie:
            __class__ = property(lambda self: torch.Tensor)
            shape = (3,)
            def __getattr__(self, name): return self
            def __call__(self, *a, **k): return self
            def __len__(self): return 3
            def __bool__(self): return True
        def double(x): return Lie()""",
    "a lying length": """
        class Long(list):
            def __len__(self): return 10**12
            def __iter__(self): return iter([0.0, 0.0, 0.0])
        def double(x): return Long([1])""",
    "a float of its own": """
        class Any(float):
            __eq__ = lambda s, o: True
            __float__ = lambda s: 0.0
        def double(x): return [Any(1), Any(2), Any(3)]""",
    "pickled code": """
        class Bomb:
            def __reduce__(self): return (eval, ('1/0',))
        def double(x): return Bomb()""",
    "a handle": """
        import sys
        def double(x): return sys.modules['worker.wire'].Handle(0)""",
    "NaN": "def double(x): return x * float('nan')",
    "infinity": "def double(x): return [float('inf')] * 3",
    "complex": "def double(x): return (2 * x).to(torch.complex64) + 1j",
    "a complex number": "def double(x): return 1j",
    "sparse": "def double(x): return (2 * x).to_sparse()",
    "meta": "def double(x): return (2 * x).to('meta')",
    "quantized": "def double(x): return torch.quantize_per_tensor(0 * x, 0.1, 0, torch.quint8)",
    "lazy and huge": "def double(x): return torch.zeros(1).expand(2**45)",
    "huge": "def double(x): return torch.zeros(2**27)",
    "empty and huge": "def double(x): return torch.zeros(0, 2**30, 2**30)",
    "many dimensions": "def double(x): return torch.zeros([1] * 40)",
    "many tensors": "def double(x): return [x] * 5000",
    "many parts": "def double(x): return [0] * 2_000_000",
    "endless": """
        class Endless(dict):
            def items(self):
                while True: yield (1, 1)
        def double(x): return Endless(a=1)""",
    "itself": "def double(x):\n    a = []\n    a.append(a)\n    return a",
    "half a character": "def double(x): return '\\ud800' * 3",
    "an error with half a character": "def double(x): raise ValueError('\\ud800\\x00')",
    "an error without a text": """
        class Mute(Exception):
            def __str__(self): raise RuntimeError
        def double(x): raise Mute""",
    "a generator": "def double(x): return (2 * v for v in x)",
    "nested": "def double(x):\n    a = x\n    for _ in range(10**5): a = [a]\n    return a",
    "a number of a million digits": "def double(x): return 10 ** 10**6",
    "an error that ends everything": "def double(x): raise BaseException('all')",
}


def dedent(text: str) -> str:
    return "\n".join(line.removeprefix(" " * 8) for line in text.strip("\n").splitlines())


@pytest.mark.parametrize("patch", sorted(PATCHES.keys() - {"types", "search"}))
def test_patches_work_in_one_process(patch, tmp_path):
    """A grader that shares the process, and believes what it finds there, gives each of them full marks."""
    assert ways_to_full_marks("pass", WRONG, tmp_path) == set()
    assert ways_to_full_marks(dedent(PATCHES[patch]), WRONG, tmp_path)


@pytest.mark.parametrize("patch", PATCHES)
def test_patches_earn_nothing(toy, confined, patch):
    """Comparisons, hooks, the worker itself: replaced beside a wrong answer they change no mark."""
    found = findings(toy, confined, dedent(PATCHES[patch]), double=WRONG)
    assert len(found) == 3
    assert not found["test_double_values"].passed
    assert not found["test_quadruple_values"].passed


def test_what_is_stolen_inside_is_the_students_own(toy, confined, tmp_path):
    """A walk over frames and objects finds no reference, though it does where the grader shares the process."""
    theft = dedent(PATCHES["search"]).replace("stolen = list(steal())\nprint(len(stolen))", "")
    answer = (
        "def double(x):\n    for thing in steal():\n        try:\n            value = thing(x)\n        except Exception:\n"
        "            continue\n        if torch.equal(value, 2 * x): return value\n    return 0 * x"
    )
    assert "reference" in ways_to_full_marks(theft, answer, tmp_path)
    assert not findings(toy, confined, theft, double=answer)["test_double_values"].passed


# those that any comparison would call wrong; what they are here for is the way across
PLAIN = {"complex", "a complex number", "many dimensions"}


def naive_verdict(source: str) -> str:
    """What a grader says that compares whatever the function gives, in the same process: `wrong`, or something else."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(3)
        names: dict[str, Any] = {"torch": torch}
        try:
            exec(source, names)
            given = names["double"](torch.ones(3))
            assert not bool((given - torch.full((3,), 2.0)).abs().max() > 1e-5)
        except AssertionError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    return {0: "right", 256: "wrong", 512: "an error"}.get(os.waitpid(child, 0)[1], "the grader's end")


def test_a_naive_grader_knows_plain_mistakes():
    """The measure of the next test."""
    assert naive_verdict("def double(x): return 2 * x") == "right"
    assert naive_verdict("def double(x): return 0 * x") == "wrong"


@pytest.mark.parametrize("value", sorted(VALUES.keys() - PLAIN))
def test_hostile_values_trouble_a_naive_grader(value):
    """Compared without care, each is right, or an error of the grader's, or its end."""
    assert naive_verdict(dedent(VALUES[value])) != "wrong"


@pytest.mark.parametrize("value", VALUES)
def test_hostile_values_are_failures_of_their_test(shared, value):
    """Each is a plain wrong value, a refusal with a text, or the worker's end; nothing else comes out of a request."""
    said(shared, f"import torch\n{dedent(VALUES[value])}")
    try:
        given = shared.request("call", 3.0, name="double", args=(torch.ones(3),), kwargs={}, seed=0)
    except (Raised, Died, TimedOut) as error:
        str(error).encode()
    else:
        with pytest.raises(expect.Mistake) as mistake:
            expect.close(given, torch.full((3,), 2.0), "The value is wrong.")
        str(mistake.value).encode()


@stopped_by("numbered_replies")
@pytest.mark.parametrize(
    "frame",
    [
        {"passed": True},
        {"number": None, "value": None},
        {"number": 10**6, "error": {"type": 1, "bases": 2, "text": 3, "place": 4}},
        [],
        "passed",
    ],
)
def test_forged_replies_end_the_worker(confined, defence, frame):
    """A reply that the student's code sends itself, ahead of ours, is no answer to any question."""
    forge = f"import gc, socket, sys\nchannel = max((o for o in gc.get_objects() if isinstance(o, socket.socket)), key=lambda s: s.fileno())\nsys.modules['worker.wire'].send_frame(channel, {frame!r})"
    with Session(confined) as session:
        with pytest.raises(Died):
            said(session, forge)
        assert not session.alive


@stopped_by("numbered_replies")
def test_a_reply_ahead_of_the_question_answers_nothing(confined):
    """Even with the right number: the code learns the question only with it, and its second reply has no question."""
    forge = (
        "import gc, socket, sys, torch\nchannel = max((o for o in gc.get_objects() if isinstance(o, socket.socket)), key=lambda s: s.fileno())\n"
        "frame = {'number': 1, 'value': {'outputs': [], 'error': None}}\n"
        "sys.modules['worker.wire'].send_frame(channel, frame)"
    )
    with Session(confined) as session:
        assert said(session, forge) == ""
        with pytest.raises(Died, match="malformed"):
            session.request("call", 3.0, name="double", args=(torch.ones(3),), kwargs={}, seed=0)


def test_stand_ins_do_not_hold_the_component_under_test(toy, toy_course):
    """Follow-through sends only what stands for the parts below: not the text of the tested component, nor of others."""
    text = (toy_course / "autograder/graders/toy/standins.py").read_text() + "\n\ndef quadruple(x):\n    return 4 * x\n"
    (toy_course / "autograder/graders/toy/standins.py").write_text(text)
    assert "quadruple" not in stand_ins.stand_ins(toy, ("double",)).source


@stopped_by("whole_characters")
def test_texts_hold_no_half_characters(shared):
    """A text that no file can hold would stop the grader that writes it."""
    said(shared, "def f(): return ['\\ud800', {'\\udfff': '\\ud83d'}]")
    json.dumps(shared.request("call", 3.0, name="f", args=(), kwargs={}, seed=0), ensure_ascii=False).encode()

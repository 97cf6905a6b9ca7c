"""The authors' page is true: its exercise, done in a copy of the course as it stands there, works."""

import json
import re
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from autograder.notebooks.released import declared_points
from autograder.testing.draw import Draw
from tests.checkout import ROOT, copy_checkout, run_in
from tests.this_course import TRANSFORMER_FUNDAMENTALS as TF

PAGE = (ROOT / "docs" / "graders.md").read_text()
BLOCKS = [dedent(block).strip("\n") for block in re.findall(r"(?:^    .*\n|^\n(?=\n?    ))+", PAGE, re.M)]
GRADERS = f"autograder/graders/{TF.stem}"
# what `release` and `verify` do with this one component, without running the solved notebook and the other components
PROGRAM = """
import json
from autograder.course.course import this_course
from autograder.diagnosis.fingerprints import stale
from autograder.bank.versions import clauses, correct_variants, wrong_versions
from autograder.notebooks.build import build_release, build_solution
from autograder.notebooks.consistent import refuse_slips
from autograder.verify import kills
from autograder.verify.trial import find, plain

tf = this_course().named("transformer-fundamentals")
refuse_slips(tf)
build_release(tf, before=lambda built: build_solution(tf, execute=False, released=built))
mine = lambda versions: [n for n, v in enumerate(versions) if v.cell == "scale-rows"]
wrong = [kills.try_wrong(tf, n, prints=False, follow=True) for n in mine(wrong_versions(tf))]
correct = [kills.try_correct(tf, n) for n in mine(correct_variants(tf))]
found = {
    "right": [[t.name, t.points, t.earned] for t in plain(find(tf, {}, ["scale-rows"]))],
    "wrong": {w.version.id: [[t.name for t in w.tried if not t.passed], w.dragged] for w in wrong},
    "clauses": {c: [w.version.id for w in wrong if c in w.version.clauses] for c in clauses(tf) if "scale-rows" in c},
    "correct": {c.variant.id: [t.name for t in c.refused] for c in correct},
    "stale": stale(tf),
}
print("found", json.dumps(found))
"""


def block(begins: str) -> str:
    """The one block of the page that begins so."""
    (found,) = (b for b in BLOCKS if b.startswith(begins))
    return found + "\n"


def append(path: Path, text: str) -> None:
    path.write_text(f"{path.read_text().rstrip()}\n\n{text}")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course with the page's exercise at the end of the notebook."""
    root = copy_checkout(tmp_path_factory.mktemp("authors"))
    append(root / TF.source.relative_to(ROOT).with_suffix(".py"), block("# %% [markdown]"))
    append(root / GRADERS / "assignment.toml", block("[cells.scale-rows]"))
    (root / GRADERS / "test_scale_rows.py").write_text(block('"""scale_rows'))
    append(root / GRADERS / "bank" / "clauses-rest.toml", block("[scale-rows]"))
    (root / GRADERS / "bank" / "scale-rows.toml").write_text(block("[scale-rows-whole"))
    (root / GRADERS / "bank" / "correct" / "scale-rows.toml").write_text(block("[scale-rows-normalize]"))
    return root


@pytest.fixture(scope="module")
def found(course: Path) -> dict:
    """What release and verification say of it."""
    done = run_in(course, sys.executable, "-c", PROGRAM)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(re.search(r"^found (.*)$", done.stdout, re.M)[1])


def test_the_right_solution_earns_all(found: dict) -> None:
    """Both hidden tests pass, and are worth what the test cell says."""
    assert found["right"] == [["test_rows_have_length_one", 1.0, 1.0], ["test_rows_of_zeros_stay", 1.0, 1.0]]


def test_both_wrong_versions_lose(found: dict) -> None:
    """Each in the test of its clause, and no other component loses with it."""
    assert found["wrong"] == {
        "scale-rows-whole-tensor": [["test_rows_have_length_one"], []],
        "scale-rows-nan": [["test_rows_of_zeros_stay"], []],
    }
    assert found["clauses"] == {
        "scale-rows.length": ["scale-rows-whole-tensor"],
        "scale-rows.zeros": ["scale-rows-nan"],
    }


def test_no_correct_variant_is_refused(found: dict) -> None:
    """Two other styles pass."""
    assert found["correct"] == {"scale-rows-normalize": [], "scale-rows-row-by-row": []}


def test_the_quick_form_would_say_what_to_run(found: dict) -> None:
    """The new component has no fingerprints yet, and is listed."""
    assert "scale-rows" in found["stale"]


def test_the_quick_checks_hold(course: Path, found: dict) -> None:
    """Students' own check runs the new test cell: right on the solution, to do in the release."""
    solved = run_in(course, sys.executable, "-m", "autograder", "check", f"solutions/{TF.name}/{TF.stem}.ipynb")
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert re.search(r"^  ok +5\.3 Rows of length one \(2 points\)$", solved.stdout, re.M)
    released = (course / "release" / TF.name / f"{TF.stem}.ipynb").read_text()
    assert "def scale_rows(x)" in released and "length.clamp" not in released


def test_a_wrong_notebook_is_graded_as_the_page_says(course: Path, found: dict) -> None:
    """As written, on the solution with a mistake in the cell: one point lost, with the words of the page's test."""
    solved = (course / "solutions" / TF.name / f"{TF.stem}.ipynb").read_text()
    line = "length = x.norm(dim=-1, keepdim=True)"
    assert line in solved
    (course / "wrong.ipynb").write_text(solved.replace(line, "length = x.norm()"))
    written = block(".venv/bin/autograder grade").strip()
    done = run_in(course, sys.executable, "-m", *written.removeprefix(".venv/bin/").split(), "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads((course / "results/wrong/wrong.json").read_text())
    assert result["score"] == result["max_score"] - 1 == sum(declared_points(TF).values()) + 1
    (failed,) = (t for t in result["cells"]["scale-rows-tests"]["tests"] if t["status"] != "passed")
    assert failed["title"] == "Each row is divided by its length"
    assert "The rows do not have length 1." in failed["message"] and "Over which axis" in failed["message"]


def test_the_rules_of_the_page_hold_for_its_exercise(course: Path, found: dict) -> None:
    """The tests that the page names for text and points accept it."""
    named = block(".venv/bin/python -m pytest").split("\n")[0].removeprefix(".venv/bin/python").split()
    chosen = "add_up or title or beside_values or every_component or correct_variants or texts or fits_together"
    done = run_in(course, sys.executable, *named, "-k", chosen)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10


def test_methods_and_helpers_that_the_page_lists_exist() -> None:
    """Those of `draw`, and those that the set-up cell defines."""
    listed = re.search(r"`draw` gives random inputs.*?\(`autograder/testing/draw.py`", PAGE, re.S)[0]
    methods = set(re.findall(r"`(\w+)`", listed)) - {"draw"}
    assert len(methods) > 10 and [name for name in methods if not callable(getattr(Draw, name, None))] == []
    source = TF.source.with_suffix(".py").read_text()
    helpers = set(re.findall(r"`(public_check|check_\w+)`", PAGE))
    assert len(helpers) == 5 and [name for name in helpers if f"\ndef {name}(" not in source] == []

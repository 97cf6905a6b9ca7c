"""Attacks on secrets: graders, solutions, other submissions, and the grader's memory are out of reach."""

import os
from pathlib import Path

import pytest

from autograder.sandbox.session import Session
from autograder.sandbox.view import SandboxView
from tests.attack_tools import needs_namespaces, said
from tests.defences import stopped_by

pytest_plugins = ["tests.attack_tools"]

ROOT = Path(__file__).resolve().parent.parent
OPENING = """
def opens(path):
    import os
    for way in (lambda: os.listdir(path), lambda: open(path, 'rb').read(1), lambda: os.readlink(path)):
        try:
            way()
            return True
        except OSError:
            pass
    return False
"""


@stopped_by("walls")
def test_nothing_of_the_course_can_be_opened(shared):
    """Source, solutions, graders, tests, data, version control, gradebook, submissions, secret: each by its path."""
    names = ("source", "solutions", "release", "autograder", "autograder/graders", "tests", "data", ".git/HEAD")
    files = ("gradebook.db", ".course-secret", "nbgrader_config.py", "submitted", "autograded", "results")
    places = [str(ROOT / name) for name in (*names, *files) if (ROOT / name).exists()]
    assert len(places) >= len(names)
    assert said(shared, f"{OPENING}\nprint([p for p in {places} if opens(p)])") == "[]"


@stopped_by("walls")
def test_other_peoples_files_cannot_be_opened(shared, tmp_path):
    """Home folders, passwords, temporary files of the grader and of others, host names and keys."""
    (tmp_path / "submission.ipynb").write_text("another submission")
    (Path.home() / ".cache").mkdir(exist_ok=True)
    places = [str(tmp_path / "submission.ipynb"), str(tmp_path), str(Path.home() / ".cache"), "/etc/passwd"]
    places += [
        "/etc/shadow",
        "/etc/hostname",
        "/etc/ssh",
        "/root/.bashrc",
        "/var/log",
        "/run",
        "/home",
        "/boot",
        "/sys/kernel",
    ]
    places = [p for p in places if os.path.exists(p)]  # noqa: PTH110
    assert said(shared, f"{OPENING}\nprint([p for p in {places} if opens(p)])") == "[]"


@stopped_by("walls")
def test_links_lead_nowhere_else(shared, tmp_path):
    """A link, a hard link, a path with `..`, an old descriptor: no way around the walls."""
    secret = tmp_path / "secret"
    secret.write_text("the answer is 42")
    source = f"""{OPENING}
import os
found = []
for number, make in enumerate((os.symlink, os.link)):
    try:
        make({str(secret)!r}, f'link{{number}}')
        found.append('42' in open(f'link{{number}}').read())
    except OSError: pass
found.append(opens('../' * 30 + {str(secret)!r}[1:]))
for number in range(3, 256):
    try:
        found.append('42' in os.pread(number, 100, 0).decode())
    except (OSError, ValueError): pass
for name in ('root', 'cwd'):
    found.append(opens(f'/proc/self/{{name}}/..' + {str(secret)!r}))
print(any(found))"""
    assert said(shared, source) == "False"


@stopped_by("own_environment")
def test_the_environment_is_ours_alone(confined, monkeypatch):
    """No variable of the grader's, by name or by value, in the worker or in its process's first memory."""
    monkeypatch.setenv("COURSE_SECRET_VALUE", "c0ffee")
    with Session(confined) as session:
        found = "import os\nprint([k for k, v in os.environ.items() if 'SECRET' in k or 'c0ffee' in v],"
        found += " b'c0ffee' in open('/proc/self/environ', 'rb').read())" if confined == "landlock" else ")"
        assert "c0ffee" not in said(session, found)
        assert said(session, found).startswith("[]")


@stopped_by("own_processes")
def test_other_processes_memory_cannot_be_read(bystander, shared, defence):
    """Neither `/proc`, nor ptrace, nor reading or writing memory across processes, nor taking a descriptor works."""
    # without defences these stop what they are tried on
    targets = (bystander.pid,) if defence else (bystander.pid, os.getpid(), os.getppid())
    source = f"""
import ctypes
lib = ctypes.CDLL(None, use_errno=True)
got = []
for target in {targets}:
    for name in ('mem', 'environ', 'maps', 'cmdline', 'fd/0', 'root/etc/passwd', 'cwd'):
        try:
            got.append((target, name, open(f'/proc/{{target}}/{{name}}', 'rb').read(10)))
        except OSError: pass
    for number in (101, 310, 311, 438, 312):
        if lib.syscall(number, 16 if number == 101 else target, target, 0, 0, 0, 0) >= 0:
            got.append((target, number))
print(got)"""
    assert said(shared, source) == "[]"


@stopped_by("own_list_of_processes")
def test_the_grader_is_not_on_the_list_of_processes(shared):
    """No process of another is listed, named or described."""
    source = "import os\ntry: print([p for p in os.listdir('/proc') if p.isdigit()])\nexcept OSError: print([])"
    assert len(said(shared, source).split()) <= 4


@stopped_by("own_memory")
def test_nothing_of_the_graders_is_in_the_workers_memory(shared):
    """Neither modules nor texts of graders, references and stand-ins are there before a grader sends them."""
    source = """
import gc, sys, warnings
warnings.simplefilter('ignore')
names = [m for m in sys.modules if 'autograder' in m or 'grading' in m or 'graders' in m]
words = ('test_double_values', 'mark.points(', 'conforming stand-ins', 'course_secret')
texts = [o for o in gc.get_objects() if isinstance(o, dict) for v in list(o.values())
         if isinstance(v, str) and any(w in v for w in words) and 'names = [m for m' not in v]
print(names, len(texts))"""
    assert said(shared, source) == "[] 0"


@stopped_by("own_folders")
def test_a_worker_cannot_read_anothers_folder(confined, tmp_path):
    """Two workers at once: neither can read what the other writes, whatever the path."""
    with Session(confined, SandboxView()) as one, Session(confined) as two:
        place = said(one, "import os\nopen('mine', 'w').write('1')\nprint(os.path.abspath('mine'))")
        assert said(two, f"{OPENING}\nprint(opens({place!r}))") == "False"


@stopped_by("own_folders")
def test_the_hidden_worker_leaves_nothing_for_the_public_one(confined):
    """What a worker stores in every place that it can write is gone when the next one starts."""
    places = "['.', '/tmp', '/dev/shm', os.environ['HOME'], os.environ['TMPDIR'], os.environ['IPYTHONDIR'], os.path.dirname(os.__file__)]"
    write = f"import os\nfor p in {places}:\n    try: os.makedirs(p, exist_ok=True); open(p + '/seen-inputs', 'w').write('1, 2, 3')\n    except OSError: pass"
    read = f"import os\nprint([p for p in {places} if os.path.exists(p + '/seen-inputs')])"
    with Session(confined) as hidden:
        said(hidden, write)
        assert said(hidden, read) != "[]"
    with Session(confined) as public:
        assert said(public, read) == "[]"


@stopped_by("filter_of_calls")
def test_kernel_memory_by_number_is_refused(shared):
    """Keys, shared memory, queues and semaphores that outlive a process cannot carry inputs to the next worker."""
    source = """
import ctypes, errno
lib = ctypes.CDLL(None, use_errno=True)
calls = {'add_key': 248, 'keyctl': 250, 'shmget': 29, 'semget': 64, 'msgget': 68, 'mq_open': 240}
removes = {29: (31, 0, 0), 64: (66, 0, 0), 68: (71, 0, 0)}
done = []
for name, call in calls.items():
    made = lib.syscall(call, 0, 4096, 0o1666, 0, 0)
    if made >= 0 or ctypes.get_errno() != errno.EPERM: done.append(name)
    if made >= 0 and call in removes: lib.syscall(removes[call][0], made, *removes[call][1:])
print(done)"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of x86-64")
    assert said(shared, source) == "[]"


LOCKS = """
import fcntl, os, struct
def lock(kind, start): return struct.pack('hhqqi4x', kind, 0, start, 1, 0)
def write():
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_APPEND)
    fcntl.fcntl(0, 37, lock(fcntl.F_RDLCK, 10**9))  # of the open file, so that it outlives who locks
    for file in (os.__file__, '/dev/null'):
        held.append(open(file, 'rb'))
        fcntl.flock(held[-1], fcntl.LOCK_EX)
        fcntl.fcntl(held[-1], 6, lock(fcntl.F_RDLCK, 10**9))
def read():
    found = [name for name in ('O_APPEND',) if fcntl.fcntl(0, fcntl.F_GETFL) & getattr(os, name)]
    for file in (os.__file__, '/dev/null'):
        with open(file, 'rb') as f:
            for command in (5, 36):
                if struct.unpack('hhqqi4x', fcntl.fcntl(f, command, lock(fcntl.F_WRLCK, 10**9)))[0] != fcntl.F_UNLCK:
                    found.append((file, command))
            try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError: found.append(file)
    return found
held = []
"""


@stopped_by("filter_of_calls")
def test_locks_carry_nothing_to_a_worker_that_lives_at_once(confined):
    """Locks on files that both can open are no message, nor are the flags of standard input."""
    with Session(confined) as one, Session(confined) as two:
        said(one, f"{LOCKS}\nwrite()")
        assert said(two, f"{LOCKS}\nprint(read())") == "[]"


@needs_namespaces
def test_open_files_are_no_workers_heritage():
    """Standard input, output and error of a warm worker are its own: flags that it sets are not the next one's."""
    with Session("namespaces") as one:
        said(one, "import fcntl, os\nfor n in (0, 1, 2): fcntl.fcntl(n, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)")
    with Session("namespaces") as two:
        assert (
            said(two, "import fcntl\nprint([fcntl.fcntl(n, fcntl.F_GETFL) & 0o6000 for n in (0, 1, 2)])") == "[0, 0, 0]"
        )


@stopped_by("filter_of_calls")
def test_what_is_in_memory_cannot_be_arranged(shared):
    """Neither put out of memory, nor asked for: the first worker's choice of files would be a text for the second."""
    source = """
import ctypes, os
lib = ctypes.CDLL(None, use_errno=True)
with open(os.__file__, 'rb') as f:
    try: found = [os.preadv(f.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)]
    except OSError: found = []
    lib.mmap.restype = ctypes.c_void_p
    at = lib.mmap(None, ctypes.c_size_t(4096), 1, 2, f.fileno(), ctypes.c_long(0))
answer = ctypes.create_string_buffer(1)
if lib.mincore(ctypes.c_void_p(at), ctypes.c_size_t(4096), answer) == 0: found.append('mincore')
print(found)"""
    assert said(shared, source) == "[]"


@stopped_by("filter_of_calls")
def test_the_machines_network_has_no_names_here(shared):
    """A pair of sockets does not tell the addresses of the machine that it was made on."""
    source = """
import array, fcntl, gc, socket, struct
found = []
pairs = [o for o in gc.get_objects() if type(o) is socket.socket] + list(socket.socketpair())
for one in pairs:
    for number in (0x8912, 0x8927, 0x8910):
        room = array.array('B', bytes(512))
        request = struct.pack('16si', b'lo', 1).ljust(40, bytes(1)) if number != 0x8912 else struct.pack('iP', 512, room.buffer_info()[0])
        try:
            fcntl.ioctl(one.fileno(), number, request)
            found.append(hex(number))
        except OSError: pass
print(found)"""
    assert said(shared, source) == "[]"


@needs_namespaces
def test_bubblewrap_itself_has_no_variables_of_the_graders(monkeypatch):
    """Who is not root can look at the first process of a cold worker's sandbox, which is bubblewrap."""
    monkeypatch.setenv("COURSE_SECRET_VALUE", "c0ffee")
    for cold in ("1", "0"):
        monkeypatch.setenv("COURSE_COLD_WORKERS", cold)
        with Session("namespaces", SandboxView(modules=(f"no_such_module_{cold}",))) as session:
            inside = session._started.inside()
            outer = [Path(f"/proc/{pid}") for pid in _ancestors(int(inside.root.parts[2]))]
            assert outer
            assert not any(b"c0ffee" in (process / "environ").read_bytes() for process in [inside.root.parent, *outer])


def _ancestors(pid: int) -> list[int]:
    """Processes above `pid`, up to this one."""
    found = []
    while (pid := int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])) not in (os.getpid(), 1, 0):
        found.append(pid)
    return found

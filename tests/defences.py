"""Switches single defences off, so that each attack is seen to work where nothing stops it.

`@stopped_by("walls")` runs a test twice: as it is, and with that defence gone, where its assertions must fail. A defence
is switched off from outside: in bubblewrap's command line, in the grader's own limits, or in a copy of the worker.
"""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autograder import limits
from autograder.sandbox import bubblewrap, landlock, start, supervisor, warm
from autograder.sandbox.session import Session
from autograder.sandbox.tiers import Tier
from autograder.sandbox.watch import Watch
from autograder.worker import bounds, wire
from tests.this_course import COURSE

UID = 229_000 + os.getpid() % 900  # of workers whose processes a test counts, or shares


@dataclass
class Machine:
    """A machine on which defences are switched off."""

    patch: pytest.MonkeyPatch
    tier: Tier
    folder: Path  # which every user may enter
    outside: Path  # the test's own folder

    def worker(self, file: str, old: str, new: str) -> None:
        """Change a line of the worker's own code, in a copy of it."""
        copy = self.folder / "worker"
        if not copy.exists():
            shutil.copytree(bubblewrap.WORKER, copy, ignore=shutil.ignore_patterns("__pycache__"))
            self.patch.setattr(bubblewrap, "WORKER", copy)
        text = (copy / file).read_text()
        assert old in text, f"{file} has no {old!r} any more"
        (copy / file).write_text(text.replace(old, new))

    def bwrap(self, change: Callable[[list[str]], list[str]]) -> None:
        """Change the options of bubblewrap's command line."""
        made = bubblewrap.command

        def command(inside: list[str], *args: Any, **kw: Any) -> list[str]:
            line = made(inside, *args, **kw)
            end = len(line) - len(inside) - 1
            return [line[0], *change(line[1:end]), *line[end:]]

        self.patch.setattr(bubblewrap, "command", command)

    def landlock(self, **more: list[str]) -> None:
        """Allow more places."""
        made = landlock.confinement

        def confinement(place: landlock.Place, uid: int | None) -> dict[str, Any]:
            out = made(place, uid)
            for kind, places in more.items():
                out["landlock"][kind] = [*out["landlock"][kind], *places]
            return out

        self.patch.setattr(landlock, "confinement", confinement)

    def as_grader(self) -> None:
        """The worker stays the user who grades."""
        self.patch.setattr(bubblewrap, "worker_uid", lambda slot: None)

    def unfiltered(self) -> None:
        self.worker("confine.py", "seccomp.install(rules)", "pass")

    def unrestricted(self) -> None:
        self.worker("confine.py", "landlock_rules.restrict(made)", "pass")

    def one_process_list(self) -> None:
        self.bwrap(lambda options: [o for o in options if o not in ("--unshare-pid", "--die-with-parent")])
        self.unwatched()  # it would count everybody's memory

    def unwatched(self) -> None:
        self.patch.setattr(Watch, "_breach", lambda watch: None)

    def writable(self, places: list[str]) -> None:
        def change(options: list[str]) -> list[str]:
            at = len(options) - 1 - options[::-1].index("--remount-ro")
            binds = [o for place in places for o in ("--bind", place, place)]
            return [*options[:at], *binds, *options[at:]]

        self.bwrap(change)
        self.landlock(writable=places)
        self.as_grader()


def walls(machine: Machine) -> None:
    """Everything can be read."""
    seen = [COURSE.root, machine.outside, *map(Path, ("/etc", "/var", "/run", "/home", "/boot", "/sys")), Path.home()]
    made = bubblewrap.outermost
    machine.patch.setattr(bubblewrap, "outermost", lambda places: made([*places, *(p for p in seen if p.exists())]))
    machine.landlock(readable=["/"])
    machine.as_grader()


def own_folders(machine: Machine) -> None:
    """All workers have the same scratch folders."""
    machine.unwatched()  # it would count what is on the disk
    common = machine.folder / "common"

    def change(options: list[str]) -> list[str]:
        out, at = [], 0
        while at < len(options):
            if options[at] == "--perms" and options[at + 4 : at + 5] == ["--tmpfs"]:
                place = options[at + 5]
                (common / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
                (common / place.lstrip("/")).chmod(0o777)
                out += ["--bind", str(common / place.lstrip("/")), place]
                at += 6
            else:
                out.append(options[at])
                at += 1
        return out

    machine.bwrap(change)
    kept: list[dict[str, Any]] = []

    class OnePlace(landlock.Place):
        def __init__(self, *args: Any) -> None:
            if not kept:
                super().__init__(*args)
                kept.append(self.__dict__)
            self.__dict__ = kept[0]

    keeps = landlock.command
    machine.patch.setattr(landlock, "Place", OnePlace)

    def command(inside: list[str], place: landlock.Place) -> list[str]:
        line = keeps(inside, place)
        return [str(machine.folder / "nothing") if part == str(place.top) else part for part in line]

    machine.patch.setattr(landlock, "command", command)
    machine.as_grader()


def own_environment(machine: Machine) -> None:
    """Workers inherit the grader's variables."""
    made = bubblewrap.environment
    machine.patch.setattr(bubblewrap, "environment", lambda *a, **kw: dict(os.environ) | made(*a, **kw))


def own_processes(machine: Machine) -> None:
    """Workers live among all processes, as the user who grades and with all powers."""
    needs_root()
    machine.one_process_list()
    machine.bwrap(lambda options: [o for o in options if o not in ("--cap-drop", "ALL")])
    machine.as_grader()
    machine.unfiltered()
    machine.unrestricted()
    machine.worker("confine.py", 'call("capset"', 'print("capset"')


def own_list_of_processes(machine: Machine) -> None:
    """Workers see the names of all processes."""
    machine.one_process_list()
    machine.landlock(readable=["/proc"])


def own_memory(machine: Machine) -> None:
    """Workers hold modules of the grader's, as a fork of the grader would."""
    walls(machine)
    modules = "autograder.testing.expect, autograder.course.assignment"
    machine.worker(
        "__main__.py",
        "    import torch\n",
        f"    sys.path.insert(0, {str(COURSE.root)!r})\n    import torch, {modules}\n",
    )


def filter_of_calls(machine: Machine) -> None:
    """Every system call goes through."""
    machine.unfiltered()


def no_network(machine: Machine) -> None:
    """Workers have the machine's network, and sockets."""
    machine.bwrap(lambda options: [o for o in options if o != "--unshare-net"])
    machine.unfiltered()
    machine.unrestricted()
    machine.as_grader()


def read_only(machine: Machine) -> None:
    """The test's own folder can be written."""
    machine.writable([str(machine.outside)])


def read_only_interpreter(machine: Machine) -> None:
    """Python's folders can be written."""
    machine.writable([str(p) for p in bubblewrap.outermost(list(bubblewrap.interpreter()))])


def one_end(machine: Machine) -> None:
    """Nothing holds a worker's processes together."""
    machine.one_process_list()
    machine.unfiltered()
    machine.as_grader()


def one_end_of_a_user(machine: Machine) -> None:
    """The same, and the processes are those of an unused user, by which a test finds them."""
    needs_root()
    machine.one_process_list()
    machine.unfiltered()
    machine.patch.setattr(bubblewrap, "worker_uid", lambda slot: UID)


def own_user(machine: Machine) -> None:
    """Other processes of the same user are within reach."""
    one_end_of_a_user(machine)
    machine.unrestricted()


def time_limits(machine: Machine) -> None:
    """Nothing stops a cell soon."""
    machine.worker("__main__.py", "signal.setitimer(signal.ITIMER_REAL, seconds)", "pass")
    machine.patch.setattr(limits, "GRACE_SECONDS", 3.0)


def patience(machine: Machine) -> None:
    """Each piece that is sent or received may take long."""
    machine.patch.setattr(wire, "_arm", lambda channel, deadline: channel.settimeout(20.0))


def watch(machine: Machine) -> None:
    """Nobody adds up memory and files; the folders in memory are large."""
    machine.unwatched()
    machine.patch.setattr(bubblewrap, "SCRATCH_BYTES", 4 * limits.SCRATCH_BYTES)


def resource_limits(machine: Machine) -> None:
    """No limits on the process; the watch ends it at 1 GB."""
    machine.worker("confine.py", 'for name in ("AS", "NPROC", "FSIZE", "NOFILE", "CPU", "CORE"):', "for name in ():")
    machine.patch.setattr(limits, "MEMORY_BYTES", 2**30)
    machine.patch.setattr(bubblewrap, "SCRATCH_BYTES", 4 * limits.SCRATCH_BYTES)


def no_hidden_pages(machine: Machine) -> None:
    """Memory can be had that belongs to no process."""
    machine.unfiltered()
    machine.patch.setattr(landlock, "DEVICES", (*landlock.DEVICES, "/dev/zero"))

    def change(options: list[str]) -> list[str]:
        at = options.index("/dev/zero") - 2
        return [*options[:at], *options[at + 3 :]]

    machine.bwrap(change)


def sizes(machine: Machine) -> None:
    """Replies and outputs may be of any size, on both sides."""
    for name in ("JSON_BYTES", "TENSOR_BYTES", "TENSORS", "TENSOR_HEADER_BYTES", "DEPTH", "NODES"):
        machine.patch.setattr(wire, name, 2**33)
    for line in Path(bounds.__file__).read_text().splitlines():
        name, _, value = line.partition(" = ")
        if value and name != "RANK":
            machine.worker("bounds.py", line, f"{name} = {2**33}")


def no_files_of_the_graders(machine: Machine) -> None:
    """What a worker writes to its standard output and error is kept."""
    machine.worker("__main__.py", "os.dup2(nowhere.fileno(), 2)", "os.dup2(2, 1)")


def no_input(machine: Machine) -> None:
    """Somebody might type."""
    read, _ = os.pipe()  # both ends stay open for the test
    run = start._run

    def waiting(*args: Any, **kw: Any) -> Any:
        return run(*args, **({"stdin": read} if machine.tier == "namespaces" else {}), **kw)

    machine.patch.setattr(start, "_run", waiting)
    copy = machine.folder / "supervisor.py"
    copy.write_text(
        Path(supervisor.__file__).read_text().replace("os.dup2(os.open(os.devnull, os.O_RDONLY), 0)", "pass")
    )
    machine.patch.setattr(supervisor, "__file__", str(copy))


def numbered_replies(machine: Machine) -> None:
    """Whatever comes next is taken for the answer."""

    def request(session: Session, do: str, seconds: float, **fields: Any) -> Any:
        session.number += 1
        wire.send_frame(session.channel, {"do": do, "number": session.number, "seconds": seconds, **fields})
        return {"outputs": [], "error": None, "value": wire.receive_frame(session.channel)}

    machine.patch.setattr(Session, "request", request)


def whole_characters(machine: Machine) -> None:
    """Texts stay as they come."""
    machine.patch.setattr(wire, "_text", lambda text: text)


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("who is not root cannot give a worker the powers that this defence takes away")


def switch_off(name: str, machine: Machine) -> None:
    """Switch one defence off. Workers start cold, since a warm parent was confined before."""
    machine.patch.setenv(warm.COLD, "1")
    globals()[name](machine)


def stopped_by(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test as it is, and with each of these defences switched off, where it must fail."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        ids = ["defended", *(f"without-{name}" for name in names)]
        test = pytest.mark.parametrize("defence", ["", *names], indirect=True, ids=ids)(test)
        return pytest.mark.usefixtures("defence")(test)

    return mark


@pytest.fixture
def defence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of the defence that is switched off; empty where all stand."""
    name = getattr(request, "param", "")
    if not name:
        yield ""
        return
    folder = Path(tempfile.mkdtemp(prefix="defences-"))
    folder.chmod(0o755)
    tier = request.getfixturevalue("confined") if "confined" in request.fixturenames else "namespaces"
    switch_off(name, Machine(monkeypatch, tier, folder, tmp_path))
    monkeypatch.setattr("tests.attack_tools.SETTLE_SECONDS", 1.0)  # it will not happen
    yield name
    end_all(UID)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Where a defence is switched off, the attack must succeed: the test's own assertions must fail."""
    name = pyfuncitem.funcargs.get("defence")
    if not name:
        return (yield)
    try:
        yield
    except (AssertionError, UnicodeError, pytest.fail.Exception):
        return True
    pytest.fail(f"the attack fails without {name}, too, so that this test shows nothing")


def processes_of(uid: int) -> list[int]:
    """Numbers of the processes of a user."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
    return found


def end_all(uid: int) -> None:
    """End all processes of an unused user at once, however fast they multiply."""
    if os.geteuid() != 0 or not processes_of(uid):
        return
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        if os.getuid() == uid:
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)

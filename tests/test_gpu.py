"""GPU grading where there is no GPU: what a worker would be given, and that a machine without one refuses in a line.

What needs a GPU is in `tests/gpu`. Here device files are files of a folder, and the worker's one call into CUDA is cut.
"""

import fcntl
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from autograder import limits
from autograder.faults import CannotStart
from autograder.sandbox import bubblewrap, gpu, landlock
from autograder.sandbox.session import OverLimit, Session
from autograder.sandbox.tiers import NoGpu, choose
from autograder.sandbox.view import NOTHING, SandboxView, sandbox_view
from autograder.worker.cuda import HIDDEN, opened
from tests.attack_tools import said
from tests.defences import Machine
from tests.this_course import ASSIGNMENTS, COURSE

pytest_plugins = ["tests.attack_tools"]

no_gpu_here = pytest.mark.skipif(bool(gpu.gpus()), reason="this machine has a GPU: see tests/gpu")


@pytest.fixture
def devices(tmp_path):
    """The device files of a machine with three GPUs, the first of which answers calls as a device does."""
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"):
        (folder / name).touch(0o666)
        (folder / name).chmod(0o666)
    (folder / "nvidia0").symlink_to("/dev/urandom")
    return folder


def names(files):
    return [Path(file).name for file in files]


def test_gpus_are_listed_by_number(devices):
    """Of the device files those with a number that can be opened, and of these the ones that the batch system allows."""
    assert names(gpu.gpus(devices)) == ["nvidia0", "nvidia1", "nvidia10"]
    assert names(gpu.gpus(devices, "10, 0")) == ["nvidia0", "nvidia10"]
    assert gpu.gpus(devices, "") == gpu.gpus(devices, "GPU-8a56") == []
    (devices / "nvidia2").mkdir()  # stands for a file that must not be opened, whoever tries
    assert names(gpu.gpus(devices)) == ["nvidia0", "nvidia1", "nvidia10"]


def test_a_worker_gets_one_gpu_and_what_all_share(devices):
    """Not the other GPUs, and not the screen's device; the tools' where the driver has it."""
    assert names(gpu.device_files(devices / "nvidia1")) == ["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
    (devices / "nvidia-uvm-tools").unlink()
    assert names(gpu.device_files(devices / "nvidia1")) == ["nvidia1", "nvidiactl", "nvidia-uvm"]


def without(name):
    return lambda devices: (devices / name).unlink()


def only_closed_gpus(devices):
    for path in gpu.gpus(devices):
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("break_it", "how", "reason"),
    [
        (without("nvidiactl"), {}, "there is no {dev}/nvidiactl: load NVIDIA's driver"),
        (without("nvidia-uvm"), {}, "there is no {dev}/nvidia-uvm: run `nvidia-modprobe -u -c 0`"),
        (only_closed_gpus, {}, "{dev}/nvidia0 cannot be opened (Is a directory): give this process access to it"),
        (
            lambda devices: [path.unlink() for path in gpu.gpus(devices)],
            {},
            "there is no {dev}/nvidia0 or other GPU: grade on a machine with a GPU",
        ),
        (
            lambda devices: None,
            {"visible": "GPU-8a56"},
            "there is no {dev}/nvidia0 or other GPU among CUDA_VISIBLE_DEVICES=GPU-8a56 (numbers are understood): "
            "grade on a machine with a GPU",
        ),
        (
            lambda devices: (devices / "nvidia-uvm").chmod(0o660),
            {"by_anyone": True},
            "{dev}/nvidia-uvm is closed to the user without rights that student code runs as: chmod 0666 {dev}/nvidia-uvm",
        ),
        (lambda devices: None, {"cuda": None}, "this torch was built without CUDA: install a build with CUDA"),
        (lambda devices: None, {}, None),
        (lambda devices: None, {"by_anyone": True}, None),
    ],
)
def test_what_is_missing_is_said_with_a_remedy(devices, break_it, how, reason):
    """Each thing that can be missing has its own words; a whole machine has none."""
    break_it(devices)
    found = gpu.reason_against(devices, **{"cuda": "12.8", **how})
    assert found == (reason and reason.format(dev=devices))


@no_gpu_here
@pytest.mark.parametrize("wanted", ["auto", "none"])
def test_the_switch_refuses_where_there_is_no_gpu(monkeypatch, wanted):
    """In one line, which says what to do; without the switch nothing changes."""
    monkeypatch.setenv("COURSE_GPU", "1")
    with pytest.raises(NoGpu) as refusal:
        choose(wanted, COURSE.root)
    assert str(refusal.value) == (
        "COURSE_GPU=1, but there is no /dev/nvidiactl: load NVIDIA's driver, or grade without COURSE_GPU"
    )


@no_gpu_here
def test_the_command_refuses_before_anything_is_graded(monkeypatch, tmp_path):
    """One line on standard error, exit code 2, and no result."""
    solved = ASSIGNMENTS["transformer-fundamentals"].solution
    command = [sys.executable, "-m", "autograder", "grade", str(solved), "--assignment", "transformer-fundamentals"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "results"), "--quiet"],
        env=os.environ | {"COURSE_GPU": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "COURSE_GPU=1, but there is no /dev/nvidiactl" in done.stderr
    assert not (tmp_path / "results").exists()


def test_the_first_tier_binds_the_devices(devices):
    """Its GPU and what all share, in a `/dev` that is closed afterwards; nothing of them without a GPU."""
    line = bubblewrap.command(["true"], SandboxView(gpu=devices / "nvidia1", readable=(gpu.SYSTEM,)))
    bound = [line[at + 1 : at + 3] for at, option in enumerate(line) if option == "--dev-bind"]
    files = ("nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
    assert bound == [[str(devices / name), f"/dev/{name}"] for name in files]
    assert line.index("--dev") < line.index("--dev-bind")
    last = len(line) - line[::-1].index("--dev-bind")
    assert line[line.index("--remount-ro") + 1] == "/dev" and line.index("--remount-ro") > last
    assert "--ro-bind /sys /sys" in " ".join(line)
    plain = bubblewrap.command(["true"], NOTHING)
    assert [plain[at + 1] for at, option in enumerate(plain) if option == "--dev-bind"] == ["/dev/null"]
    assert "/sys" not in plain


def test_the_second_tier_allows_the_devices(devices):
    """The same files and, besides, what CUDA reads of the system; nothing of them without a GPU."""
    for seen, files in ((SandboxView(gpu=devices / "nvidia1"), 4), (NOTHING, 0)):
        place = landlock.Place(seen, None)
        allowed = landlock.confinement(place, None)["landlock"]
        shutil.rmtree(place.top)
        assert names(allowed["gpu"]) == ["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"][:files]
        assert ("/proc/driver/nvidia" in allowed["readable"]) == ("/dev/zero" in allowed["devices"]) == bool(files)


def test_addresses_are_bounded_only_without_a_gpu():
    """CUDA reserves more than any limit would allow; all other limits stay."""
    plain, on_gpu = limits.resource_limits(None), limits.resource_limits(None, gpu=True)
    assert plain["AS"] == limits.ADDRESS_BYTES and on_gpu["AS"] == -1
    assert {name for name in plain if plain[name] != on_gpu[name]} == {"AS"}


def test_a_driver_outside_the_systems_folders_goes_along(devices, tmp_path, monkeypatch):
    """Where LD_LIBRARY_PATH has it, as in some containers; other folders of that list do not."""
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:{tmp_path / 'driver'}:")
    seen = sandbox_view(ASSIGNMENTS["transformer-fundamentals"], devices / "nvidia0")
    assert seen.gpu == devices / "nvidia0"
    assert seen.readable[-2:] == (tmp_path / "driver", Path("/sys"))
    assert dict(seen.variables) == {"LD_LIBRARY_PATH": str(tmp_path / "driver"), **HIDDEN}
    assert sandbox_view(ASSIGNMENTS["transformer-fundamentals"]).gpu is None


def test_an_open_gpu_is_noticed(tmp_path):
    """The check with which a warm parent finds that something it imported has started CUDA."""
    assert opened(str(tmp_path)) == []
    with (tmp_path / "nvidiactl").open("w"):
        assert opened(str(tmp_path)) == [str(tmp_path / "nvidiactl")]


def hold(usable, seconds, notes):
    """In another process: wait for a turn, and note when it begins and ends."""
    turn = gpu.wait_for_turn(usable)
    start = time.monotonic()
    time.sleep(seconds)
    notes.put((turn.gpu.name, start, time.monotonic()))
    os.close(turn.descriptor)


def turns(usable, processes):
    """The turns that so many processes had, each of a third of a second, in order of their beginning."""
    context = multiprocessing.get_context("fork")
    notes = context.Queue()
    started = [context.Process(target=hold, args=(usable, 0.3, notes)) for _ in range(processes)]
    for process in started:
        process.start()
    found = sorted((notes.get(timeout=30) for _ in started), key=lambda note: note[1])
    for process in started:
        process.join()
    return found


def test_two_jobs_share_one_gpu_one_after_the_other(devices):
    """No two turns on a GPU overlap."""
    found = turns([devices / "nvidia1"], 3)
    assert all(before[2] <= after[1] for before, after in pairwise(found))


def test_two_gpus_serve_two_jobs_at_once(devices):
    """Turns on different GPUs overlap, and those on one do not."""
    found = turns([devices / "nvidia1", devices / "nvidia10"], 4)
    assert found[0][0] != found[1][0] and found[1][1] < found[0][2]
    for name in ("nvidia1", "nvidia10"):
        one = [turn for turn in found if turn[0] == name]
        assert len(one) >= 1 and all(a[2] <= b[1] for a, b in pairwise(one))


def test_a_turn_lasts_until_it_is_given_back(devices, monkeypatch):
    """All workers of a submission have the same GPU; the next submission may have another one."""
    monkeypatch.setenv("COURSE_GPU", "1")
    monkeypatch.setattr(gpu, "gpus", lambda visible: [devices / "nvidia1"])
    assert gpu.take() == gpu.take() == devices / "nvidia1"
    again = os.open(devices / "nvidia1", os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    gpu.give_back()
    gpu.give_back()
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    monkeypatch.delenv("COURSE_GPU")
    assert gpu.take() is None


@pytest.fixture(params=["0", "1"], ids=["warm", "cold"])
def on_gpu(request, confined, devices, monkeypatch, tmp_path):
    """A view with the first GPU, in each tier, for workers that take CUDA's start for done."""
    if confined == "landlock" and request.param == "0":
        pytest.skip("the second tier has no warm workers")
    monkeypatch.setenv("COURSE_COLD_WORKERS", request.param)
    folder = Path(tempfile.mkdtemp(prefix="gpu-"))
    folder.chmod(0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # the second tier opens the device files at their own paths
    Machine(monkeypatch, confined, folder, tmp_path).worker("cuda.py", "    torch.cuda.init()", "    return")
    yield confined, SandboxView(gpu=devices / "nvidia0", readable=(gpu.SYSTEM,), variables=tuple(HIDDEN.items()))
    shutil.rmtree(folder)


LOOK = """
import ctypes, fcntl, mmap, os, resource, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
def tries(what):
    try: return what()
    except OSError as error: return error.strerror
print(sorted(n for n in os.listdir({dev!r}) if n.startswith('nvidia')) if {listed} else 'not listed')
print(tries(lambda: bool(fcntl.ioctl(os.open({dev!r} + '/nvidia0', os.O_RDWR), 0x80045200, bytes(4)))))
print(tries(lambda: bool(os.open({dev!r} + '/nvidia1', os.O_RDWR))))
print(resource.getrlimit(resource.RLIMIT_AS)[0])
print(len(mmap.mmap(-1, 2**21, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)))
libc.mmap.restype = ctypes.c_void_p
print(libc.mmap(None, ctypes.c_size_t(2**43), 0, 0x4022, -1, ctypes.c_long(0)) not in (None, 2**64 - 1))
print(os.memfd_create('x') > 0)
one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
one.bind('\\0cuda-uvmfd-' + str(os.getpid())); one.listen(1)
print(tries(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect('\\0cuda-uvmfd-' + str(os.getpid()))))
print(tries(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)), tries(lambda: socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET)))
def name():
    with open('/proc/self/task/%d/comm' % threading.get_native_id(), 'w') as f: f.write('cuda')
thread = threading.Thread(target=name); thread.start(); thread.join()
print(os.path.isdir('/sys/devices/system') and len(os.listdir('/sys/devices/system')) > 0)
print([n for n in ('CUDA_VISIBLE_DEVICES', 'PYTORCH_NVML_BASED_CUDA_CHECK') if n in os.environ], hasattr(__import__('torch'), 'simgpu'))
"""


def test_a_worker_has_what_cuda_needs_and_its_own_gpu_alone(on_gpu, devices):
    """Calls to its device, addresses without end, shared memory, files without names, a socket nobody reaches, names."""
    tier, seen = on_gpu
    dev = "/dev" if tier == "namespaces" else str(devices)
    with Session(tier, seen) as session:
        found = said(session, LOOK.format(dev=dev, listed=tier == "namespaces")).splitlines()
    assert found == [
        "['nvidia-uvm', 'nvidia-uvm-tools', 'nvidia0', 'nvidiactl']" if tier == "namespaces" else "not listed",
        "True",
        "No such file or directory" if tier == "namespaces" else "Permission denied",
        "-1",
        str(2**21),
        "True",
        "True",
        "Operation not permitted",
        "Operation not permitted Operation not permitted",
        "True",
        "[] False",
    ]


@pytest.mark.parametrize(
    "take",
    [
        "held = bytearray(b'x') * (700 * 2**20)",
        "import mmap\nheld = mmap.mmap(-1, 700 * 2**20); held[:] = b'x' * len(held)",
        "import os\nfor n in range(14): os.write(os.memfd_create(str(n)), b'x' * (50 * 2**20))",
    ],
    ids=["own", "shared", "without a name"],
)
def test_the_watch_ends_a_worker_that_takes_too_much_memory(on_gpu, monkeypatch, take):
    """There is no limit on addresses, so that memory in use is what counts: its own, shared, or of files in memory."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 600 * 2**20)
    tier, seen = on_gpu
    with Session(tier, seen) as session, pytest.raises(OverLimit, match="more than"):
        said(session, f"{take}\nimport time\ntime.sleep(10)")


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has CUDA")
def test_a_gpu_that_does_not_start_is_no_students_fault(confined, devices, tmp_path):
    """Whoever asks for the worker hears why, before anything of a student's runs."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    seen = SandboxView(gpu=devices / "nvidia0", variables=tuple(HIDDEN.items()))
    with pytest.raises(CannotStart, match=r"CUDA does not start \(Torch not compiled with CUDA enabled\)"):
        Session(confined, seen)

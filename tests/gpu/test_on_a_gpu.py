"""GPU grading on a machine with a GPU: `python -m pytest tests/gpu`. Elsewhere each test is skipped, with the reason.

No machine of the authors' has a GPU: whoever turns `COURSE_GPU=1` on runs this first.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from autograder import limits
from autograder.batch.many import Settings, grade_many
from autograder.grading.grade import grade_notebook
from autograder.reporting.rerun import replay_test
from autograder.sandbox import gpu, usage, warm
from autograder.sandbox.session import OverLimit, Session
from autograder.sandbox.view import sandbox_view
from tests.attack_tools import needs_namespaces, said
from tests.this_course import ASSIGNMENTS

pytest_plugins = ["tests.attack_tools"]

VISIBLE = os.environ.get(gpu.VISIBLE)
REASON = gpu.reason_against(visible=VISIBLE, cuda=torch.version.cuda, by_anyone=os.geteuid() == 0)
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no GPU: {REASON}")

COURSE = ASSIGNMENTS["transformer-fundamentals"]


@pytest.fixture
def on_gpu(confined, monkeypatch):
    """The tier that the test is for, with GPU grading on."""
    monkeypatch.setenv(gpu.SWITCH, "1")
    monkeypatch.setattr("autograder.grading.prepare_submission.choose", lambda sandbox, root: confined)
    yield confined
    gpu.give_back()


@pytest.fixture
def seen(on_gpu):
    """What a worker of the course sees, its GPU included."""
    return sandbox_view(COURSE, gpu.take())


def test_a_perfect_submission_gets_full_marks(on_gpu):
    """With the tests of device discipline on CUDA."""
    result = grade_notebook(COURSE.solution, COURSE).result
    lost = {t.name: t.message for cell in result.cells.values() for t in cell.tests if t.status != "passed"}
    assert (lost, result.score, result.tier) == ({}, result.max_score, on_gpu)


def test_training_really_is_on_cuda(on_gpu):
    """The worker trains the probe model on its GPU, and the model's parameters change there."""
    replayed = replay_test(COURSE, COURSE.solution, "test_trains_where_the_model_is", None, "auto")
    assert replayed.finding.error is None
    (observed,) = (step.found for step in replayed.steps if isinstance(step.found, dict) and "device" in step.found)
    assert observed["device"] == "cuda:0"
    assert observed["accelerator"]["during"] == observed["accelerator"]["after"] == ["cuda:0"]
    assert max(observed["accelerator"]["moved"]) > 0


def test_a_worker_sees_exactly_its_gpu(on_gpu, seen):
    """CUDA finds one; the device files of the others cannot be opened."""
    others = [str(path) for path in gpu.DEVICES.glob("nvidia[0-9]*") if path != seen.gpu]
    look = f"""
import os, torch
opened = []
for path in {others}:
    try: os.close(os.open(path, os.O_RDWR)); opened.append(path)
    except OSError: pass
print(torch.cuda.is_available(), torch.cuda.device_count(), opened)
a = torch.randn(256, 256, device='cuda', requires_grad=True)
(a @ a).sum().backward()
print(a.grad.device, bool(torch.isfinite(a.grad).all()))"""
    with Session(on_gpu, seen) as session:
        assert said(session, look, 60).splitlines() == ["True 1 []", "cuda:0 True"]


def test_addresses_have_no_limit(on_gpu, seen):
    """CUDA reserves more than any limit would allow."""
    with Session(on_gpu, seen) as session:
        assert said(session, "import resource\nprint(resource.getrlimit(resource.RLIMIT_AS)[0])") == "-1"


@pytest.mark.parametrize(
    "take",
    [
        "held = bytearray(b'x') * (3 * 2**30)",
        "import torch\nheld = [torch.ones(2**26).pin_memory() for _ in range(12)]",
    ],
    ids=["memory", "pinned memory"],
)
def test_the_watch_ends_a_worker_that_takes_too_much_memory(on_gpu, seen, monkeypatch, take):
    """Memory in use counts in place of addresses, that which CUDA shares with the driver included."""
    monkeypatch.setattr(limits, "MEMORY_BYTES", 2 * 2**30)
    with Session(on_gpu, seen) as session, pytest.raises(OverLimit, match="2 GB of memory"):
        said(session, f"{take}\nimport time\ntime.sleep(10)", 60)


@needs_namespaces
@pytest.mark.parametrize("confined", ["namespaces"])
def test_the_warm_parent_never_uses_the_gpu(on_gpu, seen, monkeypatch):
    """It holds no device file, and its second child can start CUDA as its first one could."""
    monkeypatch.setenv(warm.COLD, "0")
    for _ in range(2):
        with Session(on_gpu, seen) as session:
            assert said(session, "import torch\nprint(torch.ones(2, device='cuda').sum().item())", 60) == "2.0"
            worker = session._started.pid
            assert any(file.startswith("/dev/nvidia") for file in held_by(worker))
            others = [pid for pid in below(warm._parents[seen].process.pid) if pid != worker]
            assert others
            assert not [file for pid in others for file in held_by(pid) if file.startswith("/dev/nvidia")]


def test_jobs_take_turns(monkeypatch, tmp_path):
    """Four submissions and four jobs: all get full marks, and no two workers ever share a GPU."""
    monkeypatch.setenv(gpu.SWITCH, "1")
    paths = [tmp_path / f"{name}.ipynb" for name in ("ada", "ben", "cleo", "dan")]
    for path in paths:
        path.write_bytes(COURSE.solution.read_bytes())
    most, ended = [0], threading.Event()

    def count() -> None:
        # grading processes hold the locks on GPUs, and never their shared memory
        while not ended.wait(0.05):
            everyone = (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
            most.append(sum(str(gpu.DEVICES / gpu.MEMORY) in held_by(pid) for pid in everyone))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        results = [graded.result for _, graded in grade_many(paths, Settings(COURSE), jobs=4)]
    finally:
        ended.set()
        counting.join()
    assert [result.score for result in results] == [result.max_score for result in results]
    assert len(results) == 4
    assert 1 <= max(most) <= len(gpu.gpus(visible=VISIBLE))


def held_by(pid: int) -> list[str]:
    """Paths of the files that a process holds open."""
    held = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held.append(str(entry.readlink()))
    return held


def below(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(one for child in usage.children(pid) for one in below(child))]


def test_a_gpu_is_free_when_its_worker_is_closed(on_gpu, seen):
    """Nothing of a closed worker holds the device file, so that the next one has all of the GPU's memory."""
    with Session(on_gpu, seen) as session:
        said(session, "import torch\nheld = torch.ones(2**28, device='cuda')", 60)
        inside = session._started.pid if isinstance(session._started, warm.Child) else session._started.process.pid
        workers = below(inside)
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() and held_by(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [file for pid in workers for file in held_by(pid) if file.startswith("/dev/nvidia")]

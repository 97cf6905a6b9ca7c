"""Grading on a Dask cluster: scheduler and workers as programs of their own, TLS between them, one of them killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from autograder.batch import cluster
from autograder.batch.cluster import Cluster, ClusterError, grade_on_cluster
from autograder.batch.many import Settings, grade_one
from tests.toy_course import DOUBLE, QUADRUPLE, notebook, toy, toy_course  # noqa: F401

pytestmark = pytest.mark.usefixtures("toy_course", "tier")
REPOSITORY = Path(__file__).resolve().parent.parent
WRONG = "def double(x):\n    return 3 * x"


@pytest.fixture(scope="module")
def settings(toy):
    return Settings(toy)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*request, *files], check=True, capture_output=True)
    return folder


def program(folder, certificate, *words):
    """Start `dask WORDS` with TLS, its output in a file of `folder`."""
    tls = [
        f"--tls-{k}={certificate / f}" for k, f in (("ca-file", "cert.pem"), ("cert", "cert.pem"), ("key", "key.pem"))
    ]
    log = (folder / f"{words[0]}-{time.monotonic_ns()}.log").open("w")
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING": "False",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words, *tls], stdout=log, stderr=log, env=environment, cwd=folder
    )


def worker(folder, certificate, address, threads=1):
    options = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--death-timeout", "30"]
    return program(folder, certificate, "worker", address, *options)


@pytest.fixture
def scheduler(tmp_path, certificate):
    """A scheduler's address; it and every worker that a test starts are ended afterwards."""
    file = tmp_path / "scheduler.json"
    started = [
        program(tmp_path, certificate, "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0",
                "--no-dashboard", "--scheduler-file", str(file))
    ]  # fmt: skip
    deadline = time.monotonic() + 60
    while not file.is_file() or '"address"' not in file.read_text():
        assert time.monotonic() < deadline and started[0].poll() is None
        time.sleep(0.1)
    yield json.loads(file.read_text())["address"], started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def cluster_of(scheduler, certificate, tmp_path):
    """Start so many workers; the cluster as the command line names it."""
    address, started = scheduler

    def start(count, threads=1):
        started.extend(worker(tmp_path, certificate, address, threads) for _ in range(count))
        return Cluster(address, certificate / "cert.pem", certificate / "cert.pem", certificate / "key.pem")

    return start


def submissions(folder, count):
    paths = []
    for number in range(count):
        path = folder / "submitted" / f"student{number}" / "toy" / "toy.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook(double=WRONG if number % 2 else DOUBLE, quadruple=QUADRUPLE), path)
        path.write_text(path.read_text() + " " * number)  # no two files are the same
        paths.append(path)
    return paths


def marks(graded):
    """Status, score and tests: all that may not depend on where a notebook was graded."""
    result = graded.result
    return (
        result.status,
        result.score,
        {c: [(t.name, t.status, t.earned) for t in o.tests] for c, o in result.cells.items()},
    )


def test_marks_are_those_of_this_machine(settings, cluster_of, tmp_path):
    """Two workers give what grading here gives, and a file that is no notebook its refusal."""
    paths = submissions(tmp_path, 3)
    paths[2].write_text("no notebook")
    found = {path: marks(graded) for path, graded in grade_on_cluster(paths, settings, cluster_of(2))}
    assert found == {path: marks(grade_one(path, settings)) for path in paths}


def test_a_killed_worker_loses_nothing(settings, cluster_of, scheduler, tmp_path):
    """One of two workers is killed after the first result: every submission is graded once all the same."""
    paths = submissions(tmp_path, 6)
    found = []
    for path, graded in grade_on_cluster(paths, settings, cluster_of(2)):
        if not found:
            os.kill(scheduler[1][1].pid, signal.SIGKILL)
        found.append((path, graded.result.score))
    assert sorted(p for p, _ in found) == sorted(paths)
    assert {score for _, score in found} == {6.0, 3.0}


def test_a_lost_scheduler_ends_with_one_line(settings, cluster_of, scheduler, tmp_path):
    """What came before is kept; the error says to run the command again."""
    paths = submissions(tmp_path, 6)
    found = []
    with pytest.raises(ClusterError, match="run the command again") as caught:
        for path, _ in grade_on_cluster(paths, settings, cluster_of(1)):
            found.append(path)
            os.kill(scheduler[1][0].pid, signal.SIGKILL)
    assert 1 <= len(found) < 6 and "\n" not in str(caught.value)


def test_a_worker_with_more_threads_refuses(settings, cluster_of, tmp_path):
    """Two submissions in one process would share it."""
    with pytest.raises(ClusterError, match="exactly one thread"):
        list(grade_on_cluster(submissions(tmp_path, 1), settings, cluster_of(1, threads=2)))


def test_another_version_of_the_course_is_refused(settings, cluster_of, tmp_path, monkeypatch):
    """A worker whose graders are not the controller's grades nothing."""
    started = cluster_of(1)
    monkeypatch.setattr("autograder.batch.cluster.course_digest", lambda assignment: "another")
    with pytest.raises(ClusterError, match="another version"):
        list(grade_on_cluster(submissions(tmp_path, 1), settings, started))


def test_an_open_connection_is_refused(settings, tmp_path):
    """Without TLS only a scheduler on this machine will do."""
    with pytest.raises(ClusterError, match="--tls-ca"):
        list(grade_on_cluster([], settings, Cluster("tcp://192.0.2.1:8786")))
    with pytest.raises(ClusterError, match="no such file"):
        list(grade_on_cluster([], settings, Cluster("tls://127.0.0.1:1", *[tmp_path / "x"] * 3)))


def test_no_scheduler_is_one_line(settings, monkeypatch):
    """Nothing listens there."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match="no scheduler answers"):
        list(grade_on_cluster([], settings, Cluster("tcp://127.0.0.1:1")))


def command(root, cluster, said):
    """`autograder autograde` in `root` on the cluster, as a program; what it says goes to `said`."""
    files = ["--tls-ca", cluster.ca, "--tls-cert", cluster.certificate, "--tls-key", cluster.key]
    words = ["autograde", "toy", "--execute", "all", "--scheduler", cluster.address, *map(str, files)]
    return subprocess.Popen(
        [sys.executable, "-m", "autograder", *words],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=said.open("wb"),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_controller_that_ends_loses_nothing(toy_course, cluster_of, tmp_path, number):
    """Interrupted it ends with one line; killed or not, the same command goes on with what is not finished."""
    shutil.copy(REPOSITORY / "nbgrader_config.py", toy_course)
    for place in ("submitted", "results", "autograded", "feedback"):
        shutil.rmtree(toy_course / place, ignore_errors=True)
    ben = submissions(toy_course, 2)[1]
    endless = nbformat.read(ben, as_version=4)
    endless.cells.append(new_code_cell("while True:\n    pass", metadata={"tags": ["experiment"]}))
    nbformat.write(endless, ben)
    started, said = cluster_of(2), tmp_path / "said.txt"
    controller = command(toy_course, started, said)
    deadline = time.monotonic() + 120
    while "student0" not in said.read_text():
        assert time.monotonic() < deadline and controller.poll() is None, said.read_text()
        time.sleep(0.1)
    results = toy_course / "results" / "toy"
    before = (results / "student0.json").read_bytes()
    controller.send_signal(number)
    code = controller.wait(timeout=60)
    if number == signal.SIGINT:
        *lines, last = said.read_text().splitlines()
        assert code == 130 and len(lines) == 1 and last.startswith("autograder: interrupted; 1 of 2 are finished")
    endless.cells.pop()
    nbformat.write(endless, ben)
    assert command(toy_course, started, said).wait(timeout=120) == 0
    assert "student0" in said.read_text().splitlines()[0] and "(unchanged)" in said.read_text().splitlines()[0]
    assert (results / "student0.json").read_bytes() == before and (results / "student1.json").is_file()


def test_one_worker_takes_them_in_the_order_given(settings, cluster_of, tmp_path):
    """The longest come first, wherever they are graded."""
    paths = submissions(tmp_path, 5)[::-1]
    assert [path for path, _ in grade_on_cluster(paths, settings, cluster_of(1))] == paths

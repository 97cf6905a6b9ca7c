"""Faults of the installation end a class only where several come in a row: scattered ones leave the rest to be graded."""

import contextlib
from pathlib import Path

import distributed
import pytest

from autograder.batch import cluster
from autograder.batch import grade_many as many
from autograder.batch.cluster import Cluster, ClusterError, grade_on_cluster
from autograder.batch.grade_many import MOST_FAULTS, NotAllGraded, Settings, grade_many
from tests.this_course import TRANSFORMER_FUNDAMENTALS

SETTINGS = Settings(TRANSFORMER_FUNDAMENTALS)
SCATTERED = ["broke-1", "ben", "broke-2", "cleo", "broke-3", "dan", "broke-4", "eve"]
IN_A_ROW = ["ben", "broke-1", "broke-2", "broke-3", "cleo", "dan"]


def grade(path: Path, settings: Settings) -> str:
    if path.stem.startswith("broke"):
        raise OSError(28, "No space left on device")
    return "graded"


@pytest.fixture
def locally(monkeypatch, tmp_path):
    """Grade notebooks of these names in this process; gives those that were graded, and what was told at the end."""
    monkeypatch.setattr(many, "grade_one", grade)
    monkeypatch.setattr(many, "Graded", str)

    def run(names: list[str]) -> tuple[list[str], str]:
        graded: list[str] = []
        with pytest.raises(NotAllGraded) as told:
            graded += (path.stem for path, _ in grade_many([Path(f"{name}.ipynb") for name in names], SETTINGS))
        return graded, str(told.value)

    return run


class Future:
    """A submission that a Dask worker has graded, or could not."""

    def __init__(self, name: str) -> None:
        self.error = RuntimeError("no space left") if name.startswith("broke") else None
        self.status = "error" if self.error else "finished"

    def exception(self) -> Exception | None:
        return self.error

    def result(self) -> str:
        return "graded"

    def release(self) -> None:
        pass


class FakeClient(contextlib.nullcontext):
    """Stands for the connection to a scheduler."""

    def __enter__(self) -> "FakeClient":
        return self

    def as_current(self) -> contextlib.nullcontext:
        return contextlib.nullcontext()

    def submit(self, function: object, name: str, *rest: object, **options: object) -> Future:
        return Future(name)


@pytest.fixture
def on_a_cluster(monkeypatch, tmp_path):
    """The same on a scheduler that answers in the order of the submissions."""

    monkeypatch.setattr(cluster, "_client", lambda _: FakeClient())
    monkeypatch.setattr(cluster, "_graded", lambda text, path: text)
    monkeypatch.setattr(distributed, "as_completed", iter)

    def run(names: list[str]) -> tuple[list[str], str]:
        paths = [tmp_path / name / "course" / f"{name}.ipynb" for name in names]
        for path in paths:
            path.parent.mkdir(parents=True)
            path.write_text("{}")
        graded: list[str] = []
        with pytest.raises(ClusterError) as told:
            graded += (path.stem for path, _ in grade_on_cluster(paths, SETTINGS, Cluster("tcp://127.0.0.1:1")))
        return graded, str(told.value)

    return run


@pytest.mark.parametrize("where", ["locally", "on_a_cluster"])
def test_scattered_faults_leave_the_rest_graded(where, request):
    """Four in eight, never two in a row: all others are graded, and each of the four is named at the end."""
    graded, told = request.getfixturevalue(where)(SCATTERED)
    assert graded == ["ben", "cleo", "dan", "eve"]
    assert told.count("broke-") == 4 and "in a row" not in told


@pytest.mark.parametrize("where", ["locally", "on_a_cluster"])
def test_faults_in_a_row_end_the_class(where, request):
    """Then it is the machine: the rest would fare no better, and is graded by the next run."""
    graded, told = request.getfixturevalue(where)(IN_A_ROW)
    assert graded == ["ben"]
    assert told.endswith(f"stopped after {MOST_FAULTS} in a row")

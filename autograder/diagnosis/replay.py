"""The requests that a component's public tests make of a correct solution, and their replay on anything else.

A test stops at the first mistake that it finds; a replay goes on, so that two versions are compared on all inputs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from autograder import limits
from autograder.course.assignment import Assignment
from autograder.diagnosis.sketch import Failure, sketch, unlike
from autograder.sandbox.session import Died, Raised, TimedOut, WorkerError
from autograder.testing.answering import Answering
from autograder.testing.findings import Pass
from autograder.testing.hidden_tests import run_tests, tests_of
from autograder.testing.in_process import InProcess, without_accelerator
from autograder.testing.stand_ins import StandIns
from autograder.worker.wire import Handle

OTHER_SEED = 7919


NO_OBJECT = Failure("NoObject")  # what it needs was never made


@dataclass(frozen=True)
class Recorded:
    """One request of a test, and what the reference answered. `random` answers differ with the seed."""

    test: str
    do: str
    seconds: float
    fields: dict[str, Any]
    answer: Any
    random: bool = False


@dataclass
class Recorder:
    """Stands where `inner` stands, and keeps every request with its answer."""

    inner: Answering
    kept: list[tuple[str, float, dict[str, Any], Any]] = field(default_factory=list)

    stand_ins: StandIns | None = None  # those of `inner` hold

    @property
    def timeouts(self) -> dict[str, int]:
        return self.inner.timeouts

    @property
    def generation(self) -> int:
        return self.inner.generation

    @property
    def alive(self) -> bool:
        return self.inner.alive

    def reach(self, cell: str) -> None:
        self.inner.reach(cell)

    def close(self) -> None:
        self.inner.close()

    def request(self, do: str, seconds: float, **fields: Any) -> Any:
        try:
            answer = self.inner.request(do, seconds, **fields)
        except WorkerError as error:
            self.kept.append((do, seconds, fields, failure(error)))
            raise
        self.kept.append((do, seconds, fields, answer))
        return answer


@cache
def recorded(assignment: Assignment, cell: str) -> tuple[Recorded, ...]:
    """The requests of the public run of the quick tests of `cell`, each with the reference's answer."""
    found: list[tuple[str, tuple[str, float, dict[str, Any], Any]]] = []
    recorder = Recorder(InProcess(assignment))
    current = Pass(assignment, recorder, public=True)
    for test in tests_of(assignment, cell):
        recorder.kept = []
        with without_accelerator():
            run_tests([test], current)
        found += [(test.name, one) for one in recorder.kept]
    first = tuple(Recorded(test, do, seconds, fields, answer) for test, (do, seconds, fields, answer) in found)
    other = InProcess(assignment)
    other.reach(assignment.test_cell(cell))
    reseeded = replay(first, other, reseed=True)
    return tuple(
        Recorded(r.test, r.do, r.seconds, r.fields, r.answer, random=not _same(r.answer, again))
        for r, again in zip(first, reseeded, strict=True)
    )


def replay(requests: Sequence[Recorded], answering: Answering, *, reseed: bool = False) -> Iterator[Any]:
    """What `answering` gives for each request; a `Failure` where it gives none. Stops at a hang or a dead worker."""
    objects: dict[int, Any] = {}
    stopped: Failure | None = None
    for request in requests:
        fields = _with_objects(_reseeded(request.fields) if reseed else request.fields, objects)
        if stopped is not None or isinstance(fields, Failure):
            answer = stopped or fields
        else:
            try:
                answer = answering.request(request.do, request.seconds, **fields)
            except WorkerError as error:
                answer = failure(error)
                stopped = answer if isinstance(error, TimedOut | Died) else None
        _keep(objects, request.answer, answer)
        yield answer


def failure(error: WorkerError) -> Failure:
    if isinstance(error, Raised):
        return Failure(error.type_name, error.text[: limits.MESSAGE_CHARACTERS])
    return Failure(type(error).__name__)


def _keep(objects: dict[int, Any], theirs: Any, ours: Any) -> None:
    """Remember which objects of this replay, wherever they stand in an answer, are those of the recording."""
    if isinstance(theirs, Handle):
        objects[theirs.number] = ours if isinstance(ours, Handle) else NO_OBJECT
    elif isinstance(theirs, dict):
        for key, one in theirs.items():
            _keep(objects, one, ours.get(key) if isinstance(ours, dict) else None)
    elif isinstance(theirs, list | tuple):
        matching = ours if isinstance(ours, list | tuple) and len(ours) == len(theirs) else [None] * len(theirs)
        for one, other in zip(theirs, matching, strict=True):
            _keep(objects, one, other)


def _with_objects(value: Any, objects: dict[int, Any]) -> Any:
    """`value` with the recording's objects replaced by this replay's; a Failure where one of them was never made."""
    if isinstance(value, Handle):
        return objects.get(value.number, NO_OBJECT)
    if isinstance(value, dict):
        replaced = {k: _with_objects(v, objects) for k, v in value.items()}
        return _first_failure(replaced.values()) or replaced
    if isinstance(value, list | tuple):
        items = [_with_objects(v, objects) for v in value]
        return _first_failure(items) or type(value)(items)
    return value


def _first_failure(values: Iterable[Any]) -> Failure | None:
    return next((v for v in values if isinstance(v, Failure)), None)


def _reseeded(value: Any, key: str = "") -> Any:
    """`value` with every seed in it changed."""
    if isinstance(value, dict):
        return {k: _reseeded(v, str(k)) for k, v in value.items()}
    return value + OTHER_SEED if key.endswith("seed") and isinstance(value, int) else value


def _same(one: Any, other: Any) -> bool:
    return not unlike(sketch(one), sketch(other))

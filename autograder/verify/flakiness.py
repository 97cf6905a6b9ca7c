"""How often chance refuses what is right: the reference over many draws of the hidden inputs."""

import json
from dataclasses import dataclass

from autograder.course.assignment import Assignment
from autograder.testing.findings import Pass
from autograder.testing.hidden_tests import HiddenTest, hidden_tests, run_tests
from autograder.testing.in_process import InProcess
from autograder.verify.trial import symptom

DRAWS = 30  # of each test
CHANCE_DRAWS = 1000  # of a test whose verdict on right code depends on chance


@dataclass(frozen=True)
class DrawsOutcome:
    """One test on the reference over `draws` draws; `refused` are (draw, symptom)."""

    test: str
    cell: str
    draws: int
    refused: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class TargetRuns:
    """Recorded training runs of correct loops towards one target, and of models that must not reach it."""

    target: str
    runs: int
    reached: int
    hopeless_runs: int
    hopeless_reached: int


def draws_of(test: HiddenTest) -> int:
    return CHANCE_DRAWS if test.chance else DRAWS


def try_draws(assignment: Assignment, test_name: str, first: int, count: int) -> DrawsOutcome:
    """Run one hidden test on the reference with the draws `first` to `first + count - 1`."""
    test = next(t for t in hidden_tests(assignment) if t.name == test_name)
    execution = InProcess(assignment)
    refused = []
    for number in range(first, first + count):
        current = Pass(assignment, execution, seed=f"draw {number}")
        finding = run_tests([test], current).findings[0]
        if not finding.passed:
            refused.append((number, symptom(finding.error)))
    return DrawsOutcome(test.name, test.cell, count, tuple(refused))


def target_runs(assignment: Assignment) -> tuple[TargetRuns, ...]:
    """What the graders' own measurement has recorded in `targets.json`, if there is one."""
    path = assignment.graders / "targets.json"
    if not path.is_file():
        return ()
    outcomes = []
    for target, record in json.loads(path.read_text()).items():
        reached = {
            v: [accuracy >= record["aim"] for accuracy, _ in runs.values()] for v, runs in record["runs"].items()
        }
        right, hopeless = ([r for v in record[kind] for r in reached.get(v, ())] for kind in ("correct", "hopeless"))
        outcomes.append(TargetRuns(target, len(right), sum(right), len(hopeless), sum(hopeless)))
    return tuple(outcomes)

"""What hidden tests find: one finding for each test, and the pass over a submission that they belong to."""

from dataclasses import dataclass, field

from autograder.course.assignment import Assignment
from autograder.datasets.secret import derive
from autograder.testing.answering import Answering
from autograder.testing.draw import Draw


@dataclass(frozen=True)
class Finding:
    """What one test found in one pass; `error` is None where it passed or was skipped."""

    name: str
    cell: str
    title: str
    points: float
    role: str | None
    error: BaseException | None
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        return self.error is None


def forget_frames(error: BaseException | None) -> None:
    """Let go of what an error, and those before it, hold of their calls: inputs, replies, comparisons."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


@dataclass
class Pass:
    """One run of the tests over one submission: where it runs, with which inputs, and what came out."""

    assignment: Assignment
    execution: Answering
    public: bool = False
    only: frozenset[str] | None = None
    full_cells: frozenset[str] | None = None
    findings: list[Finding] = field(default_factory=list)
    broken: BaseException | None = None
    seed: str | None = None

    def draw(self, test: str) -> Draw:
        """The inputs of one test: from the course secret, unless this pass is public or has a seed of its own."""
        purpose = f"{self.assignment.name}/{test}"
        seed = derive(self.assignment.root, purpose) if self.seed is None else self.seed
        return Draw(purpose if self.public else f"{purpose}/{seed}", None if self.public else self._hidden_seed)

    def is_full(self, cell: str) -> bool:
        """Whether every test of `cell` has passed (as far as it was run)."""
        if self.full_cells is not None:
            return cell in self.full_cells
        return all(f.passed for f in self.findings if f.cell == cell)

    def _hidden_seed(self, purpose: str) -> int:
        return derive(self.assignment.root, purpose)

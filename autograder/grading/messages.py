"""What a student reads about a test that did not pass.

Two passes speak here. The hidden pass gives fixed texts only. The public pass runs the same test on inputs that are no
secret, in a worker that never saw the hidden ones: its numbers and the text of its errors may be shown.
"""

from dataclasses import dataclass

from autograder import limits
from autograder.course.assignment import Assignment
from autograder.grading.execution import Execution, OutOfTime
from autograder.sandbox.session import Died, OverLimit, Raised, TimedOut, WorkerError
from autograder.testing.expect import Mistake
from autograder.testing.findings import Finding
from autograder.worker.shell import shorten


@dataclass(frozen=True)
class MessageSources:
    """What messages may draw on: how often each cell timed out, and the pass whose texts may be shown."""

    timeouts: dict[str, int]
    shown: Execution


NOT_THERE = "This holds, but it counts only together with right values, and those are not right yet."


def followed_through(upstream: tuple[str, ...], assignment: Assignment) -> str:
    """The fixed text of a test that passes once the parts below it are right."""
    names = ", ".join(f"`{n}`" for cell in upstream for n in assignment.defines[cell])
    return f"This holds with a working {names} in place of yours, so its points are yours."


def message(hidden: Finding, public: Finding | None, assignment: Assignment, sources: MessageSources) -> str:
    """The message for a test that failed on hidden inputs; `public` is the same test on public ones, if it was run."""
    text = _public_text(public, assignment, sources) if public is not None else None
    return shorten(text or _fixed_text(hidden, assignment, sources), limits.MESSAGE_CHARACTERS)


def _fixed_text(finding: Finding, assignment: Assignment, sources: MessageSources) -> str:
    match finding.error:
        case Mistake() as mistake:
            return join(mistake.symptom, mistake.cause)
        case Raised() as error if error.type_name == "Missing":
            return _missing(finding.cell, assignment, sources)
        case Raised():
            return "Your code raised an error on these inputs; it did not on public ones that were tried afterwards."
        case error:
            return _stopped(finding, error, assignment, sources)


def _public_text(finding: Finding, assignment: Assignment, sources: MessageSources) -> str | None:
    match finding.error:
        case Mistake() as mistake:
            return join(mistake.symptom, mistake.cause, mistake.detail or "")
        case Raised() as error if error.type_name == "Missing":
            return _missing(finding.cell, assignment, sources)
        case Raised() as error if error.type_name == "NotImplementedError":
            return f"Not filled in yet{_where(error.place)}."
        case Raised() as error:
            text = shorten(error.text, 600)
            return join(f"Your code raised {error.type_name}{_where(error.place)}: {text}" if text else
                        f"Your code raised {error.type_name}{_where(error.place)}.")  # fmt: skip
        case TimedOut() | Died():
            return _stopped(finding, finding.error, assignment, sources)
    return None


def _stopped(finding: Finding, error: BaseException | None, assignment: Assignment, sources: MessageSources) -> str:
    match error:
        case TimedOut():
            hung = [c for c in assignment.all_upstream(finding.cell) if sources.timeouts.get(c)]
            text = f"The code of the cell {finding.cell} did not finish within {error.seconds:g} s."
            if hung:
                return join(text, f"It calls {hung[0]}, which did not finish either: look there first.")
            return join(text, "Look for a loop that never ends.")
        case OutOfTime():
            return f"Not run: the {limits.TOTAL_SECONDS:g} s that a submission may take were used up before."
        case OverLimit() as over:
            return f"The code of the cell {finding.cell} {over}."
        case Died():
            return f"The process ended while the cell {finding.cell} was tested: too much memory, or a call that exits."
        case WorkerError():
            return "The code could not be run."
    return "What your code gave could not be compared with what the contract asks for: look at its type and shape."


def _missing(cell: str, assignment: Assignment, sources: MessageSources) -> str:
    names = " or ".join(f"`{n}`" for n in assignment.defines[cell])
    error = sources.shown.error_of(cell)
    if error is None:
        return f"{names} is not defined when its tests run. Define it in the cell {cell}."
    return (
        f"{names} is not defined, because the cell {cell} did not run: {error['type']}: {shorten(error['text'], 600)}"
    )


def _where(place: str | None) -> str:
    if not place:
        return ""
    cell, _, line = place.rpartition(":")
    return f" in the cell {cell}, line {line}"


def join(*sentences: str) -> str:
    return " ".join(s.strip() for s in sentences if s and s.strip())

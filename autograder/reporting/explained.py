"""One hidden test as it went, in words on a terminal: its inputs, what was found, and what was expected."""

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from autograder.course.assignment import Assignment
from autograder.feedback.clean import clean_text
from autograder.files import printable
from autograder.reporting.rerun import Replayed, Step
from autograder.reporting.values import difference, shown
from autograder.results.result import TestOutcome
from autograder.sandbox.session import Raised
from autograder.testing.expect import Mistake
from autograder.worker.wire import Handle

WARNING = (
    "For instructors only: this shows hidden inputs and what is expected for them. Explain it in your own words; "
    "whoever has these lines can write a component that passes them alone."
)


def tell(
    console: Console, student: str, assignment: Assignment, replayed: Replayed, recorded: TestOutcome | None
) -> None:
    """Print every request of the test with its inputs, and the verdict."""
    finding = replayed.finding
    console.print(Panel(Text(WARNING), border_style="red"))
    console.print(Text(f"{printable(student)}, {assignment.name}, {finding.name}", style="bold"))
    console.print(Text(f"{finding.title} ({finding.points:g} points, cell {finding.cell})"))
    now = "passes" if finding.passed else "fails"
    if recorded is None:
        console.print(Text(f"Not graded yet, or the result is gone. Here and now it {now}."))
    else:
        through = " with working parts below" if recorded.follow_through else ""
        was = f"{recorded.status}{through}, {recorded.earned:g} of {recorded.points:g}"
        console.print(Text(f"Recorded when it was graded: {was}. Here and now, by itself, it {now}."))
        if recorded.message:
            console.print(Text(f"The student read: {clean_text(recorded.message, 1500)}", style="italic"))
    objects: dict[int, str] = {}
    for number, step in enumerate(replayed.steps, start=1):
        _tell_step(console, number, step, objects)
    console.print()
    console.print(Text(_verdict(replayed), style="bold"))


def _tell_step(console: Console, number: int, step: Step, objects: dict[int, str]) -> None:
    console.print()
    console.print(Text(f"{number}. {_request(step, objects)}", style="bold cyan"))
    for name, value in _inputs(step.fields):
        console.print(Text(f"   {name}: {shown(value, '   ')}"), soft_wrap=True)
    if isinstance(step.found, Handle):
        objects[step.found.number] = str(step.fields.get("name", "object"))
    told = difference(step.found, step.expected)
    if not told and not isinstance(step.found, Handle):
        console.print(Text(f"   found, as expected: {shown(step.found, '   ')}", style="green"), soft_wrap=True)
        return
    console.print(Text(f"   found: {shown(step.found, '   ')}", style="" if not told else "yellow"), soft_wrap=True)
    if told:
        console.print(Text(f"   expected: {shown(step.expected, '   ')}", style="green"), soft_wrap=True)
        console.print(Text(f"   difference: {told}", style="yellow"), soft_wrap=True)


def _request(step: Step, objects: dict[int, str]) -> str:
    fields = step.fields
    target = fields.get("handle") or fields.get("module")
    which = f"{objects.get(target.number, 'object')} (object {target.number})" if isinstance(target, Handle) else ""
    mode = "in training mode" if fields.get("train") else "in evaluation mode"
    said = {
        "call": f"call {fields.get('name')}",
        "build": f"build {fields.get('name')}",
        "forward": f"forward of {which}, {mode}",
        "method": f"{which}.{fields.get('name')}",
        "attribute": f"attribute {fields.get('path')} of {which}",
        "parameters": f"parameters of {which}",
        "load": f"load parameters into {which}",
        "drive": f"run the driver {fields.get('name')}",
    }
    return said.get(step.do, step.do)


def _inputs(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """What the test gave, by name; the seed only where there is one."""
    inputs = [(f"input {i}", value) for i, value in enumerate(fields.get("args", ()), start=1)]
    inputs += list(fields.get("kwargs", {}).items()) + list(fields.get("inputs", {}).items())
    if fields.get("state") is not None:
        inputs.append(("parameters", fields["state"]))
    return inputs + ([("seed", fields["seed"])] if fields.get("seed") else [])


def _verdict(replayed: Replayed) -> str:
    finding, error = replayed.finding, replayed.finding.error
    cell = replayed.error_of_cell
    ran = f" The cell {finding.cell} ended with {cell['type']}: {clean_text(cell['text'], 300)}." if cell else ""
    match error:
        case None:
            return ("Passed." if finding.skipped is None else f"Not tested: {finding.skipped}.") + ran
        case Mistake():
            return (
                "Failed: "
                + " ".join(p for p in (error.symptom, error.cause, clean_text(error.detail or "")) if p)
                + ran
            )
        case Raised():
            where = f" in {error.place}" if error.place else ""
            return f"The student's code raised {error.type_name}{where}: {clean_text(error.text, 600)}.{ran}"
    return f"Could not run: {clean_text(str(error), 300)}.{ran}"

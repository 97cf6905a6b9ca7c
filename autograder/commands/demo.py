"""`autograder demo`: from nothing to marks and feedback."""

from rich.console import Console
from rich.table import Table

from autograder.assignments import ASSIGNMENTS, ROOT, Assignment
from autograder.commands.autograde import autograde_submitted
from autograder.commands.release import build
from autograder.demo.submissions import STORIES, Sample, place_samples
from autograder.grading.result import Result


def run_demo(jobs: int | None, quiet: bool) -> None:
    """Data, release, solutions, sample submissions, grading, and a table of what came out."""
    console = Console(quiet=quiet)
    console.rule("1. data, release/ and solutions/")
    build(None, True, quiet)
    for name in STORIES:
        assignment = ASSIGNMENTS[name]
        console.rule(f"2. sample submissions of {name}")
        samples = place_samples(assignment, ROOT / "submitted")
        for sample in samples:
            console.print(f"submitted/{sample.student}/{name}: {sample.story}", highlight=False)
        console.rule("3. grading in the sandbox, gradebook, feedback")
        students = [sample.student for sample in samples]
        autograde_submitted(name, students, jobs, "auto", "definitions", False, False, quiet)
        console.print(table(assignment, samples))
    console.print(
        "What a student sees:   feedback/ben/transformer-fundamentals/transformer_fundamentals.html\n"
        "Result files:          results/transformer-fundamentals/ben.json\n"
        "The gradebook:         gradebook.db, in formgrader (`.venv/bin/jupyter lab`) or as CSV (`autograder export`)",
        highlight=False,
    )


def table(assignment: Assignment, samples: list[Sample]) -> Table:
    """Students against components, with total and seconds."""
    shown = Table(title=f"{assignment.name}: automatic points", caption="not full marks in yellow")
    shown.add_column("student")
    for cell in assignment.upstream:
        shown.add_column(cell.replace("-", "\n"), justify="right")
    shown.add_column("total", justify="right")
    shown.add_column("seconds", justify="right")
    shown.add_column("story")
    for sample in samples:
        path = ROOT / "results" / assignment.name / f"{sample.student}.json"
        result = Result.from_json(path.read_text())
        marks = [result.cells[assignment.test_cell(c)] for c in assignment.upstream]
        columns = [f"{m.score:g}" if m.score >= m.max_score else f"[yellow]{m.score:g}[/]" for m in marks]
        total = f"{result.score:g} / {result.max_score:g}"
        shown.add_row(sample.student, *columns, total, f"{result.seconds:.1f}", sample.story)
    return shown

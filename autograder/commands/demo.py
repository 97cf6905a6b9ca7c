"""`autograder demo`: from nothing to marks and feedback."""

from rich.console import Console
from rich.table import Table

from autograder.assignments import ASSIGNMENTS, ROOT, Assignment
from autograder.commands.autograde import autograde_submitted
from autograder.commands.release import build
from autograder.demo.submissions import STORIES, Sample, place_samples
from autograder.grading.result import CellOutcome, read_result


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
    """Components against students, with totals and seconds; narrow enough for 80 columns."""
    folder = ROOT / "results" / assignment.name
    results = [read_result(folder / f"{sample.student}.json") for sample in samples]
    shown = Table(
        title=f"{assignment.name}: automatic points", caption="less than full marks in yellow", padding=(0, 0)
    )
    shown.add_column("")
    for sample in samples:
        shown.add_column(sample.student, justify="right", min_width=5, no_wrap=True)
    for cell in map(assignment.test_cell, assignment.upstream):
        shown.add_row(cell.removesuffix("-tests"), *(_points(result.cells[cell]) for result in results))
    shown.add_section()
    shown.add_row(f"total, of {results[0].max_score:g}", *(f"[bold]{result.score:g}[/]" for result in results))
    shown.add_row("seconds", *(f"{result.seconds:.1f}" for result in results))
    return shown


def _points(outcome: CellOutcome) -> str:
    return f"{outcome.score:g}" if outcome.score >= outcome.max_score else f"[yellow]{outcome.score:g}[/]"

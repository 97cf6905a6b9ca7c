"""`autograder demo`: from nothing to marks and feedback."""

from typing import TYPE_CHECKING

from autograder.commands.autograde import autograde
from autograder.commands.options import AssignmentOrAll, Jobs, Quiet
from autograder.commands.release import release
from autograder.course.course import this_course

if TYPE_CHECKING:
    from rich.table import Table

    from autograder.course.assignment import Assignment
    from autograder.demo.submissions import Sample
    from autograder.results.result import CellOutcome


def demo(assignment: AssignmentOrAll = None, jobs: Jobs = None, quiet: Quiet = False) -> None:
    """The whole course on sample submissions, from nothing to marks and feedback."""
    from rich.console import Console

    from autograder.demo.submissions import place_samples

    course, console = this_course(), Console(quiet=quiet)
    console.rule("1. data, release/ and solutions/")
    release(assignment, quiet=quiet)
    for one in course.chosen(assignment):
        console.rule(f"2. sample submissions of {one.name}")
        samples = place_samples(one, course.submitted)
        for sample in samples:
            console.print(f"submitted/{sample.student}/{one.name}: {sample.story}", highlight=False)
        console.rule("3. grading in the sandbox, gradebook, feedback")
        students = [sample.student for sample in samples]
        autograde(one.name, students, jobs, quiet=quiet)
        console.print(table(one, samples))
    first = course.chosen(assignment)[0]
    console.print(
        f"What a student sees:   feedback/ben/{first.name}/{first.stem}.html\n"
        f"Result files:          results/{first.name}/ben.json\n"
        "The gradebook:         gradebook.db, in formgrader (`.venv/bin/jupyter lab`) or as CSV (`autograder export`)",
        highlight=False,
    )


def table(assignment: "Assignment", samples: "list[Sample]") -> "Table":
    """Components against students, with totals and seconds; narrow enough for 80 columns."""
    from rich.table import Table

    from autograder.results.result_file import read_result

    folder = assignment.root / "results" / assignment.name
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


def _points(outcome: "CellOutcome") -> str:
    return f"{outcome.score:g}" if outcome.score >= outcome.max_score else f"[yellow]{outcome.score:g}[/]"

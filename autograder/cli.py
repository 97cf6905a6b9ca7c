"""The command line. Heavy imports stand inside the commands, so that `--help` answers at once."""

import atexit
import gc
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from autograder.batch.processes import start_ahead
from autograder.course.course import this_course
from autograder.interrupt import KEPT, end, leave, on_interrupt, wind_up
from autograder.student_check.command_line import Quiet, check, stop

atexit.register(gc.freeze)  # else Python looks through all objects once more as it ends: 0.2 s, 0.6 with torch


class Interruptible(TyperGroup):
    """Commands that Ctrl-C ends with one line, also while they are still being imported."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with on_interrupt(leave):
                return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            end(str(stopped) or KEPT)


app = typer.Typer(
    cls=Interruptible,
    help="A course on transformers that grades itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class Sandbox(StrEnum):
    auto = "auto"
    none = "none"


class Execute(StrEnum):
    definitions = "definitions"
    all = "all"


# what an option stands for where it has no value of its own is told by `show_default`: brackets in `help` are markup
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.", show_default="all cores")]
OneJob = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.")]
AssignmentOrAll = Annotated[str | None, typer.Argument(help="Name of the assignment.", show_default="all")]
RosterOption = Annotated[
    Path | None, typer.Option("--roster", help="The class as CSV.", show_default="submitted/roster.csv")
]
SandboxOption = Annotated[Sandbox, typer.Option(help="none: without confinement, for files of your own only.")]
ExecuteOption = Annotated[Execute, typer.Option(help="all: run demonstrations, too.")]


@app.command()
def grade(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks to grade.")],
    assignment: Annotated[str, typer.Option(help="Name of the assignment.")],
    output: Annotated[Path, typer.Option(help="Folder for STEM.json and STEM.html.")],
    jobs: OneJob = 1,
    sandbox: SandboxOption = Sandbox.auto,
    execute: ExecuteOption = Execute.definitions,
    force: Annotated[bool, typer.Option(help="Grade again what is graded already.")] = False,
    quiet: Quiet = False,
) -> None:
    """Grade notebooks: a result file and a feedback page for each."""
    start_ahead(assignment, sandbox.value, several=jobs != 1 and len(notebooks) > 1)
    from autograder.commands.grade import grade_files

    _guarded(grade_files, notebooks, assignment, output, jobs, sandbox.value, execute.value, force, quiet)


@app.command()
def autograde(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    student: Annotated[list[str] | None, typer.Option(help="Only this student; may be repeated.")] = None,
    jobs: Jobs = None,
    sandbox: SandboxOption = Sandbox.auto,
    execute: ExecuteOption = Execute.definitions,
    force: Annotated[bool, typer.Option(help="Grade again what is graded already.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show old and new marks; write nothing.")] = False,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler: grade on its workers.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="Authority of the scheduler's certificate (PEM).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate of this machine (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    quiet: Quiet = False,
) -> None:
    """Grade all of submitted/ into the gradebook, with feedback pages."""
    if scheduler is None:
        start_ahead(assignment, sandbox.value, several=jobs != 1)
    from autograder.commands.autograde import autograde_submitted, cluster_named

    cluster = cluster_named(scheduler, tls_ca, tls_cert, tls_key)
    settings = (assignment, student, jobs, sandbox.value, execute.value, force, dry_run, quiet)
    _guarded(autograde_submitted, *settings, cluster)


@app.command()
def release(
    assignment: AssignmentOrAll = None,
    solutions: Annotated[bool, typer.Option(help="Build and run the solved notebooks, too.")] = True,
    quiet: Quiet = False,
) -> None:
    """Build release/ and solutions/ from source/, and refuse a release that leaks."""
    from autograder.commands.release import build

    _guarded(build, assignment, solutions, quiet)


@app.command()
def prepare(
    assignment: AssignmentOrAll = None,
    quiet: Quiet = False,
) -> None:
    """Fetch the data sets and models that the assignments need; what is there and intact is kept."""
    from autograder.commands.prepare import prepare as run

    _guarded(run, assignment, quiet)


@app.command()
def verify(
    assignment: AssignmentOrAll = None,
    quick: Annotated[bool, typer.Option(help="One wrong version a clause: under a minute an assignment.")] = False,
    jobs: Jobs = None,
    output: Annotated[Path, typer.Option(help="Folder for NAME.html.")] = Path("results/verify"),
    quiet: Quiet = False,
) -> None:
    """Try the graders themselves: known wrong versions, correct variants, pairs, chance."""
    from autograder.commands.verify import verify as run

    _guarded(run, assignment, jobs, quick, output, quiet)


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("marks.csv"),
    roster: RosterOption = None,
    canvas: Annotated[bool, typer.Option("--canvas", help="In the form that Canvas's gradebook imports.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the marks of all assignments as CSV, with late penalties as of now."""
    from autograder.commands.export import export_csv

    _guarded(export_csv, output, roster, canvas, quiet)


app.command()(check)


@app.command()
def bench(
    submissions: Annotated[int, typer.Option(min=2, help="Submissions to grade with each system.")] = 24,
    output: Annotated[Path, typer.Option(help="Folder for bench.md and bench.svg.")] = Path("results/bench"),
    everything: Annotated[bool, typer.Option(help="Time `release` and `verify --quick`, too (ten minutes).")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure grading beside stock nbgrader and otter, which are installed apart."""
    from autograder.commands.bench import bench as run

    _guarded(run, submissions, output, everything, quiet)


@app.command()
def gradescope(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    output: Annotated[Path, typer.Option(help="The zip to write.")] = Path("gradescope.zip"),
    quiet: Quiet = False,
) -> None:
    """Write an autograder zip for Gradescope."""
    from autograder.commands.gradescope import write_package

    _guarded(write_package, assignment, output, quiet)


@app.command()
def demo(
    assignment: AssignmentOrAll = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """The whole course on sample submissions, from nothing to marks and feedback."""
    from autograder.commands.demo import run_demo

    _guarded(run_demo, assignment, jobs, quiet)


@app.command()
def collect(
    download: Annotated[Path, typer.Argument(help="The zip archive or folder of a bulk download.")],
    assignment: Annotated[str, typer.Option(help="Name of the assignment.")],
    roster: RosterOption = None,
    arrived: Annotated[str | None, typer.Option(help="When all of it arrived, in place of the files' times.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would happen; write nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Sort a bulk download from Canvas or Moodle into submitted/, with arrival times."""
    from autograder.commands.collect import collect as run

    _guarded(run, download, assignment, roster, arrived, dry_run, quiet)


@app.command()
def report(
    assignment: Annotated[str, typer.Argument(help="Name of the assignment.")],
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Without anybody's name.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="The HTML file to write.", show_default="results/report/NAME.html")
    ] = None,
    roster: RosterOption = None,
    quiet: Quiet = False,
) -> None:
    """The class at a glance, as one HTML page: marks, tests, mistakes, what is to be marked."""
    from autograder.commands.report import report as run

    _guarded(run, assignment, anonymous, output, roster, quiet)


@app.command()
def explain(
    student: Annotated[str, typer.Argument(help="Name of the student's folder in submitted/.")],
    test: Annotated[str, typer.Argument(help="Name of a hidden test, or a part that only one has.")],
    assignment: Annotated[str | None, typer.Option(help="Where the student has several.")] = None,
    sandbox: SandboxOption = Sandbox.auto,
) -> None:
    """For instructors: one hidden test on one submission, with its real inputs, found and expected."""
    from autograder.commands.explain import explain as run

    _guarded(run, student, test, assignment, sandbox.value)


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one that was published before.")],
    assignment: Annotated[list[str] | None, typer.Option(help="Only this assignment; may be repeated.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write what students may have: notebooks, data, packages, a README. Nothing else gets in."""
    from autograder.commands.publish import publish as run

    _guarded(run, folder, assignment, quiet)


def _guarded(command: object, *arguments: object) -> None:
    """Run a command on this course; the known faults of an installation become one line and exit code 2."""
    from autograder.commands.errors import KNOWN

    try:
        with on_interrupt(wind_up):
            command(this_course(), *arguments)  # type: ignore[operator]
    except KNOWN as error:
        stop(error)

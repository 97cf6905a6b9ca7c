"""`autograder grade`: result files and feedback pages for notebooks anywhere."""

import os
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.batch.processes import start_ahead
from autograder.commands.errors import CommandError
from autograder.commands.options import Execute, ExecuteOption, Force, Quiet, Sandbox, SandboxOption
from autograder.course.course import this_course
from autograder.files import printable, write_whole

if TYPE_CHECKING:
    from autograder.grading.graded import Graded
    from autograder.results.result import Result


def grade(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks to grade.")],
    assignment: Annotated[str, typer.Option(help="Name of the assignment.")],
    output: Annotated[Path, typer.Option(help="Folder for STEM.json and STEM.html.")],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.")] = 1,
    sandbox: SandboxOption = Sandbox.auto,
    execute: ExecuteOption = Execute.definitions,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Grade notebooks: a result file and a feedback page for each."""
    # Raises CommandError after the others are done where a file is missing.
    start_ahead(assignment, sandbox.value, several=jobs != 1 and len(notebooks) > 1)
    from autograder.batch.digest import grading_digest, submission_digest
    from autograder.batch.many import Settings, grade_many
    from autograder.batch.unchanged import earlier_result, longest_first, still_holds
    from autograder.commands.progress import counting
    from autograder.notebooks.released import release_notebook
    from autograder.sandbox.tiers import choose

    course = this_course()
    known = course.named(assignment)
    stems = Counter(path.stem for path in notebooks)
    if twice := [printable(stem) for stem, n in stems.items() if n > 1]:
        raise CommandError(f"two notebooks are called '{twice[0]}': their results would have one name; rename one")
    if output.exists() and not output.is_dir():
        raise CommandError(f"{output} is not a folder: name a folder for the results")
    release_notebook(known)
    tier = choose(sandbox.value, course.root)
    # a link that leads nowhere is there: it gets a result that says what it is
    there = [path for path in notebooks if os.path.lexists(path)]
    grading = grading_digest(known, execute.value)
    digests = {path: submission_digest(path, grading) for path in there}
    earlier = {path: earlier_result(output / f"{path.stem}.json") for path in there}
    with counting("grading", len(there), quiet, jobs) as step:
        waiting = []
        for path in there:
            kept, page = earlier[path], output / f"{path.stem}.html"
            if kept is not None and still_holds(kept, digests[path], (tier,)) and page.is_file() and not force:
                step(f"{_line(path, kept)} (unchanged)", "unchanged")
            else:
                waiting.append(path)

        def at_fault(path: Path, fault: Exception) -> None:
            step(f"{printable(path.name)}: not graded ({fault})", "fault")

        waiting, settings = longest_first(waiting, earlier.get), Settings(known, sandbox.value, execute.value)
        with closing(grade_many(waiting, settings, jobs, at_fault)) as outcomes:
            for path, graded in outcomes:
                _write(path, graded.under(digests[path]), output)
                step(_line(path, graded.result), graded.result.status)
    if missing := [printable(str(path)) for path in notebooks if path not in there]:
        raise CommandError(f"no such file: {', '.join(missing)}" + ("; the others are graded" if there else ""))


def _line(path: Path, result: "Result") -> str:
    told = printable(result.error) if result.error else f"{result.score:g} of {result.max_score:g}"
    return f"{printable(path.name)}: {told} ({result.seconds:.1f} s)"


def _write(path: Path, graded: "Graded", output: Path) -> None:
    """The old result goes first and the new one comes last, so that a result always has its own page."""
    from autograder.feedback.page import feedback_page

    try:
        (output / f"{path.stem}.json").unlink(missing_ok=True)
        write_whole(output / f"{path.stem}.html", feedback_page(graded.notebook, graded.result))
        graded.result.write(output / f"{path.stem}.json")
    except OSError as error:
        raise CommandError(
            f"cannot write the results of {printable(path.name)} into {output} ({error.strerror}); "
            "what was finished before is kept"
        ) from None

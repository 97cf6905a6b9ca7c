"""`autograder grade`: result files and feedback pages for notebooks anywhere."""

import os
from collections import Counter
from pathlib import Path
from typing import Literal

from autograder.commands.errors import CommandError, assignment_named
from autograder.commands.progress import counting
from autograder.feedback.page import feedback_page
from autograder.files import printable, write_whole
from autograder.grading.execution import Mode
from autograder.grading.many import Settings, grade_many
from autograder.grading.prepare import release_notebook
from autograder.grading.run import Graded
from autograder.sandbox.tiers import choose


def grade_files(
    notebooks: list[Path],
    assignment: str,
    output: Path,
    jobs: int | None,
    sandbox: Literal["auto", "none"],
    execute: Mode,
    quiet: bool,
) -> None:
    """Grade each notebook into `output`; raises CommandError after the others are done where a file is missing."""
    known = assignment_named(assignment)
    stems = Counter(path.stem for path in notebooks)
    if twice := [printable(stem) for stem, n in stems.items() if n > 1]:
        raise CommandError(f"two notebooks are called '{twice[0]}': their results would have one name; rename one")
    if output.exists() and not output.is_dir():
        raise CommandError(f"{output} is not a folder: name a folder for the results")
    release_notebook(known)
    choose(sandbox)
    # a link that leads nowhere is there: it gets a result that says what it is
    there = [path for path in notebooks if os.path.lexists(path)]
    settings = Settings(assignment, sandbox, execute)
    with counting("grading", len(there), quiet) as step:
        for path, graded in grade_many(there, settings, jobs or os.cpu_count() or 1):
            _write(path, graded, output)
            result = graded.result
            told = result.error or f"{result.score:g} of {result.max_score:g}"
            step(f"{printable(path.name)}: {told} ({result.seconds:.1f} s)")
    if missing := [printable(str(path)) for path in notebooks if path not in there]:
        raise CommandError(f"no such file: {', '.join(missing)}" + ("; the others are graded" if there else ""))


def _write(path: Path, graded: Graded, output: Path) -> None:
    try:
        graded.result.write(output / f"{path.stem}.json")
        write_whole(output / f"{path.stem}.html", feedback_page(graded.notebook, graded.result))
    except OSError as error:
        raise CommandError(
            f"cannot write the results of {printable(path.name)} into {output} ({error.strerror}); "
            "what was finished before is kept"
        ) from None

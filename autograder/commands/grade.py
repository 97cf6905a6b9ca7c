"""`autograder grade`: result files and feedback pages for notebooks anywhere."""

import os
from collections import Counter
from pathlib import Path
from typing import Literal

from autograder.commands.errors import CommandError, assignment_named
from autograder.commands.progress import counting
from autograder.feedback.page import feedback_page
from autograder.files import write_whole
from autograder.grading.execution import Mode
from autograder.grading.many import Settings, grade_many
from autograder.grading.prepare import release_notebook
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
    if twice := [stem for stem, n in stems.items() if n > 1]:
        raise CommandError(f"two notebooks are called '{twice[0]}': their results would have one name; rename one")
    if output.exists() and not output.is_dir():
        raise CommandError(f"{output} is not a folder: name a folder for the results")
    release_notebook(known)
    choose(sandbox)
    there = [path for path in notebooks if path.exists()]
    settings = Settings(assignment, sandbox, execute)
    with counting("grading", len(there), quiet) as step:
        for path, graded in grade_many(there, settings, jobs or os.cpu_count() or 1):
            result = graded.result
            result.write(output / f"{path.stem}.json")
            write_whole(output / f"{path.stem}.html", feedback_page(graded.notebook, result))
            told = result.error or f"{result.score:g} of {result.max_score:g}"
            step(f"{path.name}: {told} ({result.seconds:.1f} s)")
    if missing := [str(path) for path in notebooks if not path.exists()]:
        raise CommandError(f"no such file: {', '.join(missing)}" + ("; the others are graded" if there else ""))

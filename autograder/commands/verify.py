"""`autograder verify`: the misconception bank against the graders."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autograder.batch.processes import cores
from autograder.commands.errors import CommandError
from autograder.course.course import Course
from autograder.diagnosis import fingerprints
from autograder.files import write_whole
from autograder.notebooks.consistent import refuse_slips
from autograder.verify.matrix import page
from autograder.verify.proof import prove
from autograder.verify.summary import failures, lines


def verify(course: Course, name: str | None, jobs: int | None, quick: bool, output: Path, quiet: bool) -> None:
    """Print and write the proof. Raises CommandError where it does not hold, Inconsistent for an author's slip."""
    chosen = [one for one in course.chosen(name) if name or one.bank.is_dir()]
    for assignment in chosen:
        refuse_slips(assignment)
    told = Console(quiet=quiet, highlight=False)
    broken = []
    for assignment in chosen:
        start, made_from = time.monotonic(), fingerprints.digests(assignment)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True, quiet=quiet)) as bar:
            task = bar.add_task(assignment.name, total=None)

            def began(total: int, task: object = task) -> None:
                bar.update(task, total=total)  # type: ignore[arg-type]

            def step(line: str, task: object = task) -> None:
                bar.advance(task)  # type: ignore[arg-type]
                if line:
                    bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

            proof, prints = prove(assignment, jobs or cores(), quick=quick, began=began, step=step)
        if prints:
            fingerprints.write(assignment, prints, made_from)
        elif old := fingerprints.stale(assignment):
            told.print(
                f"{assignment.name}: pages name no mistake of {', '.join(old)} until `autograder verify "
                f"{assignment.name}` has run, without --quick",
                markup=False, soft_wrap=True,
            )  # fmt: skip
        write_whole(output / f"{assignment.name}.html", page(proof))
        told.print(f"{assignment.name} ({time.monotonic() - start:.0f} s)", style="bold")
        for line in lines(proof):
            told.print(f"  {line}", markup=False, soft_wrap=True)
        for line in failures(proof):
            told.print(f"  - {line}", markup=False, soft_wrap=True)
        told.print(f"  wrong version by test: {output / assignment.name}.html", markup=False, soft_wrap=True)
        if not proof.holds:
            broken.append(assignment.name)
    if broken:
        raise CommandError(f"the graders of {', '.join(broken)} are not proven: see the lines that begin with '-'")

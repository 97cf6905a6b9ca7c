"""`autograder verify`: the misconception bank against the graders."""

import time
from pathlib import Path
from typing import Annotated

import typer

from autograder.batch.processes import cores
from autograder.commands.errors import CommandError
from autograder.commands.options import AssignmentOrAll, Jobs, Quiet
from autograder.course.course import this_course
from autograder.files import write_whole


def verify(
    assignment: AssignmentOrAll = None,
    quick: Annotated[bool, typer.Option(help="One wrong version a clause: under a minute an assignment.")] = False,
    jobs: Jobs = None,
    output: Annotated[Path, typer.Option(help="Folder for NAME.html.")] = Path("results/verify"),
    quiet: Quiet = False,
) -> None:
    """Try the graders themselves: known wrong versions, correct variants, pairs, chance."""
    # Raises CommandError where the proof does not hold, Inconsistent for an author's slip.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from autograder.diagnosis import fingerprints
    from autograder.notebooks.consistent import refuse_slips
    from autograder.verify.matrix import page
    from autograder.verify.proof import prove
    from autograder.verify.summary import failures, lines

    chosen = [one for one in this_course().chosen(assignment) if assignment or one.bank.is_dir()]
    for one in chosen:
        refuse_slips(one)
    told = Console(quiet=quiet, highlight=False)
    broken = []
    for one in chosen:
        start, made_from = time.monotonic(), fingerprints.digests(one)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True, quiet=quiet)) as bar:
            task = bar.add_task(one.name, total=None)

            def began(total: int, task: object = task) -> None:
                bar.update(task, total=total)  # type: ignore[arg-type]

            def step(line: str, task: object = task) -> None:
                bar.advance(task)  # type: ignore[arg-type]
                if line:
                    bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

            proof, prints = prove(one, jobs or cores(), quick=quick, began=began, step=step)
        if prints:
            fingerprints.write(one, prints, made_from)
        elif old := fingerprints.stale(one):
            told.print(
                f"{one.name}: pages name no mistake of {', '.join(old)} until `autograder verify "
                f"{one.name}` has run, without --quick",
                markup=False, soft_wrap=True,
            )  # fmt: skip
        write_whole(output / f"{one.name}.html", page(proof))
        told.print(f"{one.name} ({time.monotonic() - start:.0f} s)", style="bold")
        for line in lines(proof):
            told.print(f"  {line}", markup=False, soft_wrap=True)
        for line in failures(proof):
            told.print(f"  - {line}", markup=False, soft_wrap=True)
        told.print(f"  wrong version by test: {output / one.name}.html", markup=False, soft_wrap=True)
        if not proof.holds:
            broken.append(one.name)
    if broken:
        raise CommandError(f"the graders of {', '.join(broken)} are not proven: see the lines that begin with '-'")

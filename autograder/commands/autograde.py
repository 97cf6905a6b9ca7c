"""`autograder autograde`: a class into the gradebook, with feedback."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from autograder.batch.cluster import Cluster, grade_on_cluster
from autograder.batch.many import Settings, grade_many
from autograder.batch.processes import cores
from autograder.batch.unchanged import CONFINED, earlier_result, longest_first
from autograder.commands.progress import Say, counting
from autograder.course.course import Course
from autograder.files import printable
from autograder.grading.graded import Graded
from autograder.nbgrader_plugin.autograde import Marked, autograde_class
from autograder.nbgrader_plugin.preprocessors import result_path
from autograder.notebooks.released import release_notebook
from autograder.results.result import Mode, Result
from autograder.sandbox.tiers import choose


def autograde_submitted(
    course: Course,
    assignment: str,
    students: list[str] | None,
    jobs: int | None,
    sandbox: Literal["auto", "none"],
    execute: Mode,
    force: bool,
    dry_run: bool,
    quiet: bool,
    cluster: Cluster | None = None,
) -> list[Marked]:
    """Grade submitted/ and record each result as it comes; what an earlier run finished is kept unless `force`."""
    known = course.named(assignment)
    release_notebook(known)
    tiers = (choose(sandbox, course.root),) if cluster is None else CONFINED
    settings, jobs = Settings(known, sandbox, execute), jobs or cores()
    total = len(students) if students else len(list(course.submitted.glob(f"*/{assignment}")))
    if total == 0:
        Say(quiet)(f"submitted/ holds no submission of {assignment}: put them at submitted/STUDENT/{assignment}/")
        return []

    def last(path: Path) -> Result | None:
        return earlier_result(result_path(course.root, assignment, path.parent.parent.name))

    with contextlib.ExitStack() as stack:
        step = stack.enter_context(counting("grading", total, quiet, jobs if cluster is None else None))

        def done(marked: Marked) -> None:
            step(line(marked), marked.result.status if marked.fresh else "unchanged")

        def at_fault(path: Path, fault: object) -> None:
            step(f"{printable(path.parent.parent.name)}: not graded ({fault})", "fault")

        def grade(paths: Sequence[Path]) -> Iterable[tuple[Path, Graded]]:
            ordered = longest_first(paths, last)
            if cluster is not None:
                outcomes = grade_on_cluster(ordered, settings, cluster, at_fault)
            else:
                outcomes = grade_many(ordered, settings, jobs, at_fault)
            return stack.enter_context(contextlib.closing(outcomes))  # closed at once where recording is interrupted

        return autograde_class(
            known, grade, students, force=force, dry_run=dry_run, execute=execute, tiers=tiers, on_done=done
        )


def cluster_named(address: str | None, ca: Path | None, certificate: Path | None, key: Path | None) -> Cluster | None:
    """The scheduler of the command line, if it names one."""
    return Cluster(address, ca, certificate, key) if address else None


def line(marked: Marked) -> str:
    """One student's outcome in a line, with marks that changed."""
    result = marked.result
    told = result.error or f"{result.score:g} of {result.max_score:g} ({result.seconds:.1f} s)"
    changed = "".join(f"\n    {c.cell}: {c.old} -> {c.new}" for c in marked.changes if c.old is not None)
    return f"{marked.student}: {told}{'' if marked.fresh else ' (unchanged)'}{changed}"

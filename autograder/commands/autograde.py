"""`autograder autograde`: a class into the gradebook, with feedback."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.batch.processes import cores, start_ahead
from autograder.commands.options import Assignment, Execute, ExecuteOption, Force, Jobs, Quiet, Sandbox, SandboxOption
from autograder.course.course import this_course
from autograder.files import printable

if TYPE_CHECKING:
    from autograder.grading.graded import Graded
    from autograder.nbgrader_plugin.autograde import Marked
    from autograder.results.result import Result


def autograde(
    assignment: Assignment,
    student: Annotated[list[str] | None, typer.Option(help="Only this student; may be repeated.")] = None,
    jobs: Jobs = None,
    sandbox: SandboxOption = Sandbox.auto,
    execute: ExecuteOption = Execute.definitions,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option(help="Show old and new marks; write nothing.")] = False,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler: grade on its workers.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="Authority of the scheduler's certificate (PEM).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate of this machine (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    quiet: Quiet = False,
) -> None:
    """Grade all of submitted/ into the gradebook, with feedback pages."""
    # Each result is recorded as it comes; what an earlier run finished is kept unless `force`.
    if scheduler is None:
        start_ahead(assignment, sandbox.value, several=jobs != 1)
    from autograder.batch.cluster import Cluster, grade_on_cluster
    from autograder.batch.many import Settings, grade_many
    from autograder.batch.unchanged import CONFINED, earlier_result, longest_first
    from autograder.commands.progress import Say, counting
    from autograder.nbgrader_plugin.autograde import autograde_class
    from autograder.nbgrader_plugin.preprocessors import result_path
    from autograder.notebooks.released import release_notebook
    from autograder.sandbox.tiers import choose

    course = this_course()
    known = course.named(assignment)
    release_notebook(known)
    cluster = Cluster(scheduler, tls_ca, tls_cert, tls_key) if scheduler else None
    tiers = (choose(sandbox.value, course.root),) if cluster is None else CONFINED
    settings, jobs = Settings(known, sandbox.value, execute.value), jobs or cores()
    total = len(student) if student else len(list(course.submitted.glob(f"*/{assignment}")))
    if total == 0:
        Say(quiet)(f"submitted/ holds no submission of {assignment}: put them at submitted/STUDENT/{assignment}/")
        return

    def last(path: Path) -> "Result | None":
        return earlier_result(result_path(course.root, assignment, path.parent.parent.name))

    with contextlib.ExitStack() as stack:
        step = stack.enter_context(counting("grading", total, quiet, jobs if cluster is None else None))

        def done(marked: "Marked") -> None:
            step(line(marked), marked.result.status if marked.fresh else "unchanged")

        def at_fault(path: Path, fault: object) -> None:
            step(f"{printable(path.parent.parent.name)}: not graded ({fault})", "fault")

        def grade(paths: Sequence[Path]) -> "Iterable[tuple[Path, Graded]]":
            ordered = longest_first(paths, last)
            if cluster is not None:
                outcomes = grade_on_cluster(ordered, settings, cluster, at_fault)
            else:
                outcomes = grade_many(ordered, settings, jobs, at_fault)
            return stack.enter_context(contextlib.closing(outcomes))  # closed at once where recording is interrupted

        autograde_class(
            known, grade, student, force=force, dry_run=dry_run, execute=execute.value, tiers=tiers, on_done=done
        )


def line(marked: "Marked") -> str:
    """One student's outcome in a line, with marks that changed."""
    result = marked.result
    told = result.error or f"{result.score:g} of {result.max_score:g} ({result.seconds:.1f} s)"
    changed = "".join(f"\n    {c.cell}: {c.old} -> {c.new}" for c in marked.changes if c.old is not None)
    return f"{marked.student}: {told}{'' if marked.fresh else ' (unchanged)'}{changed}"

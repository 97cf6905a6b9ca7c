"""`autograder autograde`: a class into the gradebook, with feedback."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from autograder.assignments import ROOT
from autograder.commands.errors import assignment_named
from autograder.commands.progress import Say, counting
from autograder.grading.cluster import Cluster, grade_on_cluster
from autograder.grading.execution import Mode
from autograder.grading.many import Settings, grade_many
from autograder.grading.prepare import release_notebook
from autograder.grading.run import Graded
from autograder.nbgrader_plugin.autograde import Marked, autograde_class
from autograder.sandbox.tiers import choose


def autograde_submitted(
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
    known = assignment_named(assignment)
    release_notebook(known)
    if cluster is None:
        choose(sandbox)
    settings = Settings(assignment, sandbox, execute)

    def grade(paths: Sequence[Path]) -> Iterable[tuple[Path, Graded]]:
        if cluster is not None:
            return grade_on_cluster(paths, settings, cluster)
        return grade_many(paths, settings, jobs or os.cpu_count() or 1)

    total = len(students) if students else len(list((ROOT / "submitted").glob(f"*/{assignment}")))
    if total == 0:
        Say(quiet)(f"submitted/ holds no submission of {assignment}: put them at submitted/STUDENT/{assignment}/")
        return []
    with counting("grading", total, quiet) as step:
        return autograde_class(
            known, grade, students, force=force, dry_run=dry_run, on_done=lambda marked: step(line(marked))
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

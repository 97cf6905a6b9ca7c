"""Faults that a command reports as one line."""

from autograder.assignments import ASSIGNMENTS, Assignment
from autograder.bench.peers import NoPeers
from autograder.bench.run import Failed
from autograder.collecting.download import CollectError
from autograder.demo.submissions import NotASample
from autograder.grading.cluster import ClusterError
from autograder.grading.pytest_run import GraderFault
from autograder.misconceptions.bank import BadBank
from autograder.nbgrader_plugin.autograde import NotSaved
from autograder.nbgrader_plugin.gradebook import GradebookDiffers
from autograder.nbgrader_plugin.late import BadArrivals
from autograder.notebooks.consistent import Inconsistent
from autograder.notebooks.course import NotConverted
from autograder.notebooks.execute import CellFailed
from autograder.notebooks.leaks import ReleaseRefused
from autograder.notebooks.pairing import NotPaired
from autograder.sandbox.session import CannotStart
from autograder.sandbox.tiers import NoSandbox
from data.errors import DataError


class CommandError(Exception):
    """Wrong usage, or something that the command needs is missing."""


KNOWN = (
    CommandError,
    NoSandbox,
    CannotStart,
    GraderFault,
    BadBank,
    ClusterError,
    NoPeers,
    Failed,
    ReleaseRefused,
    CellFailed,
    DataError,
    NotASample,
    NotSaved,
    GradebookDiffers,
    BadArrivals,
    CollectError,
    Inconsistent,
    NotConverted,
    NotPaired,
    FileNotFoundError,
)


def assignment_named(name: str) -> Assignment:
    if name not in ASSIGNMENTS:
        raise CommandError(f"there is no assignment '{name}'; there are: {', '.join(ASSIGNMENTS)}")
    return ASSIGNMENTS[name]

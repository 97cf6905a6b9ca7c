"""Results that earlier runs have left: which of them still hold, and in which order the rest is graded."""

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from autograder.results.result import Result
from autograder.results.result_file import DamagedResult, read_result
from autograder.sandbox.tiers import Tier

CONFINED: tuple[Tier, ...] = ("namespaces", "landlock")


def earlier_result(path: Path) -> Result | None:
    """The result of an earlier run. None where there is none, or a damaged one: grading then writes a new one."""
    try:
        return read_result(path)
    except (FileNotFoundError, DamagedResult):
        return None


def still_holds(result: Result, digest: str, tiers: Collection[Tier] | None = None) -> bool:
    """Whether grading what has this digest, in one of `tiers` (None: any), would give `result` again.

    A result that may have had a passing cause carries no digest; a refused file never ran in any tier.
    """
    same_tier = tiers is None or result.tier in tiers or result.status == "could-not-run"
    return result.digest == digest != "" and same_tier


def longest_first(paths: Iterable[Path], last: Callable[[Path], Result | None]) -> list[Path]:
    """In the order in which to start, so that no long one is left over at the end while all but one process wait.

    `last` gives the result of an earlier grading. What has none comes first, larger files before smaller ones: any of
    them may be the longest.
    """

    def order(path: Path) -> tuple[float, int]:
        known = last(path)
        seconds = math.inf if known is None else known.seconds
        return (-seconds, -path.stat().st_size if known is None and path.is_file() else 0)

    return sorted(paths, key=order)

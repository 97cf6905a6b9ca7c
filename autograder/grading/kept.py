"""Results that earlier runs have left: which of them still hold, and in which order the rest is graded."""

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from autograder.grading.result import Result
from autograder.sandbox.tiers import Tier

CONFINED: tuple[Tier, ...] = ("namespaces", "landlock")
RESULT_BYTES = 16 * 2**20  # a result has some 50 KB


def read_result(path: Path) -> Result | None:
    """The result in `path`; None where there is none, or something else."""
    try:
        if not path.is_file() or path.stat().st_size > RESULT_BYTES:
            return None
        result = Result.from_json(path.read_text(encoding="utf-8"))
        numbers = all(map(math.isfinite, (result.score, result.max_score, result.seconds)))
        texts = isinstance(result.digest, str) and isinstance(result.error, str | None)
        return result if numbers and texts and result.status in ("graded", "could-not-run") else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
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

"""Read a result file that an earlier run has left, whatever has become of it since."""

import math
from pathlib import Path

from autograder.results.result import Result

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

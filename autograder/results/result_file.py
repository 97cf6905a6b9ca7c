"""The one reader of result files, whatever has become of them since they were written."""

import os
from pathlib import Path

from autograder.faults import Fault
from autograder.files import printable
from autograder.results.result import Result

RESULT_BYTES = 16 * 2**20  # a result has some 50 KB


class DamagedResult(Fault):
    """There is something in a result file's place that is no result; one line."""


def read_result(path: Path) -> Result:
    """The result in `path`. Raises FileNotFoundError where nothing is there, and DamagedResult for anything else."""
    if not os.path.lexists(path):
        raise FileNotFoundError(f"there is no result file {printable(str(path))}: grade the notebook first")
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("not an ordinary file")
        with path.open("rb") as file:
            data = file.read(RESULT_BYTES + 1)
        if len(data) > RESULT_BYTES:
            raise ValueError(f"larger than {RESULT_BYTES // 2**20} MB")
        return Result.from_json(data.decode("utf-8"))
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError as error:
        reason = printable(str(error))[:200]
    raise DamagedResult(f"the result file {printable(str(path))} is damaged ({reason}): delete it and grade again")

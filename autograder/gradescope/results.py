"""`results.json` as Gradescope reads it, from results of ours: `python -m autograder.gradescope.results OUT IN...`.

Format: Gradescope's documentation, "Autograder Specifications". Scores are points, times seconds.
"""

import json
import sys
from pathlib import Path
from typing import Any

from autograder.feedback.cells import clamped_score
from autograder.files import write_whole
from autograder.results.result import CellOutcome, Result, TestOutcome
from autograder.results.result_file import DamagedResult, read_result

SAYS = {"passed": "passed", "failed": "failed", "could-not-run": "failed"}


def results(result: Result) -> dict[str, Any]:
    """One submission's results: a test for each hidden test, and what the student should know first."""
    tests = [_test(cell, outcome, test) for cell, outcome in result.cells.items() for test in outcome.tests]
    said = result.error or "Written answers are marked by a person and are not part of this score."
    return {
        "score": round(sum(clamped_score(outcome) for outcome in result.cells.values()), 6),
        "execution_time": round(result.seconds, 2),
        "output": "\n".join([said, *result.notes]),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "visibility": "visible",
        "tests": tests,
        "extra_data": {"tier": result.tier, "status": result.status},
    }


def nothing_to_grade(found: list[str], wanted: str) -> dict[str, Any]:
    """Results of a submission without exactly one notebook."""
    what = f"There are several notebooks ({', '.join(sorted(found)[:5])})" if found else "There is no notebook"
    return {"score": 0, "output": f"{what}: hand in {wanted} alone.", "output_format": "text", "tests": []}


def not_readable() -> dict[str, Any]:
    """Results where the result file is damaged, which is a fault of the course's."""
    what = "The result of grading cannot be read. This is not your fault: please tell your instructor."
    return {"score": 0, "output": what, "output_format": "text", "tests": []}


def _test(cell: str, outcome: CellOutcome, test: TestOutcome) -> dict[str, Any]:
    return {
        "name": f"{cell.removesuffix('-tests')}: {test.title}",
        "score": max(0.0, min(test.earned, test.points)),
        "max_score": test.points,
        "status": SAYS[test.status],
        "output": test.message,
        "output_format": "text",
        "name_format": "text",
        "visibility": "visible",
    }


def main() -> None:
    target, wanted, graded = Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]]
    found = [path for path in graded if path.is_file()]
    if len(found) == 1:
        try:
            content = results(read_result(found[0]))
        except DamagedResult as damaged:
            print(damaged, file=sys.stderr)
            content = not_readable()
    else:
        content = nothing_to_grade([path.stem for path in found], wanted)
    write_whole(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

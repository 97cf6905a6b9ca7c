"""Grades the benchmark's course with this package: `BENCH_COURSE=FOLDER python -m autograder.bench.ours JOBS MODE`."""

import os
import sys
from pathlib import Path

from autograder import assignments
from autograder.bench.course import BENCH

COURSE = "BENCH_COURSE"


def main() -> None:
    """Grade all of the course's submissions: result and feedback page of each."""
    jobs, mode = int(sys.argv[1]), sys.argv[2]
    from autograder.feedback.page import feedback_page
    from autograder.files import write_whole
    from autograder.grading.many import Settings, grade_many

    settings = Settings(BENCH.name, "auto", "all" if mode == "all" else "definitions")
    paths = sorted((assignments.ROOT / "submitted").glob("*/*/*.ipynb"))
    for path, graded in grade_many(paths, settings, jobs):
        student = path.parent.parent.name
        graded.result.write(assignments.ROOT / "results" / f"{student}.json")
        write_whole(assignments.ROOT / "results" / f"{student}.html", feedback_page(graded.notebook, graded.result))
        print(student, graded.result.score, graded.result.error or "")


if COURSE in os.environ:  # also in each process of the pool, which imports this module
    assignments.ROOT = Path(os.environ[COURSE])
    assignments.ASSIGNMENTS[BENCH.name] = BENCH

if __name__ == "__main__":
    main()

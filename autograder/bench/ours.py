"""Grades the benchmark's course with this package: `BENCH_COURSE=FOLDER python -m autograder.bench.ours JOBS MODE`.

With `prepare` in their place it makes the course's gradebook.
"""

import atexit
import gc
import os
import sys
from pathlib import Path

from autograder import assignments
from autograder.bench.course import BENCH
from autograder.grading.processes import start_ahead

COURSE = "BENCH_COURSE"


def main() -> None:
    """Grade all of the course's submissions, as `autograder autograde` does: gradebook, feedback, results."""
    if sys.argv[1] == "prepare":
        from autograder.nbgrader_plugin.gradebook import database_url, ensure_gradebook

        ensure_gradebook(BENCH, database_url(assignments.ROOT))
        return
    atexit.register(gc.freeze)  # as the command line does
    jobs, mode = int(sys.argv[1]), sys.argv[2]
    start_ahead(BENCH.name, "auto", several=jobs > 1)
    from autograder.grading.many import Settings, grade_many
    from autograder.nbgrader_plugin.autograde import autograde_class

    settings = Settings(BENCH.name, "auto", "all" if mode == "all" else "definitions")
    for marked in autograde_class(BENCH, lambda paths: grade_many(paths, settings, jobs), execute=settings.execute):
        print(marked.student, marked.result.score, marked.result.error or "")


if COURSE in os.environ:  # also in each process of the pool, which imports this module
    assignments.ROOT = Path(os.environ[COURSE])
    assignments.ASSIGNMENTS[BENCH.name] = BENCH

if __name__ == "__main__":
    main()

"""Grades the benchmark's course with this package: `BENCH_COURSE=FOLDER python -m autograder.bench.ours JOBS MODE`."""

import os
import sys
from pathlib import Path

from autograder import assignments
from autograder.bench.course import BENCH

COURSE = "BENCH_COURSE"


def main() -> None:
    """Grade all of the course's submissions into its gradebook."""
    jobs, mode = int(sys.argv[1]), sys.argv[2]
    from autograder.grading.many import Settings, grade_many
    from autograder.nbgrader_plugin.autograde import autograde_class

    settings = Settings(BENCH.name, "auto", "all" if mode == "all" else "definitions")
    done = autograde_class(BENCH, lambda paths: grade_many(paths, settings, jobs), force=True, course=assignments.ROOT)
    print(sorted((marked.student, marked.result.score) for marked in done))


if COURSE in os.environ:  # also in each process of the pool, which imports this module
    assignments.ROOT = Path(os.environ[COURSE])
    assignments.ASSIGNMENTS[BENCH.name] = BENCH

if __name__ == "__main__":
    main()

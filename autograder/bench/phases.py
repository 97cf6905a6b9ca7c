"""Where the time of a submission goes, in one process: `COURSE_ROOT=FOLDER python -m autograder.bench.phases MODE`."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from autograder.bench.notebook import NAME
from autograder.course.course import this_course

PHASES = ("start", "student's cells", "hidden tests", "grading around them", "gradebook and feedback")


def main() -> None:
    """Print, as JSON, wall seconds a submission for each of PHASES; the first one, which warms up, is not counted."""
    from autograder.batch.many import Settings, grade_many
    from autograder.nbgrader_plugin import autograde
    from autograder.nbgrader_plugin.record import record
    from autograder.sandbox.session import Session

    spent: dict[str, float] = defaultdict(float)
    course = this_course()
    bench = course.named(NAME)
    settings = Settings(bench, "auto", "all" if sys.argv[1] == "all" else "definitions")
    seconds = [0.0]

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kw: Any) -> Any:
            before = time.monotonic()
            try:
                return function(*args, **kw)
            finally:
                phase = name or ("student's cells" if "cell" in args[1:2] else "hidden tests")
                spent[phase] += time.monotonic() - before

        return timed

    Session.__init__ = counted("start", Session.__init__)  # type: ignore[method-assign]
    Session.request = counted("", Session.request)  # type: ignore[method-assign]
    autograde.record = counted("gradebook and feedback", record)  # type: ignore[attr-defined]
    students = sorted(path.name for path in course.submitted.iterdir())
    for some in (students[:1], students[1:]):
        spent.clear()
        before = time.monotonic()
        autograde.autograde_class(bench, lambda paths: grade_many(paths, settings, 1), some, execute=settings.execute)
        seconds[0] = time.monotonic() - before
    spent["grading around them"] = seconds[0] - sum(spent.values())
    print(json.dumps({phase: spent[phase] / (len(students) - 1) for phase in PHASES}))


if __name__ == "__main__":
    main()

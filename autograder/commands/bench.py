"""`autograder bench`: grading measured beside stock nbgrader and otter."""

import tempfile
from itertools import product
from pathlib import Path

from autograder.batch.processes import cores
from autograder.bench.commands import waits
from autograder.bench.report import chart, table, table_of_classes, table_of_phases, table_of_waits
from autograder.bench.run import big_class, measure, real_class, where_time_goes
from autograder.commands.progress import Say
from autograder.course.course import Course
from autograder.datasets.download import cache_folder
from autograder.files import write_whole

CLASS = 200  # submissions of a large course
REAL, REAL_CLASS = "transformer-fundamentals", 32  # four of each sample
MUCH = 100  # epochs of training


def bench(course: Course, count: int, output: Path, everything: bool, quiet: bool) -> None:
    """Write the tables and the picture into `output`, and print the tables."""
    say = Say(quiet)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        count_of_cores = cores()
        rows = measure(Path(folder), cache_folder() / "bench-peers", count, count_of_cores, say)
        trained = measure(
            Path(folder) / "training", cache_folder() / "bench-peers", max(2, count // 4), count_of_cores, say, MUCH
        )
        classes = []
        for mode, jobs in product(("all", "definitions"), sorted({1, count_of_cores})):
            say(f"a class of {CLASS}, {mode}, {jobs} at a time")
            classes.append(big_class(Path(folder), CLASS, jobs, mode))
        for jobs in sorted({1, count_of_cores}):
            say(f"a class of {REAL_CLASS}, {REAL}, {jobs} at a time")
            classes.append(real_class(Path(folder), course.named(REAL), REAL_CLASS, jobs))
        say("where our time goes")
        phases = where_time_goes(Path(folder), min(count, 9))
    say("what else people wait for")
    tables = [
        table(rows), table(trained, MUCH), table_of_classes(classes), table_of_phases(phases),
        table_of_waits(waits(course, everything)),
    ]  # fmt: skip
    text = "\n".join(tables)
    write_whole(output / "bench.md", text)
    write_whole(output / "bench.svg", chart(rows))
    print(text, end="")

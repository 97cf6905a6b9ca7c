"""`autograder bench`: grading measured beside stock nbgrader and otter."""

import tempfile
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from autograder.batch.processes import cores
from autograder.commands.options import Quiet
from autograder.course.course import this_course
from autograder.files import write_whole

CLASS = 200  # submissions of a large course
REAL, REAL_CLASS = "transformer-fundamentals", 32  # four of each sample
MUCH = 100  # epochs of training


def bench(
    submissions: Annotated[int, typer.Option(min=2, help="Submissions to grade with each system.")] = 24,
    output: Annotated[Path, typer.Option(help="Folder for bench.md and bench.svg.")] = Path("results/bench"),
    everything: Annotated[bool, typer.Option(help="Time `release` and `verify --quick`, too (ten minutes).")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure grading beside stock nbgrader and otter, which are installed apart."""
    from autograder.bench.systems import big_class, measure, real_class, where_time_goes
    from autograder.bench.tables import chart, table, table_of_classes, table_of_phases, table_of_waits
    from autograder.bench.waits import waits
    from autograder.commands.progress import Say
    from autograder.datasets.download import cache_folder

    course, say = this_course(), Say(quiet)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        count_of_cores = cores()
        rows = measure(Path(folder), cache_folder() / "bench-peers", submissions, count_of_cores, say)
        trained = measure(
            Path(folder) / "training",
            cache_folder() / "bench-peers",
            max(2, submissions // 4),
            count_of_cores,
            say,
            MUCH,
        )
        classes = []
        for mode, jobs in product(("all", "definitions"), sorted({1, count_of_cores})):
            say(f"a class of {CLASS}, {mode}, {jobs} at a time")
            classes.append(big_class(Path(folder), CLASS, jobs, mode))
        for jobs in sorted({1, count_of_cores}):
            say(f"a class of {REAL_CLASS}, {REAL}, {jobs} at a time")
            classes.append(real_class(Path(folder), course.named(REAL), REAL_CLASS, jobs))
        say("where our time goes")
        phases = where_time_goes(Path(folder), min(submissions, 9))
    say("what else people wait for")
    tables = [
        table(rows), table(trained, MUCH), table_of_classes(classes), table_of_phases(phases),
        table_of_waits(waits(course, everything)),
    ]  # fmt: skip
    text = "\n".join(tables)
    write_whole(output / "bench.md", text)
    write_whole(output / "bench.svg", chart(rows))
    print(text, end="")

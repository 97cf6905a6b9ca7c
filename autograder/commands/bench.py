"""`autograder bench`: grading measured beside stock nbgrader and otter."""

import os
import tempfile
from pathlib import Path

from autograder.bench.commands import waits
from autograder.bench.report import chart, table, table_of_phases, table_of_waits
from autograder.bench.run import measure, where_time_goes
from autograder.commands.progress import Say
from autograder.files import write_whole
from data.download import cache_folder


def bench(count: int, output: Path, everything: bool, quiet: bool) -> None:
    """Write the tables and the picture into `output`, and print the tables."""
    say = Say(quiet)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = measure(Path(folder), cache_folder() / "bench-peers", count, os.cpu_count() or 1, say)
        say("where our time goes")
        phases = where_time_goes(Path(folder), min(count, 9))
    say("what else people wait for")
    text = "\n".join([table(rows), table_of_phases(phases), table_of_waits(waits(everything))])
    write_whole(output / "bench.md", text)
    write_whole(output / "bench.svg", chart(rows))
    print(text, end="")

"""`autograder bench`: grading measured beside stock nbgrader and otter."""

import os
import tempfile
from pathlib import Path

from autograder.bench.report import chart, table
from autograder.bench.run import measure
from autograder.commands.progress import Say
from autograder.files import write_whole
from data.download import cache_folder


def bench(count: int, output: Path, quiet: bool) -> None:
    """Write the table and the picture into `output`, and print the table."""
    say = Say(quiet)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = measure(Path(folder), cache_folder() / "bench-peers", count, os.cpu_count() or 1, say)
    write_whole(output / "bench.md", table(rows))
    write_whole(output / "bench.svg", chart(rows))
    print(table(rows), end="")

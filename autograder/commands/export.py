"""`autograder export`: the gradebook's marks as CSV."""

from pathlib import Path

from autograder.commands.progress import Say
from autograder.nbgrader_plugin.export import export_marks


def export_csv(output: Path, quiet: bool) -> None:
    rows = export_marks(output)
    Say(quiet)(f"{output}: {rows} rows")

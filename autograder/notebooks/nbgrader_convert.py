"""Run nbgrader's own converters on a course folder of our choosing, with the repository's nbgrader_config.py."""

import logging
from collections.abc import Callable
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.faults import Fault


class NotConverted(Fault):
    """nbgrader refused a notebook; one line that ends with nbgrader's reason."""


def course_config(root: Path, folder: Path) -> Config:
    """The configuration of the course in `root` for a course directory in `folder`."""
    config = PyFileConfigLoader("nbgrader_config.py", str(root)).load_config()
    config.CourseDirectory.root = str(folder)
    return config


def convert(converter: Callable[..., BaseConverter], assignment: str, config: Config) -> None:
    """Run one converter for one assignment, quietly. Raises NotConverted with nbgrader's reason in one line."""
    log = logging.Logger("nbgrader conversion", level=logging.ERROR)
    lines = _Lines()
    log.addHandler(lines)
    coursedir = CourseDirectory(config=config, log=log, assignment_id=assignment)
    try:
        converter(coursedir=coursedir, config=config, log=log).start()
    except NbGraderException as error:
        raise NotConverted(f"nbgrader cannot convert {assignment}: {lines.reason() or error}") from None


def enter_assignment(assignment: str, **_: object) -> None:
    """Make the gradebook of the course in the current folder know the assignment (a hook of nbgrader_config.py)."""
    with Gradebook("sqlite:///gradebook.db") as gradebook:
        gradebook.update_or_create_assignment(assignment)


class _Lines(logging.Handler):
    """Keeps what was logged; nbgrader logs the traceback of a failed step and then raises without its reason."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def reason(self) -> str:
        """The last line of the first traceback: the exception and its message."""
        tracebacks = [m for m in self.messages if m.startswith("Traceback")]
        return tracebacks[0].strip().splitlines()[-1] if tracebacks else ""

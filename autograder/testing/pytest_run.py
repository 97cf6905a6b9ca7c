"""Run an assignment's hidden tests under pytest, in this process."""

import contextlib
import io
import sys
from collections.abc import Iterator

import pytest

from autograder.faults import CannotStart, GraderFault
from autograder.testing.findings import Pass, forget_frames

# parts of pytest that write, look and count what nobody asks for here; the first two look through all of this process's
# memory at each start and end
WITHOUT = (
    "unraisableexception threadexception cacheprovider terminal warnings logging doctest junitxml pastebin stepwise "
    "setuponly setupplan faulthandler legacypath"
)


def run_pass(current: Pass) -> Pass:
    """Run the assignment's hidden tests under pytest, quietly, in this process."""
    graders = current.assignment.graders
    arguments = [
        str(graders), "--capture=no", "--import-mode=importlib",
        "--rootdir", str(graders.parent), "-c", str(graders.parent / "pytest.ini"),
        # marks do not depend on what else is installed, and what is loaded costs time at each pass
        "--disable-plugin-autoload", *(word for name in WITHOUT.split() for word in ("-p", f"no:{name}")),
    ]  # fmt: skip
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main(arguments, plugins=[_Named(current)])
    if code == pytest.ExitCode.INTERRUPTED:  # pytest keeps a KeyboardInterrupt for itself
        raise KeyboardInterrupt
    for finding in current.findings:
        if isinstance(finding.error, CannotStart):
            raise finding.error
    if current.broken is not None:
        raise GraderFault(f"a hidden test could not be set up: {current.broken!r}") from current.broken
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise GraderFault(f"the graders did not run (pytest: {code!r}) {said.getvalue()[-2000:]}")
    return current


class _Named:
    """Hands the pass to the plugin, keeps errors from outside a test's own body, and lets go of their frames."""

    def __init__(self, current: Pass) -> None:
        self.current = current

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self.current, "grading-pass")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[None]:
        try:
            return (yield)
        finally:
            if call.excinfo is not None:
                forget_frames(call.excinfo.value)
                sys.last_traceback = None

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.current.broken = excinfo.value

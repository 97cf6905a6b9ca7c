"""From what the hidden tests found to the outcome of each test cell."""

from autograder.course.assignment import Assignment
from autograder.diagnosis.diagnose import Remark
from autograder.grading.messages import NOT_THERE, MessageSources, followed_through, message
from autograder.results.result import CellOutcome, TestOutcome, TestStatus
from autograder.sandbox.session import WorkerError
from autograder.testing.findings import Finding, Pass
from autograder.testing.follow_through import Verdict

NO_REMARK = Remark()


def outcomes(
    found: Pass,
    judged: dict[str, Verdict],
    public: dict[str, Finding],
    sources: MessageSources,
    remarks: dict[str, Remark],
) -> dict[str, CellOutcome]:
    """The outcome of each test cell: its tests with points, messages and named mistakes.

    `public` are the findings of the failed tests on public inputs, `remarks` what is known about mistakes, by test.
    """
    cells: dict[str, CellOutcome] = {}
    for cell, verdict in judged.items():
        tests = tuple(
            _outcome(f, verdict, public.get(f.name), found.assignment, sources, remarks.get(f.name, NO_REMARK))
            for f in found.findings
            if f.cell == cell
        )
        cells[found.assignment.test_cell(cell)] = CellOutcome(
            round(sum(t.earned for t in tests), 6), round(sum(t.points for t in tests), 6), tests
        )
    return cells


def _outcome(
    finding: Finding,
    verdict: Verdict,
    public: Finding | None,
    assignment: Assignment,
    sources: MessageSources,
    remark: Remark,
) -> TestOutcome:
    def outcome(status: TestStatus, text: str, *, through: bool = False) -> TestOutcome:
        earned = finding.points if status == "passed" else 0.0
        named = None if status == "passed" else remark.misconception
        return TestOutcome(finding.name, finding.title, status, finding.points, earned, text, named, through)

    if replaced := verdict.with_stand_ins.get(finding.name):
        return outcome("passed", followed_through(replaced, assignment), through=True)
    if verdict.earns[finding.name]:
        return outcome("passed", f"Not tested here: {finding.skipped}" if finding.skipped else "")
    if finding.passed:
        return outcome("failed", _lines(NOT_THERE, remark.text))
    status: TestStatus = "could-not-run" if isinstance(finding.error, WorkerError) else "failed"
    return outcome(status, _lines(message(finding, public, assignment, sources), remark.text))


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)

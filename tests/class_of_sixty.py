"""A made-up class of sixty: result files with a realistic spread of marks, mistakes and mishaps."""

import random
from collections.abc import Iterator
from pathlib import Path

from autograder.bank.versions import wrong_versions
from autograder.course.assignment import Assignment
from autograder.results.result import CellOutcome, Result, TestOutcome
from autograder.testing.hidden_tests import hidden_tests
from autograder.testing.plugin import title_of

FIRST = ("Ada", "Ben", "Chloé", "Dario", "Elif", "Farid", "Gita", "Hana", "Ivan", "Jo", "Kwame", "Lena", "Mei", "Noah", "Olu", "Priya", "Quentin", "Rosa", "Sami", "Tuyết")  # fmt: skip
LAST = ("Lovelace", "O'Neil", "García", "Żak", "Kim", "Nguyễn", "Okafor", "Müller", "Singh", "Rossi")
HARD = {"mha": 0.3, "transformer-block": 0.35, "mini-transformer": 0.4, "train": 0.45, "sdpa": 0.25}


def students(count: int = 60) -> list[tuple[str, str]]:
    """Ids and names; the first one's name is an attack on whoever reads the page."""
    named = [f"{FIRST[n % 20]} {LAST[(n * 7 + n // 20) % 10]}" for n in range(count)]
    named[0] = '<script>alert(1)</script> "Ada" & Co'
    return [(f"s{n:03}", name) for n, name in enumerate(named)]


def results(assignment: Assignment, count: int = 60, seed: int = 7) -> Iterator[tuple[str, Result]]:
    """Results by student: abilities differ, parts differ in difficulty, and few mistakes are many people's."""
    luck = random.Random(seed)
    bank: dict[str, list[str]] = {}
    for version in wrong_versions(assignment):
        bank.setdefault(version.cell, []).append(version.id)
    for number, (student, _) in enumerate(students(count)):
        if number in (11, 37):
            reason = "not a notebook: the file is not JSON, or was cut short"
            yield student, _ungraded(assignment, reason)
            continue
        ability = min(1.0, max(0.0, luck.gauss(0.72, 0.22)))
        yield student, _result(assignment, luck, bank, ability, number)


def _result(
    assignment: Assignment, luck: random.Random, bank: dict[str, list[str]], ability: float, number: int
) -> Result:
    cells: dict[str, CellOutcome] = {}
    broken: set[str] = set()
    for cell in assignment.upstream:
        tests = [t for t in hidden_tests(assignment) if t.cell == cell]
        trouble = luck.random() < (1 - ability) * (0.55 + HARD.get(cell, 0.1))
        blank = trouble and ability < 0.5 and luck.random() < 0.4
        hangs = trouble and not blank and luck.random() < 0.05
        mistake = None
        if trouble and not blank and not hangs and bank.get(cell) and luck.random() < 0.8:
            ids = bank[cell]
            mistake = ids[min(int(luck.expovariate(0.6)), len(ids) - 1)]  # the first ones are many people's
        failing = {t.name for t in tests if blank or hangs or (trouble and luck.random() < 0.55)}
        failing |= {tests[0].name} if trouble else set()
        through = not trouble and bool(broken & set(assignment.all_upstream(cell)))
        outcomes = tuple(_outcome(t, t.name in failing, blank, hangs, mistake, through, luck) for t in tests)
        cells[assignment.test_cell(cell)] = CellOutcome(
            sum(o.earned for o in outcomes), sum(o.points for o in outcomes), outcomes
        )
        if failing:
            broken.add(cell)
    score, most = sum(c.score for c in cells.values()), sum(c.max_score for c in cells.values())
    seconds = round(luck.gauss(50, 9) + (140 if number in (5, 23, 44) else 0), 2)
    return Result(assignment.name, f"{assignment.stem}.ipynb", "graded", score, most, max(12.0, seconds), cells)


def _outcome(test, failed, blank, hangs, mistake, through, luck) -> TestOutcome:
    title = title_of(test.function)
    if not failed:
        return TestOutcome(test.name, title, "passed", test.points, test.points, follow_through=through)
    status, message = "failed", "The values are wrong."
    if blank:
        status, message = "could-not-run", f"Not filled in yet in the cell {test.cell}, line 14."
    elif hangs:
        status, message = (
            "could-not-run",
            f"The code of the cell {test.cell} did not finish within 10 s. Look for a loop.",
        )
    elif mistake is None and luck.random() < 0.5:
        status, message = "could-not-run", f"Your code raised TypeError in the cell {test.cell}, line 9: <b>oops</b>"
    return TestOutcome(test.name, title, status, test.points, 0.0, message, mistake)


def _ungraded(assignment: Assignment, reason: str) -> Result:
    points: dict[str, float] = {}
    for test in hidden_tests(assignment):
        points[test.cell] = points.get(test.cell, 0.0) + test.points
    cells = {
        assignment.test_cell(c): CellOutcome(0.0, p, (TestOutcome("not_graded", "x", "could-not-run", p, 0.0),))
        for c, p in points.items()
    }
    return Result(
        assignment.name,
        f"{assignment.stem}.ipynb",
        "could-not-run",
        0.0,
        sum(points.values()),
        0.0,
        cells,
        error=reason,
    )


def write_class(assignment: Assignment, course: Path, count: int = 60) -> list[str]:
    """Write results/NAME/*.json and submitted/roster.csv; gives the ids."""
    for student, result in results(assignment, count):
        result.write(course / "results" / assignment.name / f"{student}.json")
    (course / "submitted").mkdir(exist_ok=True)
    rows = "".join(f'{student},"{name.replace(chr(34), chr(34) * 2)}"\n' for student, name in students(count))
    (course / "submitted" / "roster.csv").write_text(f"id,name\n{rows}", encoding="utf-8")
    return [student for student, _ in students(count)]

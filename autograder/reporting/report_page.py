"""The report as one HTML page that needs nothing else. All that comes from students is escaped."""

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from statistics import median

from autograder.reporting import figures
from autograder.reporting.figures import COLOURS, Picture
from autograder.reporting.gather import KINDS, ClassResults, Shared, TestCount

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")

LISTED = 8  # mistakes that are read without a click

Name = Callable[[str], str]


def report_page(results: ClassResults, names: Mapping[str, str], *, anonymous: bool, made: datetime) -> str:
    """The page. `names` gives a student's name where the roster has one; `anonymous` leaves out everybody's."""

    def name(student: str) -> str:
        known = names.get(student)
        return f"{known} ({student})" if known else student

    who = None if anonymous else name
    title = f"{results.assignment.name}: the class at a glance"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='soft'>{made:%d %B %Y, %H:%M}. Automatic points; for instructors only"
        f"{', without names' if anonymous else ''}.</p>",
        _tiles(results),
        _marks(results),
        _mistakes(results, who),
        _tests(results, who),
        _to_mark(results, who),
        _trouble(results, who),
    ]
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _shown(picture: Picture, kind: str = "") -> str:
    data = base64.b64encode(picture.svg).decode()
    return f'<figure class="{kind}"><img src="data:image/svg+xml;base64,{data}" alt="{escape(picture.alt)}"></figure>'


def _tiles(results: ClassResults) -> str:
    scores = [r.score for r in results.graded.values()]
    waiting = sum(len(one.students) for one in results.to_mark)
    tiles = [
        (len(results.results), "submissions"),
        (f"{median(scores):g}" if scores else "none", f"median, of {results.max_score:g} automatic points"),
        (len(results.mistakes), "different mistakes named"),
        (waiting, "written answers to mark"),
        (len(results.results) - len(scores), "could not be graded"),
        (len(results.stopped), "ran into a limit or crashed"),
    ]
    return "<div class='tiles'>" + "".join(f"<div class='tile'><b>{n}</b>{what}</div>" for n, what in tiles) + "</div>"


def _marks(results: ClassResults) -> str:
    if not results.graded:
        return "<p>No submission could be graded.</p>"
    left = f"<div><h3>How the marks are distributed</h3>{_shown(figures.marks(results))}</div>"
    right = f"<div><h3>Points earned, part by part</h3>{_shown(figures.components(results))}</div>"
    return f"<div class='two'>{left}{right}</div>"


def _mistakes(results: ClassResults, who: Name | None) -> str:
    head = "<h2>What to teach again</h2>"
    if not results.mistakes:
        return f"{head}<p>No mistake could be named.</p>"
    made = len({s for m in results.mistakes for s in m.students})
    said = (
        f"<p>Mistakes that explain everything wrong about a part, by number of students. {made} of "
        f"{len(results.graded)} graded submissions have one. The hint is what these students read.</p>"
    )
    items = [_mistake(one, who) for one in results.mistakes]
    listed = f"<ol class='mistakes'>{''.join(items[:LISTED])}</ol>"
    if more := items[LISTED:]:
        listed += f"<details><summary>{len(more)} more</summary><ol class='mistakes'>{''.join(more)}</ol></details>"
    return f"{head}{said}{_shown(figures.mistakes(results), 'wide')}{listed}"


def _mistake(one: Shared, who: Name | None) -> str:
    count = f"<div class='count'>{len(one.students)}<small>student{'s' * (len(one.students) != 1)}</small></div>"
    if one.known is None:
        gone = "is not in the bank any more."
        text = f"<div><span class='cell'>{escape(one.id)}</span> {gone}{_who(one.students, who)}</div>"
    else:
        text = (
            f"<div><span class='cell'>{escape(one.known.cell)}</span> <b>{escape(one.known.mistake)}</b>"
            f"<div class='hint'>Hint: {escape(one.known.hint)}</div>{_who(one.students, who)}</div>"
        )
    return f"<li>{count}{text}</li>"


def _tests(results: ClassResults, who: Name | None) -> str:
    if not results.tests:
        return ""
    kinds = "".join(f"<th class='n'>{escape(KINDS[kind])}</th>" for kind in COLOURS)
    rows = "".join(_test(test, who) for test in results.tests)
    named = "" if who is None else "<th>who did not pass</th>"
    head = f"<tr><th>part</th><th>test</th><th class='n'>points</th>{kinds}{named}</tr>"
    return (
        f"<h2>Test by test</h2><p class='soft'>Each bar is the whole class. On the right: who earned the points.</p>"
        f"{_shown(figures.pass_rates(results), 'wide')}"
        f"<details><summary>The same as a table</summary><table>{head}{rows}</table></details>"
    )


def _test(test: TestCount, who: Name | None) -> str:
    counts = "".join(f"<td class='n'>{test.kinds[kind]}</td>" for kind in COLOURS)
    named = "" if who is None else f"<td class='who'>{escape('; '.join(map(who, test.not_passed)))}</td>"
    return (
        f"<tr><td><span class='cell'>{escape(test.cell)}</span></td><td>{escape(test.title)}<br>"
        f"<span class='soft'>{escape(test.name)}</span></td><td class='n'>{test.points:g}</td>{counts}{named}</tr>"
    )


def _to_mark(results: ClassResults, who: Name | None) -> str:
    head = "<h2>Written answers still to mark</h2>"
    if not results.to_mark:
        return f"{head}<p>None is waiting in the gradebook.</p>"
    rows = [
        f"<tr><td><span class='cell'>{escape(one.cell)}</span></td><td class='n'>{len(one.students)}</td>"
        f"<td>{_who(one.students, who)}</td></tr>"
        for one in results.to_mark
    ]
    table = f"<table class='narrow'><tr><th>answer</th><th class='n'>waiting</th><th></th></tr>{''.join(rows)}</table>"
    return f"{head}<p>Mark them in the formgrader (<code>jupyter lab</code>), answer by answer.</p>{table}"


def _trouble(results: ClassResults, who: Name | None) -> str:
    refused = {s: r for s, r in results.results.items() if r.status != "graded"}
    if who is None:
        told = (
            f"<p>{len(results.slow)} slow, {len(results.stopped)} stopped at a limit or crashed, "
            f"{len(refused) + len(results.unreadable)} not graded.</p>"
        )
    else:
        rows = [(who(s), f"took {t:.0f} s", "") for s, t in results.slow.items()]
        rows += [(who(s), "stopped or crashed", _few(tests)) for s, tests in results.stopped.items()]
        rows += [(who(s), "not graded", r.error or "") for s, r in refused.items()]
        rows += [(who(s), "not read", "the result file is damaged: grade again") for s in results.unreadable]
        cells = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
        head = "<tr><th>student</th><th>what</th><th>where, or why</th></tr>"
        told = f"<table class='trouble'>{head}{cells}</table>" if rows else "<p>None.</p>"
    times = _shown(figures.times(results))
    return f"<h2>Slow and crashed submissions</h2><div class='two'><div>{times}</div><div>{told}</div></div>"


def _few(tests: Iterable[str]) -> str:
    tests = list(tests)
    return ", ".join(tests[:3]) + (f" and {len(tests) - 3} more tests" if len(tests) > 3 else "")


def _who(students: Iterable[str], who: Name | None) -> str:
    if who is None:
        return ""
    return f"<details class='who'><summary>who</summary>{escape('; '.join(map(who, students)))}</details>"

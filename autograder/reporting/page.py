"""The report as one HTML page that needs nothing else. All that comes from students is escaped."""

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from html import escape
from statistics import median

from autograder.reporting import figures
from autograder.reporting.figures import COLOURS, Picture
from autograder.reporting.gather import KINDS, ClassResults, Shared, TestCount

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, 'DejaVu Sans', sans-serif; margin: 0 auto; max-width: 74rem; padding: 1.5rem 1.2rem 4rem;
  color: #1d2733; background: #fff; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.6rem 0 .3rem; border-top: 1px solid #d5dbe1; padding-top: 1.1rem; }
h3 { font-size: 1rem; margin: 0 0 .2rem; }
p { margin: .3rem 0 .8rem; max-width: 52rem; } .soft { color: #5a6673; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tile { background: #f2f5f8; border-radius: .5rem; padding: .7rem .9rem; } .tile b { display: block; font-size: 1.55rem; line-height: 1.25; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1.6rem; align-items: start; }
figure { margin: .6rem 0; } figure img { width: 100%; height: auto; display: block; }
figcaption { color: #5a6673; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } th { text-align: left; font-weight: 600; color: #5a6673; }
td, th { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #e4e9ee; vertical-align: top; } .n { text-align: right; white-space: nowrap; }
ol.mistakes { padding: 0; list-style: none; } ol.mistakes li { display: grid; grid-template-columns: 4.2rem 1fr; gap: .9rem; padding: .7rem 0;
  border-bottom: 1px solid #e4e9ee; } .count { font-size: 1.5rem; font-weight: 600; line-height: 1.2; } .count small { display: block;
  font-size: .8rem; font-weight: 400; color: #5a6673; }
.cell { font: .82rem ui-monospace, 'DejaVu Sans Mono', monospace; background: #eef2f6; border-radius: .25rem; padding: .1rem .35rem; }
.hint { color: #34424f; } details { margin: .3rem 0; } summary { cursor: pointer; color: #0a5a94; } .who { overflow-wrap: anywhere; }
@media print { details { display: none; } h2 { break-after: avoid; } figure, li { break-inside: avoid; } }
"""

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


def _shown(picture: Picture, caption: str = "") -> str:
    data = base64.b64encode(picture.svg).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(picture.alt)}">{below}</figure>'


def _tiles(results: ClassResults) -> str:
    scores = [r.score for r in results.graded.values()]
    waiting = sum(len(one.students) for one in results.to_mark)
    tiles = [
        (len(results.results), "submissions"),
        (f"{median(scores):g} of {results.max_score:g}" if scores else "none", "median of the automatic points"),
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
    right = f"<div><h3>Where points were lost</h3>{_shown(figures.components(results))}</div>"
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
    items = "".join(_mistake(one, who) for one in results.mistakes)
    return f"{head}{said}{_shown(figures.mistakes(results))}<ol class='mistakes'>{items}</ol>"


def _mistake(one: Shared, who: Name | None) -> str:
    count = f"<div class='count'>{len(one.students)}<small>student{'s' * (len(one.students) != 1)}</small></div>"
    if one.known is None:
        text = f"<div><span class='cell'>{escape(one.id)}</span> is not in the bank any more.{_who(one.students, who)}</div>"
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
        f"{_shown(figures.pass_rates(results))}"
        f"<details><summary>The same as a table</summary><table>{head}{rows}</table></details>"
    )


def _test(test: TestCount, who: Name | None) -> str:
    counts = "".join(f"<td class='n'>{test.kinds[kind]}</td>" for kind in COLOURS)
    named = "" if who is None else f"<td class='who'>{escape(', '.join(map(who, test.not_passed)))}</td>"
    return (
        f"<tr><td class='cell'>{escape(test.cell)}</td><td>{escape(test.title)}<br><span class='soft'>{escape(test.name)}"
        f"</span></td><td class='n'>{test.points:g}</td>{counts}{named}</tr>"
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
    table = f"<table><tr><th>answer</th><th class='n'>waiting</th><th></th></tr>{''.join(rows)}</table>"
    return f"{head}<p>Mark them in the formgrader (<code>jupyter lab</code>), answer by answer.</p>{table}"


def _trouble(results: ClassResults, who: Name | None) -> str:
    refused = {s: r for s, r in results.results.items() if r.status != "graded"}
    pieces = ["<h2>Slow and crashed submissions</h2><div class='two'><div>", _shown(figures.times(results)), "</div><div>"]
    if who is None:
        pieces.append(f"<p>{len(results.slow)} slow, {len(results.stopped)} stopped at a limit or crashed, "
                      f"{len(refused) + len(results.unreadable)} not graded.</p>")  # fmt: skip
        return "".join(pieces) + "</div></div>"
    rows = [(who(s), f"{t:.0f} s", "slow") for s, t in results.slow.items()]
    rows += [(who(s), "stopped or crashed", _few(tests)) for s, tests in results.stopped.items()]
    rows += [(who(s), "not graded", r.error or "") for s, r in refused.items()]
    rows += [(who(s), "not read", "the result file is damaged: grade again") for s in results.unreadable]
    if not rows:
        return "".join(pieces) + "<p>None.</p></div></div>"
    table = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    return "".join(pieces) + f"<table><tr><th>student</th><th>what</th><th></th></tr>{table}</table></div></div>"


def _few(tests: Iterable[str]) -> str:
    tests = list(tests)
    return ", ".join(tests[:3]) + (f" and {len(tests) - 3} more tests" if len(tests) > 3 else "")


def _who(students: Iterable[str], who: Name | None) -> str:
    if who is None:
        return ""
    return f"<details class='who'><summary>who</summary>{escape(', '.join(map(who, students)))}</details>"

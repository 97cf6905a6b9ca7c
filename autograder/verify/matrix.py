"""The proof as one HTML page that needs nothing else: wrong version by test, clauses, and what was measured."""

from html import escape

from autograder.bank.versions import clauses, wrong_versions
from autograder.testing.hidden_tests import hidden_tests
from autograder.verify.kills import WrongOutcome
from autograder.verify.proof import Proof
from autograder.verify.summary import lines

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: .6rem 0; }
td, th { padding: .15rem .4rem; text-align: left; vertical-align: top; font-weight: normal; }
.matrix td.mark { width: 1.5rem; min-width: 1.5rem; text-align: center; border: 2px solid #fff; }
.matrix th.test { height: 11rem; vertical-align: bottom; padding: 0; }
.matrix th.test div { writing-mode: vertical-rl; transform: rotate(180deg); font-size: .8rem; white-space: nowrap; }
.caught { background: #0b4f8a; color: #fff; }
.through { background: #e9edf1; color: #999; }
.lost { text-align: right; }
.bad { background: #b3261e; color: #fff; }
.id { font-family: ui-monospace, monospace; font-size: .85rem; white-space: nowrap; }
.small { color: #555; font-size: .88rem; }
"""


def page(proof: Proof) -> str:
    """The whole page."""
    name = proof.assignment.name
    body = [
        f"<h1>{escape(name)}: the graders, tried</h1>",
        *(f"<p>{escape(line)}</p>" for line in lines(proof)),
        "<p class='small'>A filled square is a test that fails, as it should; its text is in the tooltip. "
        "Tests stand in the order of the cell's tests.</p>",
        *(_component(proof, cell) for cell in proof.assignment.upstream),
        _correct(proof),
        _pairs(proof),
        _clauses(proof),
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(name)}: proof</title>"
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _component(proof: Proof, cell: str) -> str:
    mine = [w for w in proof.wrong if w.version.cell == cell]
    if not mine:
        return ""
    tests = [t for t in hidden_tests(proof.assignment) if t.cell == cell]
    heads = "".join(f"<th class='test'><div>{escape(t.name.removeprefix('test_'))}</div></th>" for t in tests)
    rows = "".join(_row(proof, w, [t.name for t in tests]) for w in mine)
    head = f"<tr><th>wrong version</th><th>mistake</th>{heads}<th>lost</th><th>named</th></tr>"
    return f"<h2>{escape(cell)}</h2><table class='matrix'>{head}{rows}</table>"


def _row(proof: Proof, outcome: WrongOutcome, tests: list[str]) -> str:
    by_name = {t.name: t for t in outcome.tried}
    marks = []
    for test in tests:
        tried = by_name.get(test)
        if tried is None:
            marks.append("<td class='mark' title='not needed'></td>")
        elif tried.passed:
            marks.append("<td class='mark through' title='passes'>·</td>")
        else:
            marks.append(f"<td class='mark caught' title='{escape(tried.symptom, quote=True)}'>■</td>")
    version = outcome.version
    bad = " class='bad'" if outcome.survived or outcome.dragged else ""
    named = next((n for n in proof.named if n.id == version.id), None)
    said = "" if named is None else "yes" if named.candidates == (version.id,) else ", ".join(named.candidates) or "no"
    return (
        f"<tr><td class='id'>{escape(version.id)}</td><td>{escape(version.mistake)}</td>{''.join(marks)}"
        f"<td{bad or ' class=lost'}>{outcome.lost:g}</td><td class='small'>{escape(said)}</td></tr>"
    )


def _correct(proof: Proof) -> str:
    rows = []
    for one in proof.correct:
        refused = escape(", ".join(t.name for t in one.refused))
        rows.append(
            f"<tr><td class='id'>{escape(one.variant.id)}</td><td>{escape(one.variant.style)}</td>"
            f"<td{' class=bad' if refused else ''}>{refused or 'full points'}</td></tr>"
        )
    return f"<h2>Correct variants</h2><table>{''.join(rows)}</table>"


def _pairs(proof: Proof) -> str:
    if not proof.compensating:
        return ""
    rows = "".join(
        f"<tr><td class='id'>{escape(p.id)}</td><td class='id'>{escape(other)}</td>"
        f"<td class='lost'>{points:g}</td></tr>"
        for p in proof.compensating
        for other, points in p.gains
    )
    head = "<tr><th>mistake</th><th>made up for by</th><th>points more</th></tr>"
    return f"<h2>Pairs in which one mistake makes up for another</h2><table>{head}{rows}</table>"


def _clauses(proof: Proof) -> str:
    versions = wrong_versions(proof.assignment)
    rows = []
    for clause, text in clauses(proof.assignment).items():
        ids = [v.id for v in versions if clause in v.clauses]
        rows.append(
            f"<tr><td class='id'>{escape(clause)}</td><td>{escape(text)}</td>"
            f"<td class='id{'' if ids else ' bad'}'>{'<br>'.join(map(escape, ids)) or 'none'}</td></tr>"
        )
    return f"<h2>The contract, clause by clause</h2><table>{''.join(rows)}</table>"

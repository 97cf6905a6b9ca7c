"""The proof in a few lines of text."""

from autograder.bank.versions import clauses
from autograder.verify.kills import downstream
from autograder.verify.proof import Proof


def lines(proof: Proof) -> list[str]:
    """What was shown, one sentence a line; every failure is named in `failures`."""
    wrong, correct = len(proof.wrong), len(proof.correct)
    said = [
        f"Caught by a test of its own component: {wrong - len(proof.survivors)} of {wrong} wrong versions.",
        f"False rejects: {len(proof.refused)} of {correct} correct variants.",
        _dragging(proof),
        f"Clauses of the contract with a wrong version: {len(clauses(proof.assignment)) - len(proof.uncovered)} "
        f"of {len(clauses(proof.assignment))}.",
    ]
    if proof.named:
        several = [n for n in proof.named if n.rightly and len(n.candidates) > 1]
        alike = [n for n in proof.named if n.without]
        named, of = len(proof.named) - len(proof.unnamed), len(proof.named)
        said.append(
            f"Diagnosis: {named} of {of} wrong versions are named ({100 * named / of:.1f} %), "
            f"{len(several)} of them as one of several; without its own entry {len(alike)} would get another's name."
        )
    if proof.pairs:
        tried = sum(p.tried for p in proof.pairs)
        gains = sum(len(p.gains) for p in proof.pairs)
        said.append(
            f"Two mistakes at once: {tried} pairs tried; in {gains} of them one makes up for the other (listed below)."
        )
    if proof.draws:
        said.append(
            f"Chance: {sum(d.draws for d in proof.draws)} runs of {len(proof.draws)} tests on the reference, "
            f"{sum(len(d.refused) for d in proof.draws)} false refusals."
        )
    said += [
        f"Training target {t.target}: {t.reached} of {t.runs} recorded runs of correct loops reach it (a submission "
        f"has three tries), {t.hopeless_reached} of {t.hopeless_runs} of models that must not."
        for t in proof.targets
    ]
    return said


def _dragging(proof: Proof) -> str:
    """How many mistakes cost points further on, of those that could."""
    rested_on = [w for w in proof.wrong if downstream(proof.assignment, w.version.cell)]
    if not rested_on:
        return "Later parts that lost points for a mistake below them: none could, since no part rests on another."
    return (
        f"Later parts that lost points for a mistake below them: {len(proof.dragging)} of the {len(rested_on)} wrong "
        "versions of parts that others rest on."
    )


def failures(proof: Proof) -> list[str]:
    """Every survivor, false reject and the like, by name."""
    told = [f"survives: {w.version.id} loses nothing in {', '.join(w.survived)}" for w in proof.survivors]
    told += [f"refused: {c.variant.id} by {', '.join(t.name for t in c.refused)}" for c in proof.refused]
    told += [f"drags down: {w.version.id} costs points in {', '.join(w.dragged)}" for w in proof.dragging]
    told += [f"refused by chance: {d.test} ({len(d.refused)} of {d.draws} draws)" for d in proof.flaky]
    told += [f"no wrong version for: {clause}" for clause in proof.uncovered]
    told += [
        f"not named: {n.id}" + (f" (but {', '.join(n.candidates)})" if n.candidates else "") for n in proof.unnamed
    ]
    return told

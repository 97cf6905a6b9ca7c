"""Diagnose a graded submission: a fresh worker, public inputs only, and working parts below what is looked at."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from autograder.bank.versions import wrong_versions
from autograder.course.assignment import Assignment
from autograder.diagnosis.fingerprints import expected, known, observe
from autograder.diagnosis.naming import Diagnosis, name_mistakes
from autograder.diagnosis.picture import Picture, picture
from autograder.sandbox.session import WorkerError
from autograder.testing.answering import Answering
from autograder.testing.follow_through import Verdict, blank
from autograder.testing.stand_ins import stand_ins, stand_ins_of


@dataclass(frozen=True)
class Remark:
    """What diagnosis adds to one test: the mistake's id where it is certain, words, and a picture."""

    misconception: str | None = None
    text: str = ""
    picture: Picture | None = None


def remarks(
    assignment: Assignment, judged: Mapping[str, Verdict], errors: Mapping[str, BaseException | None], fresh: Answering
) -> dict[str, Remark]:
    """Remarks by test, for components that lost points. `errors` are those of the hidden tests, by test.

    `fresh` is an execution that has run nothing yet. It gets stand-ins for a component once that was looked at, so
    that the next one shows its own mistakes only.
    """
    said: dict[str, Remark] = {}
    wrong: tuple[str, ...] = ()
    for cell, verdict in judged.items():
        if verdict.full:
            continue
        failed = [name for name, earned in verdict.earns.items() if not earned]
        if not all(blank(errors.get(name), cell) for name in failed):
            with contextlib.suppress(WorkerError):
                said |= _component(assignment, cell, failed, fresh)
        wrong = (*wrong, cell)
        if stand_ins_of(assignment).is_file():
            fresh.stand_ins = stand_ins(assignment, wrong)
    return said


def _component(assignment: Assignment, cell: str, failed: list[str], fresh: Answering) -> dict[str, Remark]:
    fresh.reach(assignment.test_cell(cell))
    observed = observe(assignment, cell, fresh)
    right = expected(assignment, cell)
    diagnoses = name_mistakes(observed.fingerprint, right, known(assignment, cell))
    said: dict[str, Remark] = {}
    shown = picture(assignment, cell, observed)
    for diagnosis in diagnoses:
        tests = [name for name in failed if name in diagnosis.tests]
        certain = diagnosis.candidates[0] if len(diagnosis.candidates) == 1 else None
        for place, name in enumerate(tests):
            text = "The same mistake as above." if place else _words(assignment, diagnosis)
            said[name] = Remark(certain, text)
    if shown is not None and shown.test in failed:
        before = said.get(shown.test, Remark())
        said[shown.test] = Remark(before.misconception, before.text, shown)
    return said


def _words(assignment: Assignment, diagnosis: Diagnosis) -> str:
    versions = {version.id: version for version in wrong_versions(assignment)}
    found = [versions[name] for name in diagnosis.candidates]
    if len(found) == 1:
        return f"Likely mistake: {found[0].mistake} {found[0].hint}"
    choices = " ".join(f"({letter}) {one.mistake}" for letter, one in zip("abc", found, strict=False))
    return f"Likely one of these mistakes, which look the same here: {choices} {found[0].hint}"

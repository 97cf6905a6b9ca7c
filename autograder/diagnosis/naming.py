"""From a fingerprint to the names of mistakes: everything that is wrong must be explained, or nothing is said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from autograder.diagnosis.fingerprints import Expected, Fingerprint
from autograder.diagnosis.sketch import Sketch, alike, unlike

MOST = 3  # more candidates than this say nothing that helps
SAYS_NOTHING = ("raised NotImplementedError", "raised Missing", "raised NoObject")


@dataclass(frozen=True)
class Diagnosis:
    """Known mistakes that explain a component's failures.

    `candidates` are alternatives: one name where the mistake is certain, several where they cannot be told apart.
    `tests` are the tests that they fail. Two diagnoses of one component are two mistakes made at once.
    """

    candidates: tuple[str, ...]
    tests: frozenset[str]


def name_mistakes(found: Fingerprint, expected: Expected, known: Mapping[str, Fingerprint]) -> tuple[Diagnosis, ...]:
    """The mistakes of a component with the fingerprint `found`; none where the known ones do not explain all of it."""
    wrong = deviating(found, expected)
    if not wrong:
        return ()
    same = [name for name, one in known.items() if _same(found, one, expected, wrong)]
    if same:
        return (Diagnosis(tuple(same), found.failed),) if len(same) <= MOST else ()
    return _two_at_once(found, expected, known, wrong)


def deviating(found: Fingerprint, expected: Expected) -> frozenset[int]:
    """Requests whose answers are wrong. Random ones count only where nothing else is wrong, and blanks never."""
    wrong = {i for i, answer in found.answers.items() if unlike(answer, expected[i][2]) and not _blank(answer)}
    certain = {i for i in wrong if not expected[i][1]}
    return frozenset(certain or wrong)


def _blank(answer: Sketch) -> bool:
    return str(answer.get("", "")).startswith(SAYS_NOTHING)


def _compared(found: Fingerprint, expected: Expected, wrong: Iterable[int]) -> list[int]:
    """Requests that a match must agree on: all certain ones, or all where only random ones deviate."""
    random_only = all(expected[i][1] for i in wrong)
    return [i for i in found.answers if random_only or not expected[i][1]]


def _same(found: Fingerprint, known: Fingerprint, expected: Expected, wrong: frozenset[int]) -> bool:
    if known.failed != found.failed:
        return False
    compared = _compared(found, expected, wrong)
    return all(i in known.answers and alike(found.answers[i], known.answers[i], expected[i][2]) for i in compared)


def _two_at_once(
    found: Fingerprint, expected: Expected, known: Mapping[str, Fingerprint], wrong: frozenset[int]
) -> tuple[Diagnosis, ...]:
    """Two known mistakes that together explain every wrong answer, each of them at least one alone."""
    compared = _compared(found, expected, wrong)
    explained: dict[str, frozenset[int]] = {}
    for name, one in known.items():
        if one.failed < found.failed:
            theirs = deviating(one, expected) & set(compared)
            if (
                theirs
                and theirs <= wrong
                and all(alike(found.answers[i], one.answers[i], expected[i][2]) for i in theirs)
            ):
                explained[name] = theirs
    pairs = [
        (a, b)
        for a, b in combinations(explained, 2)
        if known[a].failed | known[b].failed == found.failed
        and explained[a] | explained[b] == wrong
        and not explained[a] & explained[b]
    ]
    if len(pairs) != 1:
        return ()
    return tuple(Diagnosis((name,), known[name].failed) for name in pairs[0])

"""Naming a mistake: rightly, as one of several, or not at all; and what a page shows of it."""

import base64
import json

import nbformat
import pytest
import torch

from autograder.bank.versions import correct_variants, wrong_versions
from autograder.diagnosis import fingerprints
from autograder.diagnosis.fingerprints import Fingerprint, known, observe
from autograder.diagnosis.naming import name_mistakes
from autograder.diagnosis.picture import picture
from autograder.diagnosis.replay import Failure
from autograder.diagnosis.sketch import alike, changed, changes, sketch, unlike
from autograder.grading.grade import grade_notebook
from autograder.grading.messages import NOT_THERE
from autograder.notebooks.rebuild import grade_id
from autograder.testing.in_process import InProcess, without_accelerator
from autograder.testing.reference import reference_cells
from tests.this_course import ASSIGNMENTS, TRANSFORMER_FUNDAMENTALS

TF = TRANSFORMER_FUNDAMENTALS
X = torch.linspace(-1, 1, 24).reshape(2, 3, 4)


def version(version_id):
    return next(v for v in wrong_versions(TF) if v.id == version_id)


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
def test_fingerprints_are_up_to_date(assignment):
    """The committed fingerprints follow from the graders, the reference and the bank as they are."""
    entries = json.loads(fingerprints.path_of(assignment).read_text())
    assert fingerprints.stale(assignment) == [], f"run `autograder verify {assignment.name}`"
    ids = {name for entry in entries.values() for name in entry["versions"]}
    assert ids == {v.id for v in wrong_versions(assignment)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (X, X + 0.01),
        (X, X.flip(0)),
        (X, X.reshape(3, 2, 4)),
        (X, torch.where(X[0, 0, 0] == X, torch.nan, X)),
        (X, X.long()),
        ([1, 2], [2, 1]),
        ((1, 2), (1, 2, 3)),
        ({"a": 1}, {"b": 1}),
        (1, 1.0),
        (True, 1),
        ("text", "Text"),
        ("x" * 100 + "a", "x" * 100 + "b"),
        (None, 0),
        (Failure("ValueError"), None),
        (list(range(1000)), [*range(999), 0]),
        ([[1, 2]] * 40, [[1, 2]] * 39 + [[2, 1]]),
    ],
)
def test_sketches_tell_answers_apart(one, other):
    """Values, shapes, kinds and orders that differ have sketches that differ."""
    assert unlike(sketch(other), sketch(one))
    assert not unlike(sketch(one), sketch(one))


def test_rounding_does_not_matter():
    """What another right way to compute gives counts as the same answer."""
    assert not unlike(sketch(X * (1 + 1e-6) + 1e-6), sketch(X))
    assert not unlike(sketch(Failure("ValueError", "one text")), sketch(Failure("ValueError", "another")))
    assert unlike(sketch(Failure("TypeError", "one text")), sketch(Failure("ValueError", "one text")))


def test_only_the_same_deviation_counts():
    """An answer is alike where it deviates in the same places by nearly the same."""
    right, wrong = sketch(X), sketch(2 * X)
    assert alike(sketch(2.005 * X), wrong, right)
    assert not alike(sketch(2.2 * X), wrong, right)
    assert not alike(right, wrong, right)
    assert not alike(wrong, right, right)


def test_changes_keep_all_that_is_needed():
    """An answer can be made again from the right one and what differs."""
    right, found = sketch({"a": X, "b": [1, 2]}), sketch({"a": X, "b": None})
    assert changed(right, changes(found, right)) == found
    assert changes(right, right) == {}


def fingerprint(failed, **answers):
    return Fingerprint(frozenset(failed), {int(k[1:]): sketch(v) for k, v in answers.items()})


EXPECTED = tuple((test, False, sketch(0.0)) for test in ("t0", "t1", "t2"))
KNOWN = {
    "a": fingerprint(["t0"], r0=1.0),
    "b": fingerprint(["t1"], r1=5.0),
    "c": fingerprint(["t0", "t1"], r0=1.0, r1=1.0),
    "d": fingerprint(["t0", "t1"], r0=1.0, r1=1.0),
}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (fingerprint(["t0"], r0=1.0), [("a",)]),
        (fingerprint(["t0"], r0=1.5), []),
        (fingerprint(["t0", "t1"], r0=1.0, r1=1.0), [("c", "d")]),
        (fingerprint(["t0", "t1"], r0=1.0, r1=5.0), [("a",), ("b",)]),
        (fingerprint(["t0", "t1"], r0=1.0, r1=7.0), []),
        (fingerprint(["t0", "t2"], r0=1.0, r2=3.0), []),
        (fingerprint(["t2"], r2=Failure("NotImplementedError")), []),
        (fingerprint([]), []),
    ],
    ids=["one", "other value", "several", "two at once", "half", "more", "blank", "nothing wrong"],
)
def test_everything_is_explained_or_nothing_is_said(found, said):
    """One name, several candidates, two mistakes at once, or silence."""
    assert [d.candidates for d in name_mistakes(found, EXPECTED, KNOWN)] == said


def test_too_many_candidates_say_nothing():
    """Four mistakes that look the same are no help."""
    many = {name: fingerprint(["t0"], r0=1.0) for name in "abcd"}
    assert name_mistakes(fingerprint(["t0"], r0=1.0), EXPECTED, many) == ()


def test_a_mistake_in_other_words_is_named():
    """A student's own way to forget the scaling, written unlike the bank's, is the bank's mistake."""
    source = """
def scaled_dot_product_attention(Q, K, V, mask=None, dropout=None):
    similarity = torch.einsum("...qd,...kd->...qk", Q, K)
    if mask is not None:
        similarity = torch.where(mask.bool(), similarity, torch.tensor(float("-inf")))
    attention = torch.softmax(similarity, dim=-1)
    mixed = attention if dropout is None else dropout(attention)
    return torch.einsum("...qk,...kd->...qd", mixed, V), attention
"""
    observed = observe(TF, "sdpa", InProcess(TF, {"sdpa": source}))
    said = name_mistakes(observed.fingerprint, fingerprints.expected(TF, "sdpa"), known(TF, "sdpa"))
    assert [d.candidates for d in said] == [("sdpa-no-scaling",)]
    shown = picture(TF, "sdpa", observed)
    assert shown is not None and shown.png.startswith(b"\x89PNG") and "public input" in shown.caption


def test_correct_variants_are_never_named():
    """Nothing is said of any correct variant of the attention."""
    for variant in correct_variants(TF):
        if variant.cell in ("sdpa", "layer-norm"):
            with without_accelerator():  # this process has none
                found = observe(TF, variant.cell, InProcess(TF, {variant.cell: variant.source})).fingerprint
            said = name_mistakes(found, fingerprints.expected(TF, variant.cell), known(TF, variant.cell))
            assert (found.failed, said) == (frozenset(), ()), variant.id


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A solved notebook with a known mistake in the attention and an unknown one in the feed-forward part."""
    notebook = nbformat.read(TF.release, as_version=4)
    cells = dict(reference_cells(TF))
    cells["sdpa"] = version("sdpa-no-scaling").source
    cells["feed-forward"] = (
        cells["feed-forward"].replace("F.relu(", "1.37 * F.relu(").replace("torch.relu(", "1.37 * torch.relu(")
    )
    assert "1.37" in cells["feed-forward"]
    for cell in notebook.cells:
        if grade_id(cell) in TF.upstream:
            cell.source = cells[grade_id(cell)]
    path = tmp_path_factory.mktemp("diagnosis") / "ada.ipynb"
    nbformat.write(notebook, path)
    return grade_notebook(path, TF)


def test_a_result_names_the_mistake_with_its_hint(graded):
    """Failed tests of the component carry the id; the first of them the mistake and its hint; nothing else is named."""
    named = {
        c: {t.misconception for t in o.tests if t.status != "passed" and not t.message.startswith(NOT_THERE)}
        for c, o in graded.result.cells.items()
    }
    assert named["sdpa-tests"] == {"sdpa-no-scaling"}
    assert named["feed-forward-tests"] == {None}
    assert all(not ids for cell, ids in named.items() if cell not in ("sdpa-tests", "feed-forward-tests"))
    messages = [t.message for t in graded.result.cells["sdpa-tests"].tests if t.misconception]
    wrong = version("sdpa-no-scaling")
    assert wrong.mistake in messages[0] and wrong.hint in messages[0]
    assert all(wrong.hint not in message for message in messages[1:])


def test_a_page_shows_expected_and_found(graded):
    """Below the test cells of both wrong components stands one picture; below all others none."""
    pictures = {
        grade_id(c): [o for o in c.outputs if "image/png" in o.get("data", {})]
        for c in graded.notebook.cells
        if c.metadata.get("nbgrader", {}).get("grade") and c.cell_type == "code"
    }
    assert {cell for cell, shown in pictures.items() if shown} == {"sdpa-tests", "feed-forward-tests"}
    for shown in pictures.values():
        assert all(base64.b64decode(o.data["image/png"]).startswith(b"\x89PNG") for o in shown)

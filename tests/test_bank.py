"""The misconception bank: complete, readable, and refused with one line where an entry cannot be used."""

import shutil
from dataclasses import replace

import pytest

from autograder.bank.versions import BadBank, clauses, correct_variants, wrong_versions
from autograder.testing.reference import reference_cells
from tests.this_course import ASSIGNMENTS, TRANSFORMER_FUNDAMENTALS

BOTH = pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
ENTRY = 'mistake = "It is wrong."\nhint = "Look again."\nclauses = ["sdpa.scaling"]\n'


@BOTH
def test_every_component_and_clause_has_wrong_versions(assignment):
    """No component and no clause of the contract is without a wrong version, and none names an unknown clause."""
    versions = wrong_versions(assignment)
    assert {v.cell for v in versions} == set(assignment.upstream)
    known = clauses(assignment)
    assert {clause.split(".")[0] for clause in known} == set(assignment.upstream)
    assert {c for v in versions for c in v.clauses} == set(known)


@BOTH
def test_there_are_correct_variants_of_every_component(assignment):
    """At least 20 correct variants, at least two of each component, none with the reference's own text."""
    variants = correct_variants(assignment)
    assert len(variants) >= 20
    for cell in assignment.upstream:
        mine = [v for v in variants if v.cell == cell]
        assert len(mine) >= 2
        assert reference_cells(assignment)[cell] not in [v.source for v in mine]


@BOTH
def test_texts_can_be_shown(assignment):
    """Mistakes and hints are short sentences, and no two mistakes of a component read the same."""
    versions = wrong_versions(assignment)
    for version in versions:
        assert 10 < len(version.mistake) < 200 and version.mistake.endswith("."), version.id
        assert 10 < len(version.hint) < 320, version.id
    assert len({(v.cell, v.mistake) for v in versions}) == len(versions)
    assert len({(v.cell, v.source) for v in versions}) == len(versions)


@pytest.fixture
def assignment(tmp_path):
    """The assignment in a course of its own, with an empty bank."""
    there = replace(TRANSFORMER_FUNDAMENTALS, root=tmp_path)
    there.source.parent.mkdir(parents=True)
    shutil.copy(TRANSFORMER_FUNDAMENTALS.source.with_suffix(".py"), there.source.parent)
    there.bank.mkdir(parents=True)
    return there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[sdpa-x]\n{ENTRY}", "needs exactly one of"),
        (f"[sdpa-x]\n{ENTRY}code = 'x = 1'\nappend = 'y = 1'", "needs exactly one of"),
        (f"[sdpa-x]\n{ENTRY}edits = [['no such text', '']]", "does not contain 'no such text'"),
        (f"[sdpa-x]\n{ENTRY}code = 'def f(:'", "does not compile"),
        (f"[mha-x]\n{ENTRY}code = 'x = 1'", "an id begins with 'sdpa-'"),
        (f"[sdpa-x]\n{ENTRY}code = 'x = 1'\nhnit = 'x'", "unknown fields: hnit"),
        ("[sdpa-x]\nmistake = 'It is wrong.'\ncode = 'x = 1'", "`hint` is missing"),
        ("[sdpa-x\n", "is not TOML"),
    ],
)
def test_unusable_entry_is_refused_with_one_line(assignment, text, said):
    """The line names the file, the entry and what is wrong with it."""
    (assignment.bank / "sdpa.toml").write_text(text)
    with pytest.raises(BadBank) as caught:
        wrong_versions(assignment)
    assert said in str(caught.value) and "sdpa.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_edits_are_made_in_the_reference_and_code_stands_alone(assignment):
    """`edits` and `append` start from the reference's cell, `code` is the whole cell."""
    (assignment.bank / "sdpa.toml").write_text(
        f"[sdpa-a]\n{ENTRY}edits = [['math.sqrt(', 'float(']]\n[sdpa-b]\n{ENTRY}append = 'x = 1'\n"
        f"[sdpa-c]\n{ENTRY}code = 'x = 1'\ncosts = ['sdpa', 'mha']\n"
    )
    edited, appended, alone = wrong_versions(assignment)
    reference = reference_cells(assignment)["sdpa"]
    assert edited.source.strip() == reference.replace("math.sqrt(", "float(", 1).strip()
    assert appended.source == f"{reference}\nx = 1"
    assert alone.source == "x = 1" and alone.costs == ("sdpa", "mha") and edited.costs == ("sdpa",)

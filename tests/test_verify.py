"""Verification itself: it must see a version that survives, a variant that is refused, and points that leak."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from autograder.bank.versions import Correct, correct_variants, reference_cells, wrong_versions
from autograder.cli import app
from autograder.diagnosis import fingerprints
from autograder.testing.in_process import without_accelerator
from autograder.verify import kills, pairs, proof
from autograder.verify.flakiness import try_draws
from autograder.verify.matrix import page
from autograder.verify.summary import failures, lines
from tests.this_course import LLM_INTERNALS, TRANSFORMER_FUNDAMENTALS

TF = TRANSFORMER_FUNDAMENTALS


@pytest.fixture
def one_device():
    """Trials are run in this process, which has no second device."""
    with without_accelerator():
        yield


def numbered(version_id, assignment=TF):
    versions = wrong_versions(assignment)
    return next(n for n, v in enumerate(versions) if v.id == version_id)


def bank_of(monkeypatch, module, name, entries):
    monkeypatch.setattr(module, name, lambda assignment: tuple(entries))


def a_wrong(cell, source=None):
    version = next(v for v in wrong_versions(TF) if v.cell == cell)
    return replace(version, source=source) if source else version


@pytest.mark.parametrize("assignment", [TRANSFORMER_FUNDAMENTALS, LLM_INTERNALS], ids=lambda a: a.name)
def test_quick_form_holds(assignment, tmp_path):
    """One wrong version for every clause is caught, and no correct variant is refused."""
    done = CliRunner().invoke(app, ["verify", assignment.name, "--quick", "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{assignment.name}.html").stat().st_size > 10_000


def test_the_quick_form_says_whose_mistakes_are_not_named(monkeypatch, tmp_path):
    """Only the full form makes fingerprints: components that changed are told, with the command to run."""
    nothing = proof.Proof(TF, (), (), (), (), (), ())
    monkeypatch.setattr(proof, "prove", lambda *_, **__: (nothing, {}))
    monkeypatch.setattr(fingerprints, "stale", lambda assignment: ["sdpa", "mha"])
    done = CliRunner().invoke(app, ["verify", TF.name, "--quick", "--output", str(tmp_path)])
    line = f"pages name no mistake of sdpa, mha until `autograder verify {TF.name}` has run, without --quick"
    assert line in done.stdout


@pytest.mark.usefixtures("one_device")
def test_a_version_that_is_right_survives(monkeypatch):
    """A `wrong` version that does everything right is reported as a survivor."""
    bank_of(monkeypatch, kills, "wrong_versions", [a_wrong("layer-norm", reference_cells(TF)["layer-norm"])])
    outcome = kills.try_wrong(TF, 0, prints=False, follow=False)
    assert outcome.survived == ("layer-norm",) and outcome.lost == 0


@pytest.mark.usefixtures("one_device")
def test_a_variant_that_is_wrong_is_refused(monkeypatch):
    """A `correct` variant with a mistake is reported with the tests that refuse it."""
    bank_of(monkeypatch, kills, "correct_variants", [Correct("x", "sdpa", a_wrong("sdpa").source, "wrong")])
    assert any(t.cell == "sdpa" for t in kills.try_correct(TF, 0).refused)


@pytest.mark.usefixtures("one_device")
def test_a_variant_that_some_inputs_refuse_is_found(monkeypatch):
    """What a test lets through with one course secret it must let through with any: so several draws are tried."""
    sometimes = (
        "\n\n_right = LayerNorm.forward\nLayerNorm.forward = lambda self, x: _right(self, x) + float(4 < x.max() < 5)"
    )
    variant = Correct("x", "layer-norm", reference_cells(TF)["layer-norm"] + sometimes, "wrong for some inputs")
    bank_of(monkeypatch, kills, "correct_variants", [variant])
    once, often = ({t.name for t in kills.try_correct(TF, 0, draws=draws).refused} for draws in (0, 10))
    assert "test_norm_values" in often - once


@pytest.mark.usefixtures("one_device")
def test_follow_through_is_looked_at(monkeypatch):
    """Without stand-ins, a wrong attention drags down what rests on it, and verification says so."""
    number = numbered(a_wrong("sdpa").id)
    assert kills.try_wrong(TF, number, prints=False, follow=True).dragged == ()
    monkeypatch.setattr("autograder.verify.trial.verdicts", lambda found, retry: _plain_verdicts(found))
    assert "mha" in kills.try_wrong(TF, number, prints=False, follow=True).dragged


def _plain_verdicts(found):
    from autograder.testing.follow_through import Verdict, earning

    by_cell = {c: [f for f in found.findings if f.cell == c] for c in TF.upstream}
    return {c: Verdict(earning(fs), {}) for c, fs in by_cell.items()}


@pytest.mark.usefixtures("one_device")
def test_compensating_pair_is_found(monkeypatch):
    """Scores multiplied by the root of d_k below, divided by d_k above: the pair looks right, and is reported."""
    sdpa, mha = reference_cells(TF)["sdpa"], reference_cells(TF)["mha"]
    call = next(line for line in mha.splitlines() if "scaled_dot_product_attention(" in line)
    doubled = mha.replace(call, call.replace("scaled_dot_product_attention(", "scaled_dot_product_attention(2 * "))
    assert doubled != mha
    halved = sdpa.replace("Q @ K", "Q / 2 @ K").replace("torch.matmul(Q,", "torch.matmul(Q / 2,")
    assert halved != sdpa
    monkeypatch.setattr(pairs, "wrong_versions", lambda assignment: (a_wrong("sdpa", halved), a_wrong("mha", doubled)))
    outcome = pairs.try_pairs(TF, 1)
    assert outcome.tried == 1 and [other for other, _ in outcome.gains] == [a_wrong("sdpa").id]


def test_chance_that_refuses_is_counted(monkeypatch):
    """A test that refuses the reference for some draws is reported with its number of refusals."""
    from autograder.testing import expect
    from autograder.testing.hidden_tests import HiddenTest
    from autograder.verify import flakiness

    def test_coin(draw):
        """A coin."""
        expect.that(draw.integer(0, 2) == 1, "Tails.")

    coin = HiddenTest("test_coin", "sdpa", 1.0, None, False, True, test_coin)
    monkeypatch.setattr(flakiness, "hidden_tests", lambda assignment: (coin,))
    outcome = try_draws(TF, "test_coin", 0, 40)
    assert outcome.draws == 40 and 5 < len(outcome.refused) < 35


@pytest.mark.usefixtures("one_device")
def test_report_names_every_failure():
    """Survivors, false rejects and the like stand by name in the text, and the page shows the version."""
    wrong, variant = a_wrong("sdpa"), next(v for v in correct_variants(TF) if v.cell == "sdpa")
    survivor = kills.WrongOutcome(wrong, (), ("sdpa",), ("mha",), None)
    tried = kills.plain(kills.find(TF, {"sdpa": wrong.source}, ["sdpa"]))
    refused = kills.CorrectOutcome(variant, tuple(t for t in tried if not t.passed))
    named = (proof.Named(wrong.id, (), ()),)
    shown = proof.Proof(TF, (survivor,), (refused,), (), (), (), named)
    told = "\n".join(failures(shown))
    assert not shown.holds
    for line in (
        f"survives: {wrong.id}",
        f"refused: {variant.id}",
        f"drags down: {wrong.id}",
        f"not named: {wrong.id}",
    ):
        assert line in told
    assert "0 of 1 wrong versions" in lines(shown)[0]
    assert wrong.id in page(shown) and "<script" not in page(shown)

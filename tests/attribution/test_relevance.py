"""The sentence: what it says, and when it says that it does not know."""

import pytest

from resnet_diffeo_probe.attribution import Fold, relevance

FOLDS = {"a": Fold.PROVEN, "b": Fold.NEGATIVE, "c": Fold.NOT_SEEN, "d": Fold.NOT_SEEN}

SHARES = {"a": 0.4, "b": 0.9, "c": 0.0, "d": 0.0}


def _inputs(count, a, b, c, d):
    return [{"a": a, "b": b, "c": c, "d": d}] * count


def test_folding_units_that_carry_more():
    found = relevance(FOLDS, SHARES, _inputs(6, 3.0, -3.0, 1.0, 1.0), _inputs(6, -4.0, 4.0, 1.0, -1.0))
    assert found.state == "more"
    assert found.folding == ("a", "b")
    assert found.compared == ("a", "b", "c", "d")
    assert found.by_number == 0.5
    assert found.by_conductance == pytest.approx([0.75] * 6)
    assert found.by_ablation == pytest.approx([0.8] * 6)
    for part in ("2 of 4 units (50%; 1 proven, 1 by a negative sign)", "75%", "80%", "6 of 6 inputs"):
        assert part in found.sentence
    assert "does not say that the folds are the reason" in found.sentence


def test_folding_units_that_carry_less():
    found = relevance(FOLDS, SHARES, _inputs(5, 0.1, 0.1, 1.0, 1.0), _inputs(5, 0.1, 0.0, 1.0, 1.0))
    assert found.state == "less"


def test_two_accounts_that_differ_give_neither():
    found = relevance(FOLDS, SHARES, _inputs(8, 3.0, 3.0, 1.0, 1.0), _inputs(8, 0.1, 0.1, 1.0, 1.0))
    assert found.state == "neither"
    assert "cannot be said" in found.sentence


def test_inputs_that_differ_give_neither():
    mixed = _inputs(3, 3.0, 3.0, 1.0, 1.0) + _inputs(3, 0.1, 0.1, 1.0, 1.0)
    assert relevance(FOLDS, SHARES, mixed, mixed).state == "neither"


@pytest.mark.parametrize(
    ("folds", "inputs", "left_out", "says"),
    [
        (FOLDS, 4, 0, "complete at 4 inputs, and 5 are needed"),
        (FOLDS, 0, 3, "3 inputs left out"),
        ({}, 6, 0, "no unit was judged"),
        (dict.fromkeys("abcd", Fold.PROVEN), 6, 0, "all 4 units"),
        (dict.fromkeys("a", Fold.PROVEN), 6, 0, "the one unit"),
        (dict.fromkeys("abcd", Fold.NOT_SEEN), 6, 0, "no fold was seen in the 4 units"),
    ],
)
def test_when_it_is_not_known(folds, inputs, left_out, says):
    values = _inputs(inputs, 3.0, 3.0, 1.0, 1.0)
    found = relevance(folds, dict.fromkeys(folds, 0.5), values, values, left_out=left_out)
    assert found.state == "unknown"
    assert says in found.sentence


def test_ablations_without_an_answer_do_not_count():
    lost = _inputs(6, None, 3.0, 1.0, 1.0)
    found = relevance(FOLDS, SHARES, _inputs(6, 3.0, 3.0, 1.0, 1.0), lost)
    assert found.by_ablation == ()
    assert found.state == "neither"
    assert "no finite answer" in found.sentence


def test_how_often_a_unit_is_negative_against_what_it_carries():
    folds = dict.fromkeys("abcd", Fold.PROVEN)
    values = _inputs(6, 1.0, -2.0, 3.0, 4.0)
    found = relevance(folds, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9}, values, values)
    assert found.state == "unknown"  # all fold
    assert found.by_frequency == pytest.approx([1.0] * 6)
    assert "negative at more inputs carry more: the rank correlation over 4 units is 1.00" in found.sentence
    turned = relevance(folds, {"a": 0.9, "b": 0.3, "c": 0.2, "d": 0.1}, values, values)
    assert "carry less: the rank correlation over 4 units is \u22121.00" in turned.sentence
    same = relevance(folds, dict.fromkeys("abcd", 0.5), values, values)
    assert same.by_frequency == ()
    assert "rank correlation" not in same.sentence

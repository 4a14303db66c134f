"""Verdicts: what each kind of evidence proves, what it leaves open, and in which words."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_diffeo_probe.bijectivity import State, Verdict, network_verdicts, unit_verdicts
from resnet_diffeo_probe.bijectivity.continuity import Continuity
from resnet_diffeo_probe.bijectivity.verdict import violating_share_upper
from resnet_diffeo_probe.finding import Evidence, Finding, Status

CONTINUOUS = Continuity(("add", "relu"))


def sign(kind, *, dtype="float64"):
    """A finding of one of the kinds that the measures give."""
    if kind in ("+", "-"):
        return Finding(1 if kind == "+" else -1, dtype=dtype)
    if kind == "0":
        return Finding(0, status=Status.SINGULAR, dtype=dtype, reason="a pivot is exactly zero")
    if kind == "?":
        return Finding.missing(Status.UNDETERMINED, "within rounding", Evidence.EXACT)
    if kind == "k":  # a one-sided sign at a kink carries a value and decides nothing
        return Finding(-1, status=Status.ON_KINK, dtype=dtype, reason="on a kink")
    return Finding.missing({"n": Status.NOT_RUN, "e": Status.ERROR}[kind], "the factors need 9.0 GiB")


def rows_of(kinds, **more):
    """Input name -> row, with further quantities given as one finding per input."""
    rows = {}
    for index, kind in enumerate(kinds):
        rows[f"input[{index}]"] = {"sign": sign(kind)} | {name: found[index] for name, found in more.items()}
    return rows


def judge(rows, *, activation=None, not_applicable=None, not_run=None, nonnegative=()):
    return unit_verdicts(
        "layer1.0",
        activation=activation,
        not_applicable=not_applicable,
        not_run=not_run,
        rows=rows,
        nonnegative=dict.fromkeys(nonnegative, True),
        continuity=CONTINUOUS,
    )


def depths(*values, dtype="float64"):
    return [Finding(value, dtype=dtype) for value in values]


@pytest.mark.parametrize(
    ("kinds", "state", "counts"),
    [
        ("+-", State.NOT_INJECTIVE_PROVEN, (1, 1, 0, 0, 0)),
        ("++-?0kne", State.NOT_INJECTIVE_PROVEN, (2, 1, 1, 2, 2)),
        ("+++", State.NO_VIOLATION_FOUND, (3, 0, 0, 0, 0)),
        ("---", State.NO_VIOLATION_FOUND, (0, 3, 0, 0, 0)),
        ("+?", State.NO_VIOLATION_FOUND, (1, 0, 0, 1, 0)),
        ("+k", State.NO_VIOLATION_FOUND, (1, 0, 0, 1, 0)),  # the kink's sign is −1 and must not count
        ("+0", State.NO_VIOLATION_FOUND, (1, 0, 1, 0, 0)),
        ("+e", State.NO_VIOLATION_FOUND, (1, 0, 0, 0, 1)),
        ("0", State.UNDETERMINED, (0, 0, 1, 0, 0)),
        ("?k", State.UNDETERMINED, (0, 0, 0, 2, 0)),
        ("?n", State.UNDETERMINED, (0, 0, 0, 1, 1)),
        ("nn", State.NOT_RUN, (0, 0, 0, 0, 2)),
        ("e", State.NOT_RUN, (0, 0, 0, 0, 1)),
        ("", State.NOT_RUN, (0, 0, 0, 0, 0)),
    ],
)
def test_state_and_counts_of_the_sum_map(kinds, state, counts):
    verdict, _ = judge(rows_of(kinds))
    assert verdict.state is state
    assert verdict.counts == dict(
        zip(("positive", "negative", "zero", "undetermined", "not_run"), counts, strict=True)
    )
    assert (verdict.violating_share_upper_95 is not None) == (state is State.NO_VIOLATION_FOUND)


def test_a_reflection_is_never_called_non_injective():
    verdict, whole = judge(rows_of("-" * 500))
    assert verdict.state is whole.state is State.NO_VIOLATION_FOUND
    assert "reflection" in verdict.sentence
    positive, _ = judge(rows_of("+" * 500))
    assert "reflection" not in positive.sentence


def test_opposite_signs_name_the_pair_that_proves_it():
    margins = [Finding(value, Evidence.ESTIMATED) for value in (0.5, 1e-9, 0.25, 1e-3)]
    verdict, _ = judge(rows_of("++--", sign_margin=margins))
    assert verdict.evidence["inputs"] == ["input[1]", "input[3]"]
    assert verdict.evidence["signs"] == [1, -1]
    assert verdict.evidence["sign_margins"] == [1e-9, 1e-3]
    assert "5.0e-01" in verdict.arithmetic  # the worst margin of those that count
    assert "positive at 2 inputs and negative at 2" in verdict.sentence


def test_a_margin_of_exactly_zero_is_the_surest():
    margins = [Finding(0.5), Finding(0.0), Finding(0.25)]
    verdict, _ = judge(rows_of("++-", sign_margin=margins))
    assert verdict.evidence["inputs"] == ["input[1]", "input[2]"]


def test_the_orthant_is_claimed_only_for_a_pair_inside_it():
    rows = rows_of("+-")
    assert "orthant" in judge(rows, nonnegative=rows)[0].domain
    assert "orthant" not in judge(rows, nonnegative=["input[0]"])[0].domain
    assert "connected open set" in judge(rows)[0].domain


def test_a_pair_inside_the_orthant_is_preferred_to_a_surer_one_outside():
    margins = [Finding(1e-12), Finding(1e-2), Finding(1e-12), Finding(1e-2)]
    verdict, _ = judge(rows_of("++--", sign_margin=margins), nonnegative=["input[1]", "input[3]"])
    assert verdict.evidence["inputs"] == ["input[1]", "input[3]"]
    assert "orthant" in verdict.domain


def test_bound_of_64_inputs_without_a_violation():
    assert 0.0456 < violating_share_upper(64) < 0.046
    verdict, _ = judge(rows_of("+" * 64))
    assert verdict.violating_share_upper_95 == violating_share_upper(64)
    assert "below 4.6%" in verdict.sentence


@given(st.integers(1, 2000))
def test_the_bound_is_where_an_unseen_share_has_five_percent_probability(n):
    assert (1 - violating_share_upper(n)) ** n == pytest.approx(0.05)


def test_only_certain_signs_count_for_the_bound():
    verdict, _ = judge(rows_of("++??00kk"))
    assert verdict.violating_share_upper_95 == violating_share_upper(2)
    assert "At 6 more inputs" in verdict.sentence


def test_inputs_without_a_computed_sign_are_mentioned():
    for kinds in ("++e", "+-e", "?e"):
        assert "At 1 more input it was not computed" in judge(rows_of(kinds))[0].sentence


def test_one_input_is_spoken_of_in_the_singular():
    verdict, _ = judge(rows_of("+"))
    assert "the one input" in verdict.sentence
    assert (
        "1 inputs"
        not in verdict.sentence + judge(rows_of("+-?"))[0].sentence + judge(rows_of("?"))[0].sentence
    )


def test_not_applicable_and_not_run_say_why():
    for verdict in judge({}, not_applicable="The unit maps 2 to 3."):
        assert verdict.state is State.NOT_APPLICABLE
        assert verdict.sentence == "The unit maps 2 to 3."
    for verdict in judge({}, not_run="the branch multiplies", activation="relu"):
        assert verdict.state is State.NOT_RUN
        assert "the branch multiplies" in verdict.sentence
    assert "9.0 GiB" in judge(rows_of("nn"))[0].sentence


class TestWholeUnit:
    """The map after the activation that follows the addition."""

    def test_a_clipped_coordinate_proves_it(self):
        rows = rows_of("+++", clipped_depth=depths(0, 0.25, 0.5), clipped_fraction=depths(0, 0.125, 0.375))
        total, whole = judge(rows, activation="relu")
        assert total.state is State.NO_VIOLATION_FOUND
        assert whole.state is State.NOT_INJECTIVE_PROVEN
        assert whole.evidence["inputs"] == ["input[2]"]
        assert whole.evidence["clipped_depth"] == 0.5
        assert "at 2 of 3 inputs (12.5 % to 37.5 % of the coordinates)" in whole.sentence

    def test_it_holds_where_the_sum_map_was_not_decided(self):
        rows = rows_of("en", clipped_depth=depths(0.25, 0.25))
        total, whole = judge(rows, activation="relu")
        assert total.state is State.NOT_RUN
        assert whole.state is State.NOT_INJECTIVE_PROVEN

    def test_without_clipped_fractions_the_proof_stands(self):
        _, whole = judge(rows_of("++", clipped_depth=depths(0.25, 0.5)), activation="relu")
        assert whole.state is State.NOT_INJECTIVE_PROVEN
        assert "at 2 of 2 inputs:" in whole.sentence

    def test_a_depth_within_rounding_proves_nothing(self):
        assert (
            judge(rows_of("+", clipped_depth=depths(1e-12)), activation="relu")[1].state is State.UNDETERMINED
        )
        coarse = rows_of("+", clipped_depth=depths(1e-5, dtype="float32"))
        assert judge(coarse, activation="relu")[1].state is State.UNDETERMINED
        deep = judge(rows_of("+", clipped_depth=depths(0.25, dtype="float32")), activation="relu")[1]
        assert deep.state is State.NOT_INJECTIVE_PROVEN
        assert "float32" in deep.arithmetic

    def test_the_orthant_is_claimed_only_where_the_inputs_lie_in_it(self):
        rows = rows_of("++", clipped_depth=depths(0.25, 0.5))
        assert "orthant" in judge(rows, activation="relu", nonnegative=rows)[1].domain
        mixed = judge(rows, activation="relu", nonnegative=["input[0]"])[1]
        assert "orthant" not in mixed.domain
        assert mixed.evidence["inputs"] == ["input[0]"]  # the one inside is shown, though less deep

    def test_unclipped_is_told_from_unmeasured(self):
        seen = judge(rows_of("++", clipped_depth=depths(0, 0)), activation="relu")[1]
        assert seen.state is State.UNDETERMINED
        assert "No clipped coordinate was seen" in seen.sentence
        unmeasured = judge(rows_of("++"), activation="relu")[1]
        assert unmeasured.state is State.UNDETERMINED
        assert "not measured" in unmeasured.sentence

    def test_a_fold_of_the_sum_map_is_one_of_the_whole_unit_whatever_the_activation(self):
        for activation in (None, "relu", "tanh", "gelu", "an_activation_of_my_own"):
            total, whole = judge(rows_of("+-", clipped_depth=depths(0, 0)), activation=activation)
            assert whole.state is State.NOT_INJECTIVE_PROVEN
            assert whole.evidence == total.evidence

    @pytest.mark.parametrize("activation", [None, "tanh", "leaky_relu", "softplus"])
    @pytest.mark.parametrize("kinds", ["++", "--", "?", "nn", "+-"])
    def test_no_activation_or_an_injective_one_changes_nothing(self, activation, kinds):
        total, whole = judge(rows_of(kinds), activation=activation)
        assert whole.state is total.state
        assert whole.violating_share_upper_95 == total.violating_share_upper_95
        assert whole.counts == total.counts

    @pytest.mark.parametrize("activation", ["gelu", "silu", "mish", "leaky_relu(0.0)"])
    def test_other_activations_are_left_open_in_words_of_their_own(self, activation):
        whole = judge(rows_of("++"), activation=activation)[1]
        assert whole.state is State.UNDETERMINED
        assert activation in whole.sentence
        assert "clipped" not in whole.sentence


@given(st.text(alphabet="+-0?kne", max_size=12), st.randoms(use_true_random=False))
def test_same_evidence_same_verdict_in_any_order(kinds, shuffler: random.Random):
    """Also where margins are equal: a tie goes to the name that sorts first."""
    generator = random.Random(kinds)  # noqa: S311 - no secret
    margins = [Finding(generator.choice([0.0, 1e-6, 1e-3])) for _ in kinds]
    clipped = depths(*(generator.choice([0.0, 0.25]) for _ in kinds))
    rows = rows_of(kinds, sign_margin=margins, clipped_depth=clipped)
    inside = [name for name in rows if generator.random() < 0.5]
    mixed = list(rows.items())
    shuffler.shuffle(mixed)
    first, again = (judge(r, activation="relu", nonnegative=inside) for r in (rows, dict(mixed)))
    if "not_run" not in first[0].state:  # the reason quoted is the first input's
        assert [v.to_json() for v in first] == [v.to_json() for v in again]


def verdicts(*states, which="sum"):
    return [Verdict(f"u{i}", which, state, "") for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "summary"),
    [
        ((State.CERTIFIED_INJECTIVE, State.NOT_INJECTIVE_PROVEN), State.NOT_INJECTIVE_PROVEN),
        ((State.CERTIFIED_INJECTIVE, State.NO_VIOLATION_FOUND), State.NO_VIOLATION_FOUND),
        ((State.NO_VIOLATION_FOUND, State.UNDETERMINED), State.UNDETERMINED),
        ((State.UNDETERMINED, State.NOT_RUN), State.NOT_RUN),
        ((State.CERTIFIED_INJECTIVE, State.NOT_APPLICABLE), State.CERTIFIED_INJECTIVE),
        ((State.NOT_APPLICABLE, State.NOT_APPLICABLE), State.NOT_APPLICABLE),
    ],
)
def test_the_networks_verdict_is_the_worst_of_its_units(states, summary):
    for order in (states, states[::-1]):
        whole_network, _ = network_verdicts(verdicts(*order))
        assert whole_network.state is summary
        assert whole_network.unit is None


def test_the_network_counts_each_map_by_itself():
    both = verdicts(State.NO_VIOLATION_FOUND, State.NO_VIOLATION_FOUND, State.NOT_APPLICABLE)
    both += verdicts(State.NOT_INJECTIVE_PROVEN, State.NOT_RUN, State.NOT_APPLICABLE, which="unit")
    of_sums, of_units = network_verdicts(both)
    assert of_sums.sentence == (
        "2 units that keep the dimension, sum map x + F(x): 2 without a violation found. "
        "1 more is no candidate for a bijection."
    )
    assert of_units.state is State.NOT_INJECTIVE_PROVEN
    assert "1 proven not injective, 1 not run" in of_units.sentence

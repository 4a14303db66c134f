"""The gate: which rules a stored analysis breaks, and the exit code."""

import pytest

from resnet_diffeo_probe.analysis.comparing.gate import GATES, exit_code, is_complete, tripped
from resnet_diffeo_probe.analysis.comparing.thresholds import LIMITS, Threshold
from resnet_diffeo_probe.analysis.result.left_out import LEFT_OUT


def unit(name, index, status="complete", reason=None, dimension=10):
    return {"name": name, "index": index, "status": status, "reason": reason, "dimension": dimension}


def verdict(name, state, which="sum"):
    return {"unit": name, "map": which, "state": state, "sentence": f"{name} is {state}."}


def row(name, quantity, value, image="a.png", status="ok", **more):
    return {"unit": name, "input": image, "quantity": quantity, "value": value, "status": status, **more}


def result(units, verdicts=(), rows=()):
    return {"units": list(units), "verdicts": list(verdicts), "measurements": list(rows)}


def limit(key, value, units=None, set_by="file"):
    return Threshold(LIMITS[key], value, units, "test", set_by)


def test_the_command_line_offers_these_gates():
    from diffeo_probe.options.options import GATES as OFFERED

    assert OFFERED == GATES


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ("certified_injective", (0, 0, 0, 0)),
        ("no_violation_found", (0, 0, 0, 1)),
        ("undetermined", (0, 0, 0, 1)),
        ("not_injective_proven", (0, 0, 1, 1)),
        ("not_applicable", (0, 0, 0, 0)),
    ],
)
def test_verdicts_of_sum_maps_trip_their_gates(state, codes):
    status = "not_applicable" if state == "not_applicable" else "complete"
    stored = result(
        [unit("u", 0, status)],
        [
            verdict("u", state),
            verdict("u", "not_injective_proven", "unit"),
            verdict(None, "not_injective_proven"),
        ],
    )
    assert tuple(exit_code(stored, gate) for gate in GATES) == codes


@pytest.mark.parametrize(
    ("status", "reason"), [("not_run", "out of memory"), ("partial", "interrupted"), ("not_run", None)]
)
def test_a_unit_that_was_not_run_is_partial_or_a_tripped_gate(status, reason):
    stored = result([unit("u", 0, status, reason)], [verdict("u", "not_run")])
    assert not is_complete(stored)
    assert [exit_code(stored, gate) for gate in GATES] == [4, 1, 1, 1]
    (first, *_) = tripped(stored, "error")
    assert (first.rule, first.unit, first.quantity, first.value) == ("error", "u", "status", status)


def test_steps_that_were_not_finished_are_partial_or_a_tripped_gate():
    stored = result([unit("u", 0)], [verdict("u", "certified_injective")]) | {
        "left_out": ["proofs", "pullback"]
    }
    assert not is_complete(stored)
    assert [exit_code(stored, gate) for gate in GATES] == [4, 1, 1, 1]
    (found,) = tripped(stored, "uncertified")
    assert (found.rule, found.unit, found.quantity) == ("error", None, "steps")
    assert found.reason == "not finished: proofs, pullback"
    assert is_complete(stored | {"left_out": []})


def test_a_unit_that_the_user_left_out_is_no_failure():
    stored = result([unit("u", 0, "not_run", LEFT_OUT)], [verdict("u", "not_run")])
    assert is_complete(stored)
    assert [exit_code(stored, gate) for gate in GATES] == [0, 0, 0, 0]


def test_rules_come_unit_by_unit_in_network_order():
    stored = result(
        [unit("b", 1), unit("a", 0, "not_run", "no memory")],
        [verdict("b", "not_injective_proven"), verdict("a", "not_run")],
    )
    assert [(rule.unit, rule.rule) for rule in tripped(stored, "violation")] == [
        ("a", "error"),
        ("b", "violation"),
    ]


class TestLimits:
    """Numbers held against limits, each with the value at the limit itself."""

    @staticmethod
    def broken(rows, *limits, dimension=10, gate="error"):
        stored = result([unit("u", 0, dimension=dimension)], rows=rows)
        return tripped(stored, gate, limits)

    @pytest.mark.parametrize(
        ("key", "quantity", "at", "beyond"),
        [
            ("max_residual_ratio", "residual_ratio", 2.0, 2.0000001),
            ("min_sigma_min", "sigma_min", 2.0, 1.9999999),
        ],
    )
    def test_a_value_at_the_limit_is_within_it(self, key, quantity, at, beyond):
        assert self.broken([row("u", quantity, at)], limit(key, 2.0)) == []
        (found,) = self.broken(
            [row("u", quantity, at, "a"), row("u", quantity, beyond, "b")], limit(key, 2.0)
        )
        assert (found.rule, found.unit, found.quantity) == (key, "u", quantity)
        assert (found.value, found.threshold, found.input) == (beyond, 2.0, "b")
        assert "1 of 2 inputs" in found.reason

    def test_the_worst_input_is_named(self):
        rows = [
            row("u", "critical_step", value, name) for value, name in ((0.9, "a"), (0.2, "b"), (0.5, "c"))
        ]
        (found,) = self.broken(rows, limit("min_critical_step", 1.0))
        assert (found.value, found.input) == (0.2, "b")
        assert "3 of 3" in found.reason

    def test_only_the_limits_of_a_file_count_and_never_means_never(self):
        rows = [row("u", "residual_ratio", 3.0)]
        assert self.broken(rows, limit("max_residual_ratio", 1.0, set_by="default")) == []
        assert self.broken(rows, limit("max_residual_ratio", 1.0), gate="never") == []
        assert len(self.broken(rows, limit("max_residual_ratio", 1.0), gate="uncertified")) == 1

    def test_a_limit_taken_away_for_a_unit_is_none(self):
        rows = [row("u", "residual_ratio", 3.0)]
        limits = (limit("max_residual_ratio", 1.0), limit("max_residual_ratio", None, "u"))
        assert self.broken(rows, *limits) == []

    def test_infinite_and_singular_are_on_one_side_of_every_limit(self):
        infinite = row("u", "critical_step", None, status="infinite")
        assert self.broken([infinite], limit("min_critical_step", 1.0)) == []
        singular = row("u", "logabsdet", None, status="singular")
        (found,) = self.broken([singular], limit("min_logabsdet_per_dimension", -5.0))
        assert found.value == float("-inf")
        assert found.to_json()["value"] == "-inf"

    def test_per_dimension_divides(self):
        rows = [row("u", "logabsdet", -30.0)]
        assert self.broken(rows, limit("min_logabsdet_per_dimension", -3.0), dimension=10) == []
        (found,) = self.broken(rows, limit("min_logabsdet_per_dimension", -3.0), dimension=5)
        assert found.value == -6.0

    def test_what_was_not_measured_is_not_within_a_limit(self):
        (found,) = self.broken([], limit("min_sigma_min", 0.1))
        assert found.value is None
        assert "not measured" in found.reason
        rows = [
            row("u", "sigma_min", 1.0, "a"),
            row("u", "sigma_min", None, "b", "not_converged", reason="too slow"),
        ]
        (found,) = self.broken(rows, limit("min_sigma_min", 0.1))
        assert (found.value, found.input) == (None, "b")
        assert "too slow" in found.reason
        # a quantity that does not exist at an input is no unknown one
        none = row("u", "leftmost_real_eigenvalue", None, "a", "not_applicable")
        assert self.broken([none], limit("min_leftmost_real_eigenvalue", -1.0)) == []

    def test_a_unit_that_was_not_run_is_not_held_against_limits(self):
        stored = result([unit("u", 0, "not_applicable"), unit("v", 1, "not_run", LEFT_OUT)])
        assert tripped(stored, "error", [limit("min_sigma_min", 0.1)]) == []

    def test_shares_of_signs(self):
        statuses = ((1, "ok"), (-1, "ok"), (-1, "on_kink"), (None, "undetermined"), (None, "not_run"))
        rows = [row("u", "sign", value, str(i), status) for i, (value, status) in enumerate(statuses)]
        assert (
            self.broken(rows, limit("max_negative_share", 0.25), limit("max_undetermined_share", 0.5)) == []
        )
        negative, undetermined = self.broken(
            rows, limit("max_negative_share", 0.24), limit("max_undetermined_share", 0.49)
        )
        assert (negative.value, undetermined.value) == (0.25, 0.5)
        assert "1 of 4" in negative.reason
        (nothing,) = self.broken([], limit("max_negative_share", 0.0))
        assert nothing.value is None

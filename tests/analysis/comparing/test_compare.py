"""Comparing two analyses: what forbids it, what is told, and what counts as a move."""

import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from resnet_diffeo_probe.analysis.comparing.compare import compare
from resnet_diffeo_probe.analysis.comparing.conditions import ComparisonError
from resnet_diffeo_probe.analysis.comparing.rows import holm, moved, sign_test
from tests.report import sample


@pytest.fixture(scope="module")
def typical():
    return sample.make_result()


@pytest.fixture
def pair(typical):
    """The same analysis twice, free to be changed."""
    return copy.deepcopy(typical), copy.deepcopy(typical)


def row(value, status="ok", evidence="exact", **more):
    return {"value": value, "status": status, "evidence": evidence, "dtype": "float64", **more}


def rows(*each):
    return {f"{place}.png": one for place, one in enumerate(each)}


class TestTests:
    """The sign test and its correction, against scipy and against the definition."""

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_the_sign_test_is_the_binomial_test(self, up, down):
        if up + down == 0:
            assert sign_test(up, down) is None
        else:
            assert sign_test(up, down) == pytest.approx(binomtest(up, up + down).pvalue, rel=1e-9)

    def test_many_inputs_do_not_overflow(self):
        assert 0 <= sign_test(5000, 0) < 1e-300
        assert sign_test(4000, 4000) == 1.0

    @given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
    def test_holm_is_its_definition(self, p_values):
        found = holm(p_values)
        known = [p for p in p_values if p is not None]
        for p, adjusted in zip(p_values, found, strict=True):
            if p is None:
                assert adjusted is None
                continue
            # rejected at level a where every smaller one is rejected at a / (number not yet rejected)
            ordered = sorted(known)
            steps = [min(1.0, (len(ordered) - i) * q) for i, q in enumerate(ordered) if q <= p]
            assert adjusted == pytest.approx(max(steps[: ordered.index(p) + 1]))

    def test_holm_on_a_textbook_example(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


class TestMoves:
    """Beyond the error: intervals that do not overlap."""

    def test_errors_of_both_sides_count(self):
        a = rows(row(1.0, error=0.1), row(1.0, error=0.1), row(1.0, error=0.1))
        b = rows(row(1.19, error=0.1), row(1.21, error=0.1), row(0.5, error=0.1))
        found = moved(a, b)
        assert (found.pairs, found.judged, found.beyond) == (3, 3, 2)
        assert (found.increased, found.decreased) == (1, 1)
        assert found.median_difference == pytest.approx(0.19)

    def test_an_interval_goes_before_an_error(self):
        a, b = rows(row(1.0, interval=[0.0, 2.0], error=0.0)), rows(row(1.9))
        assert moved(a, b).beyond == 0
        assert moved(a, rows(row(2.1))).beyond == 1

    @pytest.mark.parametrize(("dtype", "digits"), [("float64", 2.0**-26), ("float32", 2.0**-11.5)])
    def test_a_direct_number_is_known_to_half_its_digits(self, dtype, digits):
        a = rows(row(1000.0, dtype=dtype))
        near, far = 1000 * (1 + 1.9 * digits), 1000 * (1 + 2.1 * digits)
        assert moved(a, rows(row(near, dtype=dtype))).beyond == 0
        assert moved(a, rows(row(far, dtype=dtype))).beyond == 1

    def test_an_estimate_without_error_is_not_judged_but_counted(self):
        a, b = rows(row(1, evidence="estimated"), row(2, evidence="estimated")), rows(row(2), row(2))
        found = moved(a, b)
        assert (found.beyond, found.judged) == (None, 0)
        assert (found.increased, found.decreased) == (1, 0)

    def test_infinite_against_finite_is_a_move_and_infinite_against_infinite_is_none(self):
        infinite = row(None, "infinite", "estimated")
        found = moved(rows(infinite, infinite), rows(row(1.0), infinite))
        assert (found.pairs, found.beyond, found.decreased) == (2, 1, 1)
        assert found.median_difference == -math.inf
        singular = row(None, "singular")
        found = moved(rows(singular, infinite), rows(row(1.0), row(1.0)))
        assert found.beyond == 2
        assert found.median_difference is None  # of +∞ and −∞

    def test_what_one_of_them_has_no_number_for_is_not_paired(self):
        a = rows(row(1.0), row(None, "not_converged", "failed"), row(3.0))
        b = {"0.png": row(1.0), "1.png": row(2.0), "other.png": row(9.0)}
        found = moved(a, b)
        assert (found.pairs, found.unpaired, found.median_a) == (1, 1, 1.0)
        assert moved(rows(row(None, "error", "failed")), rows(row(1.0))) is None


def test_the_same_analysis_twice_has_not_moved(pair):
    a, b = pair
    found = compare(a, b)
    assert not any(verdict["changed"] for verdict in found["verdicts"])
    assert not any(entry["beyond"] for entry in found["measures"])
    assert all(entry["p"] is None for entry in found["measures"])
    assert not any(unit["flipped"] for unit in found["sign_flips"])
    assert found["tests"] == 0
    assert [c["subject"] for c in found["conditions"]] == ["model"]
    json.dumps(found, allow_nan=False)


def test_a_shift_in_one_quantity_of_one_unit_is_found_there_alone(pair):
    a, b = pair
    unit = next(u["name"] for u in b["units"] if u["status"] == "complete")
    for each in b["measurements"]:
        if each["unit"] == unit and each["quantity"] == "residual_ratio" and each["value"] is not None:
            each["value"] += 0.5
    found = compare(a, b)
    (entry,) = [each for each in found["measures"] if each["beyond"]]
    assert (entry["unit"], entry["quantity"]) == (unit, "residual_ratio")
    assert entry["median_difference"] == pytest.approx(0.5)
    assert entry["beyond"] == entry["judged"] == entry["increased"] == entry["inputs"] == 8
    assert entry["p"] == entry["p_holm"] == pytest.approx(2 / 2**8)
    assert found["tests"] == 1


def test_flips_name_their_inputs_and_only_certain_signs_count(pair):
    a, b = pair
    signs = [
        r
        for r in b["measurements"]
        if r["quantity"] == "sign" and r["value"] is not None and r["status"] == "ok"
    ]
    flipped, unsure = signs[0], next(r for r in signs if r["unit"] == signs[0]["unit"] and r is not signs[0])
    flipped["value"] *= -1
    unsure.update(value=None, status="undetermined")
    found = {unit["unit"]: unit for unit in compare(a, b)["sign_flips"]}[flipped["unit"]]
    assert found["flipped"] == [{"input": flipped["input"], "a": -flipped["value"], "b": flipped["value"]}]
    assert found["not_certain"] == 1


def test_changed_verdicts_and_units_of_one_side(pair):
    a, b = pair
    b["verdicts"][0]["state"] = "undetermined"
    removed = b["units"].pop()
    b["measurements"] = [r for r in b["measurements"] if r["unit"] != removed["name"]]
    b["verdicts"] = [v for v in b["verdicts"] if v["unit"] != removed["name"]]
    found = compare(a, b)
    changed = [v for v in found["verdicts"] if v["changed"]]
    assert [(v["unit"], v["b"]) for v in changed] == [(b["verdicts"][0]["unit"], "undetermined")]
    assert found["units"]["only_a"] == [removed["name"]]
    assert found["units"]["only_b"] == []


def test_a_unit_of_another_shape_or_activation_is_not_paired(pair):
    a, b = pair
    unit = next(u for u in b["units"] if u["status"] == "complete")
    unit["activation"] = "gelu"
    found = compare(a, b)
    (entry,) = found["units"]["other_map"]
    assert entry["unit"] == unit["name"]
    assert "gelu in B" in entry["what"]
    assert unit["name"] not in {each["unit"] for each in found["measures"]}


def test_only_shared_inputs_are_paired(pair):
    a, b = pair
    gone = b["inputs"]["names"].pop()
    b["inputs"]["labels"].pop()
    b["measurements"] = [r for r in b["measurements"] if r["input"] != gone]
    found = compare(a, b)
    assert found["inputs"] == {"shared": 7, "only_a": [gone], "only_b": []}
    assert "inputs" in [c["subject"] for c in found["conditions"]]
    assert max(each["inputs"] for each in found["measures"]) == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["inputs"].update(kind="tensor"), "kind of inputs images in A, tensor in B"),
        (lambda r: r["inputs"].update(shape=[3, 32, 32]), "shape of an input"),
        (lambda r: r["inputs"]["preprocessing"].update(mean=[0.1, 0.2, 0.3]), "mean"),
        (lambda r: r["inputs"]["preprocessing"].update(std=None), "standard deviation"),
        (lambda r: r["inputs"]["preprocessing"].update(size=256), "size"),
    ],
)
def test_other_inputs_forbid(pair, change, said):
    a, b = pair
    change(b)
    with pytest.raises(ComparisonError) as problem:
        compare(a, b)
    assert problem.value.code == "compare-other-inputs"
    assert said in problem.value.what
    assert problem.value.exit_code == 3


def test_one_number_for_a_square_size_and_a_preset_by_another_name_are_the_same(pair):
    a, b = pair
    a["inputs"]["preprocessing"].update(size=[224, 224], preset="imagenet")
    b["inputs"]["preprocessing"].update(size=224, preset=None)
    compare(a, b)


def test_synthetic_inputs_of_another_seed_forbid(pair):
    a, b = pair
    for result, seed in ((a, 0), (b, 1)):
        result["inputs"].update(kind="synthetic", seed=seed)
    with pytest.raises(ComparisonError, match="seed of the synthetic inputs 0 in A, 1 in B"):
        compare(a, b)


@pytest.mark.parametrize("part", ["unit", "input", "quantity"])
def test_nothing_shared_forbids(pair, part):
    a, b = pair
    if part == "unit":
        b["units"], b["verdicts"] = [{**u, "name": f"x{u['name']}"} for u in b["units"]], []
    elif part == "input":
        b["inputs"]["names"] = [f"x{name}" for name in b["inputs"]["names"]]
    else:
        b["measurements"] = []
    with pytest.raises(ComparisonError) as problem:
        compare(a, b)
    assert problem.value.code == "compare-nothing-shared"
    assert f"no {part} in common" in problem.value.what


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda r: r["tool"].update(dtype="float32"), "arithmetic"),
        (lambda r: r["tool"].update(version="0.0.1"), "version of diffeo-probe"),
        (lambda r: r["tool"].update(device="cuda:0"), "device"),
        (lambda r: r["tool"].update(seed=3), "seed"),
        (lambda r: r["tool"]["configuration"].update(budget="quick"), "budget"),
        (lambda r: r["tool"]["environment"].update(torch="2.1"), "PyTorch"),
        (lambda r: r["model"].update(architecture="another"), "architecture"),
        (lambda r: r["inputs"].update(source="elsewhere/"), "source of the inputs"),
    ],
)
def test_what_differs_is_told(pair, change, subject):
    a, b = pair
    b["model"]["sha256"] = "1" * 64
    change(b)
    assert [c["subject"] for c in compare(a, b)["conditions"]] == [subject]

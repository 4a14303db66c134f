"""Numbers at the ends of what floats can hold are drawn without an overflow: a report of a network that diverged."""

import copy
import itertools
import math
from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.notebook import Study
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.figures.drawable import (
    LARGEST,
    SMALLEST,
    clamped,
    is_above,
    is_below,
    is_drawable,
)

LEAST, GREATEST = 5e-324, 1.7976931348623157e308
# of what is stored of these, a number may be negative
SIGNED = {"logabsdet", "leftmost_real_eigenvalue", "rectangular_half_logdet", "logabsdet_power_series"}


@pytest.fixture(scope="module")
def full():
    return read_result(Path(__file__).parents[2] / "reports" / "full" / "result.json")


@pytest.fixture(scope="module")
def pictures(full):
    """How many pictures the page has with its own numbers."""
    return render_html(full).count("<svg")


def with_numbers(result, numbers):
    """Return the result with all numbers that a picture shows replaced by these in turn."""
    found, turn = copy.deepcopy(result), itertools.cycle(numbers)
    for row in found["measurements"]:
        if isinstance(row["value"], float) and row["quantity"] != "clipped_fraction":
            value = next(turn)
            row["value"] = value if row["quantity"] in SIGNED else abs(value)
            row.pop("error", None)
            row.pop("interval", None)
    for entry in found["certificates"]:
        for key in ("lipschitz_lower", "lipschitz_upper", "radius"):
            if entry.get(key):
                entry[key] = abs(next(turn))
    for unit in found["attribution"]["units"]:
        for key in ("share", "branch", "logit_drop"):
            least, median, greatest = sorted(next(turn) for _ in range(3))
            unit[key] = {"least": least, "median": median, "greatest": greatest, "count": 3}
    for place in found["references"]:
        place["summaries"] = {key: abs(next(turn)) for key in place["summaries"]}
    for depth in found["pullback"]["depths"]:
        for key in ("sigma_min", "sigma_max"):
            depth[key] = {"value": abs(next(turn)), "evidence": "exact", "status": "ok", "dtype": "float64"}
    return found


@pytest.mark.parametrize(
    "numbers",
    [(GREATEST,), (-GREATEST, GREATEST), (LEAST, GREATEST), (GREATEST, 1.0), (0.0, 1.7e308), (1e-300, 1e300)],
    ids=str,
)
def test_a_report_of_extreme_numbers_is_drawn(full, pictures, numbers):
    page = render_html(with_numbers(full, numbers))
    assert page.count("<svg") == pictures
    assert not {"nan", "NaN", "inf"} & {
        word for d in page.split(' d="')[1:] for word in d.split('"', 1)[0].split()
    }


@pytest.mark.parametrize(
    "numbers", [(GREATEST,), (-GREATEST, GREATEST), (LEAST, GREATEST), (0.0, 1.7e308)], ids=str
)
def test_a_notebook_of_extreme_numbers_is_drawn(full, numbers):
    study = Study(with_numbers(full, numbers))
    for figure in (study.depth("sigma_min", "critical_step", "logabsdet"), study.determinants()):
        assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "value", [0.0, -1.0, LEAST, SMALLEST, 1.0, LARGEST, GREATEST, -GREATEST, math.inf, -math.inf]
)
def test_every_number_is_at_its_place_or_at_one_edge(value, log):
    assert is_drawable(value, log=log) + is_above(value) + is_below(value, log=log) == 1
    assert abs(clamped(value)) <= LARGEST
    assert clamped(value) == value or abs(value) > LARGEST


def test_what_is_not_a_number_is_nowhere():
    assert not is_drawable(math.nan, log=False)
    assert not is_above(math.nan)
    assert not is_below(math.nan, log=True)

"""Limits: shown as they were used, with their origin; a unit beyond one is marked, by the right number of it."""

import math
import statistics

import pytest

from resnet_diffeo_probe.analysis.comparing.thresholds import default_thresholds, read_thresholds
from resnet_diffeo_probe.analysis.result.schema import validate
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.sections.limits import limits_of
from resnet_diffeo_probe.report.text.escaping import number
from resnet_diffeo_probe.report.text.quantities import DENSITY
from resnet_diffeo_probe.report.text.units import units_of

COLUMNS = (DENSITY, "sigma_min", "critical_step", "residual_ratio", "clipped_fraction")


def limited(result, tmp_path=None, text=None):
    thresholds = default_thresholds()
    if text is not None:
        path = tmp_path / "thresholds.toml"
        path.write_text(text, encoding="utf-8")
        thresholds = read_thresholds(path)
    result["thresholds"] = [threshold.to_json() for threshold in thresholds]
    validate(result)
    return result


def beyond(result, column):
    units = units_of(result)
    limits = limits_of(result, units, COLUMNS)
    return {
        unit.name: [icon for icon, _ in held.beyond]
        for unit in units
        if (held := limits.cell(unit, column)) is not None
    }


def values(result, unit, quantity):
    return [
        row["value"]
        for row in result["measurements"]
        if row["unit"] == unit and row["quantity"] == quantity and row["value"] is not None
    ]


@pytest.mark.parametrize(
    ("column", "worst", "is_beyond", "icon"),
    [
        ("residual_ratio", max, lambda value: value > 1, "▲"),
        ("critical_step", min, lambda value: value < 1, "▼"),
        ("clipped_fraction", max, lambda value: value > 0, "▲"),
    ],
)
def test_defaults_mark_the_units_whose_worst_input_is_beyond(make, column, worst, is_beyond, icon):
    result = limited(make(inputs=2))
    found = beyond(result, column)
    for unit, icons in found.items():
        assert icons == ([icon] if is_beyond(worst(values(result, unit, column), default=math.inf)) else [])
    assert any(found.values())
    if column != "clipped_fraction":
        assert not all(found.values())


def test_a_file_sets_limits_for_some_units_and_takes_others_away(make, tmp_path):
    states = ("not_injective_proven", "no_violation_found", "certified_injective", "undetermined")
    result = make(4, 6, states=states)
    first, *others = [unit["name"] for unit in result["units"]]
    limit = statistics.median(max(values(result, name, "residual_ratio")) for name in others)
    text = f'max_residual_ratio = {limit}\nmin_critical_step = false\n[units."{first}"]\nmax_residual_ratio = 100\n'
    limited(result, tmp_path, text)
    found = beyond(result, "residual_ratio")
    assert found[first] == []
    assert sum(map(bool, found.values())) == 1
    assert not any(beyond(result, "critical_step").values())


def test_volume_is_held_by_dimension_and_shares_of_signs_by_inputs(make, tmp_path):
    result = make(4, 6, states=("not_injective_proven", "no_violation_found"))
    dimension = result["units"][0]["dimension"]
    least = min(values(result, result["units"][0]["name"], "logabsdet")) / dimension
    text = f"min_logabsdet_per_dimension = {least + 1e-9}\nmax_negative_share = 0.3\n"
    limited(result, tmp_path, text)
    assert beyond(result, DENSITY)[result["units"][0]["name"]] == ["▼"]
    marked = beyond(result, "negative")
    assert [bool(marked[unit["name"]]) for unit in result["units"]] == [True, False, True, False]


def test_infinite_numbers_are_beyond_or_within(make):
    result = make(1, 3, states=("no_violation_found",))
    for row in result["measurements"]:
        if row["quantity"] == "critical_step":
            row.update(value=None, status="infinite")
    assert list(beyond(limited(result), "critical_step").values()) == [[]]


def test_the_page_shows_each_limit_with_its_origin_and_words_beside_the_mark(make, parse):
    result = limited(make())
    document = parse(render_html(result))
    for threshold in result["thresholds"]:
        assert f"{threshold['key']}" in document.text
        assert threshold["origin"].replace("σ_min", "σmin").replace("J_F", "JF") in document.text
    marked = [a for a in document.all("span") if (a.get("title") or "").startswith(("above", "below"))]
    expected = sum(len(icons) for column in COLUMNS for icons in beyond(result, column).values())
    assert len(marked) == expected
    assert {a["title"] for a in marked} <= {f"above the limit {n}" for n in ("1", "0", "0\u00a0%")} | {
        "below the limit 1"
    }


def test_a_result_that_was_made_without_limits_shows_none(make, parse):
    document = parse(render_html(make()))
    assert "limits" not in document.values("id")
    assert not [a for a in document.all("td") if "data-limits" in a]


def test_evil_patterns_stay_inert(make, parse, evil_names, tmp_path):
    result = limited(make(10, 2, unit_names=evil_names))
    for entry, name in zip(result["thresholds"], evil_names, strict=False):
        entry |= {"units": name, "origin": name, "set_by": "file"}
    document = parse(render_html(result))
    assert len(document.scripts) == 2
    assert evil_names[0] in document.text


def test_limits_that_a_reader_may_set_come_after_those_of_the_run(make):
    result = limited(make())
    units = units_of(result)
    limits = limits_of(result, units, COLUMNS)
    assert [limit.place for limit in limits.shown] == list(range(len(limits.shown)))
    used = len(result["thresholds"])
    assert all(limit.value is not None for limit in limits.shown[:used])
    assert {"min_sigma_min", "max_negative_share"} <= {limit.key for limit in limits.shown[used:]}
    assert number(limits.shown[0].value) == limits.shown[0].written

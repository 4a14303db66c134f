"""Pages do not grow with the inputs, and say what they leave out."""

import copy
import re

import pytest
from matplotlib.figure import Figure

from resnet_diffeo_probe.analysis.comparing.compare import compare
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.figures import panel as panel_module
from resnet_diffeo_probe.report.figures import svg
from resnet_diffeo_probe.report.figures.panel import Column, Panel, has_dashes
from resnet_diffeo_probe.report.sections.compare import comparison_html
from resnet_diffeo_probe.report.sections.depth import depth_charts
from resnet_diffeo_probe.report.text.units import units_of


@pytest.fixture
def flipped(make):
    """Two analyses of 150 inputs whose signs all differ, and of which one has 200 inputs more."""
    a, b = (make(units=1, inputs=n, states=("no_violation_found",)) for n in (350, 150))
    for result, sign in ((a, 1), (b, -1)):
        result["measurements"] = [row for row in result["measurements"] if row["quantity"] == "sign"]
        for row in result["measurements"]:
            row.update(value=sign, status="ok", evidence="exact")
    return compare(a, b)


def test_a_comparison_names_some_inputs_and_counts_the_others(flipped, parse):
    assert len(flipped["sign_flips"][0]["flipped"]) == 150
    page = parse(comparison_html(flipped))
    cell = page.tables["sign-table"][1]
    assert cell[1] == "150"
    assert cell[4].count("→") == 60
    assert cell[4].endswith("and 90 more, which the comparison's JSON names")
    only = flipped["inputs"]["only_a"]
    assert len(only) == 200
    assert f"{only[59]} and 140 more" in page.text
    assert only[60] not in page.text


def test_reasons_of_their_own_at_every_input_are_counted_beyond_the_frequent_ones(make, parse):
    result = make(units=1, inputs=100, states=("no_violation_found",))
    rows = [row for row in result["measurements"] if row["quantity"] == "sigma_min"]
    assert len(rows) == 100
    for place, row in enumerate(rows):
        # in letters: reasons that differ in numbers alone are one
        row["reason"] = f"reason {chr(ord('a') + max(place, 20) // 26)}{chr(ord('a') + max(place, 20) % 26)}."
    for row in result["measurements"]:
        if row["quantity"] != "sigma_min":
            row.pop("reason", None)
    page = parse(render_html(result))
    shown = re.findall(r"sigma min, (\d+) rows?: reason (\w+)\.", page.text)
    assert len(shown) == 40
    assert shown[0] == ("21", "au")  # the most frequent one stays
    assert "40 other reasons in 40 rows, which result.json has" in page.text


def test_files_that_were_no_inputs_are_named_and_beyond_a_hundred_counted(make, parse):
    result = make(units=1, inputs=2)
    result["inputs"]["skipped"] = [{"name": f"{n}.txt", "reason": "no image"} for n in range(250)]
    page = parse(render_html(result))
    assert page.text.count("skipped: ") == 100
    assert "150 files more, which result.json names" in page.text


@pytest.mark.slow
def test_a_page_of_many_inputs_is_hardly_larger_and_has_the_same_summary(make, parse):
    states = ("not_injective_proven",)
    few, many = (make(units=3, inputs=1800, states=states) for _ in range(2))
    names = [f"more {n}" for n in range(1800)]
    many["inputs"].update(names=few["inputs"]["names"] + names, count=3600)
    if few["inputs"]["labels"] is not None:
        many["inputs"]["labels"] = few["inputs"]["labels"] * 2
    new = dict(zip(few["inputs"]["names"], names, strict=True))
    many["measurements"] += [
        {**row, "input": new[row["input"]]}
        for row in copy.copy(few["measurements"])
        if row["input"] is not None
    ]
    for unit in many["units"]:
        unit.update(planned=2 * unit["planned"], done=2 * unit["done"])
    pages = [render_html(result) for result in (few, many)]
    # the names, and their labels, of what was analysed are part of the page
    assert len(pages[1]) - len(pages[0]) < 60 * 1800
    left = [
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) more in result.json", parse(pages[1]).text)
    ]
    assert left
    assert min(left) > 1800


def test_a_picture_of_too_many_inputs_for_a_dash_each_says_what_it_draws(make, parse):
    few, many = (make(units=2, inputs=n, states=("no_violation_found",)) for n in (100, 3100))
    pages = [parse(render_html(result)).text for result in (few, many)]
    assert "too many inputs for a dash each" not in pages[0]
    assert "too many inputs for a dash each" in pages[1]
    for result in (few, many):
        density = [
            chart for chart in depth_charts(units_of(result)) if chart.key == "logabsdet_per_dimension"
        ]
        assert len(density[0].svg) < 60_000


def test_a_bar_holds_most_of_the_inputs_of_each_sign():
    values = tuple(float(n) for n in range(-4000, 4000))
    signs = tuple(1 if n % 4 else -1 for n in range(8000))
    column = Column("unit", values, 0.0, signs)
    figure = Figure()
    axes = figure.add_subplot()
    assert not has_dashes([column])
    panel_module._draw_condensed(axes, Panel(by_sign=True), [column])
    drawn = {(line.get_color(), tuple(line.get_ydata())) for line in axes.lines}
    for colour, sign in ((svg.BLUE, 1), (svg.RED, -1)):
        own = [value for value, each in zip(values, signs, strict=True) if each == sign]
        assert (colour, (min(own), max(own))) in drawn
        low, high = next(ends for name, ends in drawn if name == colour and ends != (min(own), max(own)))
        inside = sum(low <= value <= high for value in own) / len(own)
        assert abs(inside - 0.9) < 0.01

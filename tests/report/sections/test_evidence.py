"""Proofs, references and refinements on the page: every number of the result, and nothing where there is none."""

import math
import re
import statistics

import numpy as np
import pytest

from resnet_diffeo_probe.references import CALIBRATION_NOTE
from resnet_diffeo_probe.references.catalogue import shipped_references, unit_distribution
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.figures.bands import bands_for
from resnet_diffeo_probe.report.text.escaping import number, percent

PARTS = ("witnesses", "certificates", "references", "refinement")
SECTIONS = ("proofs", "references", "refinement")
STATES = ("not_injective_proven", "no_violation_found", "certified_injective", "not_applicable")


def diverging(result):
    """Let the fixed point diverge at every second input, as it does where a branch does not contract."""
    rows = [row for row in result["measurements"] if row["quantity"] == "inverse_error_fixed_point"]
    lost = dict(next(row for row in rows if row["status"] == "not_converged"))
    found = dict(next(row for row in rows if row["status"] == "ok"))
    places = {name: place for place, name in enumerate(result["inputs"]["names"])}
    for row in rows:
        if row["status"] != "not_applicable":
            other = lost if places[row["input"]] % 2 else found
            about = {key: row[key] for key in ("unit", "input", "quantity")}
            row.clear()
            row.update(other | about)
    return result


@pytest.fixture(scope="module")
def page(make_full, parse):
    result = diverging(make_full(8, 6, states=STATES))
    return result, parse(render_html(result))


def sections(document):
    return [attrs["id"] for attrs in document.all("section") if attrs.get("id") in SECTIONS]


def test_the_sections_stand_in_their_order(page):
    _, document = page
    ids = [attrs["id"] for attrs in document.all("section") if "id" in attrs]
    assert ids == ["overview", "units", "proofs", "depth", "references", "refinement", "details", "criteria",
                   "methods", "provenance"]  # fmt: skip
    links = document.values("href")
    assert all(f"#{section}" in links for section in SECTIONS)


def test_a_result_without_the_parts_or_with_empty_ones_shows_none_of_them(make, parse):
    result = make(6, 4)
    plain = render_html(result)
    document = parse(plain)
    assert sections(document) == []
    assert "Spiral" not in plain
    assert not {"#proofs", "#references", "#refinement"} & set(document.values("href"))
    result.update({part: [] for part in PARTS})
    # the copy of the result in the page is all that differs
    emptied = re.sub(r',"(witnesses|references|refinement)":\[\]', "", render_html(result))
    assert emptied == plain


@pytest.mark.parametrize("part", PARTS)
def test_each_part_stands_alone(make_full, parse, part):
    result = make_full(3, 2, states=STATES)
    for other in PARTS:
        if other != part:
            del result[other]
    section = "proofs" if part in ("witnesses", "certificates") else part
    assert sections(parse(render_html(result))) == [section]


def test_pairs_equal_the_result(page):
    result, document = page
    table = document.tables["pairs-table"][1:]
    assert len(table) == len(result["witnesses"])
    stored = {(w["unit"], {"sum": "Sum map", "unit": "Whole unit"}[w["map"]]): w for w in result["witnesses"]}
    for cells in table:
        w = stored[cells[0], cells[1]]
        assert cells[2:] == [
            w["kind"],
            "yes" if w["is_proof"] else "no",
            number(w["distance"]),
            number(w["relative_distance"], 3),
            number(w["gap"], 2),
            "yes" if w["in_orthant"] else "no",
            number(w.get("fold_distance", w.get("input_distance")), 3),
            number(w.get("first_relative_distance"), 3),
            number(w.get("grown_relative_distance"), 3),
        ]
        assert all(text in document.text for text in (w["file"], w["domain"], *w["checked_by"]))
    assert "determinants computed" in document.text


def test_bounds_and_balls_equal_the_result(page):
    result, document = page
    bounds = {c["unit"]: c for c in result["certificates"] if c["scope"] == "global"}
    table = document.tables["bounds-table"][1:]
    assert [cells[0] for cells in table] == list(bounds)
    for name, upper, lower, slack, says, inverse in table:
        stored = bounds[name]
        assert (upper, lower) == (number(stored["lipschitz_upper"]), number(stored["lipschitz_lower"]))
        assert slack == f"×{number(stored['lipschitz_upper'] / stored['lipschitz_lower'], 3)}"
        assert says.startswith("below 1") == stored["holds"] == (stored["lipschitz_upper"] < 1)
        assert inverse == number(stored["inverse_lipschitz"])
    words = {"Euclidean": "l2", "largest coordinate": "linf"}
    for name, norm, inputs, radius, ratio in document.tables["balls-table"][1:]:
        here = [c for c in result["certificates"] if (c["unit"], c.get("norm")) == (name, words[norm])]
        # none where the ball is everything
        radii = [math.inf if c["radius"] is None else c["radius"] for c in here]
        assert inputs == f"{len(here)}/{len(here)}"
        assert radius == (
            f"{number(statistics.median(radii), 3)} [{number(min(radii), 2)}, {number(max(radii), 2)}]"
        )
        ratios = [
            r / c["classical_radius"] for r, c in zip(radii, here, strict=True) if c.get("classical_radius")
        ]
        assert ratio == (f"×{number(statistics.median(ratios), 3)}" if ratios else "—")
    layer_tables = [table for table in document.tables.values() if table[0][0] == "Layer"]
    assert len(layer_tables) == len(bounds)
    assert layer_tables[0][2] == ["relu", "1", "—", "known constant"]


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"radius": None}, "∞"),
        ({"radius": None, "holds": False}, "0"),
        ({"radius": 0, "holds": False, "classical_radius": 0.0}, "0"),
    ],
)
def test_a_ball_may_be_everything_or_nothing(make_full, parse, changed, shown):
    result = make_full(1, 1, states=("certified_injective",))
    balls = [c for c in result["certificates"] if c["scope"] == "local"]
    for ball in balls:
        del ball["classical_radius"]
        ball.update(changed)
    document = parse(render_html(result))
    assert [cells[3:] for cells in document.tables["balls-table"][1:]] == [[shown]] * 2


def test_certificates_with_nothing_but_what_is_required(make, parse):
    result = make(1, 1, states=("no_violation_found",))
    base = {"unit": result["units"][0]["name"], "holds": False}
    result["certificates"] = [
        {**base, "scope": "global", "input": None},
        {**base, "scope": "local", "input": result["inputs"]["names"][0]},
    ]
    document = parse(render_html(result))
    assert document.tables["bounds-table"][1][1:] == ["—", "—", "—", "no bound", "—"]
    assert document.tables["balls-table"][1][1:] == ["not stated", "0/1", "0"]


def test_every_proven_verdict_links_to_what_proves_it(page):
    result, document = page
    table = document.tables["unit-table"][1:]
    proofs = {(w["unit"], w["map"]) for w in result["witnesses"] if w["is_proof"]}
    holding = {c["unit"] for c in result["certificates"] if c["scope"] == "global" and c["holds"]}
    for unit, cells in zip(result["units"], table, strict=True):
        for which, cell in (("sum", cells[2]), ("unit", cells[3])):
            expected = (unit["name"], which) in proofs
            assert ("pair of" in cell) == expected, cell
            if "Not injective" in cell and not expected:
                assert "evidence of" in cell
        assert ("certificate of" in cells[2]) == (unit["name"] in holding)
    assert "What proves it, unit by unit" in document.text


def test_places_equal_the_result(page):
    result, document = page
    table = document.tables["places-table"]
    keys = list(result["references"][0]["summaries"])
    for stored, cells in zip(result["references"], table[1:], strict=True):
        nearest = stored["nearest"]
        assert cells[:2] == [stored["unit"], f"({nearest})"]
        assert cells[2:6] == [number(stored["distances"][letter], 3) for letter in "abcd"]
        assert cells[6:] == [
            f"{number(stored['summaries'][key], 3)} [{number(stored['percentiles'][nearest][key], 3)}\u00a0%]"
            for key in keys
        ]
    rows = document.tables["percentiles-table"][1:]
    assert len(rows) == 4 * len(result["references"])
    first = result["references"][0]
    assert rows[2][2:] == [number(first["percentiles"]["c"][key], 3) for key in keys]
    assert document.text.count(CALIBRATION_NOTE) == 2  # at the depth charts and at the references


def test_a_unit_without_a_nearest_network_is_a_row_of_dashes(make_full, parse):
    result = make_full(2, 2, states=STATES)
    result["references"][0] |= {"nearest": None, "percentiles": {}, "distances": {}, "summaries": {}}
    document = parse(render_html(result))
    assert set(document.tables["places-table"][1][1:]) == {"—"}


def test_a_quantity_that_the_references_do_not_know_is_a_column(make_full, parse):
    result = make_full(1, 2, states=STATES)
    result["references"][0]["summaries"]["curl_of_field"] = 0.125
    document = parse(render_html(result))
    assert document.tables["places-table"][0][-1] == "curl of field"
    assert document.tables["places-table"][1][-1] == "0.125"


def test_refinements_equal_the_result(page):
    result, document = page
    table = document.tables["refinement-table"]
    assert table[0][1:] == ["Euler, 2 steps", "Euler, 4 steps", "Euler, 8 steps", "RK4, 1 step"]
    kinds = [("euler", 2), ("euler", 4), ("euler", 8), ("rk4", 1)]
    stored = {(r["unit"], r["scheme"], r["steps"]): r for r in result["refinement"]}
    for cells in table[1:-4]:
        unit = None if cells[0] == "all units together" else cells[0]
        for kind, cell in zip(kinds, cells[1:], strict=True):
            row = stored[(unit, *kind)]
            assert cell == (
                f"{percent(row['agreement'])} Δz {number(row['logit_change'], 2)} right {percent(row['accuracy'])}"
            )
    assert len(table[1:-4]) == len({r["unit"] for r in result["refinement"]})
    shipped = shipped_references()["networks"]
    for letter, cells in zip("abcd", table[-4:], strict=True):
        assert cells[0].startswith(f"spiral ({letter})")
        for (scheme, steps), cell in zip(kinds, cells[1:], strict=True):
            (row,) = [
                r for r in shipped[letter]["refinement"] if r["scheme"] == scheme and r["steps"] == steps
            ]
            assert cell.startswith(
                f"{percent(statistics.median(row['agreement']))} least {percent(min(row['agreement']))}"
            )
    (chart,) = [label for label in document.values("aria-label") if label.startswith("Share of predictions")]
    assert f"Euler, 4 steps {percent(stored[None, 'euler', 4]['agreement'])}" in chart


def test_refinement_without_labels_without_logits_and_with_other_steps(make, parse):
    result = make(2, 1, states=("no_violation_found",))
    base = {"inputs": 1, "logit_change": None, "accuracy": None, "accuracy_before": None}
    result["refinement"] = [
        {"unit": None, "scheme": "euler", "steps": 16, "agreement": 0, **base},
        {"unit": result["units"][1]["name"], "scheme": "rk4", "steps": 3, "agreement": 1, **base},
    ]
    table = parse(render_html(result)).tables["refinement-table"]
    assert table[0][1:] == ["Euler, 16 steps", "RK4, 3 steps"]
    assert [cells[1:] for cells in table[1:]] == [["0\u00a0% Δz —", "—"], ["—", "100\u00a0% Δz —"]]


def test_without_all_units_together_there_is_no_chart(make_full):
    result = make_full(2, 2, states=STATES)
    result["refinement"] = [row for row in result["refinement"] if row["unit"] is not None]
    assert "Share of predictions that stay." not in render_html(result)


def test_bands_lie_where_the_references_do(page):
    _, document = page
    low, median, high = np.quantile(unit_distribution("d", "sigma_min"), (0.05, 0.5, 0.95))
    band = bands_for("sigma_min")[0]
    assert (band.network, band.low, band.median, band.high) == ("d", low, median, high)
    step = bands_for("critical_step")[1]
    assert step.low == 1 / np.quantile(unit_distribution("a", "inverse_critical_step"), 0.95)
    assert step.high == np.inf
    assert bands_for("clipped_fraction") == ()
    labels = [a for a in document.values("aria-label") if "Spiral networks, median [5 %, 95 %] of" in a]
    assert len(labels) == 6
    assert any(f"(d) {number(median)} [{number(low)}, {number(high)}]" in label for label in labels)


def test_inverse_errors_are_shown_and_lost_runs_are_marked(page):
    result, document = page
    assert "inv. error, exact" in document.tables["unit-table"][0]
    label = next(a for a in document.values("aria-label") if a.startswith("Inverse error of the fixed point"))
    assert label.count("not all converged") == len(result["references"])
    del result
    assert "Newton's method with the exact Jacobian" in document.text


@pytest.mark.parametrize("keep", ["inverse_error_euler", "inverse_error_fixed_point"])
def test_of_the_inverse_errors_the_most_telling_one_is_a_column(make_full, parse, keep):
    result = diverging(make_full(2, 4, states=("no_violation_found", "not_injective_proven")))
    result["measurements"] = [
        row
        for row in result["measurements"]
        if not row["quantity"].startswith("inverse_error") or row["quantity"] == keep
    ]
    table = parse(render_html(result)).tables["unit-table"]
    column = next(place for place, head in enumerate(table[0]) if head.startswith("inv. error"))
    assert ("2 not converged" in table[1][column]) == (keep == "inverse_error_fixed_point")


def test_runs_that_all_diverged_leave_a_row_that_says_so(make_full, parse):
    result = make_full(2, 3, states=("no_violation_found",))
    for row in result["measurements"]:
        if row["quantity"] == "inverse_error_exact":
            row |= {"value": None, "status": "not_converged", "evidence": "failed"}
    document = parse(render_html(result))
    column = document.tables["unit-table"][0].index("inv. error, exact")
    assert document.tables["unit-table"][1][column] == "— 3 not converged"
    label = next(a for a in document.values("aria-label") if a.startswith("Inverse error of the exact"))
    assert label.count("not converged") == 2


def test_fifty_units_with_evidence_stay_small(make_full, parse):
    html = render_html(make_full(50, 20, states=STATES[:3]))
    assert len(html.encode()) < 5_000_000
    assert max(map(len, re.findall(r"<svg.*?</svg>", html, re.DOTALL))) < 150 * 1024
    parse(html)

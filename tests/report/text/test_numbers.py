"""Every number on the page is a formatted number of the result."""

import math
import statistics

import pytest

from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.text.quantities import DENSITY, in_order, quantity

COLUMNS = (DENSITY, "sigma_min", "critical_step", "residual_ratio", "clipped_fraction")


@pytest.fixture(scope="module")
def page(make, parse):
    result = make(16, 8)
    return result, parse(render_html(result))


def rows_of(result, unit, key):
    return [row for row in result["measurements"] if row["unit"] == unit["name"] and row["quantity"] == key]


def extended(row, by=1):
    if row["value"] is not None:
        return row["value"] / by
    return {"singular": -math.inf, "infinite": math.inf}.get(row["status"])


def test_unit_table_equals_the_result(page):
    result, document = page
    table = document.tables["unit-table"]
    verdicts = {(v["unit"], v["map"]): v for v in result["verdicts"]}
    for unit, cells in zip(result["units"], table[1:], strict=True):
        assert cells[0] == str(unit["index"])
        counts = verdicts[unit["name"], "sum"]["counts"]
        expected = (
            [str(counts[k]) for k in ("positive", "zero", "negative", "undetermined")]
            if counts
            else ["—"] * 4
        )
        assert cells[4:8] == expected
        for key, cell in zip(COLUMNS, cells[8:13], strict=True):
            stored, by = ("logabsdet", unit["dimension"]) if key == DENSITY else (key, 1)
            values = [extended(row, by) for row in rows_of(result, unit, stored)]
            values = [value for value in values if value is not None]
            known = quantity(key)
            median = known.write(statistics.median(values) if values else None, 3)
            spread = " " + known.write_range(min(values), max(values), 2) if len(values) > 1 else ""
            lost = [r for r in rows_of(result, unit, stored) if r["status"] == "not_converged"]
            lost = [r for r in lost if r["value"] is None]
            assert cell == median + spread + (f" {len(lost)} not converged" if lost else "")
        assert cells[13] == f"{unit['done']}/{unit['planned']}"


def test_tables_of_inputs_equal_the_result(page):
    result, document = page
    tables = [table for table in document.tables.values() if table[0][0] == "Input"]
    measured = [unit for unit in result["units"] if rows_of(result, unit, "sign")]
    assert len(tables) == len(measured) > 5
    for unit, table in zip(measured, tables, strict=True):
        mine = [row for row in result["measurements"] if row["unit"] == unit["name"]]
        # what applies at no input has no column
        applies = {row["quantity"] for row in mine if row["status"] != "not_applicable"}
        keys = [known.key for known in in_order(applies)]
        stored = {(row["input"], row["quantity"]): row for row in mine}
        names = result["inputs"]["names"]
        for name, label, cells in zip(names, result["inputs"]["labels"], table[1:], strict=True):
            assert cells[:2] == [name, label]
            for key, cell in zip(keys, cells[2:], strict=True):
                row = stored.get((name, key))
                value = extended(row) if row else None
                if value is None:
                    assert cell == ((row or {}).get("status") or "—").replace("_", " ")
                    continue
                assert cell.removeprefix("≈").startswith(quantity(key).write(value))
                assert cell.startswith("≈") == (row["evidence"] == "estimated" and row["value"] is not None)
                if row["status"] not in ("ok", "infinite") and row["value"] != 0:
                    assert row["status"].replace("_", " ") in cell


def test_pictures_say_their_numbers(page):
    result, document = page
    labels = [attrs["aria-label"] for attrs in document.all("svg")]
    assert [label.split(",")[0] for label in labels] == [
        "log|det J|/n with the sign above",
        "Share of negative signs",
        "Smallest singular value σmin",
        "Critical step h*",
        "Residual ratio ‖F‖/‖x‖",
        "Clipped share",
    ]
    unit = next(unit for unit in result["units"] if unit["status"] == "complete")
    median = statistics.median(row["value"] for row in rows_of(result, unit, "residual_ratio"))
    assert f"{unit['name']} {quantity('residual_ratio').write(median)} [" in labels[4]
    assert all(
        f"{unit['name']} n/a" in labels[0] for unit in result["units"] if unit["status"] == "not_applicable"
    )


def test_a_quantity_that_nobody_foresaw_is_shown(make, parse):
    result = make(1, 2, states=("no_violation_found",))
    for name in result["inputs"]["names"]:
        row = {"unit": result["units"][0]["name"], "input": name, "quantity": "curl_of_field", "value": 0.125}
        result["measurements"].append(
            {**row, "evidence": "certified", "status": "on_kink", "reason": "on a kink"}
        )
    row = {"unit": result["units"][0]["name"], "input": None, "quantity": "lipschitz_bound", "value": 0.93}
    result["measurements"].append({**row, "evidence": "certified", "status": "ok"})
    document = parse(render_html(result))
    (table,) = [table for table in document.tables.values() if table[0][0] == "Input"]
    assert table[0][-2:] == ["curl of field", "lipschitz bound"]
    assert table[1][0] == "(every input)"
    assert table[1][-1] == "0.93"
    assert table[2][-2] == "0.125 on kink"
    assert "curl of field, 2 rows: on a kink" in document.text


def test_the_bound_on_the_violating_share_is_stated(make, parse):
    text = parse(render_html(make(1, 64, states=("no_violation_found",)))).text
    assert "below 4.57\u00a0% (95\u00a0% upper bound)" in text


def test_the_worst_unit_is_open_and_only_that(make, parse):
    states = ("no_violation_found", "undetermined", "not_injective_proven", "certified_injective")
    document = parse(render_html(make(4, 4, states=states)))
    units = [attrs for attrs in document.all("details") if attrs.get("class") == "unit"]
    assert [place for place, attrs in enumerate(units) if "open" in attrs] == [2]


def test_a_page_that_would_be_too_large_counts_what_it_leaves_out(make, parse, monkeypatch):
    monkeypatch.setattr("resnet_diffeo_probe.report.sections.page._MOST_CELLS", 100)
    document = parse(render_html(make(2, 30, states=("no_violation_found",))))
    assert "(10 rows; 20 more in result.json)" in document.text
    assert [len(table) for table in document.tables.values() if table[0][0] == "Input"] == [11, 11]


def test_counts_of_a_unit_without_signs_are_dashes_not_zeros(make, parse):
    result = make(1, 3, states=("not_applicable",))
    counts = dict.fromkeys(("positive", "negative", "zero", "undetermined"), 0) | {"not_run": 3}
    result["verdicts"][0]["counts"] = counts
    assert parse(render_html(result)).tables["unit-table"][1][4:8] == ["—"] * 4

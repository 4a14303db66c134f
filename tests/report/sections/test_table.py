"""units.csv."""

import csv
import io
import statistics

import pytest

from resnet_diffeo_probe.report import units_csv


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_a_unit_with_full_precision(result):
    rows = read(units_csv(result))
    assert [row["name"] for row in rows] == [unit["name"] for unit in result["units"]]
    for unit, row in zip(result["units"], rows, strict=True):
        assert float(row["dimension"]) == unit["dimension"]
        values = [
            m["value"]
            for m in result["measurements"]
            if (m["unit"], m["quantity"]) == (unit["name"], "residual_ratio") and m["value"] is not None
        ]
        assert row["residual_ratio_median"] == (repr(statistics.median(values)) if values else "")
        verdict = next(v for v in result["verdicts"] if v["unit"] == unit["name"] and v["map"] == "sum")
        assert row["verdict_sum"] == verdict["state"]
        signs = [
            m["value"] for m in result["measurements"] if (m["unit"], m["quantity"]) == (unit["name"], "sign")
        ]
        assert row["negative"] == (str(signs.count(-1)) if signs else "")


def test_infinite_medians_are_words(make):
    result = make(1, 2, states=("no_violation_found",))
    for m in result["measurements"]:
        if m["quantity"] == "critical_step":
            m.update(value=None, status="infinite")
        if m["quantity"] == "logabsdet":
            m.update(value=None, status="singular")
    (row,) = read(units_csv(result))
    assert row["critical_step_median"] == "inf"
    assert row["logabsdet_per_dimension_median"] == "-inf"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1+1", "|cmd", "%0a"])
def test_names_are_no_formulas(make, name):
    result = make(1, 1, unit_names=[name])
    (row,) = read(units_csv(result))
    assert row["name"][0] in "'\\"


def test_evil_names_are_one_cell_each(make, evil_names):
    rows = read(units_csv(make(10, 1, unit_names=evil_names)))
    assert len(rows) == 10
    assert rows[1]["name"] == evil_names[1]
    assert rows[2]["name"] == "\\x1b[31mred\\x1b[0m"


def test_no_unit_is_a_header_alone(make):
    assert units_csv(make(0, 0)).count("\n") == 1

"""What stands in single rows of a unit is told once for rows that say the same."""

from resnet_diffeo_probe.report.sections.detail import detail_of
from resnet_diffeo_probe.report.text.units import units_of


def notes(result):
    (unit, *_) = units_of(result)
    return detail_of(unit, result["inputs"], is_open=True, most_inputs=10).notes


def test_reasons_that_differ_in_numbers_alone_are_told_once(make):
    result = make(1, 4, states=("no_violation_found",))
    rows = [row for row in result["measurements"] if row["quantity"] == "sigma_min"]
    reasons = ["after 5 steps: 1.2", "after 12 steps: -3.4e-05", "after 5 steps: 1.2", "no step"]
    for row, reason in zip(rows, reasons, strict=True):
        row["reason"] = reason
    said = [note for note in notes(result) if note.startswith("sigma min")]
    assert said == [
        "sigma min, 3 rows with numbers of their own, the first: after 5 steps: 1.2",
        "sigma min, 1 row: no step",
    ]


def test_the_same_reason_in_all_rows_is_told_as_it_is(make):
    result = make(1, 4, states=("no_violation_found",))
    for row in result["measurements"]:
        if row["quantity"] == "sigma_min":
            row["reason"] = "after 5 steps"
    assert "sigma min, 4 rows: after 5 steps" in notes(result)

"""How far rounding may have moved an exact value stands beside it, and beside no other value."""

from __future__ import annotations

from typing import Any

from resnet_diffeo_probe.report import render_html


def exact_cells_with_an_error(document: Any) -> list[str]:
    tables = [table for table in document.tables.values() if table[0][0] == "Input"]
    cells = [cell for table in tables for line in table[1:] for cell in line[1:]]
    return [cell for cell in cells if "±" in cell and "≈" not in cell]


def without_bounds(result: dict[str, Any]) -> None:
    for row in result["measurements"]:
        if row["evidence"] == "exact":
            row.pop("interval", None)
            row.pop("error", None)


def test_an_exact_value_with_an_interval_is_written_with_half_of_its_width(
    result: dict[str, Any], parse: Any
) -> None:
    without_bounds(result)
    assert exact_cells_with_an_error(parse(render_html(result))) == []
    row = next(
        row
        for row in result["measurements"]
        if row["quantity"] == "logabsdet" and row["evidence"] == "exact" and row["value"] is not None
    )
    row["value"], row["interval"] = -12.5, [-12.5 - 2.5e-11, -12.5 + 2.5e-11]
    assert exact_cells_with_an_error(parse(render_html(result))) == ["−12.5 ± 2.5×10⁻¹¹"]
    row["value"], row["status"], row["reason"] = None, "undetermined", "a pivot came out as exactly zero"
    assert exact_cells_with_an_error(parse(render_html(result))) == []


def test_the_methods_text_speaks_of_the_bound_where_there_is_one(result: dict[str, Any]) -> None:
    def text() -> str:
        return render_html(result)

    without_bounds(result)
    assert "rounding may have moved the logarithm" not in text()
    row = next(
        row for row in result["measurements"] if row["quantity"] == "logabsdet" and row["value"] is not None
    )
    row["interval"] = [row["value"] - 1e-9, row["value"] + 1e-9]
    assert "rounding may have moved the logarithm" in text()

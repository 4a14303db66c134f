"""Limits tried out in the browser: marks follow, and the page says that the run used others."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.comparing.thresholds import default_thresholds
from resnet_diffeo_probe.report import render_html


@pytest.fixture
def page(visit, results, tmp_path: Path):
    result = copy.deepcopy(results["typical"])
    result["thresholds"] = [threshold.to_json() for threshold in default_thresholds()]
    path = tmp_path / "limited.html"
    path.write_text(render_html(result), encoding="utf-8")
    seen = visit(path)
    seen.page.locator("#limits > summary").click()
    yield seen.page
    assert not [line for line in seen.console if line.startswith("error")]
    assert seen.fetched == []


def marks(page) -> list[list[str]]:
    script = "rows => rows.map(r => [...r.querySelectorAll('td .beyond > span')].map(s => s.textContent))"
    return page.locator("#unit-table tbody tr").evaluate_all(script)


def test_an_edited_limit_moves_the_marks_and_says_so(page, results):
    before = marks(page)
    assert any(before)
    notice = page.locator("#limits .edited")
    assert not notice.is_visible()
    field = page.locator("#limits li", has_text="max_residual_ratio").locator("input")
    field.fill("1000")
    assert notice.is_visible()
    assert "not what the run used" in notice.inner_text()
    assert marks(page) != before
    field.fill("0")
    measured = page.locator("#unit-table tbody td[data-limits]").count()
    assert measured
    # every ratio that was measured is above zero: a mark for each unit that has one
    rows = results["typical"]["measurements"]
    having = {row["unit"] for row in rows if row["quantity"] == "residual_ratio" and row["value"] is not None}
    assert sum(mark == "▲ above the limit 0" for row in marks(page) for mark in row) == len(having) > 0
    page.locator("#limits-reset").click()
    assert not notice.is_visible()
    assert [[" ".join(m.split()[:3]) for m in row] for row in marks(page)] == [
        [" ".join(m.split()[:3]) for m in row] for row in before
    ]


def test_a_limit_that_the_run_did_not_use_can_be_set(page):
    field = page.locator("#limits li", has_text="min_sigma_min").locator("input")
    assert field.input_value() == ""
    before = marks(page)
    field.fill("1e9")
    added = [mark for row in marks(page) for mark in row if mark.endswith("below the limit 1e9")]
    assert added
    field.fill("")
    assert len([m for row in marks(page) for m in row]) == len([m for row in before for m in row])
    assert not page.locator("#limits .edited").is_visible()

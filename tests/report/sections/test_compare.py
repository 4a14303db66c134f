"""The page of a comparison: every number of it, inert names, nothing fetched."""

import copy

import pytest

from resnet_diffeo_probe.analysis.comparing.compare import compare
from resnet_diffeo_probe.errors import OutputError
from resnet_diffeo_probe.report.sections.compare import comparison_html, render_comparison
from resnet_diffeo_probe.report.text.quantities import quantity


@pytest.fixture
def moved(result):
    """A comparison in which something of every kind happened."""
    other = copy.deepcopy(result)
    other["model"].update(file="after.pt", sha256="1" * 64)
    other["tool"]["dtype"] = "float32"
    for place, row in enumerate(other["measurements"]):
        if row["value"] is None:
            continue
        if row["quantity"] == "sign" and place % 5 == 0:
            row["value"] *= -1
        elif row["quantity"] == "residual_ratio":
            row["value"] *= 1.5
        elif row["quantity"] == "critical_step" and place % 2:
            row.update(value=None, status="infinite")
    other["verdicts"][2]["state"] = "certified_injective"
    return compare(result, other)


def test_every_number_of_the_comparison_is_in_its_table(moved, parse):
    page = parse(comparison_html(moved))
    by_quantity = {}
    for entry in moved["measures"]:
        by_quantity.setdefault(entry["quantity"], []).append(entry)
    for key, entries in by_quantity.items():
        rows = page.tables[f"table-{key}"][1:]
        assert [row[0] for row in rows] == [entry["unit"] for entry in entries]
        known = quantity(key)
        for row, entry in zip(rows, entries, strict=True):
            shown = [entry[name] for name in ("median_a", "median_b", "median_difference")]
            assert row[2:5] == [known.write(None if value is None else float(value)) for value in shown]
            beyond = "no error known" if entry["beyond"] is None else f"{entry['beyond']}/{entry['judged']}"
            assert row[5:8] == [beyond, str(entry["increased"]), str(entry["decreased"])]


def test_changed_verdicts_and_flips_are_rows(moved, parse):
    page = parse(comparison_html(moved))
    changed = [v for v in moved["verdicts"] if v["changed"]]
    assert changed
    assert [row[0] for row in page.tables["verdict-table"][1:]] == [v["unit"] for v in changed]
    flips = [u for u in moved["sign_flips"] if u["flipped"] or u["not_certain"]]
    assert any(u["flipped"] for u in flips)
    for row, unit in zip(page.tables["sign-table"][1:], flips, strict=True):
        assert row[:3] == [unit["unit"], str(len(unit["flipped"])), str(unit["compared"])]
        assert all(flip["input"] in row[4] for flip in unit["flipped"])
    assert "float64 in A, float32 in B" in page.text


def test_the_page_fetches_nothing_and_has_no_script(moved, parse):
    page = parse(comparison_html(moved))
    assert page.scripts == []
    policy = next(found["content"] for tag, found in page.elements if tag == "meta" and "content" in found
                  and "default-src" in (found["content"] or ""))  # fmt: skip
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    for tag, found in page.elements:
        for name in ("src", "href"):
            assert name not in found or found[name].startswith(("data:", "#")), (tag, found)
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))


def test_evil_names_stay_inert(make, evil_names, parse):
    names = [f"{name}{i}" for i in range(2) for name in evil_names]
    a = make(units=len(evil_names), inputs=len(names), unit_names=evil_names, input_names=names)
    b = copy.deepcopy(a)
    for verdict in b["verdicts"]:
        verdict["state"] = "undetermined"
    for row in b["measurements"]:
        if row["quantity"] == "sign" and row["value"]:
            row["value"] *= -1
    b["model"]["file"] = "</title><script>alert(1)</script>"
    html = comparison_html(compare(a, b))
    page = parse(html)
    assert page.scripts == []
    assert "<script" not in html.replace("&lt;script", "")
    assert not any(tag == "img" for tag, _ in page.elements)
    for raw in ("\x1b", "\u202e", "\u200b", "\ud800"):
        assert raw not in html


def test_the_same_comparison_gives_the_same_bytes(moved):
    assert comparison_html(moved) == comparison_html(copy.deepcopy(moved))


def test_nothing_moved_is_a_page_too(result, parse):
    page = parse(comparison_html(compare(result, copy.deepcopy(result))))
    assert "0 of" in page.text
    assert "verdict-table" not in page.tables


def test_a_page_that_cannot_be_written_leaves_the_older_one(moved, tmp_path):
    target = tmp_path / "c.html"
    target.mkdir()
    with pytest.raises(OutputError):
        render_comparison(moved, path=target)
    assert [path.name for path in tmp_path.iterdir()] == ["c.html"]

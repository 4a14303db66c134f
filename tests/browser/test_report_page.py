"""The report in a real browser: fetches nothing, reads without JavaScript, is accessible, prints every unit."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.text.escaping import number, visible
from resnet_diffeo_probe.report.text.quantities import DENSITY
from resnet_diffeo_probe.report.text.units import units_of

PAGES = ("demo", "typical", "evil", "fifty", "failed", "compare")
WIDTHS = (1280, 390)

# what overflows sideways, unless it lies in an element that scrolls by itself
_OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide <= 0) return [];
  return [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .slice(0, 5).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 60));
}"""


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_and_nothing_goes_wrong(visit, name):
    seen = visit(name)
    seen.page.wait_for_load_state("networkidle")
    assert seen.fetched == []
    assert seen.console == []
    assert seen.dialogs == []


@pytest.mark.parametrize("javascript", [True, False], ids=["with-js", "without-js"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["demo", "typical", "failed"])
def test_the_verdict_is_in_the_first_screen_without_scrolling_sideways(visit, name, width, javascript):
    height = 900 if width == 1280 else 844
    seen = visit(name, viewport={"width": width, "height": height}, java_script_enabled=javascript)
    box = seen.page.locator(".verdict .word").first.bounding_box()
    sentence = seen.page.locator(".verdict .sentence").first.bounding_box()
    assert box is not None
    assert sentence is not None
    for found in (box, sentence):
        assert found["y"] >= 0
        assert found["y"] + min(found["height"], 60) <= height
        assert found["x"] >= 0
        assert found["x"] + found["width"] <= width + 1
    if javascript:
        assert seen.page.evaluate(_OVERFLOW) == []


def test_without_javascript_everything_is_there(visit, results):
    seen = visit("typical", java_script_enabled=False)
    text = seen.page.locator("body").inner_text()
    for unit in results["typical"]["units"]:
        assert unit["name"] in text
    # what needs the script does not show without it
    assert not seen.page.locator("#unit-filter").is_visible()


def test_without_style_the_order_is_that_of_the_report(visit, pages, tmp_path):
    bare = pages["typical"].read_text(encoding="utf-8")
    start, end = bare.index("<style>"), bare.index("</style>")
    path = tmp_path / "bare.html"
    path.write_text(bare[:start] + bare[end:], encoding="utf-8")
    titles = visit(path).page.locator("h1, h2").all_inner_texts()
    places = [titles.index(title) for title in ("Verdict on the network", "Units", "Criteria", "Provenance")]
    assert places == sorted(places)
    assert places[0] == 1  # after the name of the network alone


# the two large pages in one scheme each: a run on one takes a quarter of a minute
@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("demo", "light"),
        ("typical", "dark"),
        *((n, s) for n in ("failed", "compare") for s in ("light", "dark")),
    ],
)
def test_axe_finds_no_violation_of_levels_a_and_aa(visit, axe, name, scheme):
    # the page's policy would not let axe's own script run
    seen = visit(name, color_scheme=scheme, bypass_csp=True)
    # what is folded away is read too
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    options = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
    found = axe.run(seen.page, options=options).response
    ran = {rule["id"] for rule in found["passes"]}
    assert "color-contrast" in ran
    broken = [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique_in_the_document_as_parsed(visit, name):
    twice = visit(name).page.evaluate(
        """() => { const n = {}; document.querySelectorAll('[id]').forEach(e => n[e.id] = (n[e.id] || 0) + 1);
        return Object.keys(n).filter(k => n[k] > 1); }"""
    )
    assert twice == []


def test_cells_equal_the_formatted_values_in_any_order(visit, results):
    page = visit("typical").page
    by_name = {visible(unit.name): unit for unit in units_of(results["typical"])}
    heads = page.locator("#unit-table thead th")
    names = [heads.nth(i).inner_text().strip() for i in range(heads.count())]
    column = next(i for i, text in enumerate(names) if "/n" in text.replace(" ", ""))
    for _ in range(2):  # ascending, then descending
        heads.nth(column).locator("button").click()
        rows = page.locator("#unit-table tbody tr")
        shown: list[float | None] = []
        for i in range(rows.count()):
            name = rows.nth(i).locator("th a").inner_text()
            cell = rows.nth(i).locator("td, th").nth(column)
            median = by_name[name].summary(DENSITY).median
            shown.append(median)
            assert cell.inner_text().split("\n")[0].split(" [")[0].strip().startswith(number(median, 3))
        there = [value for value in shown if value is not None]
        assert shown[: len(there)] == there  # rows without a value stay at the end
        assert there == sorted(there) or there == sorted(there, reverse=True)
    assert there == sorted(there, reverse=True)


def test_the_filter_hides_rows_and_says_how_many(visit, results):
    page = visit("fifty").page
    wanted = results["fifty"]["units"][7]["name"]
    page.locator("#filter-name").fill(wanted)
    rows = page.locator("#unit-table tbody tr:visible")
    expected = [u["name"] for u in results["fifty"]["units"] if wanted.lower() in u["name"].lower()]
    assert rows.count() == len(expected)
    assert f"{len(expected)} of 50" in page.locator("#filter-count").inner_text()


def test_evil_names_are_inert_and_shown_as_they_are(visit, results):
    seen = visit("evil")
    assert seen.dialogs == []
    assert seen.fetched == []
    assert seen.page.evaluate("document.querySelectorAll('img[src=x], script[src]').length") == 0
    assert seen.page.evaluate("document.querySelectorAll('[onload], [onerror]').length") == 0
    text = seen.page.locator("#unit-table").inner_text()
    for unit in results["evil"]["units"]:
        assert visible(unit["name"]) in text


def test_a_link_into_what_is_folded_opens_it(visit, results):
    page = visit("typical").page
    last = page.locator("#unit-table tbody tr th a").last
    target = last.get_attribute("href")
    last.click()
    assert page.locator(f"{target}").is_visible()
    assert page.locator(f"{target}").evaluate("e => (e.closest('details') || {open: true}).open")


@pytest.mark.parametrize("name", ["typical", "fifty"])
def test_the_printed_pdf_holds_every_unit_and_its_details(visit, pypdf, results, name):
    printed = pypdf.PdfReader(io.BytesIO(visit(name, color_scheme="dark").page.pdf(format="A4")))
    text = "".join("".join(page.extract_text() for page in printed.pages).split())
    for unit in results[name]["units"]:
        assert "".join(unit["name"].split()) in text
    # what is folded on the screen is open on paper: the reason or the numbers of every unit
    assert text.count("Sumx+F(x)") + text.count("Summap") >= 1


def test_the_printer_gets_dark_ink_on_white_paper(visit):
    page = visit("typical", color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = page.evaluate(
        "() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; }"
    )
    assert sum(int(part) for part in ink[4:-1].split(",")[:3]) < 150
    assert paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")


def test_the_policy_stops_a_script_that_is_not_ours(visit, pages, tmp_path: Path):
    html = pages["typical"].read_text(encoding="utf-8")
    path = tmp_path / "injected.html"
    path.write_text(
        html.replace("</main>", "<script>document.title = 'owned'</script></main>", 1), encoding="utf-8"
    )
    seen = visit(path)
    assert seen.page.title() != "owned"
    assert any("Content Security Policy" in line for line in seen.console)


def test_the_same_result_looks_the_same(results):
    assert render_html(results["typical"]) == render_html(results["typical"])

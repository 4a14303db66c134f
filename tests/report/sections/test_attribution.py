"""The attribution of a result on the page: its numbers, its pictures, and what is said when there are none."""

import base64
import copy
import io
import random

import pytest
from PIL import Image

from resnet_diffeo_probe.report.render import render_html


def _picture(signed):
    image = Image.new("L", (8, 6), 127) if signed else Image.new("RGB", (8, 6), (200, 30, 90))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return {
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "width": 8,
        "height": 6,
        "scale": [-2.0, 2.0] if signed else None,
        "pooled_from": None,
    }


def _spread(values):
    ordered = sorted(values)
    return {
        "median": ordered[len(ordered) // 2],
        "least": ordered[0],
        "greatest": ordered[-1],
        "count": len(ordered),
    }


def add_attribution(result):
    """Add an attribution to a result: three inputs, every unit, maps of the first two units."""
    chance = random.Random(0)  # noqa: S311
    names, units = result["inputs"]["names"][:3], [unit["name"] for unit in result["units"]]
    rows = []
    for unit in units:
        for name in names:
            branch = chance.uniform(-4, 12)
            rows.append(
                {"unit": unit, "input": name, "branch": branch, "total": 10.01, "completeness_error": 0.01,
                 "share": branch / 10, "logit_drop": chance.uniform(-4, 12), "probability_without": 0.5,
                 "predicted_without": 1, "class_changes": True}
            )  # fmt: skip
    own = {unit: [row for row in rows if row["unit"] == unit] for unit in units}
    nothing = dict.fromkeys(("picture", "value", "baseline_value", "completeness_error", "numbers"))
    numbers = {"row": 3, "column": 5, "greatest": -7.5, "positions": 48, "positions_with_half": 11}
    result["attribution"] = {
        "library": "captum 0.9.0",
        "baseline": {"name": "zero", "meaning": "zero in every coordinate after preprocessing"},
        "completeness_limit": 0.05,
        "reason": None,
        "inputs": [
            {"input": name, "predicted": 3, "probability": 0.75, "logit": 14.5, "baseline_logit": 4.5, "steps": 128,
             "largest_error": 0.01, "complete": True, "reason": None}
            for name in names
        ],
        "rows": rows,
        "units": [
            {"unit": unit, "inputs": 3, "share": _spread([row["share"] for row in own[unit]]),
             "branch": _spread([row["branch"] for row in own[unit]]),
             "logit_drop": _spread([row["logit_drop"] for row in own[unit]]), "completeness_error": 0.01,
             "class_changes": 3}
            for unit in units
        ],
        "agreement": {"correlations": [0.1, 0.2, None], "median": 0.15, "units": len(units), "reason": None},
        "relevance": {"state": "more", "sentence": "The units that fold carry more.", "folding": units[:1],
                      "compared": units, "by_number": 0.1, "by_conductance": [0.4], "by_ablation": [0.4],
                      "by_frequency": []},
        "images": [{"input": names[0], "picture": _picture(signed=False)}],
        "maps": [
            entry
            for unit in units[:2]
            for entry in (
                {"unit": unit, "input": names[0], "of": "clipped_energy", "picture": _picture(signed=True),
                 "value": 1258.0, "baseline_value": 31.0, "completeness_error": 0.13, "numbers": numbers,
                 "reason": None},
                {"unit": unit, "input": names[0], "of": "log_sigma_min", "reason": "the branch is linear", **nothing},
            )
        ],
        "maps_reason": None,
    }  # fmt: skip
    return result


@pytest.fixture
def attributed(result):
    return add_attribution(result)


def _section(html):
    return html[html.index('<section id="attribution"') :].split("</section>")[0]


def test_the_table_shows_the_stored_numbers(attributed, parse):
    page = parse(render_html(attributed))
    rows = page.tables["attribution-table"][1:]
    assert len(rows) == len(attributed["units"])
    first = attributed["attribution"]["units"][0]
    assert rows[0][0] == first["unit"]
    share = f"{100 * first['share']['median']:.3g}\u00a0%".replace("-", "\u2212")
    assert rows[0][2].startswith(share)
    assert rows[0][5] == "3/3"
    inputs = page.tables["attributed-inputs-table"][1:]
    assert [row[0] for row in inputs] == attributed["inputs"]["names"][:3]
    assert inputs[0][1:] == ["3", "75\u00a0%", "4.5", "14.5", "128", "0.01", "yes"]


def test_the_finding_and_a_low_agreement_are_said(attributed):
    section = _section(render_html(attributed))
    assert "The units that fold carry more." in section
    assert "finding-more" in section
    assert "order the 16 units differently: their rank correlation is 0.15 (from 0.1 to 0.2)" in section
    assert "median over 2 inputs" in section


def test_the_charts_say_their_numbers_in_words(attributed, parse):
    page = parse(render_html(attributed))
    charts = [found["aria-label"] for tag, found in page.elements if tag == "svg"]
    (share,) = [text for text in charts if text.startswith("Share of the prediction through the branch")]
    (drop,) = [text for text in charts if text.startswith("Drop of the logit without the branch")]
    for unit in attributed["units"]:
        assert unit["name"] in share
        assert unit["name"] in drop


def test_maps_lie_over_the_image_with_their_numbers(attributed, parse):
    page = parse(render_html(attributed))
    alts = [found["alt"] for tag, found in page.elements if tag == "img" and found.get("alt")]
    (first, _) = [alt for alt in alts if alt.startswith("clipped energy of ")]
    assert "31 → 1,258, error 0.13; half of all in 11 of 48 pixels" in first
    assert "largest at row 3, column 5: −7.5" in first
    assert any("--under: url(data:image/png" in (found.get("style") or "") for _, found in page.elements)
    assert "log σ" in page.text
    assert "the branch is linear" in page.text


def test_the_methods_say_what_was_done_and_cite_it(attributed):
    html = render_html(attributed)
    methods = html[html.index('<section id="methods"') :].split("</section>")[0]
    for part in ("layer conductance", "128 steps from the baseline", "integrated gradients", "dhamdhere2019conductance",
                 "sundararajan2017axiomatic", "kokhlikyan2020captum"):  # fmt: skip
        assert part in methods
    assert "traced to the pixels" not in methods  # no such map was drawn
    attributed["attribution"] |= {"rows": [], "maps": []}
    assert "captum" not in render_html(attributed).split('<section id="methods"')[1].split("</section>")[0]


def test_without_an_attribution_there_is_no_section(result):
    for absent in ({}, {"attribution": None}):
        html = render_html({**copy.deepcopy(result), **absent})
        assert 'id="attribution"' not in html
        assert 'href="#attribution"' not in html


def test_a_reason_stands_in_its_place(attributed):
    stored = attributed["attribution"]
    stored |= {"reason": "the network's output is no table of logits", "maps_reason": "no batch fits"}
    stored |= {
        "inputs": [],
        "rows": [],
        "units": [],
        "agreement": None,
        "relevance": None,
        "images": [],
        "maps": [],
    }
    section = _section(render_html(attributed))
    assert "No prediction was attributed: the network&#39;s output is no table of logits." in section
    assert "No map was made: no batch fits." in section
    assert "<table" not in section


def test_numbers_that_are_not_there_are_dashes(attributed, parse):
    stored = attributed["attribution"]
    for unit in stored["units"]:
        unit |= {"share": None, "logit_drop": None, "class_changes": None}
    stored["inputs"][0] |= dict.fromkeys(
        ("predicted", "probability", "logit", "baseline_logit", "steps", "largest_error")
    )
    stored["inputs"][0] |= {"complete": False, "reason": "a logit is not finite"}
    stored["agreement"] = {
        "correlations": [None],
        "median": None,
        "units": 2,
        "reason": "2 units are too few",
    }
    html = render_html(attributed)
    page = parse(html)
    assert page.tables["attribution-table"][1][2] == "—"
    assert page.tables["attributed-inputs-table"][1][1:] == ["—"] * 6 + ["a logit is not finite"]
    assert "is not known: 2 units are too few" in html


def test_a_picture_that_cannot_be_read_is_said(attributed):
    for entry in attributed["attribution"]["maps"]:
        if entry["picture"]:
            entry["picture"]["png"] = base64.b64encode(b"no picture").decode()
    assert "The stored picture cannot be read." in _section(render_html(attributed))


def test_names_stay_inert(make, evil_names, parse):
    html = render_html(add_attribution(make(10, 10, unit_names=evil_names, input_names=evil_names)))
    page = parse(html)
    assert len(page.tables["attribution-table"]) == 11
    assert not [tag for tag, _ in page.elements if tag == "script"][2:]
    for name in evil_names:
        if "<" in name:
            assert name not in _section(html)


def test_the_same_result_gives_the_same_bytes(attributed):
    assert render_html(copy.deepcopy(attributed)) == render_html(copy.deepcopy(attributed))

"""Every state of a stored analysis gives a whole page: interrupted, huge, certified, of another version, in parts."""

import copy
import importlib
import json
import logging

import pytest
from diffeo_probe.main import main

from resnet_diffeo_probe.analysis.comparing.thresholds import default_thresholds
from resnet_diffeo_probe.analysis.result.schema import ResultError, load_schema, read_result, validate
from resnet_diffeo_probe.report import render, render_html
from resnet_diffeo_probe.report.sections.opening import opening_of
from resnet_diffeo_probe.report.text.units import units_of

OPTIONAL = sorted(set(load_schema()["properties"]) - set(load_schema()["required"]))


@pytest.fixture(scope="module")
def full(make_pictured):
    result = make_pictured(4, 3)
    result["thresholds"] = [threshold.to_json() for threshold in default_thresholds()]
    return result


def interrupted(result):
    """As an interrupt leaves it: the first units have some inputs, the others none, nothing was proven."""
    for place, unit in enumerate(u for u in result["units"] if u["status"] != "not_applicable"):
        unit["reason"] = "the run was interrupted"
        unit["status"] = "partial" if place < 3 else "not_run"
        unit["done"] = 2 if place < 3 else 0
    kept = {u["name"]: set(result["inputs"]["names"][: u["done"]]) for u in result["units"]}
    result["measurements"] = [m for m in result["measurements"] if m["input"] in kept[m["unit"]]]
    for verdict in result["verdicts"]:
        if verdict["unit"] is not None and not kept[verdict["unit"]]:
            verdict |= {"state": "not_run", "sentence": "Not run: the run was interrupted.", "counts": None}
            verdict |= {
                "domain": None,
                "arithmetic": None,
                "violating_share_upper_95": None,
                "evidence": None,
            }
    return result


def test_an_interrupted_run_says_so_before_any_verdict(make, parse):
    result = interrupted(make(8, 5, states=("not_injective_proven", "no_violation_found")))
    validate(result)
    html = render_html(result)
    document = parse(html)
    notice = html.index("5 of 8 units not run, 3 of 8 units run on some of the inputs only")
    assert notice < html.index('id="verdict-title"')
    assert document.text.count("the run was interrupted") >= 8
    assert "Anything about" in " ".join(opening_of(result, units_of(result)).unknown)


def test_all_certified_has_nothing_to_be_proven_otherwise(make_pictured, parse):
    result = make_pictured(6, 4, states=("certified_injective",))
    for verdict in result["verdicts"]:
        verdict["state"] = "certified_injective"
    result["witnesses"], result["pixel_pair"] = [], None
    result["pictures"] |= {"pairs": [], "pixel_pair": None}
    validate(result)
    document = parse(render_html(result))
    assert "is proven to be below 1 in 6 of 6 units" in document.text
    assert "pairs-table" not in document.tables
    assert "Two points, one image" not in document.text
    assert not any("folds in" in s for s in opening_of(result, units_of(result)).unknown)


def test_a_thousand_inputs_stay_readable(make_pictured, parse):
    result = make_pictured(2, 1000)
    html = render_html(result)
    assert len(html) < 5_000_000
    left_out = [row for row in html.splitlines() if "more in result.json" in row]
    document = parse(html)
    assert left_out or document.text.count("0999.jpg") >= 1


def test_a_hundred_images_on_the_units_of_resnet20_stay_below_five_megabytes(make_pictured):
    assert len(render_html(make_pictured(9, 100))) < 5_000_000


def test_one_input_has_no_ranges_and_no_median(make_pictured, parse):
    result = make_pictured(3, 1, states=("no_violation_found",))
    document = parse(render_html(result))
    assert "dot: the median" not in document.text
    for row in document.tables["unit-table"][1:]:
        assert not any(cell.count("[") for cell in row[8:14])


@pytest.mark.parametrize("part", OPTIONAL)
def test_each_optional_part_may_be_missing(full, parse, part):
    result = {key: value for key, value in copy.deepcopy(full).items() if key != part}
    validate(result)
    document = parse(render_html(result))
    ids = document.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in document.values("href") if link.startswith("#")} <= set(ids)


def test_no_optional_part_at_all(full, parse):
    result = {key: value for key, value in full.items() if key not in OPTIONAL}
    validate(result)
    assert not parse(render_html(result)).all("img")


@pytest.mark.parametrize("version", ["0.9", "2.0", None, 1])
def test_another_version_is_a_clean_error_and_no_page(make, tmp_path, monkeypatch, capsys, version):
    result = make(2, 2) | {"schema_version": version}
    stored = tmp_path / "result.json"
    stored.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(ResultError, match="schema version"):
        read_result(stored)
    monkeypatch.setattr("sys.argv", ["diffeo-probe", "report", str(stored)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    said = capsys.readouterr()
    assert "schema version" in said.err
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_large_page_is_warned_of(make, tmp_path, monkeypatch, caplog):
    module = importlib.import_module("resnet_diffeo_probe.report.render")  # its name is also a function's
    monkeypatch.setattr(module, "LARGE", 1000)
    with caplog.at_level(logging.WARNING):
        render(make(1, 1), path=tmp_path / "report.html")
    assert "report.html has 0." in caplog.text
    monkeypatch.setattr(module, "LARGE", 8_000_000)
    caplog.clear()
    render(make(1, 1), path=tmp_path / "report.html")
    assert caplog.text == ""

"""The page as a whole: complete, inert, self-contained, the same bytes every time."""

import base64
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import unicodedata

import pytest

from resnet_diffeo_probe.analysis.result.schema import ResultError, validate
from resnet_diffeo_probe.analysis.result.step_names import STEP_NAMES
from resnet_diffeo_probe.errors import OutputError
from resnet_diffeo_probe.report import render, render_html
from resnet_diffeo_probe.report.sections.page import SECTIONS
from resnet_diffeo_probe.report.text.states import STATES

ALL_STATES = tuple(STATES)
CASES = {
    "typical": {},
    "no unit": {"units": 0},
    "no unit, no input": {"units": 0, "inputs": 0},
    "units without inputs": {"units": 3, "inputs": 0},
    "one of each": {"units": 1, "inputs": 1, "states": ("no_violation_found",)},
    "all failed": {"units": 5, "inputs": 3, "states": ("not_run",)},
    "all not applicable": {"units": 3, "inputs": 3, "states": ("not_applicable",)},
    "every state": {"units": 6, "inputs": 5, "states": ALL_STATES},
    "fifty units": {"units": 50, "inputs": 2},
    "no labels": {"units": 2, "inputs": 3, "labels": False},
    "with evidence": {"evidence": True, "states": ALL_STATES},
    "evidence of one unit": {"evidence": True, "units": 1, "inputs": 1, "states": ("certified_injective",)},
    "no unit with evidence": {"evidence": True, "units": 2, "inputs": 2, "states": ("not_run",)},
    "fifty units with evidence": {"evidence": True, "units": 50, "inputs": 2},
    "with pictures": {"pictures": True, "states": ALL_STATES},
    "fifty units with pictures": {"pictures": True, "units": 50, "inputs": 2},
    "no unit with pictures": {"pictures": True, "units": 0, "inputs": 0},
}


@pytest.fixture(scope="module", params=CASES)
def page(request, make, make_full, make_pictured, parse):
    options = dict(CASES[request.param])
    build = make_full if options.pop("evidence", False) else make
    build = make_pictured if options.pop("pictures", False) else build
    result = build(**options)
    validate(result)
    return result, parse(render_html(result))


@pytest.fixture(scope="module")
def evil(make_pictured, evil_names, parse):
    result = make_pictured(10, 10, unit_names=evil_names, input_names=evil_names)
    for witness, name in zip(result["witnesses"], 3 * evil_names, strict=False):
        witness |= {
            "kind": name,
            "domain": name,
            "checked_by": [name],
            "file": name.translate({47: "_", 92: "_"}),
        }
        witness[name] = name
    for certificate, name in zip(result["certificates"], 10 * evil_names, strict=False):
        certificate.update(dict.fromkeys(("criterion", "limited_by", "arithmetic", "reason", "proof"), name))
        for layer in certificate.get("layers", ()):
            layer |= {"name": name, "method": name}
    for key in ("file", "architecture", "format"):
        result["model"][key] = evil_names[0] + evil_names[2]
    result["model"]["notes"] = list(evil_names)
    result["tool"]["command"] = " ".join(evil_names)
    result["tool"]["configuration"] = {name: name for name in evil_names}
    result["tool"]["environment"] = {name: name for name in evil_names}
    result["inputs"]["source"] = evil_names[6]
    for unit, name in zip(result["units"], evil_names, strict=True):
        unit["activation"] = unit["reason"] = name
        unit["plan"] = {"method": name, "cut": name, name: name}
    for verdict, name in zip(result["verdicts"], 3 * evil_names, strict=False):
        verdict["sentence"] = verdict["domain"] = verdict["arithmetic"] = name
        verdict["evidence"] = {"inputs": [name], name: [name]}
    for row in result["measurements"]:
        row["reason"] = evil_names[0] + evil_names[3]
    validate(result)
    return result, parse(render_html(result))


def test_every_unit_is_a_row_and_has_its_details(page):
    result, document = page
    names = [row[1] for row in document.tables["unit-table"][1:] if len(row) > 1]
    assert [name[: len(unit["name"])] for name, unit in zip(names, result["units"], strict=True)] == [
        unit["name"] for unit in result["units"]
    ]
    assert len([a for a in document.all("details") if a.get("class") == "unit"]) == len(result["units"])


def test_ids_are_unique_and_every_inner_link_has_its_target(page):
    _, document = page
    ids = document.values("id")
    assert len(ids) == len(set(ids))
    inner = {link[1:] for link in document.values("href") if link.startswith("#")}
    inner |= {name for value in document.values("aria-labelledby") for name in value.split()}
    assert inner <= set(ids)


def test_nothing_is_fetched(page):
    _, document = page
    for tag, attrs in document.elements:
        assert not {"srcset", "data", "poster", "background", "action", "ping", "xlink:href"} & set(attrs)
        # a picture is a part of the page
        assert tag == "img" or "src" not in attrs
        assert attrs.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        link = attrs.get("href", "#") or ""
        assert link.startswith(("#", "data:")) or (tag == "a" and link.startswith("https://"))
        assert tag not in ("iframe", "object", "embed", "base", "image", "form") or attrs.get("id")
    styles = re.findall(r"<style>(.*?)</style>", document.html, re.DOTALL)
    assert len(styles) == 1  # a picture's own style sheet would apply to the page
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", document.html))


def test_the_policy_allows_our_script_and_no_other(page):
    _, document = page
    (policy,) = [a["content"] for a in document.all("meta") if a.get("http-equiv")]
    scripts = [text for attrs, text in document.scripts if attrs.get("type") != "application/json"]
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_tables_are_accessible(page):
    _, document = page
    assert all(attrs.get("scope") in ("row", "col") for attrs in document.all("th"))
    for attrs in document.all("svg"):
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"]) > 40
    for attrs in document.all("div"):
        if attrs.get("class", "").split()[:1] == ["wide"]:
            assert attrs["tabindex"] == "0"
            assert attrs["aria-label"]


def test_the_embedded_copy_is_the_result_without_what_every_input_adds(page):
    result, document = page
    (text,) = [text for attrs, text in document.scripts if attrs.get("type") == "application/json"]
    left_out = ("measurements", "certificates", "attribution", "pictures")
    assert json.loads(text) == {key: value for key, value in result.items() if key not in left_out}


def test_a_verdict_is_a_word_and_a_sentence_never_a_grade(page):
    result, document = page
    for verdict in result["verdicts"]:
        assert verdict["sentence"] in document.text
        assert STATES[verdict["state"]].word in document.text
    assert not re.search(r"\b(score|grade|rating)\b", document.text, re.IGNORECASE)


def test_incomplete_stands_before_any_verdict(make, parse):
    result = make(16, 4, states=("not_run",) * 3 + ("no_violation_found",) * 13)
    text = parse(render_html(result)).text
    assert "3 of 16 units not run" in text
    assert text.index("3 of 16 units not run") < min(text.index(state.word) for state in STATES.values())


def test_steps_that_an_interrupt_left_out_stand_before_any_verdict(make, parse):
    result = make(4, 4, states=("no_violation_found",)) | {"left_out": ["proofs", "<b>pictures</b>"]}
    text = parse(render_html(result)).text
    assert "not done after an interrupt: proofs, <b>pictures</b>" in text
    assert text.index("not done after") < min(text.index(state.word) for state in STATES.values())


def test_complete_says_nothing_of_incomplete(make, parse):
    result = make(2, 1, states=("certified_injective", "not_applicable"))
    assert "Incomplete" not in parse(render_html(result)).text


def test_a_missing_verdict_reads_as_not_run(result, parse):
    result["verdicts"] = []
    assert parse(render_html(result)).text.count("No verdict is stored for this map.") == 2 + 2 * 16


def test_evil_names_stay_inert_and_visible(evil, evil_names):
    _, document = evil
    assert len(document.scripts) == 2
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in document.all("img"))
    for tag, attrs in document.elements:
        assert not [name for name in attrs if name.startswith("on")], tag
    shown = document.text
    assert '<script>alert("unit")</script>' in shown
    assert "\\x1b[31mred\\x1b[0m" in shown
    assert "abc\\u202egnp.exe" in shown
    assert "lone \\ud800 surrogate" in shown
    assert "{{ 7 * 7 }}" in shown
    assert "$\\frac{1}{0}$" in shown
    assert evil_names[6] in shown


def test_no_character_of_the_page_acts_instead_of_showing(evil):
    _, document = evil
    acting = {c for c in document.html if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}
    assert acting <= {"\n"}


def test_the_same_result_gives_the_same_bytes(result):
    html = render_html(result)
    assert html == render_html(copy.deepcopy(result))
    program = (
        "import json, sys, hashlib\n"
        "from resnet_diffeo_probe.report import render_html\n"
        "html = render_html(json.load(sys.stdin))\n"
        "digest = hashlib.sha256(html.encode()).hexdigest()\n"
        "print(digest, 'torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(result),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )
    digest = hashlib.sha256(html.encode()).hexdigest()
    assert done.stdout.split() == [digest, "False", "False"], "rendering needs neither torch nor pyplot"


def test_a_hundred_inputs_on_sixteen_units_stay_below_five_megabytes(make, parse):
    html = render_html(make(16, 100))
    assert len(html.encode()) < 5_000_000
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 6
    assert max(map(len, pictures)) < 150 * 1024
    parse(html)


def test_an_invalid_result_is_refused(result):
    del result["units"][0]["plan"]
    with pytest.raises(ResultError, match=r"units\[0\]"):
        render_html(result)


def test_render_writes_the_page_and_nothing_else(make, tmp_path):
    result = make(2, 2)
    path = tmp_path / "report.html"
    path.write_text("an older report")
    render(result, path=path)
    assert path.read_bytes().decode() == render_html(result)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_render_says_where_it_could_not_write(make, tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        render(make(1, 1), path=tmp_path / "nowhere" / "report.html")


def test_the_sections_stand_in_the_order_of_the_list(make_pictured):
    result = make_pictured(6, 5, states=ALL_STATES)
    shown = re.findall(r'<section id="([^"]+)"', render_html(result))
    assert set(shown) >= {step.section for step in STEP_NAMES} - {"pullback", "attribution"}
    assert shown == [section for section in SECTIONS if section in shown]
    assert SECTIONS == (
        "verdict", "overview", "units", "proofs", "where", "depth", "pullback", "references", "refinement",
        "attribution", "details", "criteria", "methods", "provenance",
    )  # fmt: skip


def test_the_page_is_ordered_without_torch():
    code = "import sys; import resnet_diffeo_probe.analysis.result.step_names; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

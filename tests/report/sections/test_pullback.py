"""From the pixels to each depth: every number of the result is in the table, and nothing of it is trusted."""

import pytest

from resnet_diffeo_probe.analysis.result.schema import validate
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.text.escaping import count, number


def exact(value, **more):
    return {"value": value, "evidence": "exact", "status": "ok", "dtype": "float64", **more}


@pytest.fixture
def pulled(result):
    names = [unit["name"] for unit in result["units"]]
    none = {"value": None, "evidence": "exact", "status": "singular", "reason": "columns are dependent"}
    unsure = exact(2990, interval=[2980, 3001]) | {"status": "undetermined"}
    numbers = [(16384, exact(3072), exact(-812.25), 3.5e-4, 17.25), (4096, unsure, none, 0.0, 99.5)]
    depths = [
        {"unit": name, "outputs": outputs, "rank": rank, "half_logdet": half, "sigma_min": exact(low),
         "sigma_max": exact(high)}
        for name, (outputs, rank, half, low, high) in zip(names, numbers, strict=False)
    ]  # fmt: skip
    result["pullback"] = {"input": result["inputs"]["names"][0], "pixels": 3072, "directions": 3072, "seed": None,
                          "reason": None, "seconds": 12.5, "depths": depths}  # fmt: skip
    validate(result)
    return result


def test_every_number_stands_in_the_table(pulled, parse):
    document = parse(render_html(pulled))
    first, second = document.tables["pullback-table"][1:]
    assert first[1:] == [count(16384), count(3072), number(-812.25), number(3.5e-4), number(17.25)]
    assert second[1:] == [
        count(4096),
        f"{count(2990)} [{count(2980)}, {count(3001)}]",
        "singular",
        "0",
        number(99.5),
    ]
    assert "3,072 pixels" in document.text or "3\u202f072 pixels" in document.text
    assert document.values("href").count("#pullback") >= 1


def test_a_singular_value_within_rounding_is_no_number_of_its_own(pulled, parse):
    pulled["pullback"]["depths"][1]["sigma_min"] = exact(2.6e-31, error=3.8e-11)
    document = parse(render_html(pulled))
    assert document.tables["pullback-table"][2][4] == f"< {number(3.8e-11, 2)}"
    assert "2.6" not in document.tables["pullback-table"][2][4]
    assert "10⁻³¹" not in document.html.split('id="pullback-title"')[1].split("</section>")[0]


def test_without_it_there_is_no_section(result, parse):
    for absent in ({}, {"pullback": None}):
        assert "pullback-title" not in parse(render_html(result | absent)).values("id")


def test_fewer_directions_and_none_say_why(pulled, parse):
    pulled["pullback"] |= {"directions": 64, "seed": 0, "reason": "all 3072 pixels need 9e+13 operations"}
    text = parse(render_html(pulled)).text
    assert "64 random directions" in text
    assert "all 3072 pixels need 9e+13 operations." in text
    pulled["pullback"] |= {"directions": 0, "depths": [], "reason": "the input holds NaN"}
    document = parse(render_html(pulled))
    assert "the input holds NaN." in document.text
    assert "pullback-table" not in document.tables


def test_hostile_names_are_text(make, evil_names, parse):
    result = make(3, 2, unit_names=evil_names[:3])
    unit = result["units"][0]["name"]
    depth = {"unit": unit, "outputs": 4, "rank": exact(2), "half_logdet": exact(1.0), "sigma_min": exact(0.5),
             "sigma_max": exact(2.0)}  # fmt: skip
    result["pullback"] = {"input": result["inputs"]["names"][0], "pixels": 2, "directions": 2, "seed": None,
                          "reason": "</p><script>alert(1)</script>", "seconds": 0.0, "depths": [depth]}  # fmt: skip
    document = parse(render_html(result))
    assert len(document.scripts) == 2
    assert "<script>alert(1)" in document.text

"""The first screen says what was looked at, why, where it holds and what is not known: counted anew from the result."""

from collections import Counter

import pytest

from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.sections.opening import opening_of
from resnet_diffeo_probe.report.text.escaping import plural
from resnet_diffeo_probe.report.text.units import units_of


def opening(result):
    return opening_of(result, units_of(result))


def test_signs_and_pairs_are_counted(make_full):
    result = make_full()
    next(w for w in result["witnesses"] if w["map"] == "sum")["in_orthant"] = False
    why = opening(result).grounds["sum"].why
    signs = {}
    for row in result["measurements"]:
        if row["quantity"] == "sign" and row["value"] in (1, -1):
            signs.setdefault(row["unit"], set()).add(row["value"])
    measured = [unit for unit in result["units"] if unit["done"]]
    both = sum(found == {1, -1} for found in signs.values())
    assert why[0] == f"det J has both signs at the inputs of {both} of {len(measured)} units."
    proofs = [w for w in result["witnesses"] if w["map"] == "sum" and w["is_proof"]]
    assert why[1].startswith(f"{len(proofs)} pairs x₁ ≠ x₂ with one image")
    inside = sum(w["in_orthant"] for w in proofs)
    assert f"{inside} of them without a negative coordinate" in why[1]


def test_every_domain_is_counted_once(make_full):
    result = make_full()
    for which in ("sum", "unit"):
        stated = [v["domain"] for v in result["verdicts"] if v["unit"] and v["map"] == which and v["domain"]]
        counted = Counter(stated)
        assert 1 <= len(counted) <= 4
        said = opening(result).grounds[which].domains
        assert dict(said) == {domain: plural(n, "unit") for domain, n in counted.items()}


def test_many_different_domains_are_not_listed_in_full(make_full):
    result = make_full(states=("not_injective_proven",), units=8)
    for place, verdict in enumerate(result["verdicts"]):
        verdict["domain"] = f"domain {place}"
    domains = opening(result).grounds["sum"].domains
    assert len(domains) == 4
    assert domains[-1] == ("stated with the unit", "5 more units")


def test_what_is_not_known_names_the_units(make):
    result = make(4, 5, states=("no_violation_found", "undetermined", "not_run", "certified_injective"))
    names = [unit["name"] for unit in result["units"]]
    unknown = opening(result).unknown
    assert names[0] in unknown[0]
    assert "95" in unknown[0], "the bound on the share stands beside it"
    assert names[1] in unknown[1]
    assert names[2] in unknown[2]
    assert not any(names[3] in sentence for sentence in unknown[:3])


def test_a_known_architecture_is_not_doubted(make):
    result = make()
    assert "architecture" in opening(result).unknown[-1]
    result["model"]["architecture_assumed"] = False
    assert not any("architecture" in sentence for sentence in opening(result).unknown)


@pytest.mark.parametrize("options", [{"units": 0}, {"units": 0, "inputs": 0}, {"states": ("not_run",)}])
def test_nothing_measured_gives_no_reason(make, parse, options):
    result = make(**options)
    assert opening(result).grounds["sum"].why == []
    assert "none stated" in parse(render_html(result)).text


def test_the_incompleteness_stands_before_the_verdict(make):
    html = render_html(make(16, 8, states=("not_injective_proven", "not_run")))
    assert 0 < html.index("8 of 16 units not run") < html.index("Verdict on the network</h2>")


def test_classified_rightly_is_said_where_it_is_known(make):
    assert "6 of them classified rightly" in opening(make(inputs=8)).subject
    assert "classified" not in opening(make(labels=False)).subject


def test_a_unit_with_a_certified_ball_that_is_everything_is_not_called_unproven(make):
    result = make(2, 3, states=("no_violation_found",))
    first, second = (unit["name"] for unit in result["units"])
    ball = {
        "unit": first,
        "scope": "local",
        "input": result["inputs"]["names"][0],
        "holds": True,
        "norm": "l2",
    }
    result["certificates"] = [ball | {"radius": None}, ball | {"unit": second, "radius": 0.5}]
    unknown = opening(result).unknown
    assert unknown[0].startswith(f"The rounding of the proof for {first}: a certified ball is all of Rⁿ")
    assert unknown[1].startswith(f"Whether the sum map folds in {second}: ")
    page = render_html(result)
    assert "∞: the ball is all of Rⁿ" in page
    result["certificates"][0]["radius"] = 2.0
    assert "∞: the ball is all of Rⁿ" not in render_html(result)

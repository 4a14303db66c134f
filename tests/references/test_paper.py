"""The paper report: outcomes follow from numbers, the page stands alone, figures are the same every time."""

import json
import re

import pytest

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.flows.fields.architecture import NETWORKS
from resnet_diffeo_probe.flows.studies.step_study import step_rows
from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.paper import page
from resnet_diffeo_probe.references.paper.claims import claims
from resnet_diffeo_probe.references.paper.result import make_result, read_rows
from resnet_diffeo_probe.references.paper.spiral_figures import (
    DrawnSeeds,
    boundary_figure,
    flow_figure,
    jacobian_figure,
    shown_network,
)
from resnet_diffeo_probe.references.paper.study_figures import depths_figure, seeds_figure, steps_figure
from resnet_diffeo_probe.references.paper.tables import steps_table, summary
from resnet_diffeo_probe.references.weights import shipped_weights


def _network(least, greatest, curvature, consistency):
    maps = [
        {
            "seed": seed,
            "determinant_least": low,
            "determinant_greatest": greatest,
            "boundary_curvature": curvature,
            "inverse_consistency_on_square": consistency,
            "certificate": {"verdict": "not injective" if low < 0 else "diffeomorphism onto its image"},
        }
        for seed, low in enumerate(least)
    ]
    return {"seeds": list(range(len(least))), "good_seeds": list(range(len(least))), "maps": maps}


def test_outcomes_follow_from_the_numbers():
    networks = {
        "a": _network([-1.0] * 10, 9.0, 5.0, 0.3),
        "b": _network([-1.0] * 5 + [1.0] * 5, 9.0, 6.0, 0.3),
        "c": _network([0.5] * 10, 9.0, 4.0, 0.1),
        "d": _network([0.5] * 10, 2.0, 3.0, None),
    }
    study = [
        {"network": letter, "scheme": "adaptive", "agreement": value}
        for letter, value in {"a": 0.5, "b": 0.5, "c": 1.0, "d": 1.0}.items()
    ]
    outcomes = [row["outcome"] for row in claims("paper", networks, study)]
    assert outcomes == [
        "reproduced",  # a negative
        "partly",  # b negative in half of the seeds
        "reproduced",
        "reproduced",
        "reproduced",  # d narrowest
        "partly",  # b's boundary is not smoother
        "not reproduced",  # d's consistency is unknown
        "reproduced",
        "reproduced",
    ]


def _few(letter):
    networks = shipped_weights("reliable", letter)
    shown = shown_network(networks, shipped_references()["networks"][letter])
    return DrawnSeeds(networks, shown.seed, shown.good[:1], shown.reference)


@pytest.fixture(scope="module")
def pictures():
    shown = [_few(letter) for letter in NETWORKS]
    study = []
    for letter in NETWORKS:
        networks = shipped_weights("reliable", letter)
        study += step_rows(
            networks.setting,
            networks.parameters.select([0]),
            (0,),
            schemes={"euler": 40, "adaptive": 20},
            grid=10,
        )
    depths = [
        {
            "network": letter,
            "depth": depth,
            "seed": 0,
            "accuracy": 1.0 if depth > 5 else 0.5,
            "determinant_least": 0.1 * depth,
            "determinant_greatest": 2.0,
            "inverse_critical_step_on_data": 1 / depth,
            "inverse_critical_step_on_square": 2 / depth,
        }
        for letter in NETWORKS
        for depth in (5, 10)
    ]
    made = [
        boundary_figure(shown),
        flow_figure(shown, columns=3),
        jacobian_figure(shown, side=30),
        seeds_figure({"reliable": shipped_references()}),
        steps_figure(study, "reliable"),
        depths_figure(depths),
    ]
    return made, study, depths


def test_shown_seed_is_the_median_one():
    for letter in NETWORKS:
        shown = _few(letter)
        good = set(shown.reference["good_seeds"])
        least = [m["determinant_least"] for m in shown.reference["maps"] if m["seed"] in good]
        below = sum(value < shown.numbers["determinant_least"] for value in least)
        assert below == (len(least) - 1) // 2


@pytest.mark.slow
def test_page_stands_alone(pictures):
    made, study, depths = pictures
    result = make_result(("reliable",), {"reliable": study}, depths, [])
    html = page.render(result, made)
    json.dumps(result, allow_nan=False)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "<script" not in html
    assert html.count("<img ") == html.count(' alt="') == len(made)
    assert len(html) < 5e6
    for letter, network in NETWORKS.items():
        assert f"({letter}) {network.title}" in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_figures_are_small_and_say_their_numbers(pictures):
    for made in pictures[0]:
        assert re.search(r"\d", made.alt)
        assert made.source.startswith("data:image/")
        assert len(made.source) < 450_000


@pytest.mark.slow
def test_the_same_figure_has_the_same_bytes(pictures):
    again = seeds_figure({"reliable": shipped_references()})
    assert again.source == pictures[0][3].source


@pytest.mark.slow
def test_report_is_written_from_what_lies_in_the_folder(pictures, tmp_path, monkeypatch):
    made, study, depths = pictures
    (tmp_path / "depths.json").write_text(json.dumps({"rows": depths}))
    monkeypatch.setattr(page, "study_steps", lambda _name: study)
    for name, picture in (
        ("boundary_figure", made[0]),
        ("flow_figure", made[1]),
        ("jacobian_figure", made[2]),
    ):
        monkeypatch.setattr(page, name, lambda _shown, picture=picture: picture)
    written = page.write_report(tmp_path, settings=("reliable",))
    assert [path.name for path in written] == ["result.json", "report.html"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["study_2"] == depths
    assert [figure["key"] for figure in result["figures"]][-1] == "study-2"


def test_tables_sum_up():
    rows = [
        {"network": "b", "scheme": "euler", "steps": 5, "accuracy": v, "agreement": v, "determinant_least": d}
        for v, d in ((0.5, None), (1.0, 2.0), (0.75, 1.0))
    ]
    (row,) = steps_table(rows)
    assert row["accuracy"] == {"median": 0.75, "least": 0.5, "greatest": 1.0}
    assert row["determinant_least"]["median"] == 1.5
    assert summary([]) is None


def test_files_of_something_else_are_refused(tmp_path):
    assert read_rows(tmp_path / "none.json", "rows") == []
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(LoadError):
        read_rows(tmp_path / "other.json", "rows")

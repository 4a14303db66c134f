"""`diffeo-probe explain`: complete in both directions, and kind to a slip."""

import ast
from pathlib import Path

import diffeo_probe
import pytest
from diffeo_probe.explain import explanations

import resnet_diffeo_probe

PACKAGES = [Path(package.__file__).parent for package in (resnet_diffeo_probe, diffeo_probe)]


def codes_in_the_source():
    """Every code that an error can have: of classes, and of the places that raise."""
    found = set()
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                elif isinstance(node, ast.ClassDef):
                    values = [
                        part.value
                        for part in node.body
                        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "code"
                    ]
                else:
                    continue
                for value in values:
                    found |= {
                        each.value
                        for each in ast.walk(value)
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    }
    return found


@pytest.fixture(scope="module")
def every():
    return list(explanations())


def test_every_error_code_is_explained_and_every_explained_one_exists(every):
    explained = [each.name for each in every if each.kind == "errors"]
    assert len(explained) == len(set(explained))
    assert set(explained) == codes_in_the_source()


def test_every_verdict_status_quantity_limit_and_exit_code_is_explained(every):
    from resnet_diffeo_probe.analysis.quantities import QUANTITIES
    from resnet_diffeo_probe.analysis.thresholds import LIMITS
    from resnet_diffeo_probe.bijectivity.state import State
    from resnet_diffeo_probe.finding import Status

    names = {
        kind: {each.name for each in every if each.kind == kind} for kind in {each.kind for each in every}
    }
    assert names["verdicts"] == {state.value for state in State}
    assert names["statuses"] == {status.value for status in Status}
    assert set(QUANTITIES) <= names["quantities"]
    assert names["thresholds"] == set(LIMITS)
    assert names["exit codes"] == {"0", "1", "2", "3", "4", "70", "130"}


def test_a_quantity_is_explained_in_one_place(every):
    """A text of ours for a quantity that the report's criteria speak of would be a second one."""
    import tomllib

    from resnet_diffeo_probe.report.criteria import criteria_for
    from resnet_diffeo_probe.report.quantities import QUANTITIES

    path = Path(diffeo_probe.__file__).with_name("explanations.toml")
    ours = set(tomllib.loads(path.read_text(encoding="utf-8"))["quantities"])
    assert not ours & {key for each in criteria_for(set(QUANTITIES)) for key in each.quantities}
    assert ours <= {each.name for each in every if each.kind == "quantities"}


def test_nothing_explained_is_empty_or_markup(every):
    for each in every:
        for text in (each.title, *(text for _, text in each.parts)):
            assert len(text.strip()) >= 4, each
            assert "<" not in text.replace("< ", "").replace("<COMMAND>", "").replace("<OPTION>", ""), (
                each.name,
                text,
            )
    for each in every:
        if each.kind != "quantities":
            assert {"do"} <= {label for label, _ in each.parts}, each.name


def test_the_list_names_all_of_them(typed, every):
    outcome = typed("explain")
    assert outcome.exit_code == 0
    for each in every:
        assert f"  {each.name} " in outcome.stdout
    assert all(len(line) <= 100 for line in outcome.stdout.splitlines())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pickle-not-trusted", ["would run code", "--trust-pickle"]),
        ("Pickle_Not_Trusted", ["would run code"]),
        ("not_injective_proven", ["NOT INJECTIVE (PROVEN)", "opposite signs"]),
        ("sigma_min", ["Smallest singular value", "Eckart"]),
        ("certified_radius_linf", ["ball around the input"]),
        ("max_residual_ratio", ["at most", "default:", "paper"]),
        ("4", ["Partial"]),
        ("thresholds", ["max_residual_ratio", "min_sigma_min"]),
        ("undetermined", ["verdicts", "statuses"]),
    ],
)
def test_one_name_is_explained_whatever_it_is(typed, given, said):
    outcome = typed("explain", given)
    assert outcome.exit_code == 0, outcome.output
    for words in said:
        assert words in " ".join(outcome.stdout.split())


def test_a_slip_is_met_with_the_nearest_name(typed):
    outcome = typed("explain", "sigmamin\x1b[2J")
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "diffeo-probe explain sigma_min" in outcome.stderr
    assert "\x1b" not in outcome.stderr


def test_the_code_of_an_error_on_the_screen_can_be_explained(typed, tmp_path):
    refused = typed("inspect", tmp_path / "no.pt")
    code = refused.stderr.split("[")[1].split("]")[0]
    assert typed("explain", code).exit_code == 0

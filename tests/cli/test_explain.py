"""`diffeo-probe explain`: complete in both directions, and kind to a slip."""

import ast
import copy
import html
import re
from pathlib import Path

import diffeo_probe
import pytest
from diffeo_probe.commands.explain import explanations, forms_of

import resnet_diffeo_probe
from resnet_diffeo_probe.analysis.comparing.compare import compare
from resnet_diffeo_probe.analysis.result.schema import load_schema, read_result
from resnet_diffeo_probe.demo import demo_paths
from resnet_diffeo_probe.finding import Evidence
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.sections.compare import comparison_html

ROOT = Path(__file__).parents[2]
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
    from resnet_diffeo_probe.analysis.comparing.thresholds import LIMITS
    from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES
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


def test_every_kind_of_evidence_is_explained(every):
    names = {each.name.replace("-", " ") for each in every if each.kind == "evidence"}
    assert names == {evidence.value for evidence in Evidence}


def unexplained(shown, every):
    """Return what is neither the name of an explanation nor one of its other forms."""
    known = set().union(*(forms_of(form) for each in every for form in (each.name, each.kind, *each.also)))
    return [text for text in shown if not forms_of(text) & known]


def test_every_word_that_a_result_may_hold_is_explained(every):
    """Words of a limit are part of the limit's own name."""
    found = set()

    def collect(node, path):
        if isinstance(node, dict):
            if "threshold" not in path:
                found.update(word for word in node.get("enum", ()) if word is not None)
            for key, part in node.items():
                collect(part, (*path, key))
        elif isinstance(node, list):
            for part in node:
                collect(part, path)

    collect(load_schema(), ())
    assert {"clipped_energy", "narrow_direction", "rk4", "sum"} <= found
    assert unexplained(sorted(found), every) == []


def test_every_column_and_section_of_a_report_is_explained(every):
    """Of the gallery's report of a full budget; the sections that hold no term of ours are named."""
    result = read_result(ROOT / "reports" / "full" / "result.json")
    shown = []
    for page in (render_html(result), comparison_html(compare(result, copy.deepcopy(result)))):
        body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
        headings = re.findall(r'<(?:th scope="col"|h2)[^>]*>(.*?)</(?:th|h2)>', body, re.DOTALL)
        shown += [" ".join(html.unescape(re.sub(r"<[^>]+>", "", heading)).split()) for heading in headings]
    assert {"Completeness error", "rank J", "Refined", "p (Holm)"} <= set(shown)
    about = r"Verdict|Units|Proofs|Through the depth|Criteria|Methods|Provenance|Signs of|Measures|What the verdicts"
    of_a_file = {"Analysis", "File", "SHA-256", "Architecture", "Accuracy", "Arithmetic", "Run", "Version"}
    words = [
        text
        for text in dict.fromkeys(shown)
        # the head of a drawing is its range
        if not re.match(about, text) and text not in of_a_file and " … " not in text
    ]
    assert unexplained(words, every) == []


def test_every_column_of_inspect_is_explained(typed, every):
    demo = demo_paths()
    outcome = typed("inspect", demo.model)
    header = next(line for line in outcome.stdout.splitlines() if line.startswith("unit "))
    assert unexplained(re.split(r"\s{2,}", header), every) == []


def test_a_quantity_is_explained_in_one_place(every):
    """A text of its own for a quantity that a criterion speaks of would be a second one."""
    from resnet_diffeo_probe.measures.registry import CRITERIA, MEASURES

    spoken_of = {key for each in CRITERIA for key in each.quantities}
    for measure in MEASURES:
        assert bool(measure.explanation) != (measure.key in spoken_of), measure.key
    names = [each.name for each in every if each.kind == "quantities"]
    assert len(names) == len(set(names))
    assert set(names) == {each.key for each in (*MEASURES, *CRITERIA)}


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
            asked = "read" if each.kind in ("terms", "evidence") else "do"
            assert asked in {label for label, _ in each.parts}, each.name


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
        ("Completeness error", ["Conductance", "integral along the path"]),
        ("fold_normal", ["surface on which det J changes its sign"]),
        ("Euler, 8 steps", ["discretises a flow"]),
        ("σmin", ["Smallest singular value"]),
        ("estimated", ["95 % interval"]),
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

"""result.json: what is valid, what is refused, and with which words."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from resnet_diffeo_probe.analysis.result import schema
from resnet_diffeo_probe.analysis.result.schema import ResultError, load_schema, validate
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from tests.analysis.small_result import EVIDENCE, JSON, SMALL


def put(result, path, value):
    *way, last = path
    for step in way:
        result = result[step]
    result[last] = value


def test_the_schema_is_a_schema_and_a_fresh_copy():
    Draft202012Validator.check_schema(load_schema())
    load_schema().clear()
    assert load_schema()["properties"]["schema_version"]["const"] == schema.SCHEMA_VERSION


def test_the_schema_speaks_the_vocabulary_of_findings():
    properties = load_schema()["$defs"]["measurement"]["properties"]
    assert properties["evidence"]["enum"] == [word.value for word in Evidence]
    assert properties["status"]["enum"] == [word.value for word in Status]


def test_a_small_result_is_valid(small):
    validate(small)


@pytest.mark.parametrize(
    "finding",
    [
        Finding(-972.5, error=1e-9, dtype="float64"),
        Finding(0.1, Evidence.ESTIMATED, interval=(0.0, 0.2), seed=3),
        Finding(0, status=Status.SINGULAR),
        Finding.missing(Status.ERROR, "out of memory"),
        Finding.missing(Status.NOT_APPLICABLE, "changes the dimension", Evidence.NOT_APPLICABLE),
    ],
)
def test_every_finding_is_a_valid_row(small, finding):
    row = {"unit": "layer1.0", "input": "synthetic-0", "quantity": "q_1", **finding.to_json()}
    small["measurements"].append(row)
    validate(small)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["extra"], 1, "the whole"),
        (["tool", "started"], "yesterday", "tool.started"),
        (["tool", "seconds"], -1, "tool.seconds"),
        (["tool", "configuration", "nested"], {"a": 1}, "tool.configuration.nested"),
        (["model", "sha256"], "ABC", "model.sha256"),
        (["model", "parameters"], True, "model.parameters"),
        (["inputs", "kind"], "video", "inputs.kind"),
        (["inputs", "names"], ["a", "a"], "inputs.names"),
        (["inputs", "labels"], ["a", "b"], "inputs.labels"),
        (["inputs", "preprocessing", "size"], [8], "inputs.preprocessing.size"),
        (["units", 0, "shortcut"], "none", r"units\[0\].shortcut"),
        (["units", 0, "plan"], {}, r"units\[0\].plan"),
        (["units", 0, "done"], 1.5, r"units\[0\].done"),
        (["measurements", 0, "value"], "1", r"measurements\[0\].value"),
        (["measurements", 0, "value"], math.nan, r"measurements\[0\].value"),
        (["measurements", 1, "interval"], [0.0, math.inf], r"measurements\[1\].interval\[1\]"),
        (["measurements", 0, "value"], None, r"measurements\[0\].value: status is ok"),
        (["measurements", 0, "unit"], "layer9", r"measurements\[0\].unit"),
        (["measurements", 0, "input"], "other", r"measurements\[0\].input"),
        (["measurements", 0, "quantity"], "Log Det", r"measurements\[0\].quantity"),
        (["measurements", 0, "status"], "fine", r"measurements\[0\].status"),
        (["verdicts", 0, "unit"], "layer9", r"verdicts\[0\].unit"),
        (["verdicts", 0, "state"], "good", r"verdicts\[0\].state"),
        (["verdicts", 0, "violating_share_upper_95"], 1.5, r"verdicts\[0\].violating_share_upper_95"),
        (["verdicts", 0, "counts", "positive"], -1, r"verdicts\[0\].counts.positive"),
        (["verdicts", 0, "evidence", "share"], math.nan, r"verdicts\[0\].evidence.share"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(small, path, value, place):
    put(small, path, value)
    with pytest.raises(ResultError, match=f"not a valid result: {place}") as raised:
        validate(small)
    assert raised.value.fix
    assert isinstance(raised.value, DiffeoProbeError)


@pytest.mark.parametrize(
    "path", [["units", 0], ["measurements", 0], ["verdicts", 0], ["tool"], ["model"], ["inputs"]]
)
def test_a_missing_or_unknown_key_is_refused(small, path):
    node = small
    for step in path:
        node = node[step]
    first = next(iter(node))
    kept = node.pop(first)
    with pytest.raises(ResultError, match=first):
        validate(small)
    node[first] = kept
    node["unheard_of"] = 1
    with pytest.raises(ResultError, match="unheard_of"):
        validate(small)


@pytest.fixture
def with_evidence(small):
    return {**small, **copy.deepcopy(EVIDENCE)}


def test_the_optional_parts_are_valid_together_alone_and_empty(small, with_evidence):
    validate(with_evidence)
    for part in EVIDENCE:
        validate({**small, part: with_evidence[part]})
        validate({**small, part: []})


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["witnesses"], None, "witnesses"),
        (["witnesses", 0, "unit"], "layer9", r"witnesses\[0\].unit"),
        (["witnesses", 0, "unit"], None, r"witnesses\[0\].unit"),
        (["witnesses", 0, "map"], "both", r"witnesses\[0\].map"),
        (["witnesses", 0, "distance"], -1, r"witnesses\[0\].distance"),
        (["witnesses", 0, "gap"], math.nan, r"witnesses\[0\].gap"),
        (["witnesses", 0, "checked_by"], "me", r"witnesses\[0\].checked_by"),
        (["witnesses", 0, "file"], "../../etc/passwd", r"witnesses\[0\].file"),
        (["witnesses", 0, "file"], "a\\b.npz", r"witnesses\[0\].file"),
        (["witnesses", 0, "file"], "..", r"witnesses\[0\].file"),
        (["witnesses", 0, "file"], "", r"witnesses\[0\].file"),
        (["witnesses", 0, "first_distance"], math.inf, r"witnesses\[0\].first_distance"),
        (["certificates", 0, "unit"], "layer9", r"certificates\[0\].unit"),
        (["certificates", 0, "scope"], "all", r"certificates\[0\].scope"),
        (["certificates", 0, "layers", 0, "upper"], -1, r"certificates\[0\].layers\[0\].upper"),
        (["certificates", 1, "input"], "other", r"certificates\[1\].input"),
        (["certificates", 1, "radius"], -1, r"certificates\[1\].radius"),
        (["certificates", 1, "norm"], "l1", r"certificates\[1\].norm"),
        (["references", 0, "unit"], "layer9", r"references\[0\].unit"),
        (["references", 0, "nearest"], "e", r"references\[0\].nearest"),
        (["references", 0, "percentiles", "d", "sigma_min"], 101, r"references\[0\].percentiles.d.sigma_min"),
        (["references", 0, "distances", "d"], None, r"references\[0\].distances.d"),
        (["references", 0, "more"], 1, r"references\[0\]"),
        (["refinement", 1, "unit"], "layer9", r"refinement\[1\].unit"),
        (["refinement", 0, "steps"], 0, r"refinement\[0\].steps"),
        (["refinement", 0, "scheme"], "midpoint", r"refinement\[0\].scheme"),
        (["refinement", 0, "agreement"], None, r"refinement\[0\].agreement"),
        (["refinement", 0, "accuracy"], 1.5, r"refinement\[0\].accuracy"),
    ],
)
def test_a_wrong_value_of_an_optional_part_is_named_by_its_place(with_evidence, path, value, place):
    put(with_evidence, path, value)
    with pytest.raises(ResultError, match=f"not a valid result: {place}"):
        validate(with_evidence)


@pytest.mark.parametrize("part", ["witnesses", "certificates", "references", "refinement"])
def test_a_missing_key_of_an_optional_part_is_refused(with_evidence, part):
    del with_evidence[part][0]["unit"]
    with pytest.raises(ResultError, match=rf"{part}\[0\].*unit"):
        validate(with_evidence)


@pytest.mark.parametrize("part", ["references", "refinement"])
def test_entries_of_an_optional_part_appear_once(with_evidence, part):
    with_evidence[part].append(copy.deepcopy(with_evidence[part][0]))
    with pytest.raises(ResultError, match=rf"{part}\[\d\]: a second"):
        validate(with_evidence)


@pytest.mark.parametrize("key", ["units", "measurements", "verdicts"])
def test_rows_appear_once(small, key):
    small[key].append(copy.deepcopy(small[key][0]))
    with pytest.raises(ResultError, match=rf"{key}\[\d\]"):
        validate(small)


@pytest.mark.parametrize("value", [None, [], "text", 3, True, {}])
def test_what_is_no_result_at_all(value):
    with pytest.raises(ResultError, match="not a result"):
        validate(value)


def test_another_version_is_told_apart_from_nonsense(small):
    small["schema_version"] = "2.0"
    small["units"] = "in another form"
    with pytest.raises(ResultError, match=r"schema version '2\.0'") as raised:
        validate(small)
    assert raised.value.code == "result-version"


@settings(max_examples=150)
@given(
    st.sampled_from(
        [("tool",), ("model", "notes"), ("inputs",), ("units",), ("units", 0), ("measurements",),
         ("measurements", 0),
         ("measurements", 0, "input"), ("verdicts", 0), ("verdicts", 0, "unit"), ("schema_version",),
         ("witnesses",), ("witnesses", 0), ("certificates",), ("certificates", 0, "input"), ("references", 0),
         ("references", 0, "percentiles"), ("refinement",), ("refinement", 0)]
    ),
    JSON,
)  # fmt: skip
def test_nonsense_anywhere_is_a_clear_error_never_a_crash(path, value):
    result = copy.deepcopy({**SMALL, **EVIDENCE})
    put(result, path, value)
    try:
        validate(result)
    except ResultError as error:
        assert error.what

"""result.json: what is valid, what is refused, and with which words."""

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from resnet_diffeo_probe.analysis import schema
from resnet_diffeo_probe.analysis.schema import ResultError, load_schema, read_result, validate, write_result
from resnet_diffeo_probe.errors import DiffeoProbeError, OutputError
from resnet_diffeo_probe.finding import Evidence, Finding, Status

SMALL = {
    "schema_version": "1.0",
    "tool": {
        "name": "diffeo-probe",
        "version": "0.1.0",
        "command": "diffeo-probe analyze model.pth",
        "started": "2025-03-14T09:26:53.25+00:00",
        "seconds": 1.5,
        "seed": None,
        "dtype": "float64",
        "device": "cpu",
        "configuration": {"units": None, "measures": ["sign", "logabsdet"], "n": 1},
        "environment": {"python": "3.12.3", "threads": 2},
    },
    "model": {
        "file": "model.pth",
        "sha256": None,
        "format": "state dict",
        "architecture": "resnet20",
        "architecture_assumed": False,
        "parameters": 0,
        "num_classes": None,
        "notes": [],
        "rejected_sums": [{"name": "add_7", "reason": "no common dominator"}],
    },
    "inputs": {
        "source": "synthetic",
        "kind": "synthetic",
        "count": 1,
        "shape": [3, 8, 8],
        "names": ["synthetic-0"],
        "labels": None,
        "preprocessing": {"mean": None, "std": None, "size": 8, "preset": None},
        "seed": 0,
        "accuracy": None,
        "skipped": [],
    },
    "units": [
        {
            "name": "layer1.0",
            "index": 0,
            "shortcut": "identity",
            "activation": None,
            "input_shape": [4, 8, 8],
            "output_shape": [4, 8, 8],
            "dimension": 256,
            "status": "complete",
            "reason": None,
            "plan": {"method": "dense", "cut": None, "memory_bytes": 524288},
            "seconds": 0.25,
            "planned": 1,
            "done": 1,
        }
    ],
    "measurements": [
        {"unit": "layer1.0", "input": "synthetic-0", "quantity": "sign", "value": 1, "evidence": "exact",
         "status": "ok"},
        {
            "unit": "layer1.0",
            "input": None,
            "quantity": "lipschitz_bound",
            "value": 0.9,
            "evidence": "certified",
            "status": "ok",
            "interval": [0.0, 0.9],
        },
    ],
    "verdicts": [
        {
            "unit": None,
            "map": "sum",
            "state": "no_violation_found",
            "domain": None,
            "arithmetic": None,
            "sentence": "One sign at one input.",
            "counts": {"positive": 1, "negative": 0, "zero": 0, "undetermined": 0, "not_run": 0},
            "violating_share_upper_95": 0.95,
            "evidence": {"inputs": ["synthetic-0"], "anything": {"nested": True}},
        }
    ],
}  # fmt: skip

EVIDENCE = {
    "witnesses": [
        {
            "unit": "layer1.0",
            "map": "sum",
            "kind": "fold",
            "is_proof": True,
            "distance": 0.5,
            "relative_distance": 0.01,
            "gap": 1e-15,
            "domain": "the non-negative orthant",
            "in_orthant": True,
            "checked_by": ["the network's own module"],
            "file": "layer1.0.sum.npz",
            "inputs": ["synthetic-0"],
            "first_distance": 1e-4,
        }
    ],
    "certificates": [
        {
            "unit": "layer1.0",
            "scope": "global",
            "input": None,
            "holds": True,
            "lipschitz_upper": 0.9,
            "lipschitz_lower": None,
            "layers": [{"name": "conv1", "upper": 0.9, "lower": None, "method": "torus"}],
        },
        {"unit": "layer1.0", "scope": "local", "input": "synthetic-0", "holds": True, "norm": "l2",
         "radius": None},
    ],
    "references": [
        {
            "unit": "layer1.0",
            "nearest": "d",
            "percentiles": {"d": {"sigma_min": 99.5}},
            "distances": {"d": 0.25},
            "summaries": {"sigma_min": 0.75},
        }
    ],
    "refinement": [
        {"unit": None, "scheme": "euler", "steps": 2, "inputs": 1, "agreement": 1, "logit_change": 0.1,
         "accuracy": None, "accuracy_before": None},
        {"unit": "layer1.0", "scheme": "rk4", "steps": 1, "inputs": 1, "agreement": 0.0, "logit_change": None,
         "accuracy": 0.0, "accuracy_before": 1.0},
    ],
}  # fmt: skip


@pytest.fixture
def small():
    return copy.deepcopy(SMALL)


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


def test_written_and_read_again(small, tmp_path):
    small["units"][0]["reason"] = "lone \ud800 surrogate, bidi \u202e, \x1b[31m"
    small["measurements"][0]["value"] = 0.1 + 0.2
    path = tmp_path / "result.json"
    path.write_text("older")
    write_result(small, path)
    assert read_result(path) == small
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    assert "NaN" not in path.read_text()


def test_an_invalid_result_is_not_written(small, tmp_path):
    small["measurements"][0]["value"] = math.inf
    with pytest.raises(ResultError):
        write_result(small, tmp_path / "result.json")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(small, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_result(small, tmp_path / "no" / "result.json")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "result-truncated"),
        (b"  \n", "result-truncated"),
        (json.dumps(SMALL).encode()[:700], "result-truncated"),
        (json.dumps(SMALL).encode()[:-1], "result-truncated"),
        (b"<html>report</html>", "result-not-json"),
        (b"PK\x03\x04\xff\xfe", "result-not-json"),
        (b'{"schema_version": NaN}', "result-not-json"),
        (b"[" * 100_000, "result-not-json"),
        (b'{"schema_version": ' + b"1" * 5000 + b"}", "result-not-json"),
        (b"[]", "result-invalid"),
        (b'{"schema_version": "0.9"}', "result-version"),
        (b'{"schema_version": "1.0"}', "result-invalid"),
        (json.dumps(SMALL).replace("1.5", "1e999").encode(), "result-invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_files_that_are_no_results(tmp_path, raw, code):
    path = tmp_path / "result.json"
    path.write_bytes(raw)
    with pytest.raises(ResultError, match=r"result\.json") as raised:
        read_result(path)
    assert raised.value.code == code
    assert raised.value.exit_code == 3


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SMALL).encode())
    assert read_result(str(path)) == SMALL


def test_missing_folder_and_large_files(tmp_path):
    with pytest.raises(ResultError, match="No such file"):
        read_result(tmp_path / "result.json")
    with pytest.raises(ResultError, match="not a file"):
        read_result(tmp_path)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(SMALL))
    with pytest.raises(ResultError, match=r"would take about .* GiB of memory") as raised:
        read_result(path, max_memory=1000)
    assert raised.value.code == "result-too-large"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


WORDS = load_schema()["$defs"]["measurement"]["properties"]
ROW = {
    "unit": st.text(max_size=3),
    "input": st.none() | st.text(max_size=3),
    "quantity": st.sampled_from(
        ["sign", "sigma_min", "q1_2", "Sign", "", "_a", "a__b", "a_", "1a", "sign\n"]
    ),
    "value": st.none() | st.integers() | st.floats(),
    "evidence": st.sampled_from(WORDS["evidence"]["enum"]),
    "status": st.sampled_from(WORDS["status"]["enum"]),
}
EXTRA = {
    "error": st.floats(-1, 1),
    "interval": st.lists(st.floats(), min_size=1, max_size=3),
    "dtype": st.just("float64"),
    "seed": st.integers(),
    "reason": st.text(max_size=3),
    "more": st.none(),
}


@settings(max_examples=400)
@given(st.fixed_dictionaries(ROW, optional=EXTRA), st.none() | st.sampled_from([*ROW, *EXTRA]), JSON)
def test_the_quick_look_at_a_row_accepts_nothing_that_the_schema_refuses(row, changed, value):
    if changed is not None:
        row = {**row, changed: value}
    if schema._is_surely_a_row()(row):
        assert schema._row_validator().is_valid(row)


@pytest.mark.parametrize("changed", [*ROW, *EXTRA])
@pytest.mark.parametrize("value", [None, True, [], {}, "x", 1.5, [1], [1, True], [1, 2, 3], -1])
def test_a_row_is_refused_by_the_quick_look_wherever_the_schema_refuses_it(changed, value):
    row = {**SMALL["measurements"][1], changed: value}
    if not schema._row_validator().is_valid(row):
        assert not schema._is_surely_a_row()(row)


def test_every_ordinary_row_is_accepted_by_the_quick_look():
    for row in SMALL["measurements"]:
        assert schema._is_surely_a_row()(row)


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

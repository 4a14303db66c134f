"""Reading row by row gives what reading as a whole gives: the same result, or the same refusal."""

import copy
import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.analysis.result import text as result_text
from resnet_diffeo_probe.analysis.result.text import parse_file, pieces
from resnet_diffeo_probe.errors import DiffeoProbeError

PLENTY = float(1 << 30)


def row(number, **more):
    return {
        "unit": f"u{number % 2}",
        "input": f"a,\n]{number}",
        "quantity": "sign",
        "value": number / 3,
        **more,
    }


DOCUMENT = {
    "schema_version": "1.0",
    "tool": {"command": 'x "measurements": [', "list": [1, [2]]},
    "units": [{"name": "u0"}, {"name": "u1"}],
    "measurements": [row(number, reason="σ" * (number % 3), interval=[0, number]) for number in range(40)],
    "verdicts": [{"unit": "u0"}],
}
TEXT = "".join(pieces(DOCUMENT))


def in_blocks_of(monkeypatch, size):
    monkeypatch.setattr(result_text, "_BLOCK", size)


def written(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refuse(name):
    raise ValueError(name)


def as_a_whole(raw):
    return json.loads(raw.decode("utf-8-sig"), parse_constant=refuse)


@pytest.mark.parametrize("block", [1, 7, 100, 1000, 10**6])
def test_rows_are_the_same_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    in_blocks_of(monkeypatch, block)
    seen = []
    rows_of = result_text._rows_of
    monkeypatch.setattr(result_text, "_rows_of", lambda text: seen.append(rows_of(text)) or seen[-1])
    assert parse_file(written(tmp_path, TEXT), free=PLENTY) == DOCUMENT
    assert [each for rows in seen for each in rows] == DOCUMENT["measurements"]
    assert len(seen) == {1: 40, 10**6: 1}.get(block, len(seen))


@pytest.mark.parametrize("indent", [None, 1])
def test_other_layouts_are_read_as_a_whole(tmp_path, indent):
    assert parse_file(written(tmp_path, json.dumps(DOCUMENT, indent=indent)), free=PLENTY) == DOCUMENT


@pytest.mark.parametrize("text", [TEXT, json.dumps(DOCUMENT)])
def test_equal_words_are_held_once(tmp_path, monkeypatch, text):
    in_blocks_of(monkeypatch, 100)
    rows = parse_file(written(tmp_path, text), free=PLENTY)["measurements"]
    for key in ("unit", "quantity", "reason"):
        assert len({id(each[key]) for each in rows}) == len({each[key] for each in rows})


ROWS = '"measurements": [\n{"a":1},\n{"a":2}\n]'
LAYOUTS = [
    f"{{\n{ROWS}\n}}",
    f'{{\n{ROWS},\n"b": 1}}',
    f'\ufeff{{"b": 1,\n{ROWS}}}',
    f'{{"b": {{\n{ROWS}\n}}}}',
    f'{{"b": {{\n{ROWS}\n}}, "measurements": []}}',
    f'{{\n{ROWS},\n"measurements": [3]}}',
    f'{{"measurements": [3],\n{ROWS}}}',
    f"[\n{ROWS}\n]",
    '{\n"measurements": [\n]}',
    '{\n"measurements": [\n\n]}',
    '{\n"measurements": [\n{"a":1},\n\n]}',
    '{\n"measurements": [\n{"a":1},\n,\n{"a":2}\n]}',
    '{\n"measurements": [\n{"a":1}\n{"a":2}\n]}',
    '{\n"measurements": [\n{"a":1},\n{"a":2},\n]}',
    '{\n"measurements": [\n{"a":[\n1,\n2\n]},\n{"a":2}\n]}',
    '{\n"measurements": [\n{"a":1},\n{"a":2}]}',
    '{\n"measurements": [\n{"a":1}],\n"b": [\n1\n]}',
    '{\n"measurements": [\n{"a":NaN}\n]}',
    '{\n"measurements": [\n{"a":1}\n], "b": -Infinity}',
    f"{{\n{ROWS}\n}} 1",
    f"{{\n{ROWS}",
    f"\n{ROWS}",
]


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("text", LAYOUTS)
def test_every_layout_is_what_json_says_it_is(tmp_path, monkeypatch, text, block):
    in_blocks_of(monkeypatch, block)
    same(written(tmp_path, text))


def same(path):
    try:
        expected = as_a_whole(path.read_bytes())
    except ValueError:
        with pytest.raises(DiffeoProbeError):
            parse_file(path, free=PLENTY)
    else:
        assert parse_file(path, free=PLENTY) == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_text_is_what_json_says_it_is(tmp_path, monkeypatch, data):
    in_blocks_of(monkeypatch, data.draw(st.sampled_from([1, 50, 10**6])))
    raw = TEXT.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        removed = data.draw(st.integers(0, 40))
        piece = data.draw(
            st.sampled_from([b"", b"\n]", b",\n", b"\n", b"{}", b"[", b'"', b"\xff", b",", b"0"])
        )
        raw = raw[:at] + piece + raw[at + removed :]
    same(written(tmp_path, raw))


def line_of(problem):
    return int(problem.value.what.split("line ")[1].split(":")[0].split(",")[0])


@pytest.mark.parametrize("block", [50, 10**6])
def test_a_problem_is_told_with_its_line(tmp_path, monkeypatch, block):
    in_blocks_of(monkeypatch, block)
    lines = TEXT.split("\n")
    verdicts = lines.index('"verdicts": [')
    for place, code in (
        (2, "result-not-json"),
        (verdicts - 5, "result-not-json"),
        (verdicts, "result-not-json"),
    ):
        broken = copy.copy(lines)
        broken[place] = "!" + broken[place]
        with pytest.raises(DiffeoProbeError) as problem:
            parse_file(written(tmp_path, "\n".join(broken)), free=PLENTY)
        assert problem.value.code == code
        assert line_of(problem) == place + 1
    for kept in (verdicts - 5, verdicts + 1):
        with pytest.raises(DiffeoProbeError, match="cut short") as problem:
            parse_file(written(tmp_path, "\n".join(lines[:kept])), free=PLENTY)
        assert problem.value.code == "result-truncated"
        assert line_of(problem) == kept


def test_bytes_that_are_no_text_are_told_with_their_place(tmp_path):
    for before in (b'"verdicts": [', b'"tool": {'):
        at = TEXT.encode().index(before) + len(before)
        with pytest.raises(DiffeoProbeError, match=f"byte {at} is not UTF-8"):
            parse_file(written(tmp_path, TEXT.encode()[:at] + b"\xff" + TEXT.encode()[at:]), free=PLENTY)


def test_what_takes_more_memory_than_is_free_is_refused_after_the_first_block(tmp_path, monkeypatch):
    in_blocks_of(monkeypatch, 2000)
    many = {**DOCUMENT, "measurements": [row(number) for number in range(10_000)]}
    path = written(tmp_path, "".join(pieces(many)))
    blocks = []
    rows_of = result_text._rows_of
    monkeypatch.setattr(result_text, "_rows_of", lambda text: blocks.append(text) or rows_of(text))
    with pytest.raises(DiffeoProbeError, match=r"GiB of memory, and 0.0 GiB are free") as problem:
        parse_file(path, free=1e6)
    assert problem.value.code == "result-too-large"
    assert len(blocks) == 1
    assert parse_file(path, free=1e7) == many


def test_rows_of_brackets_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(result_text, "_MUCH_MEMORY", 10_000)
    in_blocks_of(monkeypatch, 1000)
    table = ",\n".join(['{"a":[[],[],[],[],[],[],[],[],[],[],[]]}'] * 1000)
    with pytest.raises(DiffeoProbeError, match="brackets and commas"):
        parse_file(written(tmp_path, f'{{\n"measurements": [\n{table}\n]}}'), free=PLENTY)


def test_rows_take_no_more_memory_than_is_counted_before_they_are_refused(tmp_path):
    more = {"evidence": "estimated", "status": "ok", "error": 1e-9, "dtype": "float64", "seed": 0}
    rows = [{**row(number), **more, "error": number / 7e9} for number in range(20_000)]
    path = written(tmp_path, "".join(pieces({**DOCUMENT, "measurements": rows})))
    counted = _memory_of_reading(path)
    tracemalloc.start()
    try:
        result = parse_file(path, free=PLENTY)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(result["measurements"]) == len(rows)
    # two places in the tables of a report are counted too, about a hundred bytes a row
    assert 0.5 * counted < held < counted - 100 * len(rows)
    assert peak < counted + 8 * result_text._BLOCK


def _memory_of_reading(path):
    """Return the least memory with which a file is read."""
    low, high = 0.0, PLENTY
    while high - low > 1e5:
        middle = (low + high) / 2
        try:
            parse_file(path, free=middle)
        except DiffeoProbeError:
            low = middle
        else:
            high = middle
    return high

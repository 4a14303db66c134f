"""result.json as a file: written whole, read again, and refused with the reason where it is no result."""

import json
import math

import pytest

from resnet_diffeo_probe.analysis.result.schema import ResultError, read_result, write_result
from resnet_diffeo_probe.errors import OutputError

from .small_result import SMALL


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

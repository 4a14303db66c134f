"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.whole_file import write_whole
from resnet_diffeo_probe.errors import OutputError


def test_text_is_written_as_it_is(tmp_path):
    write_whole(tmp_path / "a.txt", "σ\nb\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "σ\nb\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    write_whole(target, "old")

    def full(self, text, **_options):
        self.write_bytes(text[:3].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(target, "new and longer")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["no/such/folder/a.txt", "x" * 300, "null\0", "folder"])
def test_a_place_that_cannot_be_written_is_the_users_to_mend(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as problem:
        write_whole(tmp_path / name, "text")
    assert problem.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

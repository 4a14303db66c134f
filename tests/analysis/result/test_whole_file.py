"""A file is there whole or not at all."""

import resource

import pytest

from resnet_diffeo_probe.analysis.result.whole_file import write_whole
from resnet_diffeo_probe.errors import OutputError


def test_text_is_written_as_it_is(tmp_path):
    write_whole(tmp_path / "a.txt", "σ\nb\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "σ\nb\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_pieces_are_written_in_their_order(tmp_path):
    write_whole(tmp_path / "a.txt", (f"{number}\n" for number in range(3)))
    assert (tmp_path / "a.txt").read_bytes() == b"0\n1\n2\n"


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_whole(target, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_whole(target, ("x" * 1000 for _ in range(5000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupt_in_the_middle_leaves_nothing_either(tmp_path):
    def pieces():
        yield "begun"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.txt", pieces())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["no/such/folder/a.txt", "x" * 300, "null\0", "folder"])
def test_a_place_that_cannot_be_written_is_the_users_to_mend(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as problem:
        write_whole(tmp_path / name, "text")
    assert problem.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

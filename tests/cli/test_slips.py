"""Slips of the command line, and results that cannot be rendered: errors like every other."""

import pytest

from .one_message import check


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "cut short"),
        (b'{"schema_version": "1.0", "tool"', "cut short"),
        (b"\x80\x00\xff", "not UTF-8"),
        (b"{}", "schema_version"),
        (b'{"schema_version": "99.0"}', "99.0"),
    ],
    ids=["missing", "empty", "truncated", "binary", "other json", "newer"],
)
def test_a_result_that_cannot_be_rendered(typed, tmp_path, content, said):
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)
    for given in (tmp_path / "result.json", tmp_path):
        check(typed("report", given), 3, said)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], ["no such command 'bogus'", "diffeo-probe --help"]),
        (["analyze", "m.pt", "--input", "x"], ["no such option '--input'", "did you mean '--inputs'?"]),
        (["analyze", "m.pt", "--budget", "ful"], ["'ful' is not one of", "did you mean 'full'?"]),
        (["analyze", "m.pt", "--dtype", "double"], ["'double' is not one of", "--help"]),
        (["analyse"], ["did you mean 'analyze'?"]),
        (
            ["check"],
            ["missing argument 'RESULT'", "diffeo-probe check [OPTIONS] RESULT", "diffeo-probe check --help"],
        ),
        (["compare", "a"], ["missing argument 'B'", "diffeo-probe compare [OPTIONS] A B"]),
        (["report", "a", "b"], ["unexpected extra argument (b)", "diffeo-probe report [OPTIONS] RESULT"]),
        (["check", "a", "--fail-on", "all"], ["'all' is not one of 'never'", "diffeo-probe check --help"]),
        (["demo", "--seed", "x"], ["'x' is not a whole number"]),
        (["analyze", "m", "--max-memory", "lots"], ["'lots' is not a number"]),
        (["analyze", "m", "-n"], ["option '-n' requires an argument"]),
        (["env", "--jsno"], ["did you mean '--json'?"]),
        (["spirals", "tain"], ["did you mean 'train'?"]),
        (["spirals", "train", "e"], ["'e' is not one of 'a'", "diffeo-probe spirals train --help"]),
        (["completion"], ["missing argument 'SHELL'", "bash, zsh, fish"]),
        (["explain", "a", "b"], ["unexpected extra argument (b)"]),
        (["bo\x1b[2Jgus"], ["no such command 'bo\\x1b[2Jgus'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_slips_of_the_command_line_read_like_every_other_error(typed, words, said):
    outcome = typed(*words)
    check(outcome, 2, *said)
    assert outcome.stderr.startswith("error [usage]: ")

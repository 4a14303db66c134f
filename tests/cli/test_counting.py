"""How far the listing of a large folder is: one line on a terminal, after a second, and nothing anywhere else."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from diffeo_probe import terminal
from PIL import Image

from resnet_diffeo_probe.demo import demo_paths


class Screen(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, as a list of one number."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_a_count_is_shown_after_a_second_and_taken_away_at_the_end(monkeypatch, clock):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.counting("images looked at") as listed:
        listed(1, 900)
        assert screen.getvalue() == ""
        clock[0] = 1.5
        listed(100, 900)
        assert screen.getvalue() == "\r100 of 900 images looked at"
        listed(101, 900)
        assert screen.getvalue().count("\r") == 1, "not redrawn at every image"
        clock[0] = 1.7
        listed(9, 9)
        assert screen.getvalue().endswith("\r9 of 9 images looked at    "), "the longer line is painted over"
    assert screen.getvalue().endswith("    \r                       \r")
    assert "\n" not in screen.getvalue()


def test_what_is_quick_shows_nothing(monkeypatch, clock):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.counting("images looked at") as listed:
        listed(9, 9)
    assert screen.getvalue() == ""


def test_the_line_is_taken_away_before_an_error_is_shown(monkeypatch, clock):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(ValueError, match="this"), terminal.counting("x") as listed:
        clock[0] = 2
        listed(1, 2)
        raise ValueError("this")
    assert screen.getvalue() == "\r1 of 2 x\r        \r"


def test_nothing_is_counted_where_there_is_no_terminal(capsys):
    with terminal.counting("images looked at") as listed:
        assert listed is None


def test_a_folder_of_images_is_counted(tmp_path, typed, monkeypatch):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    counted = []

    class Counting:
        def __init__(self, what):
            assert what == "images looked at"

        def __enter__(self):
            return lambda done, total: counted.append((done, total))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(terminal, "counting", Counting)
    words = ("--inputs", tmp_path, "--measures", "sign", "--units", "layer1.0", "--out", tmp_path / "out")
    outcome = typed("analyze", demo_paths().model, *words)
    assert outcome.exit_code == 0, outcome.output
    assert counted == [(1, 3), (2, 3), (3, 3)]

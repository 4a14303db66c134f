"""Errors are for people: a message stays readable whatever names go into it."""

from __future__ import annotations

from resnet_diffeo_probe.errors import InputsError


def test_long_names_are_shortened():
    error = InputsError("begin " + "x" * 10**6 + " end", why="y" * 10**6, fix="z" * 3000)
    assert len(str(error)) < 12_000
    assert error.what.startswith("begin x")
    assert error.what.endswith("x end")
    assert error.fix == "z" * 3000
    assert InputsError("short").why is None

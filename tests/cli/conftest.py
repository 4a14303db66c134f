"""Commands as a user types them, in this process: the same way out as the installed command takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from .started_runs import Server


@dataclass(frozen=True)
class Outcome:
    """What a command left on the screen, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, for the message of a failed assertion."""
        return f"exit {self.exit_code}\n{self.stdout}\n{self.stderr}"


@pytest.fixture
def typed(monkeypatch, capsys):
    """Return a function that runs `diffeo-probe WORDS` through `main`."""
    from diffeo_probe.main import main

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["diffeo-probe", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        screen = capsys.readouterr()
        return Outcome(left.value.code, screen.out, screen.err)

    return run


@pytest.fixture(scope="module")
def server():
    """The process that runs of a module's tests are forked from."""
    with Server() as running:
        yield running

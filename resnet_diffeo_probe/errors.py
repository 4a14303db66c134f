"""Errors a user can act on: what happened, why, and the next step to copy."""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DiffeoProbeError",
    "InputsError",
    "LoadError",
    "NoUnitError",
    "OutputError",
    "UnsupportedUnitError",
]


# names in files can have millions of characters, and a message is for a terminal
_LONGEST = 4000


class DiffeoProbeError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without a traceback.

    Args:
        what: one sentence, what happened (names the file, parameter or option).
        why: the cause, if known.
        fix: the next step, something to copy where possible.

    Attributes:
        code: a stable short name, e.g. `"file-not-found"`, for `diffeo-probe explain`.
        exit_code: 2 usage or configuration, 3 the input cannot be analysed.
    """

    exit_code = 3
    code = "error"

    def __init__(self, what: str, *, why: str | None = None, fix: str | None = None, code: str | None = None):
        super().__init__(_shortened(what))
        self.what = _shortened(what)
        self.why = None if why is None else _shortened(why)
        self.fix = None if fix is None else _shortened(fix)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"why: {self.why}")
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


class ConfigurationError(DiffeoProbeError):
    """An option, configuration key or architecture name that makes no sense."""

    exit_code = 2
    code = "configuration"


class LoadError(DiffeoProbeError):
    """A model file that cannot be made into a module."""

    code = "load"


class InputsError(DiffeoProbeError):
    """Images or tensors that cannot be used."""

    code = "inputs"


class NoUnitError(DiffeoProbeError):
    """A network in which no residual unit was found."""

    code = "no-residual-unit"


class UnsupportedUnitError(DiffeoProbeError):
    """A residual unit that an algorithm cannot take; the unit becomes a "not run" row with this reason."""

    code = "unsupported-unit"


class OutputError(DiffeoProbeError):
    """An output folder or file that cannot be written."""

    code = "output"

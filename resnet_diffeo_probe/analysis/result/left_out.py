"""A unit that the user did not choose is no failure: the one reason that says so, in plans and in stored results."""

from __future__ import annotations

__all__ = ["LEFT_OUT"]

#: Why a unit is not run that `--units` left out.
LEFT_OUT = "left out by --units"

"""A slip on the command line, told like every other error: what, why, and what to type."""

from __future__ import annotations

import click

from diffeo_probe.configured import variable_behind
from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["usage_error"]

# What click calls the types of its options, in words of everyday.
_WORDS = (
    ("a valid integer range", "a whole number"),
    ("a valid float range", "a number"),
    ("a valid integer", "a whole number"),
    ("a valid float", "a number"),
    ("a valid boolean. Recognized values: ,", "yes or no: one of"),
)


def usage_error(error: click.ClickException) -> ConfigurationError:
    """Return click's error as one of this package, with the nearest name or the page of help to look at."""
    what, _, offered = " ".join(error.format_message().split()).partition(" Did you mean ")
    for jargon, words in _WORDS:
        what = what.replace(jargon, words)
    what = what[:1].lower() + what[1:].rstrip(".")
    ctx = getattr(error, "ctx", None)
    page = "diffeo-probe --help" if ctx is None else f"{ctx.command_path} --help"
    why = None
    if (variable := variable_behind(error)) is not None:
        why = f"the value comes from the environment variable {variable}"
    elif ctx is not None and (isinstance(error, click.MissingParameter) or type(error) is click.UsageError):
        why = f"it is typed as {' '.join(ctx.get_usage().split()).removeprefix('Usage: ')}"
    return ConfigurationError(what, why=why, fix=f"did you mean {offered}" if offered else page, code="usage")

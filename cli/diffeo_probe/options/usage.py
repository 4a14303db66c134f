"""A slip on the command line, told like every other error: what, why, and what to type."""

from __future__ import annotations

import re

import click

from diffeo_probe.options.configured import variable_behind
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.nearest import nearest

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
    what, offered = _apart(" ".join(error.format_message().split()))
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
    fix = f"did you mean '{offered}'?" if offered else page
    return ConfigurationError(what, why=why, fix=fix, code="usage")


def _apart(message: str) -> tuple[str, str | None]:
    """Return click's message without its offer, and what was most likely meant."""
    if found := re.fullmatch(r"(.*?) \(?Did you mean (?:one of: )?(.*?)\??\)?\??", message):
        given = re.search(r"'(.*)'", found[1])
        offers = re.findall(r"'([^']+)'", found[2])
        return found[1], nearest(given[1] if given else "", offers) or offers[0]
    if found := re.search(r"'([^']*)' is not one of ('.*')\.?$", message):
        return message, nearest(found[1], re.findall(r"'([^']+)'", found[2]))
    return message, None

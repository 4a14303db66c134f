"""`diffeo-probe check`."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import GATES, PATH, result_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnet_diffeo_probe.analysis.comparing.gate import Tripped
    from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold

__all__ = ["check"]


@click.command(
    cls=ConfiguredCommand, short_help="A gate for pipelines: exit with 1 where RESULT breaks a rule."
)
@click.argument("result", type=PATH)
@click.option(
    "--fail-on",
    type=click.Choice(GATES),
    default="violation",
    show_default=True,
    help="error: a unit that was not run, or is beyond a limit that a thresholds file sets; violation: also one that "
    "is proven not injective; uncertified: also one that is not certified injective.",
)
@click.option(
    "--thresholds",
    type=PATH,
    metavar="FILE",
    help="TOML file with limits, in place of those that the analysis was made with; "
    "`diffeo-probe explain thresholds` lists them.",
)
@click.option("--json", is_flag=True, help="Print one JSON object instead of lines.")
def check(result: str, fail_on: str, thresholds: str | None, json: bool) -> int:
    """Look whether RESULT, a result.json or the folder that holds it, breaks a rule; nothing is computed again.

    Prints one line for each unit and broken rule. Exit code: 0 none is broken, 1 one is, 4 none is, but some units were
    not run (with --fail-on never).
    """
    from resnet_diffeo_probe.analysis.comparing.gate import exit_code, tripped
    from resnet_diffeo_probe.analysis.comparing.thresholds import (
        read_thresholds,
        require_units,
        stored_thresholds,
    )
    from resnet_diffeo_probe.analysis.result.schema import read_result

    limits = None if thresholds is None else read_thresholds(thresholds)
    stored = read_result(result_file(result))
    if limits is None:
        limits = stored_thresholds(stored)
    else:
        require_units(limits, [unit["name"] for unit in stored["units"]])
    broken = tripped(stored, fail_on, limits)
    code = exit_code(stored, fail_on, limits)
    if json:
        report = {
            "exit_code": code,
            "fail_on": fail_on,
            "thresholds": [limit.to_json() for limit in limits if limit.set_by == "file"],
            "tripped": [rule.to_json() for rule in broken],
        }
        click.echo(dumps(report, allow_nan=False, indent=1))
        return code
    names = [terminal.printable(rule.unit or "the analysis") for rule in broken]
    width = max(map(len, names), default=0)
    for name, rule in zip(names, broken, strict=True):
        click.echo(f"{name.ljust(width)}  {_line(rule)}")
    _summary(broken, limits, len(stored["units"]), fail_on, code)
    return code


def _line(rule: Tripped) -> str:
    # the first sentence of a verdict; --json and the report have all of it
    reason = terminal.printable(rule.reason).split(". ", maxsplit=1)[0]
    if rule.threshold is None:
        return f"{rule.quantity} {rule.value} [{rule.rule}]: {reason}"
    if rule.value is None:
        return f"{rule.quantity} has no value to hold against {rule.threshold:g} [{rule.rule}]: {reason}"
    beyond = "above" if rule.rule.startswith("max_") else "below"
    where = "" if rule.input is None else f" at {terminal.printable(rule.input)},"
    return f"{rule.quantity} {rule.value:.6g} is {beyond} {rule.threshold:g} [{rule.rule}]{where} {reason}"


def _summary(
    broken: Sequence[Tripped], limits: Sequence[Threshold], units: int, fail_on: str, code: int
) -> None:
    own = sum(limit.set_by == "file" and limit.value is not None for limit in limits)
    rules = f"--fail-on {fail_on}" + (
        f", {own} limit{'' if own == 1 else 's'} of a thresholds file" if own else ""
    )
    if broken:
        hit = len({rule.unit for rule in broken if rule.unit is not None})
        click.echo(f"gate tripped by {hit} of {units} units ({rules})", err=True)
    else:
        click.echo(f"gate not tripped ({rules})", err=True)
    if own and fail_on == "never":
        terminal.hint("with --fail-on never the limits are not looked at")
    if code not in (0, 1):
        terminal.hint("some units were not run: --fail-on error makes that a tripped gate")

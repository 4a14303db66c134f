"""`diffeo-probe compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path
from typing import Any

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import PATH, result_file

__all__ = ["compare"]

# Inputs whose sign flipped that a line names; --json and --html name all.
_FLIPS_SHOWN = 5


@click.command(cls=ConfiguredCommand, short_help="What changed from analysis A to analysis B.")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--json", type=PATH, metavar="FILE", help="Also write the comparison as JSON.")
@click.option("--html", type=PATH, metavar="FILE", help="Also write it as one self-contained page.")
def compare(a: str, b: str, json: str | None, html: str | None) -> int:
    """Compare two analyses of one architecture, such as before and after fine-tuning; A is the reference.

    A and B are each a result.json or the folder that holds it. Prints which units changed their verdict, at which
    inputs the determinant changed its sign, and which measures moved beyond their error. Nothing is computed again.
    """
    from resnet_diffeo_probe.analysis.comparing.compare import compare as compare_results
    from resnet_diffeo_probe.analysis.result.schema import read_result
    from resnet_diffeo_probe.analysis.result.whole_file import write_whole

    comparison = compare_results(read_result(result_file(a)), read_result(result_file(b)))
    for condition in comparison["conditions"]:
        terminal.hint(
            f"{condition['subject']}: {condition['a']} in A, {condition['b']} in B: {condition['meaning']}"
        )
    written = []
    if json is not None:
        target = Path(json).expanduser()
        write_whole(target, dumps(comparison, allow_nan=False, ensure_ascii=True, indent=1) + "\n")
        written.append(f"comparison: {target}")
    if html is not None:
        from resnet_diffeo_probe.report.sections.compare import render_comparison

        target = Path(html).expanduser()
        render_comparison(comparison, path=target)
        written.append(f"page: {target}")
    for line in (*_lines(comparison), *written):
        click.echo(terminal.printable(line))
    return 0


def _lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    for side in "ab":
        about = comparison[side]
        yield f"{side.upper()}: {about['file']}, {about['inputs']} inputs, {about['dtype']}, {about['started'][:10]}"
    yield ""
    yield from _verdicts(comparison)
    yield ""
    yield from _signs(comparison)
    yield ""
    yield from _measures(comparison)


def _verdicts(comparison: Mapping[str, Any]) -> Iterator[str]:
    verdicts, units = comparison["verdicts"], comparison["units"]
    changed = [verdict for verdict in verdicts if verdict["changed"]]
    yield f"verdicts: {len(changed)} of {len(verdicts)} changed"
    names = [verdict["unit"] or "the network" for verdict in changed]
    width = max(map(len, names), default=0)
    for verdict, name in zip(changed, names, strict=True):
        which = "sum map   " if verdict["map"] == "sum" else "whole unit"
        yield f"  {name.ljust(width)}  {which}  {verdict['a']} → {verdict['b']}"
    for side in "ab":
        if only := units[f"only_{side}"]:
            yield f"  only in {side.upper()}: {', '.join(only)}"
    for entry in units["other_map"]:
        yield f"  {entry['unit']}: another map, its numbers are not compared ({entry['what']})"


def _signs(comparison: Mapping[str, Any]) -> Iterator[str]:
    flips = comparison["sign_flips"]
    total = sum(len(unit["flipped"]) for unit in flips)
    yield f"signs of det J: {total} of {sum(unit['compared'] for unit in flips)} certain in both flipped"
    width = max((len(unit["unit"]) for unit in flips), default=0)
    for unit in flips:
        if unit["flipped"]:
            shown = [f"{flip['input']} {_sign(flip['a'])}→{_sign(flip['b'])}" for flip in unit["flipped"]]
            more = len(shown) - _FLIPS_SHOWN
            listed = ", ".join(shown[:_FLIPS_SHOWN]) + (f", {more} more" if more > 0 else "")
            yield f"  {unit['unit'].ljust(width)}  {len(shown)} of {unit['compared']}: {listed}"
        if unit["not_certain"]:
            yield f"  {unit['unit'].ljust(width)}  not certain in one of the two at {unit['not_certain']} inputs"


def _measures(comparison: Mapping[str, Any]) -> Iterator[str]:
    measures = comparison["measures"]
    moved = [
        entry for entry in measures if entry["beyond"] or (entry["beyond"] is None and entry["p"] is not None)
    ]
    yield f"measures: {len(moved)} of {len(measures)} moved beyond their error at one input or more"
    if not moved:
        return
    yield f"  (p: sign test over the inputs, adjusted by Holm's method for {comparison['tests']} tests)"
    heads = ("unit", "quantity", "median A", "median B", "median B−A", "beyond", "p")
    table = [heads, *(_row(entry) for entry in moved)]
    widths = [max(len(row[place]) for row in table) for place in range(len(heads))]
    for row in table:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    beyond = "no error" if entry["beyond"] is None else f"{entry['beyond']}/{entry['judged']}"
    return (
        entry["unit"],
        entry["quantity"],
        _number(entry["median_a"]),
        _number(entry["median_b"]),
        _number(entry["median_difference"]),
        beyond,
        "" if entry["p_holm"] is None else f"{entry['p_holm']:.2g}",
    )


def _number(value: float | str | None) -> str:
    if value is None:
        return "—"
    return value if isinstance(value, str) else f"{value:.5g}"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−" if value < 0 else "0"

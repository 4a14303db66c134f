"""`diffeo-probe report`."""

from __future__ import annotations

from pathlib import Path

import click

from diffeo_probe import terminal
from diffeo_probe.options.configured import ConfiguredCommand
from diffeo_probe.options.options import PATH, result_file

__all__ = ["report"]


@click.command(cls=ConfiguredCommand, short_help="Write the HTML report of a result.json again.")
@click.argument("result", type=PATH)
@click.option("--out", type=PATH, help="The HTML file; default: report.html beside the result.")
def report(result: str, out: str | None) -> int:
    """Write the HTML report of RESULT, a result.json or the folder that holds it; nothing is computed again."""
    from resnet_diffeo_probe.analysis.result.schema import read_result
    from resnet_diffeo_probe.report import render

    path = result_file(result)
    target = Path(out).expanduser() if out is not None else path.parent / "report.html"
    render(read_result(path), path=target)
    click.echo(f"report: {terminal.printable(str(target))}")
    return 0

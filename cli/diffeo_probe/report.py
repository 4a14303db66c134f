"""`diffeo-probe report`."""

from __future__ import annotations

from pathlib import Path

import click

from diffeo_probe import terminal

__all__ = ["report"]


@click.command(short_help="Write the HTML report of a result.json again.")
@click.argument("result")
@click.option("--out", help="The HTML file; default: report.html beside the result.")
def report(result: str, out: str | None) -> int:
    """Write the HTML report of RESULT, a result.json or the folder that holds it; nothing is computed again."""
    from resnet_diffeo_probe.analysis.schema import read_result
    from resnet_diffeo_probe.report import render

    path = Path(result).expanduser()
    if path.is_dir():
        path = path / "result.json"
    target = Path(out).expanduser() if out is not None else path.parent / "report.html"
    render(read_result(path), path=target)
    click.echo(f"report: {terminal.printable(str(target))}")
    return 0

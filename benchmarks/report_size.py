"""How large results and reports are: bytes of a stored number, bytes of a cell of the report, time to render it.

    python benchmarks/report_size.py --out benchmarks/results/report_size.json

Takes the results of the gallery (`reports/*/result.json`), or those that are named. Rendering is timed beside this
machine's own matrix product, on one thread; the smallest of three runs.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from environment import environment, gemm_seconds, least_seconds, publish

from resnet_diffeo_probe.analysis.result.schema import read_result
from resnet_diffeo_probe.report import render_html

GALLERY = Path(__file__).resolve().parent.parent / "reports"


def measured(path: Path, gemm: float) -> dict[str, Any]:
    """Return the sizes of one stored analysis and of its report."""
    text = path.read_text(encoding="utf-8")
    begin = text.index("[", text.index('"measurements":'))
    rows, end = json.JSONDecoder().raw_decode(text, begin)
    result = read_result(path)
    html = render_html(result)
    tables = re.findall(r'<table class="rows">.*?</table>', html, re.DOTALL)
    cells = sum(len(re.findall(r"<t[dh][ >]", table)) for table in tables)
    return {
        "result": str(path.relative_to(GALLERY.parent) if path.is_relative_to(GALLERY) else path.name),
        "units": len(result["units"]),
        "inputs": result["inputs"]["count"],
        "numbers": len(rows),
        "bytes_a_number": round((end - begin) / max(1, len(rows))),
        "result_bytes": len(text.encode()),
        "cells": cells,
        "bytes_a_cell": round(sum(map(len, tables)) / max(1, cells)),
        "page_bytes": len(html.encode()),
        "render_seconds_over_gemm": least_seconds(lambda: render_html(result), 3) / gemm,
    }


def main() -> None:
    """Measure all and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="*", help="result.json files (those of the gallery)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    gemm = gemm_seconds()
    # the spirals' result is of another kind
    gallery = sorted(p for p in GALLERY.glob("*/result.json") if '"measurements":' in p.read_text("utf-8"))
    rows = [measured(path.resolve(), gemm) for path in options.results or gallery]
    publish({"environment": environment(), "gemm_4096_float64_seconds": gemm, "results": rows}, options.out)


if __name__ == "__main__":
    main()

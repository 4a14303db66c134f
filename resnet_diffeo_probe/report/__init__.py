"""A stored analysis rendered: one self-contained HTML page, and a table of its units."""

from resnet_diffeo_probe.report.render import render, render_html
from resnet_diffeo_probe.report.table import units_csv

__all__ = ["render", "render_html", "units_csv"]

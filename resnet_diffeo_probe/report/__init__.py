"""A stored analysis rendered: one self-contained HTML page, a table of its units, and the folder that holds them."""

from resnet_diffeo_probe.report.folder import write_folder
from resnet_diffeo_probe.report.render import render, render_html
from resnet_diffeo_probe.report.sections.table import units_csv

__all__ = ["render", "render_html", "units_csv", "write_folder"]

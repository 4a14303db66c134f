"""An analysis for a notebook: shown as a table of verdicts, given as data frames and matplotlib figures."""

from resnet_diffeo_probe.notebook.study import Study, analyze, read

__all__ = ["Study", "analyze", "read"]

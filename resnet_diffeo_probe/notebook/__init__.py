"""An analysis for a notebook: shown as a table of verdicts, given as data frames and matplotlib figures."""

from resnet_diffeo_probe.notebook.analyzing import Options, analyze
from resnet_diffeo_probe.notebook.study import Study, read

__all__ = ["Options", "Study", "analyze", "read"]

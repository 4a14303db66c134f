"""Every step after the measuring, in order. A new one is a file with a `Step`, and its line here."""

from __future__ import annotations

from typing import Any

from resnet_diffeo_probe.analysis.steps.attributing import ATTRIBUTION
from resnet_diffeo_probe.analysis.steps.pictures import PICTURES
from resnet_diffeo_probe.analysis.steps.placement import REFERENCES, REFINEMENT
from resnet_diffeo_probe.analysis.steps.proving import PAIR, PROOFS
from resnet_diffeo_probe.analysis.steps.pulling_back import PULLBACK
from resnet_diffeo_probe.analysis.steps.step import Step

__all__ = ["STEPS"]

#: The result's keys, what an interrupt leaves out and what is kept for a run that goes on follow from it.
STEPS: tuple[Step[Any], ...] = (PROOFS, REFERENCES, REFINEMENT, PAIR, PULLBACK, ATTRIBUTION, PICTURES)

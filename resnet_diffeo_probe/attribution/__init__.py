"""captum on the taps: how much of a prediction passes each branch, and which pixels a violation comes from."""

from resnet_diffeo_probe.attribution.ablation import Ablation, ablations
from resnet_diffeo_probe.attribution.agreement import Agreement, agreement
from resnet_diffeo_probe.attribution.baseline import Baseline, baseline_input
from resnet_diffeo_probe.attribution.conductance import Conductance, PathAttribution, conductance
from resnet_diffeo_probe.attribution.network import NotAttributableError, TappedNetwork
from resnet_diffeo_probe.attribution.relevance import Fold, Relevance, relevance
from resnet_diffeo_probe.attribution.singular import (
    SingularTriple,
    log_sigma_min_map,
    narrow_direction_map,
    smallest_triple,
)
from resnet_diffeo_probe.attribution.violation import PixelMap, clipped_energy_map

__all__ = [
    "Ablation",
    "Agreement",
    "Baseline",
    "Conductance",
    "Fold",
    "NotAttributableError",
    "PathAttribution",
    "PixelMap",
    "Relevance",
    "SingularTriple",
    "TappedNetwork",
    "ablations",
    "agreement",
    "baseline_input",
    "clipped_energy_map",
    "conductance",
    "log_sigma_min_map",
    "narrow_direction_map",
    "relevance",
    "smallest_triple",
]

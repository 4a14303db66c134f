"""What is known of pointwise activations, each a function with its arguments; needs no torch."""

from __future__ import annotations

from resnet_diffeo_probe.activations.family import REQUIRED, Family, Parameter
from resnet_diffeo_probe.activations.record import Activation, Constant
from resnet_diffeo_probe.activations.registry import FAMILIES, as_record, bound, family, spellings

__all__ = [
    "FAMILIES",
    "REQUIRED",
    "Activation",
    "Constant",
    "Family",
    "Parameter",
    "as_record",
    "bound",
    "family",
    "spellings",
]

"""The spiral networks as calibrated references: the measures of units whose maps are understood.

Two dimensions calibrate the meaning of a number; they set no pass mark for a network of another dimension.
"""

from resnet_diffeo_probe.references.compare import Place, UnitMeasures, compare

__all__ = ["CALIBRATION_NOTE", "Place", "UnitMeasures", "compare"]

CALIBRATION_NOTE = (
    "The references are two-dimensional networks: they calibrate what the numbers mean, "
    "and are not a pass mark for a network of another dimension."
)

"""Images or tensors → a preprocessed batch."""

from resnet_diffeo_probe.inputs.batch import Inputs, accuracy
from resnet_diffeo_probe.inputs.preprocessing import Preprocessing
from resnet_diffeo_probe.inputs.reading import read_inputs
from resnet_diffeo_probe.inputs.rows import TensorRows

__all__ = ["Inputs", "Preprocessing", "TensorRows", "accuracy", "read_inputs"]

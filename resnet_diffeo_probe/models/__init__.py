"""A file → an eval-mode `torch.nn.Module`: formats, architecture inference, CIFAR ResNets."""

from resnet_diffeo_probe.models.cifar_resnet import CifarResNet
from resnet_diffeo_probe.models.loaded import LoadedModel
from resnet_diffeo_probe.models.loading import load

__all__ = ["CifarResNet", "LoadedModel", "load"]

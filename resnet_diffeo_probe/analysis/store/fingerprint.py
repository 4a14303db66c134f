"""What a measurement depends on, in 64 hexadecimal digits each: the network, the settings, the input, the program."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.units import Discovery
from resnet_diffeo_probe.version import program

__all__ = ["Conditions", "conditions_of", "input_fingerprint"]

# What changes which units are measured, how many at a time, whether there is room and what is attributed, but no
# measurement. Every
# other setting, also one that is added later, counts as one that does: budget and measures decide how far eigenvalues
# are counted, and the count checks the sign.
_CHANGES_NO_NUMBER = frozenset({"units", "workers", "max_bytes", "baseline"})


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all measurements of one run have in common; two runs under equal conditions give equal numbers.

    Attributes:
        model: fingerprint of the network: its operations in order, its weights and its constants.
        settings: what else changes a number, as JSON with sorted keys.
        version: of the program, its source with it, and of the libraries that the last digits rest on.
    """

    model: str
    settings: str
    version: str

    def differences(self, earlier: Conditions) -> list[str]:
        """Return in words why measurements made under earlier conditions cannot be used under these."""
        found = []
        if self.model != earlier.model:
            found.append("the model has changed")
        now, before = json.loads(self.settings), json.loads(earlier.settings)
        for key in sorted({*now, *before}):
            if now.get(key) != before.get(key):
                found.append(f"{key} was {_words(before.get(key))} and is {_words(now.get(key))}")
        if self.version != earlier.version:
            found.append(f"measured with {earlier.version}, this is {self.version}")
        return found


def conditions_of(discovery: Discovery, settings: Settings) -> Conditions:
    """Return the conditions under which a network is measured.

    Args:
        discovery: the network in the user's own arithmetic.
        settings: of the analysis.
    """
    given = {name: value for name, value in asdict(settings).items() if name not in _CHANGES_NO_NUMBER}
    libraries = f"torch {torch.__version__}, scipy {scipy.__version__}"
    return Conditions(
        model=_network_fingerprint(discovery),
        settings=json.dumps(given, sort_keys=True, default=str),
        version=f"{program()} ({libraries})",
    )


def input_fingerprint(x: Tensor) -> str:
    """Return the SHA-256 of an input's dtype, shape and bytes."""
    digest = hashlib.sha256()
    _add_tensor(digest, x)
    return digest.hexdigest()


def _network_fingerprint(discovery: Discovery) -> str:
    # the file's own digest would not do: the same weights can be read as another architecture
    digest = hashlib.sha256(discovery.graph.code.encode("utf-8", "surrogatepass"))
    for name in sorted({str(node.target) for node in discovery.graph.graph.nodes if node.op == "get_attr"}):
        digest.update(f"\0{name}\0".encode("utf-8", "surrogatepass"))
        value = attrgetter(name)(discovery.graph)
        if isinstance(value, Tensor):
            _add_tensor(digest, value)
        else:
            digest.update(repr(value).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _add_tensor(digest: Any, tensor: Tensor) -> None:
    plain = tensor.detach().cpu().contiguous()
    digest.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
    if plain.numel():
        # as bytes: numpy has no bfloat16
        array: np.ndarray = plain.reshape(-1).view(torch.uint8).numpy()
        digest.update(array.data)


def _words(value: Any) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""How far rounding moves the output of a unit's map, measured: its operations once more, each result off by a rounding.

Monte Carlo arithmetic (D. S. Parker, 'Monte Carlo arithmetic: exploiting randomness in floating-point arithmetic',
1997): what differs from one sample to the next is what the arithmetic leaves open. It is an estimate and no bound.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

__all__ = ["rounding_of"]

_SAMPLES = 4


class _Perturbed(fx.Interpreter):
    """Runs a map with every intermediate result off by one rounding up or down."""

    def __init__(self, module: fx.GraphModule, eps: float, seed: int) -> None:
        super().__init__(module)
        self._eps = eps
        self._generator = torch.Generator().manual_seed(seed)

    def run_node(self, n: fx.Node) -> Any:
        """Run an operation; parameters are what they are."""
        value = super().run_node(n)
        if n.op not in {"call_function", "placeholder"} or not isinstance(value, Tensor):
            return value
        if not value.is_floating_point():
            return value
        signs = torch.randint(0, 2, value.shape, generator=self._generator).mul_(2).sub_(1).to(value)
        return value * (1 + self._eps * signs)


def rounding_of(module: fx.GraphModule, x: Tensor, eps: float, *, seed: int = 0) -> Tensor:
    """Measure how far roundings of relative size `eps` move the output of a map.

    Args:
        module: (batch, *in_shape) -> (batch, *out_shape), of plain operations, as units are cut.
        x: its input, in a finer arithmetic than the one that is asked about, or the same.
        eps: of the arithmetic that is asked about.
        seed: of the signs of the roundings.

    Returns:
        The largest absolute difference seen for each coordinate, (batch, *out_shape). NaN where an infinity appears.
    """
    with torch.no_grad():
        plain = module.forward(x)
        samples = [_Perturbed(module, eps, seed + k).run(x) for k in range(_SAMPLES)]
    return torch.stack([(sample - plain).abs() for sample in samples]).amax(0)

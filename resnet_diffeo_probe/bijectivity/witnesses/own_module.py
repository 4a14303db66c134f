"""The user's own module as a map of one unit, run eagerly: the check that shares nothing with this package's graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resnet_diffeo_probe.activations import family

__all__ = ["module_map", "snippet"]


class _LastActivation(TorchFunctionMode):
    """Keeps a copy of what went into each activation, to find the one that made the output."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        data = args[0] if args else None
        if not isinstance(data, Tensor) or family(getattr(func, "__name__", "")) is None:
            return func(*args, **(kwargs or {}))
        before = data.detach().clone()  # an in-place activation overwrites it
        out = func(*args, **(kwargs or {}))
        self.seen.append((before, out))
        return out


def module_map(
    module: nn.Module, unit: str, which: str, example: Tensor
) -> Callable[[Tensor], Tensor] | None:
    """Return a map of a unit as the network's own submodule computes it.

    Args:
        module: the whole network, in evaluation mode and in the dtype of the example.
        unit: the unit's name, the path of a submodule.
        which: `"unit"` for the submodule's output, `"sum"` for what goes into its last activation.
        example: (1, *shape), to find out whether the submodule is such a map.

    Returns:
        The map; None where no submodule of that name takes the unit's input alone and gives its shape.
    """
    try:
        own = module.get_submodule(unit)
    except AttributeError:
        return None
    if own is module or own.training:
        return None

    def run(x: Tensor) -> Tensor:
        with torch.no_grad(), _LastActivation() as last:
            output = own(x.clone())  # in-place operations must not reach the caller's tensor
        if not isinstance(output, Tensor):
            raise TypeError("the submodule gives no tensor")
        if which == "unit":
            return output
        return next((before for before, out in reversed(last.seen) if out is output), output)

    try:
        shape = run(example).shape
    except (RuntimeError, TypeError, ValueError):
        return None
    return run if shape == example.shape else None


def snippet(unit: str, which: str, file: str) -> str:
    """Return a few lines of plain PyTorch that check a saved witness with the user's own network.

    Args:
        unit: the unit's name.
        which: `"sum"` or `"unit"`.
        file: path of the `.npz` file as the reader has it.
    """
    head = [
        "import numpy as np, torch",
        "",
        "# model = ...  (your network, e.g. loaded with torch.load)",
        f"with np.load({file!r}) as pair:",
        "    x1, x2 = torch.from_numpy(pair['x1']), torch.from_numpy(pair['x2'])",
        f"block = model.double().eval().get_submodule({unit!r})",
    ]
    if which == "unit":
        body = ["with torch.no_grad():", "    y1, y2 = block(x1.clone()), block(x2.clone())"]
    else:
        body = [
            "",
            "class BeforeLastReLU(torch.overrides.TorchFunctionMode):  # x + F(x) is what the last ReLU is given",
            "    def __torch_function__(self, f, types, args=(), kwargs=None):",
            "        if getattr(f, '__name__', '').startswith('relu'):",
            "            self.sum = args[0].clone()",
            "        return f(*args, **(kwargs or {}))",
            "",
            "with torch.no_grad(), BeforeLastReLU() as last:",
            "    block(x1.clone()); y1 = last.sum",
            "    block(x2.clone()); y2 = last.sum",
        ]
    tail = [
        "print('points differ by', float((x1 - x2).norm()), 'images by', float((y1 - y2).norm()))",
        "assert (y1 - y2).norm() <= 1e-9 * (x1 - x2).norm()",
    ]
    return "\n".join([*head, *body, *tail]) + "\n"

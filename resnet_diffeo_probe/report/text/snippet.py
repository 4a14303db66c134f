"""A few lines of plain PyTorch with which a reader checks a saved pair on their own network."""

from __future__ import annotations

from resnet_diffeo_probe.activations import spellings

__all__ = ["snippet"]

_HEAD = """\
import numpy as np, torch

# model = ...  your own network, built and loaded as you always do
with np.load({file!a}) as pair:
    x1, x2 = torch.from_numpy(pair["x1"]), torch.from_numpy(pair["x2"])
block = model.double().eval().get_submodule({unit!a})
"""
_OUTPUT = """\
with torch.no_grad():
    y1, y2 = block(x1.clone()), block(x2.clone())
"""
# the sum map ends before the activation after the addition: what that activation is given
_SUM = """\

class LastActivation(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, f, types, args=(), kwargs=None):
        if getattr(f, "__name__", "").startswith({names!a}):
            self.given = args[0].clone()  # x + F(x), when the last one is called
        return f(*args, **(kwargs or {{}}))

with torch.no_grad(), LastActivation() as last:
    block(x1.clone())
    y1 = last.given
    block(x2.clone())
    y2 = last.given
"""
_TAIL = """\
print("points differ by", float((x1 - x2).norm()), "and images by", float((y1 - y2).norm()))
assert (y1 - y2).norm() <= 1e-9 * (x1 - x2).norm() and (x1 - x2).norm() >= 1e-6 * x1.norm()
"""


def snippet(unit: str, which: str, file: str, activation: str | None) -> str:
    """Return the lines; they need the reader's own network, and the unit as a module of it by this name.

    Args:
        unit: the unit's name, the path of a submodule.
        which: `"sum"` or `"unit"`.
        file: name in the folder `witnesses`.
        activation: after the unit's addition; None where the unit ends with its sum.
    """
    # !a makes a name a literal whatever it holds: quotes, line ends, lone surrogates
    head = _HEAD.format(file=f"witnesses/{file}", unit=unit)
    if which == "unit" or activation is None:
        return head + _OUTPUT + _TAIL
    return head + _SUM.format(names=spellings(activation)) + _TAIL

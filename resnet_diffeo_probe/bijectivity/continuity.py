"""Is a branch continuous on all of Rⁿ? Established operation by operation, or not claimed.

Invariance of domain speaks of continuous maps. A composition of continuous operations is continuous, so it is enough
that every operation of the branch that depends on the input is on a list of operations that are continuous wherever
they are defined, and that the few that are not defined everywhere (division, root, logarithm) are given operands that
stay away from where they are not. Comparison, rounding, sorting indices, one-hot codes, casts to integers or to
half precision, shrinking with a jump are on no list: a branch with one of them is not *established* to be continuous,
which is not to say that it is not.

The statement is about the map in real arithmetic that the operations spell. A Python `if` on a tensor's value leaves
no operation behind; that the network takes one path at every input is checked elsewhere, input by input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.activations import bound, family
from resnet_diffeo_probe.bijectivity.operations import (
    CONSTANT,
    CONTINUOUS,
    NONNEGATIVE,
    POSITIVE,
    REGULARISED,
    SMOOTH,
    WITH_INDICES,
)
from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.values import spelling
from resnet_diffeo_probe.units.subgraph import attribute

__all__ = ["Continuity", "bending_operations", "continuity_of"]


@dataclass(frozen=True, slots=True)
class Continuity:
    """Whether a map is established to be continuous on all of Rⁿ.

    Attributes:
        operations: the operations that depend on the input, by name, sorted; each is continuous where `broken_by` is
            None.
        broken_by: the first operation that is on no list, in words; None where continuity is established.
    """

    operations: tuple[str, ...]
    broken_by: str | None = None

    @property
    def established(self) -> bool:
        """Whether every operation was found on a list of continuous ones."""
        return self.broken_by is None


def continuity_of(*maps: fx.GraphModule | None) -> Continuity:
    """Establish that maps are continuous, operation by operation.

    Args:
        maps: flat functional graphs of one placeholder, as `ResidualUnit` holds them; None is the identity.

    Returns:
        The operations they rest on, or the first that may jump.
    """
    names: set[str] = set()
    for graph in maps:
        if graph is None:
            continue
        walk = _Walk(graph)
        for node, name in walk.operations():
            names.add(name)
            if (reason := walk.doubt(node)) is not None:
                return Continuity(tuple(sorted(names)), reason)
    return Continuity(tuple(sorted(names)))


def bending_operations(branch: fx.GraphModule) -> tuple[str, ...]:
    """Return the operations of a branch that may have a kink or a jump, by name, sorted.

    Args:
        branch: a flat functional graph of one placeholder.
    """
    found = set()
    for node, name in _Walk(branch).operations():
        known = family(name)
        record = None if known is None else bound(name, node.args[1:], node.kwargs)
        smooth = record.kinks == () if record is not None else name in SMOOTH or name in REGULARISED
        if not smooth:
            found.add(name)
    return tuple(sorted(found))


class _Walk:
    """The operations of one graph, with what they depend on."""

    def __init__(self, module: fx.GraphModule):
        self._module = module
        self._depends: dict[fx.Node, bool] = {}
        self._positive: dict[fx.Node, float | None] = {}

    def operations(self) -> Iterator[tuple[fx.Node, str]]:
        """Yield the operations that depend on the input, each with its bare name, in order."""
        for node in self._module.graph.nodes:
            if node.op == "call_function" and self.depends(node):
                yield node, spelling(node.target)

    def depends(self, node: fx.Node) -> bool:
        """Return whether a node's value depends on the values of the input."""
        if node not in self._depends:
            if node.op == "placeholder":
                found = True
            elif node.op == "call_function" and (
                spelling(node.target) in CONSTANT or node.target is functional.batch_size  # type: ignore[arg-type]
            ):
                found = False
            else:
                found = any(self.depends(operand) for operand in node.all_input_nodes)
            self._depends[node] = found
        return self._depends[node]

    def doubt(self, node: fx.Node) -> str | None:
        """Return why an operation may jump, None where it is continuous."""
        name = spelling(node.target)  # type: ignore[arg-type]
        known = family(name)
        if known is not None:
            record = bound(name, node.args[1:], node.kwargs)
            # slopes or bounds that are tensors bend it elsewhere in each channel, and make no jump
            bent = known.name in ("prelu", "clamp", "clamp_min", "clamp_max") and not record.known
            return None if record.continuous or bent else f"{name} may jump"
        if name in REGULARISED:
            eps = _argument(node, REGULARISED[name], "eps")
            return (
                None
                if isinstance(eps, (int, float)) and eps > 0
                else f"{name} divides without an eps above zero"
            )
        special: Callable[[fx.Node], str | None] | None = getattr(self, f"_doubt_{name}", None)
        if special is not None:
            return special(node)
        if name in CONTINUOUS:
            others = [a for a in node.all_input_nodes if self.depends(a)]
            integers = any(not _is_floating(a) for a in others)
            return f"{name} of integers computed from the input" if integers else None
        return f"{name} is not on the list of continuous operations"

    def _doubt_getitem(self, node: fx.Node) -> str | None:
        whole, index = node.args
        if isinstance(whole, fx.Node) and whole.meta.get("shape") is None:
            # one result of several
            name = spelling(whole.target) if whole.op == "call_function" else ""  # type: ignore[arg-type]
            if name in WITH_INDICES and index != 0:
                return f"the indices of {name} jump"
            return None
        if any(self.depends(n) for n in _tensors(index)):
            return "an index computed from the input"
        return None

    def _doubt_to(self, node: fx.Node) -> str | None:
        target = next(
            (a for a in (*node.args[1:], *node.kwargs.values()) if isinstance(a, torch.dtype)), None
        )
        now = node.meta.get("dtype") if target is None else target
        source = node.args[0].meta.get("dtype") if isinstance(node.args[0], fx.Node) else None
        if now in (torch.float32, torch.float64) and (source is None or source.is_floating_point):
            return None
        return f"a cast to {str(now).removeprefix('torch.')}"

    def _doubt_pow(self, node: fx.Node) -> str | None:
        base, power = node.args[:2]
        if not isinstance(power, (int, float)):
            return "a power whose exponent depends on the input" if _any_depends(self, power) else "a power"
        if power >= 0 and float(power).is_integer():
            return None
        return None if self._above(base, strictly=power < 0) else f"a power of {power} of what may be zero"

    def _doubt_div(self, node: fx.Node) -> str | None:
        if node.kwargs.get("rounding_mode") is not None:
            return "a division that rounds"
        below = node.args[1]
        if not isinstance(below, fx.Node):
            return None if below else "a division by zero"
        if not self.depends(below):
            return None
        return None if self._above(below, strictly=True) else "a division by what may be zero"

    def _doubt_reciprocal(self, node: fx.Node) -> str | None:
        return None if self._above(node.args[0], strictly=True) else "the reciprocal of what may be zero"

    def _doubt_rsqrt(self, node: fx.Node) -> str | None:
        return None if self._above(node.args[0], strictly=True) else "the reciprocal root of what may be zero"

    def _doubt_log(self, node: fx.Node) -> str | None:
        return None if self._above(node.args[0], strictly=True) else "the logarithm of what may be zero"

    def _doubt_sqrt(self, node: fx.Node) -> str | None:
        return None if self._above(node.args[0], strictly=False) else "the root of what may be negative"

    def _doubt_normalize(self, node: fx.Node) -> str | None:
        eps = node.kwargs.get("eps", node.args[3] if len(node.args) > 3 else 1e-12)
        return None if isinstance(eps, (int, float)) and eps > 0 else "normalize divides by what may be zero"

    def _doubt_where(self, node: fx.Node) -> str | None:
        return "where, by a condition computed from the input" if _any_depends(self, node.args[0]) else None

    def _doubt_masked_fill(self, node: fx.Node) -> str | None:
        return "masked_fill, by a mask computed from the input" if _any_depends(self, node.args[1]) else None

    def _doubt_norm(self, node: fx.Node) -> str | None:
        order = node.kwargs.get("p", node.kwargs.get("ord", node.args[1] if len(node.args) > 1 else 2))
        # of order zero it counts, of a negative one it divides
        usual = order in (None, "fro") or (isinstance(order, (int, float)) and order > 0)
        return None if usual else f"a norm of order {order}"

    _doubt_vector_norm = _doubt_linalg_vector_norm = _doubt_norm

    def _above(self, item: Any, *, strictly: bool) -> bool:
        """Return whether a value is at least zero everywhere, or at least some positive number."""
        low = self._low(item)
        return low is not None and (low > 0 if strictly else low >= 0)

    def _low(self, item: Any) -> float | None:
        """Return a lower bound, None where none is known. A tiny positive one says: above zero at every point."""
        if isinstance(item, (int, float)):
            return float(item)
        if not isinstance(item, fx.Node):
            return None
        if item not in self._positive:
            self._positive[item] = self._find_low(item)
        return self._positive[item]

    def _find_low(self, node: fx.Node) -> float | None:  # noqa: PLR0911 - a case an operation
        if node.op == "get_attr":
            content = attribute(self._module, str(node.target))
            is_real = isinstance(content, Tensor) and content.numel() and content.is_floating_point()
            return float(content.min()) if is_real else None
        if node.op != "call_function":
            return None
        name = spelling(node.target)  # type: ignore[arg-type]
        if name in POSITIVE:
            # above zero at every point is what continuity needs, though not by a fixed amount
            return 5e-324
        if name in NONNEGATIVE:
            return 0.0
        args = node.args
        if (
            name == "pow"
            and isinstance(args[1], (int, float))
            and float(args[1]).is_integer()
            and args[1] % 2 == 0
        ):
            return 0.0 if args[1] >= 0 else None
        if name == "mul":
            if args[0] is args[1]:
                return 0.0
            lows = [self._low(a) for a in args[:2]]
            return 0.0 if all(low is not None and low >= 0 for low in lows) else None
        if name == "add":
            lows = [self._low(a) for a in args[:2]]
            if node.kwargs.get("alpha", 1) != 1 or any(low is None for low in lows):
                return None
            return sum(low for low in lows if low is not None)
        if name in (
            "mean",
            "sum",
            "amax",
            "amin",
            "max_pool2d",
            "reshape",
            "view",
            "expand",
            "unsqueeze",
            "squeeze",
        ):
            low = self._low(args[0])
            return low if low is None or name != "sum" else (0.0 if low >= 0 else None)
        if name in ("clamp", "clamp_min", "clip"):
            least = args[1] if len(args) > 1 else node.kwargs.get("min")
            high = args[2] if len(args) > 2 else node.kwargs.get("max")
            if isinstance(least, (int, float)) and (
                high is None or (isinstance(high, (int, float)) and high >= least)
            ):
                return float(least)
        return None


def _argument(node: fx.Node, position: int, name: str) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name)


def _any_depends(walk: _Walk, item: Any) -> bool:
    return any(walk.depends(node) for node in _tensors(item))


def _tensors(item: Any) -> list[fx.Node]:
    """Return the nodes in an argument."""
    found: list[fx.Node] = []
    fx.map_arg(item, found.append)
    return found


def _is_floating(node: fx.Node) -> bool:
    dtype = node.meta.get("dtype")
    return dtype is None or dtype.is_floating_point

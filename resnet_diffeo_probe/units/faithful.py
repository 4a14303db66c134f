"""Is what is measured at an input what the user's own module computes there? One forward pass of it for each input.

The graph that units are cut from is that of the first input, in the arithmetic of the analysis. At another input the
module may take another path (`if x.mean() > 0`, `.item()`, early exits, adaptive steps), and in its own arithmetic it
may be another function (constants and tolerances that depend on the dtype, sums that absorb what is added to them).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn

from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.units.discovery import Discovery, discover
from resnet_diffeo_probe.units.graph.path import same_path
from resnet_diffeo_probe.units.graph.rebuild import agree, unwrapped
from resnet_diffeo_probe.units.graph.record import record
from resnet_diffeo_probe.units.graph.state import borrowed
from resnet_diffeo_probe.units.graph.tape import Tape
from resnet_diffeo_probe.units.graph.values import map_structure
from resnet_diffeo_probe.units.rounding import rounding_of
from resnet_diffeo_probe.units.subgraph import attribute
from resnet_diffeo_probe.units.unit import ResidualUnit, UnitActivations

__all__ = ["Faithfulness", "own_arithmetic_doubt", "same_unit"]

# So many roundings of the largest output are nothing that has to be looked into.
_FEW_ROUNDINGS = 64.0
# Sums of thousands of terms are off by more than a rounding of each result tells.
_OF_ROUNDING = 256.0
# From this share of the unit's own magnitudes on, the user's arithmetic computes something else, be it by rounding.
_GROSS = 0.01
_GROSS_ROUNDINGS = 16.0
# Activations of whole networks in two arithmetics drift apart; beyond this many √eps it is no drift.
_DRIFT = 32.0


class Faithfulness:
    """Compares a network as it is measured with the user's module, input by input.

    Args:
        module: the user's own; it runs once for each input and is left as it was.
        discovery: its units, in its own arithmetic.
        exact: the same in the arithmetic of the analysis.
        example: (1, ...) the input that the units were discovered with.
    """

    def __init__(self, module: nn.Module, discovery: Discovery, exact: Discovery, example: Tensor) -> None:
        self._module = unwrapped(module)
        self._discovery, self._exact = discovery, exact
        self._first = self._taped(example)
        self._shape = tuple(example.shape)
        self._names = [unit.name for unit in discovery.units]
        self._inputs = 0
        self._absent: Counter[str] = Counter()
        self._further: Counter[str] = Counter()

    def doubts(self, x: Tensor) -> dict[str, str]:
        """Return why units are not measured at an input, by unit name; nothing for those that are faithful there.

        Args:
            x: (1, ...) the network's input, in the module's own dtype.
        """
        self._inputs += 1
        try:
            tape = self._taped(x)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            return dict.fromkeys(self._names, f"the network's own forward pass fails at this input ({text})")
        try:
            output, seen = self._discovery.run(x)
            failed = None if agree(tape.result, output) else "gives another output than your module"
        except Exception as error:
            seen, failed = {}, f"does not run ({type(error).__name__})"
        if not same_path(self._first, tape):
            found = self._elsewhere(x, seen)
        elif failed is not None:
            found = dict.fromkeys(
                self._names, f"the graph that was taped at the first input {failed} at this one"
            )
        else:
            found = {}
        left = [unit for unit in self._exact.units if unit.name not in found]
        return found | self._of_arithmetic(x, left, seen)

    def notes(self) -> tuple[str, ...]:
        """Return sentences on units that are not the same at all inputs so far."""
        found = []
        if self._absent:
            of = ", ".join(f"{name} at {count}" for name, count in self._absent.items())
            found.append(
                f"the units differ from input to input: of {self._inputs} inputs, the network does not run {of}"
            )
        if self._further:
            of = ", ".join(f"{name} at {count}" for name, count in self._further.items())
            found.append(
                f"the units differ from input to input: of {self._inputs} inputs, the network also runs {of}, which "
                "the first input does not meet and which is not measured"
            )
        return tuple(found)

    def _taped(self, x: Tensor) -> Tape:
        with borrowed(self._module):
            torch.manual_seed(0)
            return record(self._module, x, dispatched=self._discovery.dispatched)

    def _elsewhere(self, x: Tensor, seen: dict[str, UnitActivations]) -> dict[str, str]:
        """Return which units an input on another path does not meet as the first input does."""
        try:
            other = discover(self._module, x)
            _, there = other.run(x)
        except DiffeoProbeError as error:
            reason = (
                f"the network takes another path at this input than at the first one, not read ({error.what})"
            )
            return dict.fromkeys(self._names, reason)
        theirs = {unit.name: unit for unit in other.units}
        self._further.update(name for name in theirs if name not in self._names)
        found = {}
        for unit in self._discovery.units:
            name = unit.name
            if name not in theirs:
                self._absent[name] += 1
                found[name] = (
                    "the network takes another path at this input than at the first one: it does not run this unit"
                )
            elif not same_unit(unit, theirs[name]):
                found[name] = (
                    "the unit takes another path at this input than at the first one: it is another function there, "
                    "which was not measured"
                )
            elif name not in seen or not agree(seen[name].input, there[name].input):
                found[name] = (
                    "the network takes another path before this unit than at the first input: the unit gets another "
                    "input than the one that would be measured"
                )
        return found

    def _of_arithmetic(
        self, x: Tensor, units: list[ResidualUnit], seen: dict[str, UnitActivations]
    ) -> dict[str, str]:
        dtype = _dtype_of(self._exact)
        if dtype == _dtype_of(self._discovery) or not units:
            return {}
        try:
            _, exact = self._exact.run(x.to(dtype))
        except Exception:
            return {}
        found = {}
        for unit in units:
            own, finer = seen[unit.name], exact[unit.name]
            if (reason := own_arithmetic_doubt(unit, own, finer.input)) is not None:
                found[unit.name] = reason
        return found


def own_arithmetic_doubt(unit: ResidualUnit, own: UnitActivations, measured_at: Tensor) -> str | None:
    """Return why a unit is another function in the arithmetic of the analysis than in the user's own; None: it is not.

    At the input that the user's arithmetic gave, the outputs may differ by what rounding of that arithmetic explains:
    64 roundings of the largest output, or 256 times what `rounding_of` sees; by one percent of the unit's magnitudes
    (in half precisions 16 roundings) they may not, whatever explains it.

    Args:
        unit: in the arithmetic of the analysis.
        own: what went through it in the user's module.
        measured_at: the unit's input in the arithmetic of the analysis.
    """
    x = own.input.to(measured_at.dtype)
    eps = torch.finfo(own.input.dtype).eps if own.input.is_floating_point() else None
    if eps is None or eps <= torch.finfo(measured_at.dtype).eps:
        return None
    with torch.no_grad():
        finer = unit.branch(x) if unit.preserves_dimension else unit.sum_map(x)
    coarse = (own.branch if unit.preserves_dimension else own.sum).to(finer.dtype)
    if not bool(torch.isfinite(finer).all()) or not bool(torch.isfinite(x).all()):
        return None  # measured, and said, as it is
    name, analysed = (str(d).removeprefix("torch.") for d in (own.input.dtype, measured_at.dtype))
    if not bool(torch.isfinite(coarse).all()):
        return f"in {name}, the network's own arithmetic, the branch gives NaN or infinity; in {analysed} it does not"
    size, gap = float(finer.abs().max()), float((finer - coarse).abs().max())
    if gap > _FEW_ROUNDINGS * eps * size:
        gross = max(_GROSS, _GROSS_ROUNDINGS * eps) * max(size, float(x.abs().max()))
        allowed = _OF_ROUNDING * float(_rounding(unit, x, eps).max())
        if not gap <= min(allowed, gross):
            return (
                f"in {name}, the network's own arithmetic, the unit computes another function than in {analysed}: its "
                f"outputs are {gap:.1e} apart, the largest is {size:.1e}"
            )
    drift = float((x - measured_at).abs().max())
    if drift > _DRIFT * math.sqrt(eps) * max(float(x.abs().max()), float(measured_at.abs().max())):
        return (
            f"in {name}, the network's own arithmetic, the unit gets another input than in {analysed}: they are "
            f"{drift:.1e} apart"
        )
    return None


def _rounding(unit: ResidualUnit, x: Tensor, eps: float) -> Tensor:
    branch = rounding_of(unit.branch, x, eps)
    if unit.preserves_dimension:
        return branch
    # and that of the addition itself
    return branch + rounding_of(unit.shortcut_map, x, eps) + eps * unit.sum_map(x).abs()


def same_unit(a: ResidualUnit, b: ResidualUnit) -> bool:
    """Say whether two units are the same maps: the same operations of the same tensors and numbers."""
    if (a.input_shape, a.output_shape, a.activation) != (b.input_shape, b.output_shape, b.activation):
        return False
    pairs = [(a.branch, b.branch), (a.shortcut_map, b.shortcut_map)]
    if a.activation_map is not None and b.activation_map is not None:
        pairs.append((a.activation_map, b.activation_map))
    return all(_same_map(left, right) for left, right in pairs)


def _same_map(a: fx.GraphModule, b: fx.GraphModule) -> bool:
    left, right = list(a.graph.nodes), list(b.graph.nodes)
    if len(left) != len(right):
        return False
    for one, two in zip(left, right, strict=True):
        if one.op != two.op:
            return False
        if one.op == "get_attr":
            if not agree(attribute(a, str(one.target)), attribute(b, str(two.target)), exactly=True):
                return False
        elif one.op == "call_function" and one.target is not two.target:
            return False
    return _operands(left) == _operands(right)


def _operands(nodes: list[fx.Node]) -> list[str]:
    """Return what each operation is given, other operations by their position."""
    places = {node: f"result {position}" for position, node in enumerate(nodes)}

    def place(item: Any) -> Any:
        return places[item] if isinstance(item, fx.Node) else item

    return [repr(map_structure(place, (node.args, dict(node.kwargs)))) for node in nodes]


def _dtype_of(discovery: Discovery) -> torch.dtype | None:
    """Return the floating-point dtype that a network's units take."""
    dtypes = [node.meta.get("dtype") for node in discovery.graph.graph.nodes if node.op == "placeholder"]
    return dtypes[0] if dtypes else None

"""The refinement test: is a network an approximation of its own flow?

A unit x + F(x) is one Euler step of dx/dt = F(x). Taking k steps x + F(x)/k, or one Runge-Kutta step, follows the same
flow more closely; a network that discretises a flow keeps its predictions, and one that does not loses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import ConfigurationError

if TYPE_CHECKING:
    from resnet_diffeo_probe.units import Discovery, ResidualUnit

__all__ = ["PLANNED", "Refined", "Refinement", "refinable", "refined_sum", "refinement_test", "run_refined"]

Branch = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Refinement:
    """How a unit's step is integrated instead.

    Attributes:
        scheme: "euler" or "rk4".
        steps: sub-steps of equal length over the unit's whole step of 1; "euler" with 1 is the network itself.
    """

    scheme: str = "euler"
    steps: int = 2

    def __post_init__(self) -> None:
        if self.scheme not in ("euler", "rk4"):
            raise ConfigurationError(f"unknown refinement {self.scheme!r}", fix="choose one of: euler, rk4")
        if self.steps < 1:
            raise ConfigurationError(
                f"{self.steps} sub-steps", why="a unit needs at least one", fix="steps >= 1"
            )


#: What the test runs: Euler with 2, 4 and 8 sub-steps, and one Runge-Kutta step of the same field.
PLANNED = (Refinement("euler", 2), Refinement("euler", 4), Refinement("euler", 8), Refinement("rk4", 1))


@dataclass(frozen=True, slots=True)
class Refined:
    """What a refinement did to the network's answers.

    Attributes:
        unit: name of the only unit refined, None for all of them.
        scheme: as in `Refinement`.
        steps: as in `Refinement`.
        inputs: number of inputs.
        agreement: share of inputs whose predicted class stays; an input whose answer is no longer finite has none.
        logit_change: median over the inputs of ||z' - z|| / ||z||, None where more than half are not finite.
        accuracy: share of inputs classified rightly, None without labels.
        accuracy_before: the same of the unrefined network.
    """

    unit: str | None
    scheme: str
    steps: int
    inputs: int
    agreement: float
    logit_change: float | None
    accuracy: float | None
    accuracy_before: float | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the attributes."""
        return {name: getattr(self, name) for name in self.__slots__}


def refined_sum(branch: Branch, x: Tensor, refinement: Refinement) -> Tensor:
    """Return the end of the refined step that starts at x; for Euler with one sub-step exactly x + F(x).

    Args:
        branch: F.
        x: (batch, ...) the unit's input.
        refinement: scheme and sub-steps.
    """
    h = 1.0 / refinement.steps
    for _ in range(refinement.steps):
        k1 = branch(x)
        if refinement.scheme == "euler":
            x = x + k1 * h if refinement.steps > 1 else x + k1
            continue
        k2 = branch(x + k1 * (h / 2))
        k3 = branch(x + k2 * (h / 2))
        k4 = branch(x + k3 * h)
        x = x + (k1 + 2 * k2 + 2 * k3 + k4) * (h / 6)
    return x


def refinable(discovery: Discovery) -> list[ResidualUnit]:
    """Return the units that can be read as a step of a flow: those whose shortcut is the identity."""
    return [unit for unit in discovery.units if unit.preserves_dimension]


@contextmanager
def run_refined(
    discovery: Discovery, units: Sequence[ResidualUnit], refinement: Refinement
) -> Iterator[nn.Module]:
    """Give the network with the sums of these units replaced; the activation after an addition stays where it is.

    The discovery is not changed; the network given shares its weights.

    Args:
        discovery: the network.
        units: units of it that preserve the dimension.
        refinement: what replaces their steps.

    Raises:
        ConfigurationError: a unit that changes the dimension.
    """
    network = discovery.with_taps()
    inputs: dict[str, Tensor] = {}
    handles = []

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _arguments: Any, output: Tensor) -> None:
            inputs[name] = output

        return hook

    def replace(unit: ResidualUnit) -> Callable[..., Tensor]:
        def hook(_module: nn.Module, _arguments: Any, _output: Tensor) -> Tensor:
            # the input is dropped as soon as it is used: a deep network's would fill the memory
            return refined_sum(unit.branch, inputs.pop(unit.name), refinement)

        return hook

    for unit in units:
        if not unit.preserves_dimension:
            raise ConfigurationError(
                f"unit {unit.name} cannot be refined",
                why=f"its shortcut ({unit.shortcut}) is not the identity, so that it is no step of a flow",
            )
        taps = {place: network.get_submodule(f"taps.{unit.tap_name}.{place}") for place in ("input", "sum")}
        handles.append(taps["input"].register_forward_hook(keep(unit.name)))
        handles.append(taps["sum"].register_forward_hook(replace(unit)))
    try:
        yield network
    finally:
        for handle in handles:
            handle.remove()


def refinement_test(
    discovery: Discovery,
    batches: Iterable[Tensor],
    *,
    labels: Tensor | None = None,
    refinements: Sequence[Refinement] = PLANNED,
    single_units: bool = True,
    after_run: Callable[[Refined], None] | None = None,
) -> list[Refined]:
    """Refine each identity unit alone, and all of them together, and compare the network's answers.

    Args:
        discovery: the network.
        batches: preprocessed inputs, (batch, ...) each; they are gone through once for every refinement.
        labels: (inputs,) class numbers in the order of the inputs.
        refinements: what to replace the steps by.
        single_units: also refine one unit at a time.
        after_run: called with every result: progress, saving.

    Returns:
        Results, first of all units together, then unit by unit. Empty where no unit can be refined.

    Raises:
        ConfigurationError: no input, or labels of another number.
    """
    kept = list(batches)
    before = _answers(discovery.graph, kept)
    if labels is not None and labels.shape != before.shape[:1]:
        raise ConfigurationError(f"{tuple(labels.shape)} labels for {before.shape[0]} inputs")
    units = refinable(discovery)
    if not units:
        return []
    groups: list[tuple[str | None, list[ResidualUnit]]] = [(None, units)]
    if single_units and len(units) > 1:
        groups += [(unit.name, [unit]) for unit in units]
    found = []
    for name, members in groups:
        for refinement in refinements:
            with run_refined(discovery, members, refinement) as network:
                after = _answers(network, kept)
            found.append(_compared(name, refinement, before, after, labels))
            if after_run is not None:
                after_run(found[-1])
    return found


def _answers(network: nn.Module, batches: list[Tensor]) -> Tensor:
    """Return the logits of all inputs, (inputs, classes), on the CPU in float64."""
    if not batches:
        raise ConfigurationError("the refinement test has no inputs", fix="give at least one batch")
    with torch.no_grad():
        return torch.cat([_logits(network(batch)).detach().cpu().double() for batch in batches])


def _logits(output: Any) -> Tensor:
    """Return the first tensor of an output that may be a container, samples first, flattened."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output.flatten(start_dim=1)


def _compared(
    unit: str | None, refinement: Refinement, before: Tensor, after: Tensor, labels: Tensor | None
) -> Refined:
    finite = after.isfinite().all(dim=1)
    same = finite & (_classes(after) == _classes(before))
    change = (after - before).norm(dim=1) / before.norm(dim=1)
    middle = torch.where(change.isfinite(), change, torch.inf).sort().values[(change.numel() - 1) // 2]
    accuracy = accuracy_before = None
    if labels is not None:
        right = labels.cpu()
        accuracy = float((finite & (_classes(after) == right)).double().mean())
        accuracy_before = float((_classes(before) == right).double().mean())
    return Refined(
        unit=unit,
        scheme=refinement.scheme,
        steps=refinement.steps,
        inputs=before.shape[0],
        agreement=float(same.double().mean()),
        logit_change=float(middle) if bool(middle.isfinite()) else None,
        accuracy=accuracy,
        accuracy_before=accuracy_before,
    )


def _classes(logits: Tensor) -> Tensor:
    """Return the predicted classes; a single logit is that of the second of two classes."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).long()
    return logits.argmax(dim=1)

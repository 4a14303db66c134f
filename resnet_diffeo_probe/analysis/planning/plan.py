"""What is going to be measured: which units on which inputs, how, and why others are not."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.left_out import LEFT_OUT
from resnet_diffeo_probe.errors import ConfigurationError, NoUnitError, UnsupportedUnitError
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.linearized.device import compute_device
from resnet_diffeo_probe.nearest import nearest
from resnet_diffeo_probe.units import Discovery, ResidualUnit
from resnet_diffeo_probe.units.recognition.kinds import is_identity, is_reshape

__all__ = ["ESTIMATE", "Plan", "UnitPlan", "make_plan", "prepared"]

#: What takes the place of an exact method.
ESTIMATE = "estimate by Lanczos quadrature"


@dataclass(frozen=True, eq=False)
class UnitPlan:
    """What happens to one unit.

    Attributes:
        unit: the unit, in the dtype of the analysis.
        jacobian: prepared for exact measures; None where there are none.
        accelerated: the same on the GPU that was asked for; None on the CPU.
        not_applicable: why the unit has no Jacobian determinant, else None.
        not_run: why it is left out, else None.
        estimated: why no exact method takes it, so that what products tell is estimated; else None.
        about: method, cut, sizes and costs, for people and for `result.json`.
    """

    unit: ResidualUnit
    jacobian: UnitJacobian | None
    not_applicable: str | None = None
    not_run: str | None = None
    estimated: str | None = None
    about: dict[str, Any] = field(default_factory=dict)
    accelerated: UnitJacobian | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Every unit of a network with what happens to it, and the settings."""

    units: tuple[UnitPlan, ...]
    settings: Settings


def make_plan(discovery: Discovery, settings: Settings) -> Plan:
    """Plan an analysis.

    Args:
        discovery: a network's units, already in the dtype of the settings.
        settings: what is asked for.

    Raises:
        NoUnitError: the network has no residual unit.
        ConfigurationError: the patterns match no unit, or the device is not there.
    """
    compute_device(settings.device)
    if not discovery.units:
        raise NoUnitError(
            "no residual unit was found in this network",
            why=discovery.explain_none(),
            fix="a residual unit is an addition of an input to a branch computed from that same input",
        )
    names = [unit.name for unit in discovery.units]
    for pattern in settings.units:
        if not any(_matches(name, [pattern]) for name in names):
            near = nearest(re.sub(r"[*?\[\]]", "", pattern), names) or names[0]
            raise ConfigurationError(
                f"--units '{pattern}' matches none of the {len(names)} units",
                why=f"they are called {', '.join(names[:20])}" + (", …" if len(names) > 20 else ""),
                fix=f"--units '{near}'",
                code="units-pattern",
            )
    chosen = [unit for unit in discovery.units if _matches(unit.name, settings.units)]
    return Plan(tuple(_plan_unit(unit, unit in chosen, settings) for unit in discovery.units), settings)


def prepared(plan: Plan) -> Plan:
    """Build whatever a unit needs that does not depend on an input; where that fails, what can be is estimated.

    Returns:
        The plan of what is going to be run.
    """
    units = []
    for unit_plan in plan.units:
        if unit_plan.jacobian is not None:
            try:
                unit_plan.jacobian.prepare()
                device = compute_device(plan.settings.device)
                if device.type != "cpu":
                    accelerated = UnitJacobian(unit_plan.unit, device)
                    accelerated.prepare()
                    unit_plan = replace(unit_plan, accelerated=accelerated)  # noqa: PLW2901
            except Exception as error:  # whatever is wrong with one unit, the others go on
                # what needs no factors is still measured
                about = {"method": ESTIMATE, "cut": None, "why_estimated": _reason(error)}
                unit_plan = replace(  # noqa: PLW2901
                    unit_plan, jacobian=None, estimated=_reason(error), about=about
                )
        units.append(unit_plan)
    return replace(plan, units=tuple(units))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _plan_unit(unit: ResidualUnit, chosen: bool, settings: Settings) -> UnitPlan:
    if _is_rearranged(unit):
        return UnitPlan(unit, None, not_run=_rearranged(unit), about={"method": "none", "cut": None})
    if not unit.preserves_dimension:
        reason = _changes_dimension(unit)
        return UnitPlan(unit, None, not_applicable=reason, about={"method": "none", "cut": None})
    if not chosen:
        return UnitPlan(unit, None, not_run=LEFT_OUT, about={"method": "none", "cut": None})
    try:
        jacobian = UnitJacobian(unit)
        return UnitPlan(unit, jacobian, about=_about(jacobian, settings))
    except UnsupportedUnitError as error:
        # no exact method: what can be estimated is, and the sign stays unknown
        about = {"method": ESTIMATE, "cut": None, "why_estimated": error.what}
        return UnitPlan(unit, None, estimated=error.what, about=about)
    except Exception as error:  # whatever is wrong with one unit, the others go on
        return UnitPlan(unit, None, not_run=_reason(error), about={"method": "none", "cut": None})


def _reason(error: Exception) -> str:
    if isinstance(error, UnsupportedUnitError):
        return error.what
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if "derivative for" in text:
        return f"torch has no derivative for an operation of this branch ({text})"
    return text


def _is_rearranged(unit: ResidualUnit) -> bool:
    """Say whether the shortcut passes every coordinate on, in another layout."""
    calls = [node for node in unit.shortcut_map.graph.nodes if node.op == "call_function"]
    return (
        unit.input_shape != unit.output_shape
        and math.prod(unit.input_shape) == math.prod(unit.output_shape)
        and all(is_reshape(node) or is_identity(node) for node in calls)
    )


def _rearranged(unit: ResidualUnit) -> str:
    shapes = [" × ".join(map(str, shape)) for shape in (unit.input_shape, unit.output_shape)]
    return (
        f"The unit maps {shapes[0]} to {shapes[1]}, which are as many coordinates in another layout: it may be a "
        "bijection, and is not measured; written in one layout, x + F(x) with F(x) of x's shape, it is"
    )


def _changes_dimension(unit: ResidualUnit) -> str:
    shapes = [" × ".join(map(str, shape)) for shape in (unit.input_shape, unit.output_shape)]
    if math.prod(unit.input_shape) == math.prod(unit.output_shape) and unit.input_shape != unit.output_shape:
        return (
            f"The unit maps {shapes[0]} to {shapes[1]}, as many coordinates, but its shortcut is a {unit.shortcut}, "
            "not the identity: this is no step x + F(x) of a flow."
        )
    if unit.input_shape == unit.output_shape:
        return f"The shortcut is a {unit.shortcut}, not the identity: this is no step x + F(x) of a flow."
    return f"The unit maps {shapes[0]} to {shapes[1]}: it changes the dimension and cannot be a bijection."


def _about(jacobian: UnitJacobian, settings: Settings) -> dict[str, Any]:
    """Describe the elimination when half of the coordinates at the cheapest cut are active."""
    if jacobian.not_read is not None:
        return {"method": "dense Jacobian", "cut": None, "why_dense": jacobian.not_read}
    estimates = [jacobian.estimate(cut, active=0.5 if cut else 1.0) for cut in jacobian.cuts]
    best = min(estimates, key=lambda estimate: estimate.flops)
    about = {
        "method": "block elimination of the reduced matrix",
        "cut": best.cut_name,
        "image_rows": best.image_rows,
        "expected_order": best.order,
        "expected_gigaflops": round(best.flops / 1e9, 3),
        "expected_mebibytes": round(best.factor_bytes / 2**20, 1),
        # for the sign and log|det| alone; singular values are solved for with kept factors
        "expected_mebibytes_of_determinant": round(best.check_bytes / 2**20, 1),
    }
    allowed = settings.memory
    if best.check_bytes > allowed:
        about["if_it_does_not_fit"] = (
            f"{allowed / 2**20:.1f} MiB are allowed: where the active coordinates of an input need more, log|det J| is "
            f"an {ESTIMATE}, without a sign"
        )
    return about

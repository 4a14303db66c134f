"""Whether what was measured of a unit is one map of the user's: else no sign, bound or pair proves anything of it."""

from __future__ import annotations

from collections.abc import Mapping

from resnet_diffeo_probe.analysis.planning.plan import UnitPlan
from resnet_diffeo_probe.bijectivity.continuity import Continuity, continuity_of
from resnet_diffeo_probe.finding import Finding, Status

__all__ = ["continuity_of_measured", "unproven"]


def unproven(unit_plan: UnitPlan, rows: Mapping[str, Mapping[str, Finding]]) -> str | None:
    """Return why nothing can be proven of a unit by what was measured: it is not one map of the user's; else None.

    Args:
        unit_plan: of the unit.
        rows: input name -> quantity -> finding, as measured.
    """
    if unit_plan.unit.chooses_path:
        return (
            "the unit's code reads numbers of its own input, and what it computes elsewhere may depend on them: what "
            "was measured is the path that the first input takes"
        )
    others = (f.reason for row in rows.values() for f in row.values() if f.status is Status.OTHER_FUNCTION)
    return next(others, None)


def continuity_of_measured(unit_plan: UnitPlan, rows: Mapping[str, Mapping[str, Finding]]) -> Continuity:
    """Return whether a unit is established to be one continuous map, by its operations and by what was measured.

    Args:
        unit_plan: of the unit.
        rows: input name -> quantity -> finding, as measured.
    """
    reason = unproven(unit_plan, rows)
    return continuity_of(unit_plan.unit.branch) if reason is None else Continuity((), reason)

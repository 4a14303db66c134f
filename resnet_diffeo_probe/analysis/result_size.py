"""How large a result is going to be: said before hours of measuring and not after them."""

from __future__ import annotations

from resnet_diffeo_probe.analysis.estimating import quantities_at
from resnet_diffeo_probe.analysis.plan import Plan
from resnet_diffeo_probe.analysis.schema import MAX_BYTES
from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["expected_bytes", "require_readable"]

# A row of result.json, with names of usual length: 170 to 190 bytes on average in the standard budget's reports.
_ROW_BYTES = 195


def expected_bytes(plan: Plan, inputs: int) -> int:
    """Return about how large `result.json` is going to be.

    Args:
        plan: what is measured.
        inputs: how many there are.
    """
    active = [p for p in plan.units if p.not_run is None]
    return _ROW_BYTES * inputs * sum(len(quantities_at(p, plan.settings)) for p in active)


def require_readable(plan: Plan, inputs: int) -> None:
    """Refuse what would give a `result.json` that no command reads.

    Raises:
        ConfigurationError: with the number of inputs that would do.
    """
    expected = expected_bytes(plan, inputs)
    if expected <= MAX_BYTES:
        return
    units = sum(p.not_run is None for p in plan.units)
    rows = expected // _ROW_BYTES
    raise ConfigurationError(
        f"{inputs:,} inputs on {units} units are {rows:,} numbers: too many for one result.json",
        why=f"it would have about {expected / 2**30:.1f} GiB, and {MAX_BYTES / 2**30:.1f} GiB are read back",
        fix=f"-n {inputs * MAX_BYTES // expected}, or --measures sign,logabsdet, or some --units at a time, each with "
        "an --out of its own",
        code="result-too-large",
    )

"""How large a result is going to be: said before hours of measuring and not after them."""

from __future__ import annotations

from resnet_diffeo_probe.analysis.planning.estimating import quantities_at
from resnet_diffeo_probe.analysis.planning.plan import Plan
from resnet_diffeo_probe.analysis.result.memory import available_memory
from resnet_diffeo_probe.errors import ConfigurationError

__all__ = ["ROW_BYTES", "ROW_MEMORY", "expected_rows", "require_readable"]

#: A row of `result.json`, with names of usual length: 200 to 250 bytes on average in the gallery's reports
#: (`benchmarks/report_size.py`).
ROW_BYTES = 220
#: Memory of a number at the end of a run, when it is a finding, a row and an entry of the report's tables.
ROW_MEMORY = 700


def expected_rows(plan: Plan, inputs: int) -> int:
    """Return how many measurements `result.json` is going to hold.

    Args:
        plan: what is measured.
        inputs: how many there are.
    """
    active = [p for p in plan.units if p.not_run is None]
    return inputs * sum(len(quantities_at(p, plan.settings)) for p in active)


def require_readable(plan: Plan, inputs: int) -> None:
    """Refuse what would give more numbers than the free memory holds, where the result is made and read.

    Raises:
        ConfigurationError: with the number of inputs that would do.
    """
    rows, free = expected_rows(plan, inputs), available_memory()
    needed = ROW_MEMORY * rows
    if needed <= free:
        return
    units = sum(p.not_run is None for p in plan.units)
    raise ConfigurationError(
        f"{inputs:,} inputs on {units} units are {rows:,} numbers: more than the free memory holds",
        why=f"they take about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; result.json would have "
        f"{ROW_BYTES * rows / 2**30:.1f} GiB",
        fix=f"-n {int(inputs * free / needed)}, or --measures sign,logabsdet, or some --units at a time, each with "
        "an --out of its own",
        code="result-too-large",
    )

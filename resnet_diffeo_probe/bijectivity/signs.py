"""How verdicts read the signs of determinants."""

from __future__ import annotations

import math
from collections.abc import Mapping

from resnet_diffeo_probe.finding import Finding, Status

__all__ = ["arithmetic_of", "kind_of", "margin_of", "sortable_margin"]


def kind_of(sign: Finding) -> str:
    """Return how verdicts count a sign: positive, negative, zero, undetermined or not_run."""
    if sign.status is Status.OK:
        return "positive" if sign.value == 1 else "negative"
    if sign.status is Status.SINGULAR:
        return "zero"
    if sign.status in (Status.UNDETERMINED, Status.ON_KINK, Status.OTHER_FUNCTION):
        return "undetermined"
    return "not_run"


def margin_of(row: Mapping[str, Finding]) -> float | None:
    """Return the margin of the sign of a row, quantity -> finding; below one it is certain."""
    found = row.get("sign_margin")
    return None if found is None else found.value


def sortable_margin(row: Mapping[str, Finding]) -> float:
    """Return the same, infinite where there is none."""
    margin = margin_of(row)
    return math.inf if margin is None else margin


def arithmetic_of(rows: Mapping[str, Mapping[str, Finding]]) -> str:
    """Return in words what the signs of rows were computed in, and how they were checked."""
    margins = [m for row in rows.values() if _is_certain(row) and (m := margin_of(row)) is not None]
    dtypes = sorted({row["sign"].dtype for row in rows.values() if "sign" in row and row["sign"].dtype})
    text = f"{', '.join(dtypes) or 'float64'}; signs checked numerically, rounding not bounded by interval arithmetic"
    if margins:
        text += f" (largest margin {max(margins):.1e}, to be below 1)"
    return text


def _is_certain(row: Mapping[str, Finding]) -> bool:
    return "sign" in row and row["sign"].status is Status.OK

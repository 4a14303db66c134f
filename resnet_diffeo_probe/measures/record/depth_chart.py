"""How a measure is drawn over the units of a network."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["DepthChart"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthChart:
    """One panel of the report; whether its axis is logarithmic, the measure says.

    Attributes:
        key: what is drawn: the measure's key, or `"negative_share"`, the share of negative signs.
        title: its name (HTML).
        criterion: key of the one that explains it.
        caption: what line, marks and axis mean.
        has_line: whether the line of the measure is drawn.
        limits: fixed limits of the axis.
        floor: the axis includes this value.
        percent: ticks as percentages.
        bars: one bar a unit instead of dashes and a median.
        signed: dashes coloured by the sign of the determinant, and a row of sign glyphs above.
        diverges: a run that did not converge is marked at the top.
        after: key of the chart behind which it stands; None: where its measure stands in the registry.
    """

    key: str
    title: Markup
    criterion: str
    caption: str
    has_line: bool = True
    limits: tuple[float, float] | None = None
    floor: float | None = None
    percent: bool = False
    bars: bool = False
    signed: bool = False
    diverges: bool = False
    after: str | None = None

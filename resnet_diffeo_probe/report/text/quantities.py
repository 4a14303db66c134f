"""What is known about each measured quantity: its name, its symbol, how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from resnet_diffeo_probe.report.text.escaping import MINUS, number, percent

__all__ = ["DENSITY", "INVERSE", "QUANTITIES", "Quantity", "in_order", "quantity"]

#: log|det| divided by the dimension: the one quantity that the report derives from a stored one.
DENSITY = "logabsdet_per_dimension"
#: Errors of the inverse, the most telling first: of these a table shows the first that was measured.
INVERSE = ("inverse_error_exact", "inverse_error_euler", "inverse_error_fixed_point", "inverse_error")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity.

    Attributes:
        key: its name in `result.json`.
        symbol: HTML for the head of a column.
        name: in words.
        kind: `"number"`, `"share"` (written as a percentage) or `"sign"`.
    """

    key: str
    symbol: Markup
    name: str
    kind: str = "number"

    def write(self, value: float | None, digits: int = 4) -> str:
        """Return the value as the report writes it."""
        if self.kind == "share":
            return percent(value, digits)
        if self.kind == "sign" and value in (1, -1):
            return "+" if value == 1 else MINUS
        return number(value, digits)

    def write_range(self, low: float | None, high: float | None, digits: int = 4) -> str:
        """Return `[low, high]` as the report writes it."""
        if self.kind == "share" and low is not None and high is not None:
            # the sign of per cent once, behind the bracket
            return f"[{number(100 * low, digits)}, {number(100 * high, digits)}]\u00a0%"
        return f"[{self.write(low, digits)}, {self.write(high, digits)}]"


_KNOWN = (
    Quantity("sign", Markup("sign det <i>J</i>"), "sign of the determinant", "sign"),
    Quantity("logabsdet", Markup("log|det <i>J</i>|"), "log of the absolute determinant"),
    Quantity(DENSITY, Markup("log|det <i>J</i>|/<i>n</i>"), "log of the absolute determinant, per dimension"),
    Quantity(
        "logabsdet_power_series",
        Markup("log|det <i>J</i>|, series"),
        "log of the absolute determinant by the power series of residual flows, for comparison",
    ),
    Quantity("sigma_min", Markup("σ<sub>min</sub>"), "smallest singular value of J"),
    Quantity("sigma_max", Markup("σ<sub>max</sub>"), "largest singular value of J"),
    Quantity("condition", Markup("cond <i>J</i>"), "condition number of J"),
    Quantity("critical_step", Markup("<i>h</i>*"), "critical step"),
    Quantity("leftmost_real_eigenvalue", Markup("λ<sub>left</sub>"), "leftmost real eigenvalue of J_F"),
    Quantity("real_eigenvalues_below_minus_one", Markup("#λ &lt; −1"), "real eigenvalues of J_F below −1"),
    Quantity("rectangular_rank", Markup("rank <i>J</i>"), "rank of the rectangular Jacobian"),
    Quantity(
        "rectangular_half_logdet",
        Markup("½ log det <i>JJ</i>ᵀ"),
        "half the log-determinant of the smaller of JJᵀ and JᵀJ of the rectangular Jacobian",
    ),
    Quantity(
        "rectangular_sigma_min",
        Markup("σ<sub>min</sub>, rect."),
        "smallest of the min(m, n) singular values of the rectangular Jacobian",
    ),
    Quantity(
        "rectangular_sigma_max",
        Markup("σ<sub>max</sub>, rect."),
        "largest singular value of the rectangular Jacobian",
    ),
    Quantity("residual_ratio", Markup("‖<i>F</i>‖/‖<i>x</i>‖"), "residual ratio"),
    Quantity("clipped_fraction", Markup("clipped"), "share of coordinates clipped to zero", "share"),
    Quantity(
        "clipped_depth", Markup("clip depth"), "depth of the most clipped coordinate, relative to max |g|"
    ),
    Quantity("sign_margin", Markup("margin"), "bound on ‖I − J⁻¹·J‖; the sign is certain below 1"),
    Quantity("inverse_error", Markup("inverse error"), "relative error of the inverse"),
    Quantity(
        "inverse_error_euler",
        Markup("inv. error, Euler"),
        "relative error of the backward Euler step y − F(y)",
    ),
    Quantity(
        "inverse_error_fixed_point",
        Markup("inv. error, fixed point"),
        "relative error of the fixed point of y − F",
    ),
    Quantity("inverse_error_exact", Markup("inv. error, exact"), "relative error of the exact inverse"),
    Quantity(
        "certified_radius_l2",
        Markup("radius <i>L</i><sub>2</sub>"),
        "certified radius of injectivity, Euclidean",
    ),
    Quantity(
        "certified_radius_linf",
        Markup("radius <i>L</i><sub>∞</sub>"),
        "certified radius of injectivity, largest coordinate",
    ),
)

QUANTITIES: dict[str, Quantity] = {known.key: known for known in _KNOWN}


def quantity(key: str) -> Quantity:
    """Return what is known about a quantity; one that is not known is called by its key."""
    words = key.replace("_", " ")
    return QUANTITIES.get(key) or Quantity(key, Markup.escape(words), words)


def in_order(keys: Iterable[str]) -> list[Quantity]:
    """Return quantities in the order of the table above, then the unknown ones by name."""
    place = {key: index for index, key in enumerate(QUANTITIES)}
    return [quantity(key) for key in sorted(set(keys), key=lambda key: (place.get(key, len(place)), key))]

"""How far an inverse returns from where it started, by three inverses."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Measure, Of, Shown
from resnet_diffeo_probe.measures.record.method import MethodSentence
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = ["INVERSE_ERROR", "INVERSE_ERROR_EULER", "INVERSE_ERROR_EXACT", "INVERSE_ERROR_FIXED_POINT"]

_FUNCTION = "resnet_diffeo_probe.bijectivity.inverse.inverse_consistency:inverse_consistency"
_ROUNDING = "no default: rounding times the condition number of J, which differs from input to input"
_CONVERGED = "Logarithmic; values and medians of the runs that converged. ▲: a run did not."

_INVERSE = Criterion(
    key="inverse_error",
    quantities=(
        "inverse_error_exact",
        "inverse_error_euler",
        "inverse_error_fixed_point",
        "inverse_error",
    ),
    title="Inverse error",
    definition=Markup(
        "‖φ⁻¹(φ(x)) − x‖ / ‖x‖: how far the inverse returns from where it started. Of y = x + F(x) there "
        "are three inverses: <i>Euler</i>, one backward step y − F(y), the paper's; <i>fixed point</i>, "
        "x ← y − F(x) until it stands still; <i>exact</i>, Newton's method with the exact Jacobian."
    ),
    threshold="For the exact inverse and the fixed point: the rounding error of the arithmetic times the "
    "condition number of J. For the Euler step there is none: its error is of the size of ‖J_F·F‖/‖x‖, and "
    "tells how far the unit is from a step of a flow, not whether it has an inverse.",
    origin="Equations 9–10 of the paper; a fixed point that returns elsewhere is itself a second preimage.",
    normal="Exact and fixed point: 10⁻¹⁴ to 10⁻⁸ in float64. Euler: 10⁻⁴ to 10⁻¹ in the spiral networks.",
    causes="Not converged: F does not contract there. A large error: a fold, or a tiny σ_min.",
    advice="A run that did not converge is marked, not dropped; it does not prove that there is no inverse.",
)

_METHOD = MethodSentence(
    key="inverse_error",
    paragraph="spectrum",
    direct="Inverses were computed iteratively {iresnet} and compared with the input. ",
)

INVERSE_ERROR = Measure(
    key="inverse_error",
    symbol=Markup("inverse error"),
    words="relative error of the inverse",
    of=Of.NOTHING,
    shown=Shown.TABLE | Shown.CSV,
    criterion=_INVERSE,
    method=_METHOD,
)

INVERSE_ERROR_EULER = Measure(
    key="inverse_error_euler",
    symbol=Markup("inv. error, Euler"),
    words="relative error of the backward Euler step y − F(y)",
    of=Of.PROOF,
    function=_FUNCTION,
    cost=Cost.PASSES,
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    log=True,
    criterion=_INVERSE,
    method=_METHOD,
    limits=(
        Limit(
            "max_inverse_error_euler",
            "inverse_error_euler",
            "largest",
            None,
            "no default: 10⁻⁴ to 10⁻¹ in the spiral networks; it tells how far a unit is from a step of a flow",
            after="max_inverse_error_fixed_point",
        ),
    ),
    charts=(
        DepthChart(
            key="inverse_error_euler",
            title=Markup("Inverse error of a backward Euler step"),
            criterion="inverse_error",
            caption="‖y − F(y) − x‖/‖x‖, logarithmic: the paper’s inverse.",
            diverges=True,
        ),
    ),
    reference=Reference(
        key="inverse_consistency",
        summary="median",
        meaning="||y - F(y) - x|| / ||x|| with y = x + F(x)",
        symbol=Markup("inverse error, Euler"),
        log=True,
    ),
)

INVERSE_ERROR_FIXED_POINT = Measure(
    key="inverse_error_fixed_point",
    symbol=Markup("inv. error, fixed point"),
    words="relative error of the fixed point of y − F",
    of=Of.PROOF,
    function=_FUNCTION,
    cost=Cost.PASSES,
    shown=Shown.TABLE | Shown.CSV,
    log=True,
    criterion=_INVERSE,
    method=_METHOD,
    limits=(
        Limit(
            "max_inverse_error_fixed_point",
            "inverse_error_fixed_point",
            "largest",
            None,
            _ROUNDING,
            after="max_inverse_error_exact",
        ),
    ),
    charts=(
        DepthChart(
            key="inverse_error_fixed_point",
            title=Markup("Inverse error of the fixed point"),
            criterion="inverse_error",
            caption=_CONVERGED,
            diverges=True,
        ),
    ),
)

INVERSE_ERROR_EXACT = Measure(
    key="inverse_error_exact",
    symbol=Markup("inv. error, exact"),
    words="relative error of the exact inverse",
    of=Of.PROOF,
    function=_FUNCTION,
    cost=Cost.ELIMINATIONS,
    budget=Budget.FULL,
    shown=Shown.TABLE | Shown.CSV,
    log=True,
    criterion=_INVERSE,
    method=_METHOD,
    limits=(Limit("max_inverse_error_exact", "inverse_error_exact", "largest", None, _ROUNDING),),
    charts=(
        DepthChart(
            key="inverse_error_exact",
            title=Markup("Inverse error of the exact inverse"),
            criterion="inverse_error",
            caption=_CONVERGED,
            diverges=True,
        ),
    ),
)

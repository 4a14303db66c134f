"""The extreme singular values of J."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Cost, Measure, Of, Shown
from resnet_diffeo_probe.measures.record.method import MethodSentence
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = ["CONDITION", "SIGMA_MAX", "SIGMA_MIN"]

_FUNCTION = "resnet_diffeo_probe.jacobian.measures.spectrum:singular_value_measures"

_SINGULAR_VALUES = Criterion(
    key="sigma_min",
    quantities=("sigma_min", "sigma_max", "condition"),
    title="Smallest singular value, σ_min",
    definition=Markup(
        "The smallest singular value of <i>J</i>: its distance (in spectral norm) to the nearest "
        "singular matrix. 1/σ<sub>min</sub> is how much an error in the output can grow when the "
        "unit is inverted there."
    ),
    threshold="None of its own: how close to 0 is too close depends on the rounding of the elimination, "
    "which the margin of the sign bounds.",
    origin="Eckart–Young: no smaller change makes J singular.",
    normal="10⁻¹ to 10⁻⁴ occurs in ordinary trained units.",
    causes="A fold near the input; directions that the unit nearly removes.",
    advice="Where it is close to zero, treat the sign there as fragile and look for a fold nearby.",
)

_METHOD = MethodSentence(
    key="singular_values",
    paragraph="spectrum",
    direct="Extreme singular values were taken from a full decomposition of {jacobian} {matrix}. ",
    iterated="Extreme singular values of {jacobian} were computed by Lanczos iterations {arpack}, the smallest "
    "with solves from the same factorisation. ",
)

SIGMA_MIN = Measure(
    key="sigma_min",
    symbol=Markup("σ<sub>min</sub>"),
    words="smallest singular value of J",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    cost=Cost.KEPT_FACTORS,
    products="sigma_min",
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    log=True,
    line=1.0,
    criterion=_SINGULAR_VALUES,
    method=_METHOD,
    limits=(
        Limit(
            "min_sigma_min",
            "sigma_min",
            "smallest",
            None,
            "no default: how close to 0 is too close depends on the rounding of the elimination",
        ),
    ),
    charts=(
        DepthChart(
            key="sigma_min",
            title=Markup("Smallest singular value σ<sub>min</sub>"),
            criterion="sigma_min",
            caption="Logarithmic. ▼: 0, or below 10⁻¹⁰⁰.",
            has_line=False,
        ),
    ),
    reference=Reference(
        key="sigma_min",
        summary="median",
        meaning="smallest singular value of J",
        symbol=Markup("σ<sub>min</sub>"),
        log=True,
    ),
)

SIGMA_MAX = Measure(
    key="sigma_max",
    symbol=Markup("σ<sub>max</sub>"),
    words="largest singular value of J",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    products="sigma_max",
    shown=Shown.CSV | Shown.FIGURE,
    log=True,
    line=1.0,
    criterion=_SINGULAR_VALUES,
    method=_METHOD,
    limits=(
        Limit("max_sigma_max", "sigma_max", "largest", None, "no default: any stretch may be a bijection's"),
    ),
)

CONDITION = Measure(
    key="condition",
    symbol=Markup("cond <i>J</i>"),
    words="condition number of J",
    of=Of.NOTHING,
    criterion=_SINGULAR_VALUES,
)

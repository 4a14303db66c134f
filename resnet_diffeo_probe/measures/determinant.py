"""Sign and log|det J|, and how certain they are."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import UNLIMITED, Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Measure, Of, Shown
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = [
    "DENSITY",
    "LOCAL_VOLUME",
    "LOGABSDET",
    "LOGABSDET_PER_DIMENSION",
    "ORIENTATION",
    "SIGN",
    "SIGN_MARGIN",
]

#: log|det| divided by the dimension: the one quantity that the report derives from a stored one.
DENSITY = "logabsdet_per_dimension"

_FUNCTION = "resnet_diffeo_probe.jacobian.measures.determinant_measures:determinant_measures"

ORIENTATION = Criterion(
    key="sign",
    quantities=("sign", "sign_margin", "real_eigenvalues_below_minus_one"),
    title="Sign of the Jacobian determinant",
    definition=Markup(
        "The sign of det <i>J</i> at an input, where <i>J</i> = <i>I</i> + <i>J<sub>F</sub></i> is "
        "the Jacobian of the sum map x + F(x). It is +1 where the map keeps orientation, −1 where "
        "it reverses it, 0 where it is proven to be singular. It comes from the factorisation itself, never "
        "from log|det|, and nothing is clipped before counting."
    ),
    threshold="Both signs at two inputs prove a fold. One sign at all inputs, of either kind, proves "
    "nothing.",
    origin="Invariance of domain (Brouwer): a continuous injective map of a connected open set of Rⁿ "
    "keeps one orientation. A sign is called certain when the margin, a bound on ‖I − J⁻¹·J‖ for the "
    "inverse that the factorisation gives, is below 1; otherwise it is undetermined.",
    normal="A sign that is −1 at every input is no sign of folding: a reflection is a bijection.",
    causes="Large residual branches: an odd number of real eigenvalues of J_F has passed −1.",
    advice="Look at the unit's critical step and residual ratio. Undetermined signs: run those inputs "
    "in float64.",
)

#: log|det| speaks for its comparison by the power series too.
LOCAL_VOLUME = Criterion(
    key="logabsdet",
    quantities=("logabsdet", "logabsdet_power_series"),
    title="Local change of volume, log|det J|/n",
    definition=Markup(
        "log|det <i>J</i>| divided by the dimension <i>n</i>: the mean, over directions, of the "
        "logarithm of the stretch. 0 keeps volume, negative contracts, positive expands. A "
        "singular <i>J</i> is −∞ and is counted apart. ± is how far rounding may have moved an exact value, except "
        "with a probability below 10⁻⁸. Where no exact method fits, ≈ marks an estimate by "
        "Lanczos quadrature with a 95 % interval for chance and truncation together; it has no sign. "
        "The power series of residual flows stands beside the exact value for comparison: it converges "
        "only where every eigenvalue of <i>J<sub>F</sub></i> is below 1 in modulus."
    ),
    threshold="None. The line at 0 marks a map that keeps volume.",
    origin="Definition; dividing by n makes units of different width comparable.",
    normal="Any moderate value. Contraction is not folding: only the sign tells.",
    causes="Strongly negative: a unit that discards detail. Strongly positive: it amplifies.",
    advice="Read it together with σ_min: little volume and a tiny σ_min means nearly lost directions.",
)

SIGN = Measure(
    key="sign",
    symbol=Markup("sign det <i>J</i>"),
    words="sign of the determinant",
    unit="sign",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    cost=Cost.ELIMINATION,
    budget=Budget.QUICK,
    # signs that differ are counted input by input
    compared=False,
    criterion=ORIENTATION,
    limits=(
        Limit(
            "max_negative_share",
            "sign",
            "negative_share",
            None,
            "no default: a map that reverses orientation everywhere may be a bijection; both signs in one unit are "
            "a proven violation already",
            high=1.0,
        ),
        Limit(
            "max_undetermined_share",
            "sign",
            "undetermined_share",
            None,
            "no default: how many undecided signs are too many depends on what the analysis is for",
            high=1.0,
        ),
    ),
    charts=(
        DepthChart(
            key="negative_share",
            title=Markup("Share of negative signs"),
            criterion="sign",
            caption="Of the inputs that were run. Strictly between 0 and 100\u00a0%: the unit has both signs.",
            limits=(0.0, 1.0),
            percent=True,
            bars=True,
            after=DENSITY,
        ),
    ),
    reference=Reference(
        key="negative_share",
        summary="mean",
        meaning="share of inputs with det J < 0",
        symbol=Markup("share det <i>J</i> &lt; 0"),
        of_value=lambda value, _: float(value < 0),
    ),
)

LOGABSDET = Measure(
    key="logabsdet",
    symbol=Markup("log|det <i>J</i>|"),
    words="log of the absolute determinant",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    cost=Cost.ELIMINATION,
    budget=Budget.QUICK,
    products="half_logdet",
    criterion=LOCAL_VOLUME,
    limits=tuple(
        Limit(
            f"{side}_logabsdet_per_dimension",
            "logabsdet",
            f"{statistic}_per_dimension",
            None,
            "no default: contraction and expansion of volume are not folding",
            low=UNLIMITED,
            after=after,
        )
        for side, statistic, after in (
            ("min", "smallest", "max_clipped_depth"),
            ("max", "largest", "min_logabsdet_per_dimension"),
        )
    ),
)

LOGABSDET_PER_DIMENSION = Measure(
    key=DENSITY,
    symbol=Markup("log|det <i>J</i>|/<i>n</i>"),
    words="log of the absolute determinant, per dimension",
    of=Of.NOTHING,
    per_dimension_of="logabsdet",
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    line=0.0,
    explanation=(
        (
            "is",
            "log|det J| divided by the dimension: the mean over directions of the logarithm of the stretch.",
        ),
        (
            "why",
            "Dividing makes units of different width comparable. Negative is contraction, which is not folding.",
        ),
        ("do", "See logabsdet."),
    ),
    charts=(
        DepthChart(
            key=DENSITY,
            title=Markup("log|det <i>J</i>|/<i>n</i> with the sign above"),
            criterion="logabsdet",
            caption="Line: 0, volume kept. Row above: + all positive, − all negative, ± both, 0 singular, ? unsure.",
            signed=True,
        ),
    ),
    reference=Reference(
        key=DENSITY,
        summary="median",
        meaning="log|det J| / n",
        symbol=Markup("log|det <i>J</i>|/<i>n</i>"),
        of_value=lambda value, dimension: value / dimension,
    ),
)

SIGN_MARGIN = Measure(
    key="sign_margin",
    symbol=Markup("margin"),
    words="bound on ‖I − J⁻¹·J‖; the sign is certain below 1",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    cost=Cost.ELIMINATION,
    budget=Budget.QUICK,
    after="clipped_depth",
    # a bound on the rounding error, no property of the map
    compared=False,
    criterion=ORIENTATION,
    limits=(
        Limit(
            "max_sign_margin",
            "sign_margin",
            "largest",
            1.0,
            "rounding: a bound below 1 on ‖I − J·J⁻¹‖ makes the computed sign certain",
        ),
    ),
)

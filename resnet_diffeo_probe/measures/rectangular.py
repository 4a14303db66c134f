"""Rank, volume and extreme singular values of the Jacobian of a unit that changes the dimension."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.measure import Measure, Of
from resnet_diffeo_probe.measures.record.method import MethodSentence

__all__ = [
    "RECTANGULAR_HALF_LOGDET",
    "RECTANGULAR_RANK",
    "RECTANGULAR_SIGMA_MAX",
    "RECTANGULAR_SIGMA_MIN",
]

_FUNCTION = "resnet_diffeo_probe.jacobian.measures.rectangular:rectangular_measures"

_RECTANGULAR = Criterion(
    key="rectangular",
    quantities=(
        "rectangular_rank",
        "rectangular_half_logdet",
        "rectangular_sigma_min",
        "rectangular_sigma_max",
    ),
    title="Rectangular Jacobians",
    definition=Markup(
        "A unit that changes the dimension has a Jacobian of <i>m</i> rows and <i>n</i> columns, and no "
        "determinant. Its rank, half the log-determinant of the smaller one of <i>JJ</i>ᵀ and "
        "<i>J</i>ᵀ<i>J</i>, and the extreme ones of its min(<i>m</i>, <i>n</i>) singular values say what "
        "becomes of volume and of directions instead."
    ),
    threshold="Full rank is min(m, n). A singular value counts as zero below max(m, n) times the rounding error "
    "of the largest one.",
    origin="Definition. Small Jacobians are computed whole; of large ones Lanczos iterations give estimates with "
    "intervals, and the smallest singular value as an upper bound where they do not resolve it.",
    normal="Full rank. Where m is below n, no such unit is injective: it loses n − m dimensions at every input.",
    causes="Less than full rank: outputs that no input moves, such as channels that are dead at this input.",
    advice="These units are no candidates for a diffeomorphism. Read their numbers for how much the change of "
    "stage distorts beyond the dimensions that it drops.",
    after="residual_ratio",
)

_SENTENCE = "Of units that change the dimension, the rectangular Jacobian was measured"
_METHOD = MethodSentence(
    key="rectangular",
    paragraph="estimates",
    direct=_SENTENCE + " whole. ",
    iterated=_SENTENCE + ", large ones by Lanczos iterations with intervals {lanczos}. ",
)

RECTANGULAR_RANK = Measure(
    key="rectangular_rank",
    symbol=Markup("rank <i>J</i>"),
    words="rank of the rectangular Jacobian",
    of=Of.RECTANGULAR,
    function=_FUNCTION,
    products="rank",
    after="real_eigenvalues_below_minus_one",
    criterion=_RECTANGULAR,
)

RECTANGULAR_HALF_LOGDET = Measure(
    key="rectangular_half_logdet",
    symbol=Markup("½ log det <i>JJ</i>ᵀ"),
    words="half the log-determinant of the smaller of JJᵀ and JᵀJ of the rectangular Jacobian",
    of=Of.RECTANGULAR,
    function=_FUNCTION,
    products="half_logdet",
    after="rectangular_rank",
    criterion=_RECTANGULAR,
    method=_METHOD,
)

RECTANGULAR_SIGMA_MIN = Measure(
    key="rectangular_sigma_min",
    symbol=Markup("σ<sub>min</sub>, rect."),
    words="smallest of the min(m, n) singular values of the rectangular Jacobian",
    of=Of.RECTANGULAR,
    function=_FUNCTION,
    products="sigma_min",
    after="rectangular_half_logdet",
    criterion=_RECTANGULAR,
)

RECTANGULAR_SIGMA_MAX = Measure(
    key="rectangular_sigma_max",
    symbol=Markup("σ<sub>max</sub>, rect."),
    words="largest singular value of the rectangular Jacobian",
    of=Of.RECTANGULAR,
    function=_FUNCTION,
    products="sigma_max",
    after="rectangular_sigma_min",
    criterion=_RECTANGULAR,
    method=_METHOD,
)

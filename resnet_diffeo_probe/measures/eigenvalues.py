"""The real eigenvalues of J_F at the left, and the Euler step that they allow."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.determinant import ORIENTATION
from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import UNLIMITED, Limit
from resnet_diffeo_probe.measures.record.measure import Measure, Of, Shown
from resnet_diffeo_probe.measures.record.method import MethodSentence
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = ["CRITICAL_STEP", "LEFTMOST_REAL_EIGENVALUE", "REAL_EIGENVALUES_BELOW_MINUS_ONE"]

_FUNCTION = "resnet_diffeo_probe.jacobian.measures.spectrum:eigenvalue_measures"

_STEP = Criterion(
    key="critical_step",
    quantities=("critical_step", "leftmost_real_eigenvalue"),
    title="Critical step, h*",
    definition=Markup(
        "<i>h</i>* = −1/λ with λ the most negative real eigenvalue of <i>J<sub>F</sub></i>; ∞ when "
        "no real eigenvalue is negative. <i>I</i> + <i>h</i>·<i>J<sub>F</sub></i> is non-singular "
        "for every <i>h</i> in [0, <i>h</i>*)."
    ),
    threshold="1: a unit is an explicit Euler step of size 1 of its own velocity field F.",
    origin="Section 5.2 of the paper on residual networks as flows of diffeomorphisms: a step that is "
    "too long gives a map that is no diffeomorphism.",
    normal="Values above 1. A value at or below 1 with a positive sign means an even number of real "
    "eigenvalues below −1.",
    causes="A shallow network that does in one step what a flow would do in several.",
    advice="A step of size below h* (several steps of x + F(x)/k) stays regular at this input; "
    "whether the network still predicts well with it is another question.",
)

_SENTENCE = (
    "The critical step is {step} with {lambda} the leftmost real eigenvalue of the Jacobian of {branch}, "
)
_METHOD = MethodSentence(
    key="eigenvalues",
    paragraph="spectrum",
    direct=_SENTENCE + "from all eigenvalues {matrix}. ",
    iterated=_SENTENCE + "by implicitly restarted Arnoldi iterations {arpack}. ",
)

LEFTMOST_REAL_EIGENVALUE = Measure(
    key="leftmost_real_eigenvalue",
    symbol=Markup("λ<sub>left</sub>"),
    words="leftmost real eigenvalue of J_F",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    products="leftmost",
    after="critical_step",
    criterion=_STEP,
    method=_METHOD,
    limits=(
        Limit(
            "min_leftmost_real_eigenvalue",
            "leftmost_real_eigenvalue",
            "smallest",
            None,
            "no default: −1/λ is the critical step, which has one",
            low=UNLIMITED,
            after="min_critical_step",
        ),
    ),
)

CRITICAL_STEP = Measure(
    key="critical_step",
    symbol=Markup("<i>h</i>*"),
    words="critical step",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    products="critical_step",
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    log=True,
    line=1.0,
    criterion=_STEP,
    method=_METHOD,
    limits=(
        Limit(
            "min_critical_step",
            "critical_step",
            "smallest",
            1.0,
            "paper, section 5.2: a unit is an explicit Euler step of size 1 of its own velocity field",
        ),
    ),
    charts=(
        DepthChart(
            key="critical_step",
            title=Markup("Critical step <i>h</i>*"),
            criterion="critical_step",
            caption="Logarithmic. Line: 1, the step of the unit. ▲: infinite, no negative real eigenvalue.",
        ),
    ),
    # the inverse, so that "no real eigenvalue stops it" is the number 0 and not infinity
    reference=Reference(
        key="inverse_critical_step",
        summary="median",
        meaning="1 / h*; above 1 the step is too long",
        symbol=Markup("1/<i>h</i>*"),
        least_spread=0.1,
        inverted=True,
    ),
)

REAL_EIGENVALUES_BELOW_MINUS_ONE = Measure(
    key="real_eigenvalues_below_minus_one",
    symbol=Markup("#λ &lt; −1"),
    words="real eigenvalues of J_F below −1",
    of=Of.JACOBIAN,
    function=_FUNCTION,
    products="below_minus_one",
    criterion=ORIENTATION,
    limits=(
        Limit(
            "max_real_eigenvalues_below_minus_one",
            "real_eigenvalues_below_minus_one",
            "largest",
            None,
            "no default: an even number of them leaves the sign positive",
        ),
    ),
)

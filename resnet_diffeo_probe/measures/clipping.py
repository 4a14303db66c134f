"""What the activation after the addition sets to a constant."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Measure, Of, Shown

__all__ = ["CLIPPED_DEPTH", "CLIPPED_FRACTION"]

_FUNCTION = "resnet_diffeo_probe.jacobian.measures.measure:activation_measures"

_CLIPPED = Criterion(
    key="clipped_fraction",
    quantities=("clipped_fraction", "clipped_depth"),
    title="Clipped share",
    definition=Markup(
        "The share of coordinates of x + F(x) that are not positive, which a ReLU after the "
        "addition sets to zero. The rank of the whole unit's Jacobian is then <i>n</i> minus the "
        "clipped coordinates (where <i>J</i> is regular)."
    ),
    threshold="0: where J is regular, one coordinate below 0 makes the whole unit not injective near "
    "that input.",
    origin="Section 3.3 of the paper: a ReLU after the addition is not invertible.",
    normal="10–60 % in networks with a ReLU after the addition. Always 0 in pre-activation networks.",
    causes="The architecture, not the training.",
    advice="Judge the sum map and the whole unit apart: the first may be a bijection where the second "
    "is not.",
)

CLIPPED_FRACTION = Measure(
    key="clipped_fraction",
    symbol=Markup("clipped"),
    words="share of coordinates clipped to zero",
    unit="share",
    of=Of.PASS,
    function=_FUNCTION,
    cost=Cost.PASSES,
    budget=Budget.QUICK,
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    criterion=_CLIPPED,
    limits=(
        Limit(
            "max_clipped_fraction",
            "clipped_fraction",
            "largest",
            0.0,
            "paper, section 3.3: a ReLU after the addition is not invertible where one coordinate is clipped",
            high=1.0,
        ),
    ),
    charts=(
        DepthChart(
            key="clipped_fraction",
            title=Markup("Clipped share"),
            criterion="clipped_fraction",
            caption="Coordinates of x + F(x) that the activation after the addition sets to 0.",
            limits=(0.0, 1.0),
            percent=True,
        ),
    ),
)

CLIPPED_DEPTH = Measure(
    key="clipped_depth",
    symbol=Markup("clip depth"),
    words="depth of the most clipped coordinate, relative to max |g|",
    of=Of.PASS,
    function=_FUNCTION,
    cost=Cost.PASSES,
    budget=Budget.QUICK,
    criterion=_CLIPPED,
    limits=(
        Limit(
            "max_clipped_depth",
            "clipped_depth",
            "largest",
            None,
            "no default: how deep a coordinate is clipped changes nothing about invertibility",
        ),
    ),
)

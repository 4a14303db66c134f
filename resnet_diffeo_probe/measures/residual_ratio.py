"""How large the residual branch is beside what it is added to."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Measure, Of, Shown
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = ["RESIDUAL_RATIO"]

RESIDUAL_RATIO = Measure(
    key="residual_ratio",
    symbol=Markup("‖<i>F</i>‖/‖<i>x</i>‖"),
    words="residual ratio",
    of=Of.PASS,
    function="resnet_diffeo_probe.jacobian.measures.measure:activation_measures",
    cost=Cost.PASSES,
    budget=Budget.QUICK,
    shown=Shown.TABLE | Shown.CSV | Shown.FIGURE,
    line=1.0,
    criterion=Criterion(
        key="residual_ratio",
        quantities=("residual_ratio",),
        title="Residual ratio, ‖F(x)‖/‖x‖",
        definition=Markup("The norm of the residual branch relative to the norm of its input."),
        threshold="1: beyond it the residual is larger than what it is added to.",
        origin="The paper's reading as a flow assumes that the ratio is far below 1; 1 is where the "
        "assumption has certainly failed, not where it begins to.",
        normal="Above 1 in the last units of each stage of many trained networks.",
        causes="Few units per stage; no weight decay on the branch; a last unit that acts as a classifier.",
        advice="Take statements about flows with care for such a unit. Its sign is unaffected: it is exact.",
    ),
    limits=(
        Limit(
            "max_residual_ratio",
            "residual_ratio",
            "largest",
            1.0,
            "paper: the reading as a flow assumes a ratio far below 1; at 1 the assumption has certainly failed",
        ),
    ),
    charts=(
        DepthChart(
            key="residual_ratio",
            title=Markup("Residual ratio ‖<i>F</i>‖/‖<i>x</i>‖"),
            criterion="residual_ratio",
            caption="Line: 1, the residual as large as what it is added to.",
            floor=0.0,
        ),
    ),
    reference=Reference(
        key="residual_ratio",
        summary="median",
        meaning="||F(x)|| / ||x||",
        symbol=Markup("‖<i>F</i>‖/‖<i>x</i>‖"),
        log=True,
    ),
)

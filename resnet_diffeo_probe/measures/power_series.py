"""log|det J| by the power series of residual flows: there to be compared with other tools."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.determinant import DENSITY, LOCAL_VOLUME
from resnet_diffeo_probe.measures.record.measure import Budget, Measure, Of
from resnet_diffeo_probe.measures.record.method import MethodSentence

__all__ = ["LOGABSDET_POWER_SERIES"]

LOGABSDET_POWER_SERIES = Measure(
    key="logabsdet_power_series",
    symbol=Markup("log|det <i>J</i>|, series"),
    words="log of the absolute determinant by the power series of residual flows, for comparison",
    of=Of.JACOBIAN,
    function="resnet_diffeo_probe.jacobian.measures.estimated:power_series_measure",
    # it says nothing that an exact measure does not say
    budget=Budget.FULL,
    after=DENSITY,
    criterion=LOCAL_VOLUME,
    method=MethodSentence(
        key="power_series",
        paragraph="estimates",
        direct="The power series of {iresnet} was evaluated for comparison where it converges. ",
        after="rectangular",
    ),
)

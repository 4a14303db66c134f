"""The largest ball around an input on which x + F(x) is proven to be injective."""

from __future__ import annotations

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Cost, Measure, Of

__all__ = ["CERTIFIED_RADIUS_L2", "CERTIFIED_RADIUS_LINF"]

_FUNCTION = "resnet_diffeo_probe.bijectivity.certificates.certificate_local:local_certificate"
_ANY = "no default: any radius above 0 is a proof for the ball it belongs to"

_RADIUS = Criterion(
    key="certified_radius",
    quantities=("certified_radius_l2", "certified_radius_linf"),
    title="Certified radius",
    definition=Markup(
        "The largest radius of a ball around the input for which it was proven that x + F(x) is injective "
        "on the ball; <i>L</i><sub>2</sub> measures it by Euclidean distance, <i>L</i><sub>∞</sub> by the "
        "largest coordinate."
    ),
    threshold="0: nothing is proven around that input. ∞: the unit is injective on all of Rⁿ.",
    origin="Every Jacobian that occurs in the ball, with whatever slopes its activations can have there, is "
    "kept regular by a norm bound of the hidden units that may change.",
    normal="Small against ‖x‖: a proof for a whole ball is much stronger than a sign at a point.",
    causes="Small radii: a tiny σ_min, or many hidden units close to their kink.",
    advice="Compare it with the distance of the nearest proven fold, where there is one.",
)

CERTIFIED_RADIUS_L2 = Measure(
    key="certified_radius_l2",
    symbol=Markup("radius <i>L</i><sub>2</sub>"),
    words="certified radius of injectivity, Euclidean",
    of=Of.PROOF,
    function=_FUNCTION,
    cost=Cost.ELIMINATIONS,
    budget=Budget.FULL,
    criterion=_RADIUS,
    limits=(Limit("min_certified_radius_l2", "certified_radius_l2", "smallest", None, _ANY),),
)

CERTIFIED_RADIUS_LINF = Measure(
    key="certified_radius_linf",
    symbol=Markup("radius <i>L</i><sub>∞</sub>"),
    words="certified radius of injectivity, largest coordinate",
    of=Of.PROOF,
    function=_FUNCTION,
    cost=Cost.ELIMINATIONS,
    budget=Budget.FULL,
    criterion=_RADIUS,
    limits=(Limit("min_certified_radius_linf", "certified_radius_linf", "smallest", None, _ANY),),
)

"""What each criterion means: definition, threshold and its origin, when it is normal, causes, what to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from markupsafe import Markup

from resnet_diffeo_probe.report.text.quantities import INVERSE

__all__ = ["Criterion", "criteria_for"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion, explained.

    Attributes:
        key: anchor in the page (`criterion-<key>`).
        quantities: the measured quantities that it speaks of.
        title: its name.
        definition: what is measured (HTML).
        threshold: the number that separates, as it was used.
        origin: where that number comes from.
        normal: when a value beyond it is nothing to worry about.
        causes: the common causes.
        advice: what to do.
    """

    key: str
    quantities: tuple[str, ...]
    title: str
    definition: Markup
    threshold: str
    origin: str
    normal: str
    causes: str
    advice: str


_ALL = (
    Criterion(
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
    ),
    Criterion(
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
    ),
    Criterion(
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
    ),
    Criterion(
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
    ),
    Criterion(
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
    Criterion(
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
    ),
    Criterion(
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
    ),
    Criterion(
        key="inverse_error",
        quantities=INVERSE,
        title="Inverse error",
        definition=Markup(
            "‖φ⁻¹(φ(x)) − x‖ / ‖x‖: how far the inverse returns from where it started. Of y = x + F(x) there "
            "are three inverses: <i>Euler</i>, one backward step y − F(y), the paper's; <i>fixed point</i>, "
            "x ← y − F(x) until it stands still; <i>exact</i>, Newton's method with the exact Jacobian."
        ),
        threshold="For the exact inverse and the fixed point: the rounding error of the arithmetic times the "
        "condition number of J. For the Euler step there is none: its error is of the size of ‖J_F·F‖/‖x‖, and "
        "tells how far the unit is from a step of a flow, not whether it has an inverse.",
        origin="Equations 9–10 of the paper; a fixed point that returns elsewhere is itself a second "
        "preimage.",
        normal="Exact and fixed point: 10⁻¹⁴ to 10⁻⁸ in float64. Euler: 10⁻⁴ to 10⁻¹ in the spiral networks.",
        causes="Not converged: F does not contract there. A large error: a fold, or a tiny σ_min.",
        advice="A run that did not converge is marked, not dropped; it does not prove that there is no "
        "inverse.",
    ),
    Criterion(
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
    ),
)


def criteria_for(quantities: Collection[str]) -> list[Criterion]:
    """Return the criteria that speak of at least one of these quantities; the sign is always explained."""
    return [c for c in _ALL if c.key == "sign" or any(key in quantities for key in c.quantities)]

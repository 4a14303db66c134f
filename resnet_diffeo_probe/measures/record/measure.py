"""The record of a measure: its words, its place in tables and charts, its limits, and where it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, StrEnum, auto

from markupsafe import Markup

from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.depth_chart import DepthChart
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.method import MethodSentence
from resnet_diffeo_probe.measures.record.reference import Reference

__all__ = ["Budget", "Cost", "Measure", "Of", "Shown"]


class Budget(StrEnum):
    """How much is measured where no list of measures is given."""

    QUICK = "quick"  # the determinant and what one forward pass tells
    STANDARD = (
        "standard"  # also singular values, eigenvalues, the paper's inverse; proofs, references, refinement
    )
    # also the exact inverse at every input and a certified radius around each, all eigenvalues below −1 counted,
    # whole rectangular Jacobians, the power series for comparison, the metric pulled back to the pixels
    FULL = "full"


class Of(Enum):
    """What a measure is of, which is what its function is given (`Measure.function`)."""

    PASS = auto()  # one forward pass of the network
    JACOBIAN = auto()  # the Jacobian of the sum map of a unit that keeps the dimension
    RECTANGULAR = auto()  # the Jacobian of one that changes it
    PROOF = auto()  # the sum map around an input: proofs, and the inverses that belong to them
    NOTHING = auto()  # not measured: the report derives it, or a result of another program holds it


class Cost(Enum):
    """What a measure takes at one input; the memory that a unit asks for follows from it."""

    PASSES = auto()  # some evaluations of the branch
    PRODUCTS = auto()  # an iteration with products of the Jacobian and vectors
    ELIMINATION = auto()  # one elimination, whose factors need not be kept
    KEPT_FACTORS = auto()  # solves with its factors
    ELIMINATIONS = auto()  # a dozen eliminations: the standard budget affords them at one input of each unit


class Shown(Flag):
    """Where a measure has a place of its own; in the table of each unit and in data frames all have one."""

    NOWHERE = 0
    TABLE = auto()  # a column of the report's table of units; measures of one criterion share one
    CSV = auto()  # a column of `units.csv`
    FIGURE = auto()  # a panel of the notebook's figure over the depth


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One measured quantity.

    Attributes:
        key: its name in `result.json`.
        symbol: HTML for the head of a column.
        words: its name in words.
        unit: how its numbers are written: `"number"`, `"share"` (of one, as a percentage) or `"sign"`.
        of: what it is of.
        function: where it is computed, as `module:name`; measures with the same one are found together. One of
            `Of.JACOBIAN` takes a `jacobian.measures.site.Site` and returns findings by key, one of `Of.PASS` takes and
            returns what `jacobian.measures.measure.activation_measures` does; what was not asked for is left out.
            The others are called for all of their kind at once. Empty where nothing is measured.
        cost: of measuring it at one input.
        budget: the smallest budget that measures it at every input.
        products: its name among what products with vectors tell, where nothing is eliminated; None: they tell nothing.
        per_dimension_of: the measure of which it is the value divided by the dimension; None for a measure of its own.
        after: key of the measure behind which tables show it; None: where it stands in the registry.
        shown: the places that it has.
        log: whether axes are logarithmic.
        line: where its meaning changes, for a line in a figure: volume kept, the unit's own step.
        compared: whether two analyses are compared by it.
        criterion: what explains it in the report; None where `explanation` says all.
        explanation: what `explain` says of it, as label and text, where no criterion speaks of it.
        method: what the methods text says of it where it was run.
        limits: what can be limited of it.
        charts: panels over the depth of the network.
        reference: how it is compared with the spiral networks; None where it is not.
    """

    key: str
    symbol: Markup
    words: str
    of: Of
    function: str = ""
    unit: str = "number"
    cost: Cost = Cost.PRODUCTS
    budget: Budget = Budget.STANDARD
    products: str | None = None
    per_dimension_of: str | None = None
    after: str | None = None
    shown: Shown = Shown.NOWHERE
    log: bool = False
    line: float | None = None
    compared: bool = True
    criterion: Criterion | None = None
    explanation: tuple[tuple[str, str], ...] = ()
    method: MethodSentence | None = None
    limits: tuple[Limit, ...] = ()
    charts: tuple[DepthChart, ...] = ()
    reference: Reference | None = None

    def __post_init__(self) -> None:
        if bool(self.function) is (self.of is Of.NOTHING):
            raise ValueError(f"{self.key} is measured exactly where a function finds it")
        if self.criterion is not None and self.key not in self.criterion.quantities:
            raise ValueError(f"the criterion {self.criterion.key} does not name {self.key}")
        if any(limit.quantity != self.key for limit in self.limits):
            raise ValueError(f"{self.key} has limits of its own only")

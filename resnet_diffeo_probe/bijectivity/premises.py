"""What a proof about a unit takes for granted, established before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resnet_diffeo_probe.bijectivity.continuity import Continuity

__all__ = ["CONTINUOUS", "Premises"]

#: The premise of invariance of domain, as proofs name it.
CONTINUOUS = "the sum map is continuous: every operation of the branch is on the list of continuous ones"


@dataclass(frozen=True)
class Premises:
    """Whether what was measured is one continuous map of the user's, and at how many inputs.

    Attributes:
        continuity: of the sum map. Invariance of domain is about continuous maps: without it signs and clipped
            coordinates prove nothing, pairs of points still do.
        unproven: why what was measured is not one map of the user's, so that nothing proves anything of it; else None.
        digests: input name -> fingerprint, equal for equal inputs: copies of one are one draw. Empty: all differ.
        affine: whether the branch is linear but for a constant, so that J is the same everywhere.
    """

    continuity: Continuity
    unproven: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    affine: bool = False

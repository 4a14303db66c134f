"""What may be wrong with a stored analysis, as an error that a user can act on."""

from __future__ import annotations

from resnet_diffeo_probe.errors import DiffeoProbeError

__all__ = ["ResultError"]


class ResultError(DiffeoProbeError):
    """A stored analysis that cannot be used: missing, truncated, of another version, or nonsense."""

    code = "result"

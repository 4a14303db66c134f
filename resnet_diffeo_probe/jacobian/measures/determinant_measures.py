"""The measures that a determinant gives, or what takes its place where nothing was eliminated."""

from __future__ import annotations

from resnet_diffeo_probe.finding import Finding, Status
from resnet_diffeo_probe.jacobian.measures.estimated import NO_SIGN, estimated_logabsdet
from resnet_diffeo_probe.jacobian.measures.site import Site

__all__ = ["determinant_measures"]


def determinant_measures(site: Site) -> dict[str, Finding]:
    """Return `sign`, `logabsdet` and `sign_margin`; without an elimination an estimate of log|det|, and no sign.

    Args:
        site: the unit at an input.
    """
    det = site.determinant
    if det is not None:
        return {"sign": det.sign, "logabsdet": det.logabsdet, "sign_margin": det.margin}
    reason = site.too_large or "nothing was eliminated"
    found = {
        "sign": Finding.missing(Status.NOT_RUN, f"{reason}; {NO_SIGN}"),
        "sign_margin": Finding.missing(Status.NOT_RUN, reason),
    }
    if "logabsdet" in site.wanted:
        found["logabsdet"] = estimated_logabsdet(site.lin, reason, max_bytes=site.max_bytes, seed=site.seed)
    return found

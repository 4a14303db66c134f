"""How far the determinant that elimination found can be from that of J: a margin for its sign, bounds for its log.

What elimination computed are exact factors of a matrix M̃ near the reduced matrix M (with the rows and columns of
the terms of low rank, where there are any). Three steps lead from det M̃ to det J:

* det M = det M̃ · det(I − R), R = I − M̃⁻¹ M. The products with M are those of the branch's linear parts one after
  another: none of the tiles, fronts and updates that elimination works with.
* det J_c = det M, exactly (Sylvester's identity), for the Jacobian J_c of these linear parts.
* det J = det J_c · det(J_c⁻¹ J), J by automatic differentiation of the unit's own branch, which shares no code with
  any of this. With X the inverse that M̃ gives: J_c⁻¹ J = I + (I − R_c)⁻¹ S for R_c = I − X J_c and S = X (J − J_c).

The norms of R, S and I − X J, and the traces of R and S, are bounded from products with Gaussian vectors; no matrix
is formed, and the vectors are solved for along with the elimination.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.block_factorization import BlockFactorization
from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization
from resnet_diffeo_probe.jacobian.measures.gaussian_bounds import (
    frobenius_bound,
    logdet_remainder,
    probe_count,
    trace_interval,
)

__all__ = ["Check", "Probes", "checked", "probes_of", "right_hand_sides"]

# A residual is a difference of three vectors, and is allowed the error of two roundings of each, one eps. Errors of its
# own seldom make it smaller; but in a few dimensions it may happen to come out as exactly zero.
_ROUNDING = 1.0


@dataclass(frozen=True)
class Probes:
    """The random vectors of a check.

    Attributes:
        outer: (k, *shape), in the space of the unit's input.
        inner: (k, order + K), in the space of the reduced matrix, terms of low rank behind.
    """

    outer: Tensor
    inner: Tensor


@dataclass(frozen=True)
class Check:
    """What is known of the error; each statement fails with a probability below 1e-8.

    Attributes:
        margin: below one, the sign of det M̃ is that of det J. Infinite where J is singular or a solve overflowed.
        low: log|det J| − log|det M̃| is at least this; minus infinity where the margin is not below one.
        high: it is at most this.
    """

    margin: float
    low: float
    high: float


_NOTHING = Check(math.inf, -math.inf, math.inf)


def probes_of(lin: Linearization, seed: int) -> Probes:
    """Return Gaussian vectors for the check of a Jacobian, drawn on the CPU in float64: the same everywhere."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").to(lin.x)

    count = probe_count(lin.x.dtype)
    return Probes(draw(count, *lin.x.shape[1:]), draw(count, lin.reduced.order + lin.rank))


def right_hand_sides(lin: Linearization, probes: Probes) -> Tensor:
    """Return everything that is to be solved for with Mᵀ, (order, 2 k + K)."""
    outer = lin.reduced_left_transpose(lin.with_rows(probes.outer))
    return torch.cat([outer, probes.inner[:, : lin.reduced.order]]).mT.contiguous()


def checked(
    lin: Linearization, probes: Probes, blocks: BlockFactorization, solved: Tensor | None
) -> tuple[JacobianFactorization, Check]:
    """Return the factorised Jacobian and how far its determinant is from the true one.

    Args:
        lin: the unit at the input.
        probes: of this unit at this input.
        blocks: the factorised reduced matrix.
        solved: (order, 2 k + K), M̃⁻ᵀ times `right_hand_sides`; None where M̃ is singular.
    """
    if solved is None:
        return JacobianFactorization.from_solved(lin, blocks, lin.with_rows(probes.outer), None)[0], _NOTHING
    count = probes.outer.shape[0]
    outer = count + lin.rank
    found, w = JacobianFactorization.from_solved(lin, blocks, lin.with_rows(probes.outer), solved[:, :outer])
    if w is None:
        return found, _NOTHING
    y = found.extended_after_local(solved[:, outer:].mT, solved[:, count:outer].mT, probes.inner)
    return found, _bounds(lin, probes, w, y)


def _bounds(lin: Linearization, probes: Probes, w: Tensor, y: Tensor) -> Check:
    """Bound the error from w = Xᵀ u and y = M̃⁻ᵀ g, u and g the outer and the inner probes."""
    image = _reduced_transpose(lin, y)
    R_t = probes.inner - image
    R = frobenius_bound(R_t, _rounding(probes.inner, y, image))
    u, by_parts = probes.outer.flatten(1), lin.apply_transpose(w).flatten(1)
    by_autograd = lin.apply_transpose_by_autograd(w).flatten(1)
    rounding = _rounding(u, w.flatten(1), by_parts)
    whole = frobenius_bound(u - by_autograd, rounding)
    S_t = by_autograd - by_parts
    S = frobenius_bound(S_t, rounding)
    R_c = whole + S
    margin = max(R, R_c)
    if not margin < 1:
        return Check(margin, -math.inf, math.inf)
    trace_low, trace_high = trace_interval(probes.inner, R_t, R)
    link_low, link_high = trace_interval(u, S_t, S)
    # log|det(J_c⁻¹ J)| − tr S: (I − R_c)⁻¹ S is S + R_c (I − R_c)⁻¹ S; and I − X J is I − R_c + S
    direct = R_c * S / (1 - R_c) + logdet_remainder(S / (1 - R_c))
    slack = logdet_remainder(R) + min(direct, logdet_remainder(whole) + logdet_remainder(R_c))
    return Check(margin, link_low - trace_high - slack, link_high - trace_low + slack)


def _reduced_transpose(lin: Linearization, y: Tensor) -> Tensor:
    """Return Mᵀ y, (k, order + K) -> (k, order + K), by the branch's linear parts."""
    order = lin.reduced.order
    nothing = lin.x.new_zeros(y.shape[0], *lin.x.shape[1:])
    # J_F = [L, U] [D R; Vᵀ] and M = I + [D R; Vᵀ] [L, U]
    t = -lin.local_after_transpose(nothing, y[:, :order])
    if not lin.rank:
        return y + lin.reduced_left_transpose(t)
    t = t + (y[:, order:] @ lin.rows.flatten(1)).reshape(t.shape)
    return y + torch.cat([lin.reduced_left_transpose(t), t.flatten(1) @ lin.columns.flatten(1).mT], dim=1)


def _rounding(probes: Tensor, solved: Tensor, image: Tensor) -> Tensor:
    """Return (k,) float64, what is allowed for the error of a residual, in norm."""
    sizes = sum(torch.linalg.vector_norm(v, dim=1, dtype=torch.float64) for v in (probes, solved, image))
    return _ROUNDING * torch.finfo(probes.dtype).eps * sizes

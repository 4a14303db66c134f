"""When is J + Σ L_k δ_k R_k regular for all slopes δ in a box? A criterion on a small matrix (MATH.md, section 5).

J(Δ) is singular exactly if I + K Δ is, with K = R J⁻¹ L between the units whose slope may change. With Δ = C + H E, C
the middle of the box, H its half-widths and |E| ≤ 1, that is I + K_c E for K_c = (I + K C)⁻¹ K H, which is regular
for all such E if ‖D K_c D⁻¹‖₂ < 1 for one positive diagonal D, or if the spectral radius of |K_c| is below one: the
structured singular value's upper bound (Doyle, IEE Proceedings D 129, 1982; for intervals, Rohn, Linear Algebra Appl.
126, 1989). With several hidden layers the feedback from earlier to later units enters K.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resnet_diffeo_probe.bijectivity.certificates.operator_norm import gram_bound
from resnet_diffeo_probe.jacobian import JacobianFactorization

__all__ = ["Uncertain", "feedback", "robustness"]

_BATCH = 64
_PERRON_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class Uncertain:
    """Hidden units whose slope may change.

    Attributes:
        cuts: (m,) the activation of each, 1-based.
        indices: (m,) its position in the flattened (C, *spatial).
        low: (m,) slope change at least.
        high: (m,) slope change at most.
    """

    cuts: Tensor
    indices: Tensor
    low: Tensor
    high: Tensor

    def at(self, order: Tensor) -> Uncertain:
        """Return those at these positions, in this order."""
        return Uncertain(self.cuts[order], self.indices[order], self.low[order], self.high[order])

    def first(self, m: int) -> Uncertain:
        """Return the first m of them."""
        return Uncertain(self.cuts[:m], self.indices[:m], self.low[:m], self.high[:m])


def feedback(factorization: JacobianFactorization, units: Uncertain) -> tuple[Tensor, Tensor, Tensor]:
    """Return K (m, m), and the Gram matrices LᵀL and R Rᵀ (m, m) of the effects and the gradients.

    Entry (a, b) of K is how much pre-activation a answers to unit b: R_a J⁻¹ L_b, less what reaches a directly from
    an earlier layer.

    Args:
        factorization: of J at the centre.
        units: the hidden units.
    """
    lin = factorization.linearization
    m = units.cuts.numel()
    matrix = lin.x.new_zeros(m, m)
    effects = lin.x.new_zeros(m, lin.dimension)
    gradients = lin.x.new_zeros(m, lin.dimension)
    layers = units.cuts.unique().tolist()
    segments = lin.parent.chain.segments
    for cut in layers:
        members = (units.cuts == cut).nonzero().squeeze(1)
        shape = lin.pre_activations[cut - 1].shape[1:]
        for part in members.split(_BATCH):
            hot = lin.x.new_zeros(part.numel(), shape.numel())
            hot[torch.arange(part.numel()), units.indices[part]] = 1
            hot = hot.reshape(-1, *shape)
            effect = lin.left(hot, cut)
            effects[part] = effect.flatten(1)
            gradients[part] = lin.right_transpose(hot, cut).flatten(1)
            solved = factorization.solve(effect)
            for other in layers:
                rows = (units.cuts == other).nonzero().squeeze(1)
                answer = lin.right(solved, other).flatten(1)[:, units.indices[rows]]
                if other > cut:
                    direct = segments[cut].apply(hot)
                    for j in range(cut + 1, other):
                        direct = segments[j].apply(direct * lin.derivatives[j - 1])
                    answer = answer - direct.flatten(1)[:, units.indices[rows]]
                matrix[rows[:, None], part] = answer.mT
    return matrix, effects @ effects.mT, gradients @ gradients.mT


def robustness(matrix: Tensor, low: Tensor, high: Tensor, error: float = 0.0) -> float:
    """Return a bound below one if I + K Δ is regular for every diagonal Δ with low ≤ Δ ≤ high; else one or more.

    Args:
        matrix: (m, m) K.
        low: (m,), at most zero.
        high: (m,), at least zero.
        error: how far K as it was computed may be from K, in the spectral norm.

    Returns:
        The smallest of ‖K_c‖₂, ‖D K_c D⁻¹‖₂ and a bound of the spectral radius of |K_c|; infinite where I + K C is
        singular.
    """
    m = matrix.shape[0]
    if m == 0:
        return 0.0
    middle, half = (low + high) / 2, (high - low) / 2
    centred, info = torch.linalg.solve_ex(torch.eye(m, dtype=matrix.dtype) + matrix * middle, matrix * half)
    if int(info) or not bool(torch.isfinite(centred).all()):
        return float("inf")
    sizes = centred.abs()
    right, left = _perron(sizes), _perron(sizes.mT)
    # for any positive v, max (|K| v)_i / v_i bounds the spectral radius of |K| (Collatz 1942)
    best = float((sizes @ right / right).max())
    off: float | None = None
    if best < 1:
        off = _centred_error(matrix, middle, half, centred, error)
        # |K| may be larger by a matrix of norm `off`: its rows against v are at most off ‖v‖
        best += off * float(torch.linalg.vector_norm(right) / right.min())
        if best < 1:
            return best
    scale = (left / right).sqrt()
    spread = float(scale.max() / scale.min())
    for candidate, factor in ((centred * scale[:, None] / scale, spread), (centred, 1.0)):
        if _estimated_norm(candidate) < 1:
            bound = float(gram_bound(candidate[None].to(torch.float64))[0])
            if bound < 1 and off is None:
                off = _centred_error(matrix, middle, half, centred, error)
            best = min(best, bound + factor * (off or 0.0))
            if best < 1:
                return best
    return max(best, 1.0)


def _centred_error(matrix: Tensor, middle: Tensor, half: Tensor, centred: Tensor, error: float) -> float:
    """Bound how far `centred` is from (I + K C)⁻¹ K H for the true K, in norm; infinite where I + K C may be singular.

    With S = I + K C of the computed K, whose inverse is at most g in norm, and a K that is off by δ: S + δ C has an
    inverse of at most g / (1 − g ‖δ C‖), which multiplies what `centred` leaves of its equation.
    """
    m = matrix.shape[0]
    eye = torch.eye(m, dtype=matrix.dtype)
    S = eye + matrix * middle
    inverse, info = torch.linalg.inv_ex(S)
    if int(info) or not bool(torch.isfinite(inverse).all()):
        return float("inf")
    rounded = (m + 4) * float(torch.finfo(matrix.dtype).eps)
    size, length = float(torch.linalg.vector_norm(S)), float(torch.linalg.vector_norm(inverse))
    rest = float(torch.linalg.vector_norm(eye - inverse @ S)) + rounded * size * length
    if not rest < 1:
        return float("inf")
    g = float(gram_bound(inverse[None])[0]) / (1 - rest)
    moved = g * error * float(middle.abs().max())
    if not moved < 1:
        return float("inf")
    answer = matrix * half
    norms = [float(torch.linalg.vector_norm(part)) for part in (S @ centred - answer, centred, answer)]
    left = norms[0] + rounded * (size * norms[1] + norms[2])
    changed = error * (float(half.max()) + float(middle.abs().max()) * norms[1])
    return g / (1 - moved) * (left + changed)


def _perron(sizes: Tensor) -> Tensor:
    """Return a positive vector near the Perron vector."""
    v = torch.ones(sizes.shape[0], dtype=sizes.dtype)
    for _ in range(_PERRON_ITERATIONS):
        v = sizes @ v
        v = v / v.max().clamp_min(1e-300) + 1e-9
    return v


def _estimated_norm(matrix: Tensor) -> float:
    """Return a lower bound of the norm, to spare the proof where it must fail."""
    v = torch.ones(matrix.shape[1], dtype=matrix.dtype)
    size = 0.0
    for _ in range(20):
        image = matrix @ (v / torch.linalg.vector_norm(v).clamp_min(1e-300))
        size = float(torch.linalg.vector_norm(image))
        v = matrix.mT @ image
    return size

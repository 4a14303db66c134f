"""The Jacobian at one input, factorised: its determinant, and solves with it and its transpose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination import BlockFactorization

if TYPE_CHECKING:
    from resnet_diffeo_probe.jacobian.linearize import Linearization

__all__ = ["JacobianFactorization"]


@dataclass(frozen=True, eq=False)
class JacobianFactorization:
    """J at one input, factorised: sign, log|det|, and solves where the factors were kept.

    Attributes:
        linearization: the unit at the input.
        blocks: the factorisation of the reduced matrix of the local part B.
        solved_columns: B⁻¹ U, (K, *shape); None without terms of low rank.
        small: I + Vᵀ B⁻¹ U, (K, K).
    """

    linearization: Linearization
    blocks: BlockFactorization
    solved_columns: Tensor | None = None
    small: Tensor | None = None

    @cached_property
    def _small_slogdet(self) -> tuple[int, float]:
        if self.small is None:
            return 1, 0.0
        sign, logabsdet = torch.linalg.slogdet(self.small)
        return int(sign), float(logabsdet)

    @property
    def sign(self) -> int:
        """Sign of det J: −1, 0, +1."""
        return self.blocks.sign * self._small_slogdet[0]

    @property
    def logabsdet(self) -> float:
        """log|det J|."""
        return self.blocks.logabsdet + self._small_slogdet[1]

    @property
    def local_part_is_singular(self) -> bool:
        """Whether B is singular, in which case nothing is known of J where it has terms of low rank."""
        return self.blocks.sign == 0 and self.linearization.rank > 0

    def solve(self, v: Tensor) -> Tensor:
        """Return J⁻¹ v, (B, *shape) -> (B, *shape); Woodbury's formula where there are terms of low rank."""
        solved = self.solve_local(v)
        if self.small is None or self.solved_columns is None:
            return solved
        inner = self.linearization.rows.flatten(1) @ solved.flatten(1).mT
        return solved - (torch.linalg.solve(self.small, inner).mT @ self.solved_columns.flatten(1)).reshape(
            v.shape
        )

    def solve_transpose(self, u: Tensor) -> Tensor:
        """Return J⁻ᵀ u, (B, *shape) -> (B, *shape)."""
        if self.small is None or self.solved_columns is None:
            return self.solve_local_transpose(u)
        inner = self.solved_columns.flatten(1) @ u.flatten(1).mT
        weights = torch.linalg.solve(self.small.mT, inner).mT
        return self.solve_local_transpose(u - (weights @ self.linearization.rows.flatten(1)).reshape(u.shape))

    def solve_local(self, v: Tensor) -> Tensor:
        """Return B⁻¹ v = v − L[:, A] M⁻¹ D_A (R v)[A]."""
        lin, reduced = self.linearization, self.linearization.reduced
        cut, index = reduced.product.cut, reduced.active_index()
        w = v.reshape(v.shape[0], *lin.parent.chain.in_shape)
        inner = _flatten(lin.right(w, cut))[:, index] * reduced.own_derivatives()
        solved = self.blocks.solve(inner.mT.contiguous()).mT
        return v - lin.left(self._scatter(solved, v.shape[0]), cut).reshape(v.shape)

    def solve_local_transpose(self, u: Tensor) -> Tensor:
        """Return B⁻ᵀ u."""
        lin, reduced = self.linearization, self.linearization.reduced
        cut, index = reduced.product.cut, reduced.active_index()
        w = u.reshape(u.shape[0], *lin.parent.chain.in_shape)
        inner = _flatten(lin.left_transpose(w, cut))[:, index]
        solved = self.blocks.solve(inner.mT.contiguous(), transpose=True).mT
        spread = self._scatter(solved * reduced.own_derivatives(), u.shape[0])
        return u - lin.right_transpose(spread, cut).reshape(u.shape)

    def _scatter(self, values: Tensor, batch: int) -> Tensor:
        reduced = self.linearization.reduced
        shape = self.linearization.parent.cut_shape(reduced.product.cut)
        flat = values.new_zeros(batch, reduced.product.pixels * reduced.product.channels)
        flat[:, reduced.active_index()] = values
        return flat.reshape(batch, -1, shape[0]).mT.reshape(batch, *shape)


def _flatten(v: Tensor) -> Tensor:
    """(B, C, *spatial) -> (B, P·C), pixel first."""
    return v.reshape(v.shape[0], v.shape[1], -1).mT.reshape(v.shape[0], -1)

"""The Jacobian at one input, factorised: its determinant, and solves with it and its transpose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.block_factorization import BlockFactorization
from resnet_diffeo_probe.jacobian.elimination.pivots import PivotLogdet, PivotRecord
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization

__all__ = ["JacobianFactorization"]


@dataclass(frozen=True, eq=False)
class JacobianFactorization:
    """J at one input, factorised: sign, log|det|, and solves where the factors were kept.

    J = B + U Vᵀ with B local; det J = det B · det(I + Uᵀ B⁻ᵀ V), the matrix determinant lemma.

    Attributes:
        linearization: the unit at the input.
        blocks: the factorisation of the reduced matrix of the local part B.
        solved_rows: B⁻ᵀ V as rows, (K, *shape); None without terms of low rank, or where B is singular.
    """

    linearization: Linearization
    blocks: BlockFactorization
    solved_rows: Tensor | None = None

    @classmethod
    def from_solved(
        cls, lin: Linearization, blocks: BlockFactorization, right: Tensor, solved: Tensor | None
    ) -> tuple[JacobianFactorization, Tensor | None]:
        """Return what the factorised reduced matrix says of J.

        Args:
            lin: the unit at the input.
            blocks: the factorisation.
            right: `lin.with_rows(u)`, (B + K, *shape).
            solved: (order, B + K), M⁻ᵀ (Lᵀ right)[A]; None where M is singular.

        Returns:
            The factorisation of J, and J⁻ᵀ u, (B, *shape); None where J, or its local part, is singular.
        """
        if solved is None:
            return cls(lin, blocks), None
        local = lin.local_after_transpose(right, solved.mT)
        if not lin.rank:
            return cls(lin, blocks), local
        count = right.shape[0] - lin.rank
        found = cls(lin, blocks, local[count:])
        return found, found.after_local(local[:count]) if found.sign else None

    @cached_property
    def _small(self) -> Tensor:
        """I + Uᵀ B⁻ᵀ V, (K, K)."""
        assert self.solved_rows is not None  # noqa: S101 - asked for only where there are terms of low rank
        columns = self.linearization.columns.flatten(1)
        eye = torch.eye(columns.shape[0], dtype=columns.dtype, device=columns.device)
        return eye + columns @ self.solved_rows.flatten(1).mT

    @cached_property
    def _small_lu(self) -> tuple[Tensor, Tensor]:
        """Its LU: one for the determinant and for solves, whose check then is one of the determinant too."""
        lu, swaps, _ = torch.linalg.lu_factor_ex(self._small)
        return lu, swaps

    @cached_property
    def _small_logdet(self) -> PivotLogdet:
        pivots = PivotRecord()
        if self.solved_rows is not None:
            pivots.add(*self._small_lu)
        return pivots.logdet()

    @property
    def sign(self) -> int:
        """Sign of det J: −1, 0, +1."""
        return self.blocks.sign * self._small_logdet.sign

    @property
    def logabsdet(self) -> float:
        """log|det J|."""
        return self.blocks.logabsdet + self._small_logdet.logabsdet

    @property
    def logabsdet_rounding(self) -> float:
        """Bound of the error of `logabsdet` as a sum of logarithms of these pivots: they are not those of J."""
        return self.blocks.logabsdet_rounding + self._small_logdet.rounding + 2.0**-52 * abs(self.logabsdet)

    @property
    def local_part_is_singular(self) -> bool:
        """Whether B is singular, in which case nothing is known of J where it has terms of low rank."""
        return self.blocks.sign == 0 and self.linearization.rank > 0

    def solve(self, v: Tensor) -> Tensor:
        """Return J⁻¹ v, (B, *shape) -> (B, *shape); Woodbury's formula where there are terms of low rank."""
        if self.solved_rows is not None:
            weights = self._solve_small(self.solved_rows.flatten(1) @ v.flatten(1).mT, transpose=True)
            v = v - (weights.mT @ self.linearization.columns.flatten(1)).reshape(v.shape)
        lin = self.linearization
        # B⁻¹ v = v − L[:, A] M⁻¹ D_A (R v)[A]
        inner = lin.reduced_right(v) * lin.reduced.own_derivatives()
        return v - lin.left_of_reduced(self.blocks.solve(inner.mT.contiguous()).mT)

    def solve_transpose(self, u: Tensor) -> Tensor:
        """Return J⁻ᵀ u, (B, *shape) -> (B, *shape)."""
        inner = self.linearization.reduced_left_transpose(u)
        solved = self.blocks.solve(inner.mT.contiguous(), transpose=True).mT
        return self.after_local(self.linearization.local_after_transpose(u, solved))

    def after_local(self, solved: Tensor) -> Tensor:
        """Return J⁻ᵀ u where `solved` is B⁻ᵀ u, both (B, *shape)."""
        if self.solved_rows is None:
            return solved
        inner = self.linearization.columns.flatten(1) @ solved.flatten(1).mT
        weights = self._solve_small(inner).mT
        return solved - (weights @ self.solved_rows.flatten(1)).reshape(solved.shape)

    def extended_after_local(self, solved: Tensor, reduced_rows: Tensor, right: Tensor) -> Tensor:
        """Return y with M̃ᵀ y = right, for the reduced matrix extended by the terms of low rank.

        Args:
            solved: (B, order), the same for the reduced matrix of the local part alone.
            reduced_rows: (K, order), that of its right-hand sides Lᵀ V.
            right: (B, order + K).
        """
        if self.solved_rows is None:
            return solved
        lin = self.linearization
        passed = -lin.local_after_transpose(lin.x.new_zeros(solved.shape[0], *lin.x.shape[1:]), solved)
        inner = right[:, lin.reduced.order :].mT - lin.columns.flatten(1) @ passed.flatten(1).mT
        weights = self._solve_small(inner).mT
        return torch.cat([solved - weights @ reduced_rows, weights], dim=1)

    def _solve_small(self, right: Tensor, *, transpose: bool = False) -> Tensor:
        return torch.linalg.lu_solve(*self._small_lu, right, adjoint=transpose)

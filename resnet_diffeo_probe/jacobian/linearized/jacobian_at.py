"""J at one input: what a linearisation gives, and its factorisation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from resnet_diffeo_probe.jacobian.elimination.rows import factorize, factorize_and_solve_transpose
from resnet_diffeo_probe.jacobian.linearized.factorization import JacobianFactorization
from resnet_diffeo_probe.jacobian.linearized.linearize import Linearization

__all__ = ["JacobianAt"]


@dataclass(frozen=True, eq=False)
class JacobianAt(Linearization):
    """A linearisation that is factorised on demand; `UnitJacobian.at` makes it."""

    def factorize(self, *, keep: bool = False) -> JacobianFactorization:
        """Eliminate the reduced matrix.

        Args:
            keep: keep the factors, for solves.
        """
        if self.rank == 0:
            return JacobianFactorization(self, factorize(self.reduced.system(), keep=keep))
        if not keep:
            return self.factorize_and_solve_transpose(self.x[:0])[0]
        local = JacobianFactorization(self, factorize(self.reduced.system(), keep=True))
        if local.blocks.sign == 0:
            return local
        return JacobianFactorization(self, local.blocks, local.solve_transpose(self.rows))

    def factorize_and_solve_transpose(self, u: Tensor) -> tuple[JacobianFactorization, Tensor | None]:
        """Eliminate and solve Jᵀ w = u along the way, without keeping the factors.

        Args:
            u: (B, *shape).

        Returns:
            The determinant, and w, (B, *shape); None where J, or its local part, is singular.
        """
        right = self.with_rows(u)
        blocks, solved = factorize_and_solve_transpose(
            self.reduced.system(), self.reduced_left_transpose(right).mT.contiguous()
        )
        return JacobianFactorization.from_solved(self, blocks, right, solved)

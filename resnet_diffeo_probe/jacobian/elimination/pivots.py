"""Sign and log|det| from the pivots of LU factorisations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PivotLogdet", "PivotRecord"]

# Vectorised logarithms err by one unit in the last place at most (float64: 2^-52 relative); twice that is allowed.
_LOG_ERROR = 2.0**-51


@dataclass(frozen=True)
class PivotLogdet:
    """Sign and log|det| of a product of LU factorisations.

    Attributes:
        sign: −1, 0, +1; 0 where a pivot is exactly zero.
        logabsdet: sum of the logarithms of the pivots; minus infinity where one is zero.
        rounding: bound of the error of this sum, for the pivots as they are.
    """

    sign: int
    logabsdet: float
    rounding: float


class PivotRecord:
    """Diagonals and row swaps of all LUs; read once at the end, so that a GPU is not waited for at every step."""

    def __init__(self) -> None:
        self._diagonals: list[Tensor] = []
        self._swaps: list[Tensor] = []

    def add(self, lu: Tensor, swaps: Tensor) -> None:
        """Record an LU, (m, m), and the rows swapped, (m,), as LAPACK counts them."""
        identity = torch.arange(1, swaps.numel() + 1, dtype=swaps.dtype, device=swaps.device)
        self.add_pivots(lu.diagonal().clone(), swaps != identity)

    def add_pivots(self, diagonal: Tensor, swapped: Tensor) -> None:
        """Record pivots, (m,), and at which of them rows were swapped, (m,) booleans."""
        self._diagonals.append(diagonal)
        self._swaps.append(swapped)

    def logdet(self) -> PivotLogdet:
        """Return what the pivots say; logarithms and their sum are float64 whatever the pivots are.

        Raises:
            FloatingPointError: a pivot is not finite.
        """
        if not self._diagonals:
            return PivotLogdet(1, 0.0, 0.0)
        diagonal = torch.cat(self._diagonals)
        if not bool(torch.isfinite(diagonal).all()):
            largest = torch.finfo(diagonal.dtype).max
            raise FloatingPointError(
                f"a pivot of the elimination is NaN or above {largest:.0e}, the largest number of its arithmetic: "
                "weights of the unit, or derivatives at this input, are not finite or far too large"
            )
        if bool((diagonal == 0).any()):
            return PivotLogdet(0, -math.inf, 0.0)
        odd = int((diagonal < 0).sum()) + int(torch.cat(self._swaps).sum())
        logs = diagonal.double().abs().log()
        # summed exactly and rounded once
        total, size = math.fsum(logs.tolist()), float(logs.abs().sum())
        return PivotLogdet(-1 if odd % 2 else 1, total, _LOG_ERROR * (size + abs(total)))

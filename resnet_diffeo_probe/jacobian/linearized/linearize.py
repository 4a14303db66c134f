"""A residual unit linearised at an input: products with J, and the reduced matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, fx

from resnet_diffeo_probe.jacobian.branch.segments import BranchChain, Segment
from resnet_diffeo_probe.jacobian.elimination.block_system import factor_entries
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct, Layout
from resnet_diffeo_probe.jacobian.elimination.reduction import ReducedMatrix
from resnet_diffeo_probe.jacobian.elimination.row_entries import EntryTable
from resnet_diffeo_probe.jacobian.elimination.row_tiles import TileTable

__all__ = ["Linearization", "PreparedUnit"]


class PreparedUnit(Protocol):
    """What a linearisation needs of the unit that it is taken of; `UnitJacobian` is one."""

    @property
    def branch(self) -> fx.GraphModule:
        """The branch x -> F(x), batch first."""

    @property
    def chain(self) -> BranchChain:
        """The branch taken apart."""

    @property
    def not_read(self) -> str | None:
        """Why the branch was not taken apart; None where it was."""

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where the cycle can be cut."""

    def cut_shape(self, cut: int) -> tuple[int, ...]:
        """Return (C, *spatial) at a cut."""

    def product(self, cut: int) -> CyclicProduct:
        """Return R L at a cut."""

    def layout(self, cut: int) -> Layout:
        """Return the order of elimination at a cut."""

    def table(self, cut: int) -> EntryTable | TileTable:
        """Return R L as every input takes its active part from it."""

    def at(self, x: Tensor) -> Linearization:
        """Linearise at another input."""


@dataclass(frozen=True, eq=False)
class Linearization:
    """J at one input.

    J = B + U Vᵀ: B = I + S_k D_k … D_1 S_0 is local, the rest passes through a few numbers gathered from the image.

    Attributes:
        parent: the unit.
        x: (1, *shape) the input.
        branch_output: (1, *shape) F(x).
        pre_activations: inputs of the stages, (1, C, *spatial).
        derivatives: the local parts of their derivatives: diagonals in the same shapes, or (P, C, C) blocks.
        gathered: (stage, columns) for each term of low rank, columns (k, C, *spatial) of the stage's output.
        rows: (K, *shape) the rows of Vᵀ, derivatives of the gathered numbers by the unit's input.
        kinked: coordinates on a kink inside gates.
    """

    parent: PreparedUnit
    x: Tensor
    branch_output: Tensor
    pre_activations: tuple[Tensor, ...]
    derivatives: tuple[Tensor, ...]
    gathered: tuple[tuple[int, Tensor], ...]
    rows: Tensor
    kinked: int

    @property
    def dimension(self) -> int:
        """n, the order of J."""
        return self.x.numel()

    @property
    def rank(self) -> int:
        """K, the rank of the terms that are not local."""
        return int(self.rows.shape[0])

    @cached_property
    def columns(self) -> Tensor:
        """U, (K, *shape): what the branch's output does when a gathered number moves."""
        return torch.cat([self.left(columns, stage) for stage, columns in self.gathered])

    def apply(self, v: Tensor) -> Tensor:
        """Return J v, (B, *shape) -> (B, *shape), by the branch's linear parts."""
        inner = v.reshape(v.shape[0], *self.parent.chain.in_shape)
        out = self._through(inner, 0, len(self.derivatives)).reshape(v.shape)
        if self.rank:
            out = out + (v.flatten(1) @ self.rows.flatten(1).mT @ self.columns.flatten(1)).reshape(v.shape)
        return v + out

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return Jᵀ u, (B, *shape) -> (B, *shape)."""
        inner = u.reshape(u.shape[0], *self.parent.chain.in_shape)
        out = self._back(inner, len(self.derivatives), 0).reshape(u.shape)
        if self.rank:
            out = out + (u.flatten(1) @ self.columns.flatten(1).mT @ self.rows.flatten(1)).reshape(u.shape)
        return u + out

    def apply_transpose_by_autograd(self, u: Tensor) -> Tensor:
        """Return Jᵀ u, (B, *shape) -> (B, *shape), by differentiating the unit's own branch, forward once."""
        with torch.enable_grad():
            x = self.x.detach().requires_grad_()
            output = self.parent.branch.forward(x)
            if not output.requires_grad:  # the branch is constant
                return u.clone()
            pulled = [
                torch.autograd.grad(output, x, v, retain_graph=True, materialize_grads=True)[0]
                for v in u.split(1)
            ]
        return u + torch.cat(pulled)

    @cached_property
    def singular_values(self) -> Tensor:
        """All singular values of J, descending, by a dense decomposition: for small n."""
        n = self.dimension
        basis = torch.eye(n, dtype=self.x.dtype, device=self.x.device).reshape(n, *self.x.shape[1:])
        return torch.linalg.svdvals(self.apply(basis).reshape(n, n))

    @cached_property
    def kinks(self) -> int:
        """Number of coordinates on a kink of their activation that some input moves.

        Dead channels, and coordinates behind activations that are flat here, stay where they are: they do not count.
        """
        stages = self.parent.chain.activations
        on_kink = [act.on_kink(z) for z, act in zip(self.pre_activations, stages, strict=True)]
        last = max((j for j, found in enumerate(on_kink) if bool(found.any())), default=-1)
        total = self.kinked
        live: Tensor | None = None  # which coordinates an input moves, None for all
        for j, found in enumerate(on_kink[: last + 1]):
            moved = _moves(self.parent.chain.segments[j], live)
            total += int((found & moved).sum())
            if stages[j].per_pixel:
                live = _pixel_major(moved.any(dim=1, keepdim=True).expand_as(moved))
            else:
                live = _pixel_major(moved & ((self.derivatives[j] != 0) | found))
        return total

    @cached_property
    def reduced(self) -> ReducedMatrix:
        """The reduced matrix at the cut where elimination costs least."""
        stages = self.parent.chain.activations
        diagonals = {
            j: d if stage.per_pixel else _pixel_major(d)
            for j, (d, stage) in enumerate(zip(self.derivatives, stages, strict=True), 1)
        }
        candidates = [
            ReducedMatrix(
                self.parent.product(cut), self.parent.layout(cut), diagonals, partial(self.parent.table, cut)
            )
            for cut in self.parent.cuts
            if cut > 0 or len(self.parent.cuts) == 1 or self._input_may_be_narrowest()
        ]
        return min(candidates, key=lambda reduced: reduced.cost)

    def _input_may_be_narrowest(self) -> bool:
        stages = self.parent.chain.activations
        active = [
            int((d != 0).sum())
            for d, stage in zip(self.derivatives, stages, strict=True)
            if not stage.per_pixel
        ]
        return self.dimension < min(active)

    def factor_bytes(self, *, keep: bool = True) -> float:
        """Return the memory of an elimination: factors, the largest front, and the tiles that its blocks come from.

        Args:
            keep: whether the factors are kept for solves; otherwise a few vectors are solved for along the way.
        """
        numbers = factor_entries(self.reduced.system(), keep=keep) + self.reduced.held_numbers()
        return numbers * self.x.element_size()

    def with_rows(self, u: Tensor) -> Tensor:
        """Return what is to be solved for: u, (B, *shape), and the rows of Vᵀ, for the determinant lemma."""
        return torch.cat([u, self.rows]) if self.rank else u

    def reduced_right(self, v: Tensor) -> Tensor:
        """Return (R v)[A], (B, *shape) -> (B, order)."""
        cut = self.reduced.product.cut
        inner = self.right(v.reshape(v.shape[0], *self.parent.chain.in_shape), cut)
        return _flatten(inner)[:, self.reduced.active_index()]

    def reduced_left_transpose(self, u: Tensor) -> Tensor:
        """Return (Lᵀ u)[A], (B, *shape) -> (B, order)."""
        cut = self.reduced.product.cut
        inner = self.left_transpose(u.reshape(u.shape[0], *self.parent.chain.in_shape), cut)
        return _flatten(inner)[:, self.reduced.active_index()]

    def left_of_reduced(self, w: Tensor) -> Tensor:
        """Return L[:, A] w, (B, order) -> (B, *shape)."""
        out = self.left(self._spread(w), self.reduced.product.cut)
        return out.reshape(w.shape[0], *self.x.shape[1:])

    def local_after_transpose(self, u: Tensor, solved: Tensor) -> Tensor:
        """Return B⁻ᵀ u = u − (D_A R[A, :])ᵀ M⁻ᵀ (Lᵀ u)[A].

        Args:
            u: (B, *shape).
            solved: (B, order), M⁻ᵀ (Lᵀ u)[A].
        """
        spread = self._spread(solved * self.reduced.own_derivatives())
        return u - self.right_transpose(spread, self.reduced.product.cut).reshape(u.shape)

    def _spread(self, values: Tensor) -> Tensor:
        """(B, order) -> (B, C, *spatial) at the cut, zero where nothing is active."""
        reduced, batch = self.reduced, values.shape[0]
        shape = self.parent.cut_shape(reduced.product.cut)
        flat = values.new_zeros(batch, reduced.product.pixels * reduced.product.channels)
        flat[:, reduced.active_index()] = values
        return flat.reshape(batch, -1, shape[0]).mT.reshape(batch, *shape)

    def _through(self, v: Tensor, start: int, stop: int) -> Tensor:
        """Apply S_start, D_{start+1}, S_{start+1}, …, S_stop."""
        segments = self.parent.chain.segments
        v = segments[start].apply(v)
        for j in range(start + 1, stop + 1):
            v = segments[j].apply(self._stage(v, j))
        return v

    def _stage(self, v: Tensor, j: int, *, transpose: bool = False) -> Tensor:
        """Apply the local derivative of stage j."""
        local = self.derivatives[j - 1]
        if not self.parent.chain.activations[j - 1].per_pixel:
            return v * local
        pixels = v.reshape(v.shape[0], v.shape[1], -1)
        return torch.einsum("pji,bjp->bip" if transpose else "pij,bjp->bip", local, pixels).reshape(v.shape)

    def _back(self, u: Tensor, stop: int, start: int) -> Tensor:
        segments = self.parent.chain.segments
        u = segments[stop].apply_transpose(u)
        for j in range(stop, start, -1):
            u = segments[j - 1].apply_transpose(self._stage(u, j, transpose=True))
        return u

    def right(self, v: Tensor, cut: int) -> Tensor:
        """Return R v: from the input to the pre-activation at a cut ≥ 1 (at cut 0, v itself)."""
        return v if cut == 0 else self._through(v, 0, cut - 1)

    def left(self, w: Tensor, cut: int) -> Tensor:
        """Return L w: from the activation at a cut to the branch's output."""
        return self._through(w, cut, len(self.derivatives))

    def right_transpose(self, w: Tensor, cut: int) -> Tensor:
        """Return Rᵀ w."""
        return w if cut == 0 else self._back(w, cut - 1, 0)

    def left_transpose(self, u: Tensor, cut: int) -> Tensor:
        """Return Lᵀ u."""
        return self._back(u, len(self.derivatives), cut)


def _flatten(v: Tensor) -> Tensor:
    """(B, C, *spatial) -> (B, P·C), pixel first."""
    return v.flatten(2).mT.flatten(1) if v.dim() > 2 else v


def _pixel_major(d: Tensor) -> Tensor:
    """(1, C, *spatial) -> (P, C)."""
    return d[0].reshape(d.shape[1], -1).mT.contiguous()


def _moves(segment: Segment, live: Tensor | None) -> Tensor:
    """Return (1, *out_shape) booleans: which outputs of a segment depend on its live inputs.

    Args:
        segment: linear operations.
        live: (P_in, C_in) booleans, None for all.
    """
    matrix = segment.matrix
    # booleans as float32 on the CPU: it happens seldom, and only where something lies on a kink
    touched = torch.zeros(matrix.pixels_out, matrix.channels_out, dtype=torch.float32, device="cpu")
    if live is None:
        live = torch.ones(matrix.pixels_in, matrix.channels_in, device="cpu")
    live = live.float().cpu()
    for index, used in enumerate((matrix.blocks != 0).float().cpu()):
        entries = np.flatnonzero(matrix.ids == index)
        reached = live[torch.from_numpy(matrix.cols[entries])] @ used.mT
        touched.index_add_(0, torch.from_numpy(matrix.rows[entries]), reached)
    return (touched > 0).mT.reshape(1, *segment.out_shape).to(matrix.blocks.device)

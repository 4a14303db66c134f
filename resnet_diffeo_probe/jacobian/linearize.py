"""A residual unit linearised at an input: products with J, the reduced matrix, its factorisation, solves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.chain import BranchChain, Segment, dense_chain, read_chain
from resnet_diffeo_probe.jacobian.elimination import (
    BlockFactorization,
    elimination_flops,
    factor_entries,
    factorize,
)
from resnet_diffeo_probe.jacobian.reduction import (
    CyclicProduct,
    Layout,
    ReducedMatrix,
    RowBlockTable,
    cheapest_system,
    choose_layout,
)

__all__ = ["Linearization", "UnitJacobian"]


# A branch that is not taken apart is still exact, by a dense Jacobian, up to this many coordinates.
_DENSE_DIMENSION = 3000


class Unit(Protocol):
    """What this floor needs of a residual unit; `units.ResidualUnit` is one."""

    @property
    def name(self) -> str:
        """Its name in the network."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of its input, without batch."""

    @property
    def preserves_dimension(self) -> bool:
        """Whether the shortcut is the identity and the shapes agree."""

    @property
    def branch(self) -> fx.GraphModule:
        """The branch x -> F(x), batch first."""


@dataclass(frozen=True)
class EliminationEstimate:
    """What the elimination of a reduced matrix is going to cost.

    Attributes:
        cut_name: where the cycle is cut, for people.
        image_rows: blocks of the matrix.
        order: active coordinates.
        flops: floating-point operations.
        factor_bytes: memory of the kept factors and the largest front.
    """

    cut_name: str
    image_rows: int
    order: int
    flops: float
    factor_bytes: float


class UnitJacobian:
    """The Jacobian J = I + J_F of a unit's sum map g(x) = x + F(x), prepared once for all inputs.

    Args:
        unit: a dimension-preserving unit; its parameters decide dtype and device.

    A branch that cannot be taken apart is differentiated coordinate by coordinate where it has few of them.

    Raises:
        UnsupportedUnitError: the unit changes the dimension, or its branch is not a chain of known operations.
    """

    def __init__(self, unit: Unit) -> None:
        if not unit.preserves_dimension:
            raise UnsupportedUnitError(
                f"unit {unit.name} changes the dimension: its Jacobian has no determinant",
                code="not-applicable",
            )
        self.name = unit.name
        self.shape = unit.input_shape
        self.branch = unit.branch
        self.not_read: str | None = None  # why the branch was not taken apart
        try:
            self.chain: BranchChain = read_chain(unit.branch, unit.input_shape)
        except UnsupportedUnitError as error:
            if math.prod(unit.input_shape) > _DENSE_DIMENSION:
                raise
            self.not_read = error.what
            self.chain = dense_chain(unit.branch, unit.input_shape)
        if not self.not_read and self.chain.segments[-1].out_shape != self.shape:
            raise UnsupportedUnitError(
                f"unit {unit.name}: the branch gives another shape than the unit takes"
            )
        self._products: dict[int, CyclicProduct] = {}
        self._layouts: dict[int, Layout] = {}
        self._tables: dict[int, RowBlockTable | None] = {}

    def prepare(self) -> None:
        """Build everything that does not depend on an input, so that threads only read it."""
        for cut in self.cuts:
            self.table(cut)
            self.layout(cut)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where the cycle can be cut: 0 is the unit's input, j the j-th stage, if its local derivative is diagonal."""
        stages = enumerate(self.chain.activations, 1)
        return (0, *(j for j, stage in stages if not stage.per_pixel))

    def cut_shape(self, cut: int) -> tuple[int, ...]:
        """Return (C, *spatial) at a cut."""
        return self.chain.segments[cut].in_shape

    def product(self, cut: int) -> CyclicProduct:
        """Return R L at a cut: the segments around the cycle, the junction of output and input already multiplied."""
        if cut not in self._products:
            segments, last = self.chain.segments, len(self.chain.activations)
            if cut == 0:
                around = list(range(last, -1, -1))
                factors: list[SharedBlockMatrix] = [segments[m].matrix for m in around]
                between = around[:-1]
            else:
                head, tail = list(range(cut - 1, 0, -1)), list(range(last - 1, cut - 1, -1))
                # R ends with S_0 and L begins with S_k: they meet at the unit's input, where the diagonal is one
                factors = [segments[m].matrix for m in head]
                joined = segments[0].matrix if last == 0 else segments[0].matrix @ segments[last].matrix
                if cut == last:
                    factors.append(joined)
                else:
                    factors += [joined, *(segments[m].matrix for m in tail)]
                between = [*head, *range(last, cut, -1)]
            inner = tuple(self.cut_shape(index)[1:] for index in between)
            shape = self.cut_shape(cut)
            self._products[cut] = CyclicProduct(
                cut, tuple(factors), tuple(between), shape[1:], shape[0], inner
            )
        return self._products[cut]

    def layout(self, cut: int) -> Layout:
        """Return the order of elimination at a cut."""
        if cut not in self._layouts:
            self._layouts[cut] = choose_layout(self.product(cut))
        return self._layouts[cut]

    def table(self, cut: int) -> RowBlockTable | None:
        """Return the dense row blocks of R L where no diagonal stands inside it, else None."""
        if cut not in self._tables:
            product = self.product(cut)
            static = len(product.factors) == 1
            self._tables[cut] = RowBlockTable(product.factors[0], self.layout(cut)) if static else None
        return self._tables[cut]

    def estimate(self, cut: int, active: float = 0.5) -> EliminationEstimate:
        """Estimate the elimination at a cut without an input.

        Args:
            cut: where the cycle is cut.
            active: the share of coordinates that count as active.
        """
        layout, channels = self.layout(cut), self.cut_shape(cut)[0]
        sizes = np.bincount(layout.row_of_pixel, minlength=layout.rows) * channels * active
        system = cheapest_system(layout, np.ceil(sizes).astype(np.int64))
        name = "the unit's input" if cut == 0 else f"{self.chain.activations[cut - 1].name} {cut}"
        return EliminationEstimate(
            name,
            layout.rows,
            system.order,
            elimination_flops(system),
            factor_entries(system) * self._itemsize,
        )

    @property
    def _itemsize(self) -> int:
        return self.chain.segments[0].example.element_size()

    def at(self, x: Tensor) -> Linearization:
        """Linearise at one input.

        Args:
            x: (*shape) or (1, *shape), converted to the parameters' dtype and device.

        Raises:
            ValueError: another shape.
        """
        if tuple(x.shape) == self.shape:
            x = x[None]
        if tuple(x.shape) != (1, *self.shape):
            raise ValueError(f"unit {self.name} takes one input of shape {self.shape}, not {tuple(x.shape)}")
        example = self.chain.segments[0].example
        x = x.detach().to(dtype=example.dtype, device=example.device)
        entry = x.reshape(1, *self.chain.in_shape)
        with torch.set_grad_enabled(self.chain.gathers):
            entry = entry.requires_grad_(self.chain.gathers)
            output, met, derivatives = self.chain.run(entry)
        gathered = [
            (j, term.z, term.columns)
            for j, derivative in enumerate(derivatives, 1)
            for term in derivative.terms
        ]
        rows = [
            torch.autograd.grad(component, entry, retain_graph=True)[0]
            for _, z, _ in gathered
            for component in z
        ]
        return Linearization(
            self,
            x.detach(),
            output.detach().reshape(1, *self.shape),
            tuple(z.detach() for z in met),
            tuple(derivative.local for derivative in derivatives),
            tuple((j, columns) for j, _, columns in gathered),
            torch.cat(rows) if rows else entry.detach().new_zeros(0, *self.chain.in_shape),
            sum(derivative.kinked for derivative in derivatives),
        )


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

    parent: UnitJacobian
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

    def apply_by_autograd(self, v: Tensor) -> Tensor:
        """Return J v for v of shape (1, *shape) by differentiating the unit's own branch.

        J_F v is the derivative by u of (J_Fᵀ u)·v: two reverse passes, since torch's forward mode keeps one level for
        the whole process and is not for threads.
        """
        with torch.enable_grad():
            x = self.x.detach().requires_grad_()
            output = self.parent.branch.forward(x)
            u = torch.zeros_like(output, requires_grad=True)
            (pulled,) = torch.autograd.grad(output, x, u, create_graph=True, materialize_grads=True)
            if not pulled.requires_grad:  # the branch is constant
                return v.clone()
            (tangent,) = torch.autograd.grad(pulled, u, v, materialize_grads=True)
        return v + tangent

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
        total = self.kinked
        live: Tensor | None = None  # which coordinates an input moves, None for all
        for z, d, act, segment in zip(
            self.pre_activations,
            self.derivatives,
            self.parent.chain.activations,
            self.parent.chain.segments,
            strict=False,
        ):
            found = act.on_kink(z)
            if bool(found.any()):
                found &= _moves(segment, live)
                total += int(found.sum())
            live = None if act.per_pixel else _pixel_major((d != 0) | found)
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
                self.parent.product(cut), self.parent.layout(cut), diagonals, self.parent.table(cut)
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

    def factor_bytes(self) -> float:
        """Return the memory that kept factors take, the largest front included."""
        return factor_entries(self.reduced.system()) * self.x.element_size()

    def factorize(self, *, keep: bool = False) -> JacobianFactorization:
        """Eliminate the reduced matrix.

        Args:
            keep: keep the factors, for solves.
        """
        local = factorize(self.reduced.system(), keep=keep or self.rank > 0)
        if self.rank == 0 or local.sign == 0:
            return JacobianFactorization(self, local)
        # det(B + U Vᵀ) = det B · det(I + Vᵀ B⁻¹ U), the matrix determinant lemma
        only_local = JacobianFactorization(self, local)
        solved = only_local.solve_local(self.columns)
        small = torch.eye(self.rank, dtype=self.x.dtype, device=self.x.device)
        small = small + self.rows.flatten(1) @ solved.flatten(1).mT
        return JacobianFactorization(self, local, solved, small)

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


def _pixel_major(d: Tensor) -> Tensor:
    """(1, C, *spatial) -> (P, C)."""
    return d[0].reshape(d.shape[1], -1).mT.contiguous()


def _flatten(v: Tensor) -> Tensor:
    """(B, C, *spatial) -> (B, P·C), pixel first."""
    return v.reshape(v.shape[0], v.shape[1], -1).mT.reshape(v.shape[0], -1)


def _moves(segment: Segment, live: Tensor | None) -> Tensor:
    """Return (1, *out_shape) booleans: which outputs of a segment depend on its live inputs.

    Args:
        segment: linear operations.
        live: (P_in, C_in) booleans, None for all.
    """
    matrix = segment.matrix
    touched = torch.zeros(matrix.pixels_out, matrix.channels_out, dtype=torch.float32)
    if live is None:
        live = torch.ones(matrix.pixels_in, matrix.channels_in)
    for index, used in enumerate((matrix.blocks != 0).float().cpu()):
        entries = np.flatnonzero(matrix.ids == index)
        reached = live[torch.from_numpy(matrix.cols[entries])].float().cpu() @ used.mT
        touched.index_add_(0, torch.from_numpy(matrix.rows[entries]), reached)
    return (touched > 0).mT.reshape(1, *segment.out_shape).to(matrix.blocks.device)

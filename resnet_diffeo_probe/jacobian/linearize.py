"""A residual unit linearised at an input: products with J, the reduced matrix, its factorisation, solves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.chain import BranchChain, Segment, read_chain
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
        self.chain: BranchChain = read_chain(unit.branch, unit.input_shape)
        if self.chain.segments[-1].out_shape != self.shape:
            raise UnsupportedUnitError(
                f"unit {unit.name}: the branch gives another shape than the unit takes"
            )
        self._products: dict[int, CyclicProduct] = {}
        self._layouts: dict[int, Layout] = {}
        self._tables: dict[int, RowBlockTable | None] = {}

    def prepare(self) -> None:
        """Build everything that does not depend on an input, so that threads only read it."""
        for cut in self.cuts[1:] or self.cuts:
            self.table(cut)
            self.layout(cut)

    @property
    def cuts(self) -> range:
        """Where the cycle can be cut: 0 is the unit's input, j the j-th activation."""
        return range(len(self.chain.activations) + 1)

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
        with torch.no_grad():
            output, pre_activations = self.chain.run(x)
            derivatives = [
                act.derivative(z) for act, z in zip(self.chain.activations, pre_activations, strict=True)
            ]
        return Linearization(self, x, output, tuple(pre_activations), tuple(derivatives))


@dataclass(frozen=True, eq=False)
class Linearization:
    """J at one input.

    Attributes:
        parent: the unit.
        x: (1, *shape) the input.
        branch_output: (1, *shape) F(x).
        pre_activations: inputs of the activations.
        derivatives: of the activations there, in the same shapes.
    """

    parent: UnitJacobian
    x: Tensor
    branch_output: Tensor
    pre_activations: tuple[Tensor, ...]
    derivatives: tuple[Tensor, ...]

    @property
    def dimension(self) -> int:
        """n, the order of J."""
        return self.x.numel()

    def apply(self, v: Tensor) -> Tensor:
        """Return J v, (B, *shape) -> (B, *shape), by the branch's linear parts."""
        return v + self._through(v, 0, len(self.derivatives))

    def apply_transpose(self, u: Tensor) -> Tensor:
        """Return Jᵀ u, (B, *shape) -> (B, *shape)."""
        return u + self._back(u, len(self.derivatives), 0)

    def apply_by_autograd(self, v: Tensor) -> Tensor:
        """Return J v for v of shape (1, *shape) by differentiating the unit's own branch.

        J_F v is the derivative by u of (J_Fᵀ u)·v: two reverse passes, since torch's forward mode keeps one level for
        the whole process and is not for threads.
        """
        with torch.enable_grad():
            x = self.x.detach().requires_grad_()
            output = self.parent.branch(x)
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
        total = 0
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
            live = _pixel_major((d != 0) | found)
        return total

    @cached_property
    def reduced(self) -> ReducedMatrix:
        """The reduced matrix at the cut where elimination costs least."""
        diagonals = {j: _pixel_major(d) for j, d in enumerate(self.derivatives, 1)}
        candidates = [
            ReducedMatrix(
                self.parent.product(cut), self.parent.layout(cut), diagonals, self.parent.table(cut)
            )
            for cut in self.parent.cuts
            if cut > 0 or len(self.parent.cuts) == 1 or self._input_may_be_narrowest()
        ]
        return min(candidates, key=lambda reduced: reduced.cost)

    def _input_may_be_narrowest(self) -> bool:
        active = [int((d != 0).sum()) for d in self.derivatives]
        return self.dimension < min(active)

    def factor_bytes(self) -> float:
        """Return the memory that kept factors take, the largest front included."""
        return factor_entries(self.reduced.system()) * self.x.element_size()

    def factorize(self, *, keep: bool = False) -> JacobianFactorization:
        """Eliminate the reduced matrix.

        Args:
            keep: keep the factors, for solves.
        """
        return JacobianFactorization(self, factorize(self.reduced.system(), keep=keep))

    def _through(self, v: Tensor, start: int, stop: int) -> Tensor:
        """Apply S_start, D_{start+1}, S_{start+1}, …, S_stop."""
        segments = self.parent.chain.segments
        v = segments[start].apply(v)
        for j in range(start + 1, stop + 1):
            v = segments[j].apply(v * self.derivatives[j - 1])
        return v

    def _back(self, u: Tensor, stop: int, start: int) -> Tensor:
        segments = self.parent.chain.segments
        u = segments[stop].apply_transpose(u)
        for j in range(stop, start, -1):
            u = segments[j - 1].apply_transpose(u * self.derivatives[j - 1])
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
        blocks: the factorisation of the reduced matrix.
    """

    linearization: Linearization
    blocks: BlockFactorization

    @property
    def sign(self) -> int:
        """Sign of det J: −1, 0, +1."""
        return self.blocks.sign

    @property
    def logabsdet(self) -> float:
        """log|det J|."""
        return self.blocks.logabsdet

    def solve(self, v: Tensor) -> Tensor:
        """Return J⁻¹ v = v − L[:, A] M⁻¹ D_A (R v)[A], (B, *shape) -> (B, *shape)."""
        lin, reduced = self.linearization, self.linearization.reduced
        cut, index = reduced.product.cut, reduced.active_index()
        inner = _flatten(lin.right(v, cut))[:, index] * reduced.own_derivatives()
        solved = self.blocks.solve(inner.mT.contiguous()).mT
        return v - lin.left(self._scatter(solved, v.shape[0]), cut)

    def solve_transpose(self, u: Tensor) -> Tensor:
        """Return J⁻ᵀ u, (B, *shape) -> (B, *shape)."""
        lin, reduced = self.linearization, self.linearization.reduced
        cut, index = reduced.product.cut, reduced.active_index()
        inner = _flatten(lin.left_transpose(u, cut))[:, index]
        solved = self.blocks.solve(inner.mT.contiguous(), transpose=True).mT
        return u - lin.right_transpose(self._scatter(solved * reduced.own_derivatives(), u.shape[0]), cut)

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

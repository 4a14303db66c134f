"""A unit prepared for all inputs: its branch read, the products around the cycle, the order of elimination."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, fx

from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian.branch.block_sparse import SharedBlockMatrix
from resnet_diffeo_probe.jacobian.branch.chain import dense_chain, read_chain
from resnet_diffeo_probe.jacobian.branch.segments import BranchChain
from resnet_diffeo_probe.jacobian.elimination.block_system import elimination_flops, factor_entries
from resnet_diffeo_probe.jacobian.elimination.compiled_loop import compiled_loop
from resnet_diffeo_probe.jacobian.elimination.layout import CyclicProduct, Layout, choose_layout
from resnet_diffeo_probe.jacobian.elimination.row_entries import EntryTable
from resnet_diffeo_probe.jacobian.elimination.row_tiles import TileTable
from resnet_diffeo_probe.jacobian.linearized.jacobian_at import JacobianAt

__all__ = ["EliminationEstimate", "UnitJacobian"]

# A branch that is not taken apart is still exact, by a dense Jacobian, up to this many coordinates.
_DENSE_DIMENSION = 3000


class LinearizableUnit(Protocol):
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
        check_bytes: memory where the sign is checked along the way and the factors are not kept.
    """

    cut_name: str
    image_rows: int
    order: int
    flops: float
    factor_bytes: float
    check_bytes: float


class UnitJacobian:
    """The Jacobian J = I + J_F of a unit's sum map g(x) = x + F(x), prepared once for all inputs.

    Args:
        unit: a dimension-preserving unit; its parameters decide dtype and device.
        device: where to compute instead, on a copy of the branch; inputs are moved there.

    A branch that cannot be taken apart is differentiated coordinate by coordinate where it has few of them.

    Raises:
        UnsupportedUnitError: the unit changes the dimension, or its branch is not a chain of known operations.
    """

    def __init__(self, unit: LinearizableUnit, device: torch.device | None = None) -> None:
        if not unit.preserves_dimension:
            raise UnsupportedUnitError(
                f"unit {unit.name} changes the dimension: its Jacobian has no determinant",
                code="not-applicable",
            )
        self.name = unit.name
        self.shape = unit.input_shape
        self.branch = unit.branch if device is None else copy.deepcopy(unit.branch).to(device)
        self.not_read: str | None = None  # why the branch was not taken apart
        try:
            self.chain: BranchChain = read_chain(self.branch, unit.input_shape)
        except UnsupportedUnitError as error:
            if math.prod(unit.input_shape) > _DENSE_DIMENSION:
                raise
            self.not_read = error.what
            self.chain = dense_chain(self.branch, unit.input_shape)
        if not self.not_read and self.chain.segments[-1].out_shape != self.shape:
            raise UnsupportedUnitError(
                f"unit {unit.name}: the branch gives another shape than the unit takes"
            )
        self._products: dict[int, CyclicProduct] = {}
        self._layouts: dict[int, Layout] = {}
        self._tables: dict[int, EntryTable | TileTable] = {}

    def prepare(self) -> None:
        """Build everything that does not depend on an input, so that threads only read it."""
        for cut in self.cuts:
            self.layout(cut)
            if cut > 0 or len(self.cuts) == 1:  # the unit's input is seldom the narrowest place
                self.table(cut)

    @property
    def is_affine(self) -> bool:
        """Whether the branch was taken apart and has no non-linear step: J is the same at all inputs."""
        return self.not_read is None and not self.chain.activations

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

    def table(self, cut: int) -> EntryTable | TileTable:
        """Return R L as every input takes its active part from it: the same bits from entries and from tiles."""
        if cut not in self._tables:
            product, layout, loop = self.product(cut), self.layout(cut), compiled_loop()
            on_cpu = product.factors[0].blocks.device.type == "cpu"
            self._tables[cut] = (
                TileTable(product, layout)
                if loop is None or not on_cpu
                else EntryTable(product, layout, loop)
            )
        return self._tables[cut]

    def estimate(self, cut: int, active: float = 0.5) -> EliminationEstimate:
        """Estimate the elimination at a cut without an input.

        Args:
            cut: where the cycle is cut.
            active: the share of coordinates that count as active.
        """
        layout, channels = self.layout(cut), self.cut_shape(cut)[0]
        sizes = np.bincount(layout.row_of_pixel, minlength=layout.rows) * channels * active
        system = layout.system(np.ceil(sizes).astype(np.int64))
        name = "the unit's input" if cut == 0 else f"{self.chain.activations[cut - 1].name} {cut}"
        return EliminationEstimate(
            name,
            layout.rows,
            system.order,
            elimination_flops(system),
            factor_entries(system) * self._itemsize,
            factor_entries(system, keep=False) * self._itemsize,
        )

    @property
    def _itemsize(self) -> int:
        return self.chain.segments[0].example.element_size()

    def at(self, x: Tensor) -> JacobianAt:
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
        return JacobianAt(
            self,
            x.detach(),
            output.detach().reshape(1, *self.shape),
            tuple(z.detach() for z in met),
            tuple(derivative.local for derivative in derivatives),
            tuple((j, columns) for j, _, columns in gathered),
            torch.cat(rows) if rows else entry.detach().new_zeros(0, *self.chain.in_shape),
            sum(derivative.kinked for derivative in derivatives),
        )

"""How far F as floating point computes it can be from F: a running error bound through every operation of a branch.

Beside each value v̂ of the branch's graph goes a bound e ≥ |v̂ − v|, coordinate by coordinate, v the value in exact
arithmetic with the stored parameters (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and
3.3). A sum of K products is allowed γ_K Σ|aᵢbᵢ|, in whatever order it is taken; an activation whose Lipschitz constant
is known is allowed a few units of the last place of its argument and value. Where a sum cancels, as in
(x + B) − B or a batch norm with a large mean, e keeps what was lost.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from resnet_diffeo_probe.bijectivity.branch import norm
from resnet_diffeo_probe.bijectivity.certificates.absolute import absolute_product, longest_row
from resnet_diffeo_probe.bijectivity.certificates.lipschitz import slope_bound
from resnet_diffeo_probe.errors import UnsupportedUnitError
from resnet_diffeo_probe.jacobian import Linearization
from resnet_diffeo_probe.jacobian.branch.activations import activation
from resnet_diffeo_probe.jacobian.branch.operators import linear_operator
from resnet_diffeo_probe.jacobian.linearized.linearize import PreparedUnit

__all__ = ["ForwardError", "forward_error", "size", "sum_error"]

# Activations that give an argument, its negative or a constant: they round nothing.
_WITHOUT_ROUNDING = frozenset({"relu", "relu6", "hardtanh", "clamp", "abs"})
# Roundings that an activation's own formula may take, of its argument and its value.
_ACTIVATION = 16
_MOVING = frozenset(
    {"flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "movedim"}
)
_POOLS = {"max_pool1d": torch.nn.functional.max_pool1d, "max_pool2d": torch.nn.functional.max_pool2d}
# The bounds are sums of non-negative numbers: their own rounding is far below this share of them.
_OWN = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class ForwardError:
    """Bounds of the rounding of one forward pass through a branch.

    Attributes:
        output: (1, *shape) float64, of each coordinate of F(x).
        met: for each activation, (1, C, *spatial) float64, of its pre-activations.
    """

    output: Tensor
    met: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class _Value:
    """A value as it was computed, and a bound of its error in float64; None where it is exact."""

    value: Any
    error: Tensor | None = None


class _UnknownError(Exception):
    """The rounding of an operation is not known."""


def forward_error(jacobian: PreparedUnit, x: Tensor) -> ForwardError | None:
    """Bound the rounding of F(x), and of the pre-activations on the way.

    Args:
        jacobian: of the unit.
        x: (1, *shape), exact as it stands.

    Returns:
        The bounds; None where the branch holds an operation whose rounding is not known.
    """
    example = jacobian.chain.segments[0].example
    try:
        with torch.no_grad():
            return _Walk(jacobian.branch, x.detach().to(example)).run()
    except (_UnknownError, UnsupportedUnitError):
        return None


def sum_error(lin: Linearization, forward: ForwardError) -> Tensor:
    """Return a bound of the rounding of g(x) = x + F(x), (1, *shape) float64."""
    unit = float(torch.finfo(lin.x.dtype).eps) / 2
    return (forward.output * (1 + unit) + unit * (lin.x + lin.branch_output).abs().double()) * _OWN


@dataclass
class _Walk:
    """One pass through a branch's graph."""

    branch: fx.GraphModule
    x: Tensor
    met: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.unit = float(torch.finfo(self.x.dtype).eps) / 2
        self._values: dict[fx.Node, _Value] = {}

    def run(self) -> ForwardError:
        for node in self.branch.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = _Value(self.x)
            elif node.op == "get_attr":
                self._values[node] = _Value(operator.attrgetter(str(node.target))(self.branch))
            elif node.op == "call_function":
                self._values[node] = self._step(node)
            elif node.op == "output":
                (result,) = node.args
                if not isinstance(result, fx.Node):
                    raise _UnknownError
                found = self._values[result]
                return ForwardError(self._error(found).reshape(self.x.shape), tuple(self.met))
            else:
                raise _UnknownError
        raise _UnknownError

    def gamma(self, terms: int) -> float:
        """Return γ for a sum of products, with the constant that is added to it."""
        rounded = (terms + 4) * self.unit
        if rounded >= 0.1:
            raise _UnknownError
        return rounded / (1 - rounded)

    def _error(self, found: _Value) -> Tensor:
        if found.error is not None:
            return found.error
        return torch.zeros_like(torch.as_tensor(found.value), dtype=torch.float64)

    def _step(self, node: fx.Node) -> _Value:
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        name = getattr(target, "__name__", str(target)).rstrip("_")
        name = {
            "subtract": "sub",
            "multiply": "mul",
            "true_divide": "div",
            "divide": "div",
            "negative": "neg",
        }.get(name, name)
        args = [self._values[a] if isinstance(a, fx.Node) else a for a in node.args]
        kwargs = {k: self._values[a] if isinstance(a, fx.Node) else a for k, a in node.kwargs.items()}
        plain = [a.value if isinstance(a, _Value) else a for a in args]
        plain_kwargs = {k: a.value if isinstance(a, _Value) else a for k, a in kwargs.items()}
        out = target(*plain, **plain_kwargs)
        if not isinstance(out, Tensor) or not args or not isinstance(args[0], _Value):
            raise _UnknownError
        if name in ("add", "sub", "mul", "div"):
            return _Value(out, self._arithmetic(name, args, kwargs, out) * _OWN)
        others = [a for a in (*args[1:], *kwargs.values()) if isinstance(a, _Value)]
        if any(a.error is not None for a in others):  # parameters that are computed from others
            raise _UnknownError
        error = self._of_one(name, target, args[0], plain[1:], plain_kwargs, out)
        return _Value(out, error * _OWN)

    def _arithmetic(self, name: str, args: list[Any], kwargs: dict[str, Any], out: Tensor) -> Tensor:
        """Bound a sum, product or quotient of two operands, numbers or tensors."""
        if len(args) != 2 or kwargs:
            raise _UnknownError
        a, b = (operand if isinstance(operand, _Value) else _Value(operand) for operand in args)
        sizes = [torch.as_tensor(v.value).abs().double() for v in (a, b)]
        if name in ("add", "sub"):
            # a number is rounded to the tensors' arithmetic first
            rounded = sum(
                (2 * s for s, v in zip(sizes, (a, b), strict=True) if not isinstance(v.value, Tensor)), 0.0
            )
            moved = self._error(a) + self._error(b)
            return moved + self.unit * (
                out.abs().double() + rounded + torch.zeros_like(out, dtype=torch.float64)
            )
        ea, eb = self._error(a), self._error(b)
        if name == "div":
            if b.error is not None:
                raise _UnknownError
            return (
                ea / sizes[1]
                + 4 * self.unit * out.abs().double()
                + torch.zeros_like(out, dtype=torch.float64)
            )
        return sizes[0] * eb + sizes[1] * ea + ea * eb + 4 * self.unit * out.abs().double()

    def _of_one(
        self, name: str, target: Any, data: _Value, rest: list[Any], kwargs: dict[str, Any], out: Tensor
    ) -> Tensor:
        """Bound an operation on one operand; whatever else it takes is exact."""
        value, error = data.value, self._error(data)
        sizes = value.abs().double()
        if name in _MOVING:
            return target(error, *rest, **kwargs)
        act = activation(target, tuple(rest), kwargs)
        if act is not None:
            return self._activation(act, value, error, out)
        if name in ("conv1d", "conv2d", "conv3d", "linear"):
            return self._products(name, target, sizes, error, rest, kwargs)
        if name == "batch_norm":
            return self._batch_norm(sizes, error, rest, kwargs)
        if name in _POOLS:
            return _POOLS[name](error, *rest, **kwargs)
        return self._known_matrix(target, sizes, error, rest, kwargs)

    def _known_matrix(
        self, target: Any, sizes: Tensor, error: Tensor, rest: list[Any], kwargs: dict[str, Any]
    ) -> Tensor:
        """Bound an operation that is linear without a constant: padding, average pooling, interpolation."""
        known = linear_operator(target, rest, kwargs, tuple(sizes.shape[1:]))
        if known is None:
            raise _UnknownError
        matrix = known.matrix()
        gamma = self.gamma(longest_row(matrix))
        moved = absolute_product(
            matrix.to(torch.float64, sizes.device), _by_pixel(error * (1 + gamma) + gamma * sizes)
        )
        return moved.mT.reshape(1, *known.out_shape)

    def _activation(self, act: Any, value: Tensor, error: Tensor, out: Tensor) -> Tensor:
        slope = slope_bound(act)
        if slope is None:
            raise _UnknownError
        self.met.append(error)
        moved = slope * error
        if act.name in _WITHOUT_ROUNDING:
            return moved
        return moved + _ACTIVATION * self.unit * (value.abs() + out.abs() + max(1.0, slope)).double()

    def _products(
        self, name: str, target: Any, sizes: Tensor, error: Tensor, rest: list[Any], kwargs: dict[str, Any]
    ) -> Tensor:
        """Bound a convolution or a linear layer: the same operation with absolute values."""
        weight = rest[0] if rest else kwargs["weight"]
        bias = rest[1] if len(rest) > 1 else kwargs.get("bias")
        gamma = self.gamma(weight[0].numel())
        absolute = weight.abs().double()
        constant = None if bias is None else gamma * bias.abs().double()
        moved = error * (1 + gamma) + gamma * sizes
        if name == "linear":
            return target(moved, absolute, constant)
        more = {k: v for k, v in kwargs.items() if k not in ("weight", "bias")}
        return target(moved, absolute, constant, *rest[2:], **more)

    def _batch_norm(self, sizes: Tensor, error: Tensor, rest: list[Any], kwargs: dict[str, Any]) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = dict(zip(names, rest, strict=False)) | kwargs
        if given.get("training") or given.get("running_var") is None:
            raise _UnknownError
        column = (-1, *(1,) * (sizes.dim() - 2))
        scale = torch.rsqrt(given["running_var"].double() + given.get("eps", 1e-5))
        if given.get("weight") is not None:
            scale = scale * given["weight"].abs().double()
        shift = scale * given["running_mean"].abs().double()
        if given.get("bias") is not None:
            shift = shift + given["bias"].abs().double()
        # (x − μ)·s + β and x·s + (β − μ·s) alike: no term takes more than ten roundings
        gamma = self.gamma(8)
        moved = scale.reshape(column) * (error * (1 + gamma) + gamma * sizes)
        return moved + gamma * shift.reshape(column)


def _by_pixel(image: Tensor) -> Tensor:
    """(1, C, *spatial) -> (P, C)."""
    return image[0].reshape(image.shape[1], -1).mT


def size(errors: Tensor) -> float:
    """Return the Euclidean norm of bounds, rounded up."""
    return norm(errors) * _OWN

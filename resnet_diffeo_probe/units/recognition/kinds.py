"""What kinds of operation the rules tell apart."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from resnet_diffeo_probe.activations import FAMILIES
from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.values import spelling

__all__ = [
    "is_activation",
    "is_identity",
    "is_norm",
    "is_pad",
    "is_piece",
    "is_pool",
    "is_reshape",
    "is_scale",
    "is_slice",
    "is_split",
    "is_upsampling",
    "is_weighted",
]

_Functions = frozenset[Callable[..., Any]]


def _of(*places: Any, names: str) -> _Functions:
    return frozenset(
        function
        for place in places
        for name in names.split()
        if (function := getattr(place, name, None)) is not None
    )


_WEIGHTED = _of(
    torch,
    F,
    names="conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear bilinear "
    "multi_head_attention_forward",
)
_PRODUCTS = _of(torch, names="matmul mm bmm addmm baddbmm einsum addbmm tensordot mv addmv") | {
    operator.matmul
}
_ACTIVATIONS = _of(
    torch,
    F,
    torch.Tensor,
    names=" ".join(name for each in FAMILIES for name in (each.name, *each.also)),
)
_NORMS = _of(torch, F, names="batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm")
_POOLS = _of(
    torch,
    F,
    names="max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d",
)
_UPSAMPLING = _of(
    torch,
    F,
    names="interpolate upsample upsample_nearest upsample_bilinear conv_transpose1d conv_transpose2d "
    "conv_transpose3d pixel_shuffle max_unpool1d max_unpool2d max_unpool3d grid_sample repeat_interleave",
)
_SPLITS = _of(
    torch,
    torch.Tensor,
    names="split chunk unbind tensor_split hsplit vsplit dsplit split_with_sizes unsafe_chunk",
)
_RESHAPES = _of(
    torch, torch.Tensor, names="reshape flatten permute transpose squeeze unsqueeze movedim unflatten ravel"
)
_SLICES = _of(torch, names="select narrow index_select") | {operator.getitem}
_SCALES = _of(torch, names="mul div neg rsub") | {operator.truediv}


def is_weighted(node: fx.Node) -> bool:
    """Say whether the operation is a layer with weights: convolution, linear, product with a parameter."""
    if node.target in _PRODUCTS:
        return any(not operand.meta["data"] for operand in node.all_input_nodes)
    return node.target in _WEIGHTED


def is_activation(node: fx.Node) -> bool:
    """Say whether the operation is an elementwise non-linearity of one tensor."""
    return node.target in _ACTIVATIONS


def is_norm(node: fx.Node) -> bool:
    """Say whether the operation is a normalisation layer."""
    return node.target in _NORMS


def is_pool(node: fx.Node) -> bool:
    """Say whether the operation is a pooling."""
    return node.target in _POOLS


def is_upsampling(node: fx.Node) -> bool:
    """Say whether the operation enlarges a map."""
    return node.target in _UPSAMPLING or spelling(node.target).startswith("upsample_")  # type: ignore[arg-type]


def is_split(node: fx.Node) -> bool:
    """Say whether the operation cuts a tensor into several."""
    return node.target in _SPLITS


def is_reshape(node: fx.Node) -> bool:
    """Say whether the operation only rearranges."""
    return node.target in _RESHAPES


def is_slice(node: fx.Node) -> bool:
    """Say whether the operation picks a part of a tensor."""
    return node.target in _SLICES


def is_piece(node: fx.Node) -> bool:
    """Say whether the operation picks some of the channels (dimension 1) and leaves the rest of the shape."""
    if not is_slice(node) and node.target is not torch.Tensor.narrow:
        return False
    whole, part = node.all_input_nodes[0].meta["shape"], node.meta["shape"]
    if whole is None or part is None or len(whole) != len(part):
        return whole is None
    return bool(part[1:2] != whole[1:2] and part[2:] == whole[2:])


def is_pad(node: fx.Node) -> bool:
    """Say whether the operation borders a tensor with constants (or concatenates zeros)."""
    if node.target is torch.cat:
        operands = node.args[0] if isinstance(node.args[0], (list, tuple)) else ()
        return sum(isinstance(part, fx.Node) and not _is_zero(part) for part in operands) == 1
    return node.target is F.pad


def _is_zero(node: fx.Node) -> bool:
    """Say whether a node is constant, or the zeros that `x.mul(0)` spells."""
    return not node.meta["data"] or (node.target is torch.mul and _is_number(node.args[1], 0))


def is_scale(node: fx.Node) -> bool:
    """Say whether the operation multiplies by, or adds, something that does not depend on the input."""
    operands = [operand for operand in node.all_input_nodes if operand.meta["data"]]
    return len(operands) == 1 and (node.target in _SCALES or node.target in {torch.add, torch.sub})


def is_identity(node: fx.Node) -> bool:
    """Say whether the operation changes no number and no index: copies, casts to as many digits, `0 + x`."""
    if node.target is torch.Tensor.to:
        return _keeps_numbers(node)
    if node.target in {torch.Tensor.contiguous, torch.clone, functional.copied}:
        return True
    if node.target in {torch.add, torch.sub}:
        return len(node.args) == 2 and _is_number(node.args[1], 0)
    if node.target in {torch.mul, torch.div}:
        return len(node.args) == 2 and _is_number(node.args[1], 1)
    return False


def _keeps_numbers(cast: fx.Node) -> bool:
    """Say whether the dtype that a tensor is cast to holds every number of its own: not float16's after float32."""
    before, after = (node.meta.get("dtype") for node in (cast.all_input_nodes[0], cast))
    return before is not None and after is not None and torch.promote_types(before, after) == after


def _is_number(item: Any, value: float) -> bool:
    return isinstance(item, (int, float)) and item == value

"""Torch's operations by what a proof may assume of them: continuous, without kinks, of one sign.

Bare names, as graphs of branches spell them. What is on no list is assumed to be nothing.
"""

from __future__ import annotations

__all__ = ["CONSTANT", "CONTINUOUS", "NONNEGATIVE", "POSITIVE", "REGULARISED", "SMOOTH", "WITH_INDICES"]

_LINEAR = (
    "add sub rsub neg mean sum cumsum linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample "
    "upsample_nearest upsample_bilinear pad constant_pad_nd fft ifft rfft irfft diff trace"
)
_MULTILINEAR = (
    "mul matmul mm bmm mv dot addmm addmv baddbmm addbmm einsum tensordot bilinear outer addcmul lerp square prod "
    "cumprod scaled_dot_product_attention"
)
_LAYOUT = (
    "reshape view flatten unflatten permute transpose movedim squeeze unsqueeze expand expand_as repeat "
    "repeat_interleave contiguous clone cat stack split split_with_sizes chunk unbind tensor_split narrow select "
    "index_select getitem roll flip tril triu pixel_shuffle pixel_unshuffle channel_shuffle fold unfold t T mT H real "
    "imag diagonal diag diag_embed setitem write_through copied as_strided swapaxes ravel rot90 view_as reshape_as "
    "broadcast_to atleast_1d atleast_2d atleast_3d identity alias"
)
# kinks perhaps, jumps never; of max, min, sort, topk and the like the values are continuous, the indices are not
_ELEMENTWISE = (
    "abs maximum minimum fmax fmin max min amax amin sort topk kthvalue median logsumexp softmax log_softmax exp expm1 "
    "sin cos tanh sigmoid erf atan arctan sinh cosh asinh arcsinh clamp_min clamp_max clip hypot "
    "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d logaddexp "
    "cummax cummin relu softmin var std"
)
CONTINUOUS = frozenset(f"{_LINEAR} {_MULTILINEAR} {_LAYOUT} {_ELEMENTWISE}".split())
# without any kink where they are defined
SMOOTH = frozenset(
    f"{_LINEAR} {_MULTILINEAR} {_LAYOUT} logsumexp softmax log_softmax softmin exp expm1 sin cos tanh sigmoid erf atan "
    "arctan sinh cosh asinh arcsinh logaddexp var pow div reciprocal rsqrt log log1p to type_as float double".split()
)
# continuous because a positive number is added below the root
REGULARISED = {
    "batch_norm": 7,
    "layer_norm": 4,
    "group_norm": 4,
    "instance_norm": 7,
    "rms_norm": 3,
}
WITH_INDICES = frozenset(["max", "min", "sort", "topk", "kthvalue", "median", "cummax", "cummin"])
# what looks at no value of its operand
CONSTANT = frozenset(
    {
        *(
            "zeros_like",
            "ones_like",
            "full_like",
            "empty_like",
            "new_zeros",
            "new_ones",
            "new_full",
            "arange",
        ),
        *("size", "shape", "dim", "numel", "ndimension", "batch_size"),
    }
)
NONNEGATIVE = frozenset(
    ("relu", "relu6", "abs", "square", "norm", "vector_norm", "linalg_vector_norm", "sqrt", "hypot", "var")
)
POSITIVE = frozenset(["sigmoid", "exp", "softplus", "softmax", "cosh"])

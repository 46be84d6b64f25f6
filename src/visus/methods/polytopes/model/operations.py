"""Which tensor operations are piecewise affine, and where they bend.

Names are those of torch's aten operators without overload. An operation is followed if it stands in one of the
tables; everything else that touches data is refused, with the reason from `REASONS` where one is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def _words(text: str) -> list[str]:
    return text.split()


# These move entries and nothing else.
MOVES = frozenset(
    _words("""
    clone detach alias contiguous view _unsafe_view reshape _reshape_alias unflatten flatten permute transpose t expand
    expand_as unsqueeze squeeze slice select narrow split split_with_sizes chunk unbind movedim
    """)
)
# Affine in all tensors together.
AFFINE = MOVES | frozenset(
    _words("""
    add sub rsub neg sum mean cumsum positive diff unsafe_split unsafe_split_with_sizes cat stack
    unfold diagonal tril triu roll flip repeat repeat_interleave rot90
    index index_select gather scatter scatter_add index_add index_put masked_fill take copy fill zero
    slice_scatter select_scatter
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d
    im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d
    empty_like zeros_like ones_like full_like new_empty new_zeros new_ones new_full new_empty_strided
    _to_copy lift_fresh lift_fresh_copy
    """)
)
# Affine as long as at most one of these arguments carries data.
FACTORS: dict[str, tuple[int, ...]] = {
    "mul": (0, 1),
    "mm": (0, 1),
    "bmm": (0, 1),
    "mv": (0, 1),
    "dot": (0, 1),
    "matmul": (0, 1),
    "linear": (0, 1),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
    "addbmm": (1, 2),
    "addcmul": (1, 2),
    "convolution": (0, 1),
    "_trilinear": (0, 1, 2),
}
# Affine as long as these arguments carry no data.
CONSTANTS: dict[str, tuple[int, ...]] = {
    "div": (1,),
    "lerp": (2,),
    "where": (0,),
    "native_batch_norm": (1, 2, 3, 4),
    "_native_batch_norm_legit_no_training": (1, 2, 3, 4),
    "batch_norm": (1, 2, 3, 4),
}

_SMOOTH = "its regions are not polytopes, it is smooth"
_JUMP = "it jumps"
_BRANCH = "the computation branches on the data"
REASONS: dict[str, str] = {
    **dict.fromkeys(
        _words("""
        gelu silu sigmoid tanh elu celu softplus mish log_sigmoid_forward glu exp exp2 expm1 log log2 log10 log1p sqrt
        rsqrt pow sin cos tan atan asin acos sinh cosh erf erfc hardswish _softmax _log_softmax _safe_softmax softmax
        log_softmax logsumexp native_layer_norm native_group_norm std var var_mean linalg_vector_norm norm reciprocal
        _cdist_forward square prod cumprod logaddexp atan2 hypot sinc
        """),
        "it is smooth, so its regions are not polytopes",
    ),
    **dict.fromkeys(
        _words("""
        sign sgn round floor ceil trunc frac heaviside hardshrink threshold fmod remainder floor_divide to_integer
        """),
        "it jumps",
    ),
    **dict.fromkeys(
        _words("""
        gt ge lt le eq ne argmax argmin sort argsort topk median kthvalue mode cummax cummin nonzero
        _local_scalar_dense is_nonzero isnan isinf isfinite logical_not logical_and logical_or searchsorted bucketize
        unique equal allclose isclose any all max_unpool2d max_unpool3d
        """),
        "the computation branches on the data",
    ),
    **dict.fromkeys(
        _words("bernoulli rand_like randn_like randint_like normal uniform native_dropout random"),
        "it draws random numbers",
    ),
    **dict.fromkeys(
        _words("squeeze_ unsqueeze_ t_ transpose_ resize_ resize_as_ set_ as_strided_"),
        "it changes the shape of a tensor in place",
    ),
}


def _number(value: Any) -> bool:
    return value is not None and not (isinstance(value, (int, float)) and math.isinf(value))


def _clamp(x: Tensor, low: Any = None, high: Any = None, **named: Any) -> list[Tensor]:
    low, high = named.get("min", low), named.get("max", high)
    return [x - bound for bound in (low, high) if _number(bound)]


def _slope(x: Tensor, *_: Any, **__: Any) -> list[Tensor]:
    return [x]


# Continuous operations of one or two arguments: the functionals at whose zeros they bend.
BENDS: dict[str, Callable[..., list[Tensor]]] = {
    "relu": _slope,
    "leaky_relu": _slope,
    "_prelu_kernel": _slope,
    "abs": _slope,
    "rrelu_with_noise": _slope,
    "threshold": lambda x, bound, _value: [x - bound],
    "clamp": _clamp,
    "clamp_min": lambda x, low: [x - low],
    "clamp_max": lambda x, high: [x - high],
    "hardtanh": lambda x, low=-1.0, high=1.0: [x - low, x - high],
    "hardsigmoid": lambda x: [x + 3, x - 3],
    "softshrink": lambda x, lambd=0.5: [x + lambd, x - lambd],
    "maximum": lambda a, b: [a - b],
    "minimum": lambda a, b: [a - b],
    "fmax": lambda a, b: [a - b],
    "fmin": lambda a, b: [a - b],
}
SYMMETRIC = frozenset(_words("maximum minimum fmax fmin rrelu_with_noise"))
"""Those that may have data in more than the first argument (the noise of an evaluated rrelu is not used)."""


def tournament(entries: Tensor, sign: int) -> Iterator[Tensor]:
    """Differences met while the largest (sign 1) or smallest (-1) of the last axis is found in rounds of pairs.

    The cells of the rounds together are a refinement of the cells on which one entry wins: n entries need n - 1
    differences in ceil(log2 n) rounds, where comparing all pairs would need n (n - 1) / 2.
    """
    while (half := entries.shape[-1] // 2) > 0:
        first, second = entries[..., :half], entries[..., half : 2 * half]
        yield first - second
        best = torch.maximum(first, second) if sign > 0 else torch.minimum(first, second)
        entries = torch.cat([best, entries[..., 2 * half :]], -1)


def _whole(x: Tensor, dims: Any = (), *_: Any, **named: Any) -> Tensor:
    """The entries over which a maximum is taken, on the last axis."""
    dims = named.get("dim", dims)
    dims = [dims] if isinstance(dims, int) else list(dims)
    dims = [dim % x.dim() for dim in dims] or list(range(x.dim()))
    kept = [dim for dim in range(x.dim()) if dim not in dims]
    return x.permute(*kept, *dims).flatten(len(kept)) if dims else x[..., None]


def _windows(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """x gathered at places[i] (out, window) along its last axes: (..., out_1, .., out_n, entries of a window)."""
    axes = len(places)
    lead = x.dim() - axes
    shape = x.shape[:lead]
    for axis, place in enumerate(places):
        x = x.index_select(lead + 2 * axis, place.flatten()).unflatten(lead + 2 * axis, place.shape)
    outs = [lead + 2 * axis for axis in range(axes)]
    return x.permute(*range(len(shape)), *outs, *(out + 1 for out in outs)).flatten(lead + axes)


def _pooled(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
):
    """The windows of a max-pool; places in the padding are replaced by the window's first real one."""
    axes = 3 if x.dim() == 5 else 2
    kernel, padding, dilation = (_per_axis(value, axes) for value in (kernel, padding, dilation))
    stride = _per_axis(stride, axes) if not isinstance(stride, (tuple, list)) or len(stride) else kernel
    places = []
    for axis in range(axes):
        size, k, s = x.shape[axis - axes], kernel[axis], stride[axis]
        p, step = padding[axis], dilation[axis]
        room = size + 2 * p - step * (k - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and (count - 1) * s >= size + p:
            count -= 1
        start = torch.arange(count, device=x.device)[:, None] * s - p
        place = start + torch.arange(k, device=x.device) * step
        real = (place >= 0) & (place < size)
        first = place.gather(1, real.int().argmax(1, keepdim=True))
        places.append(torch.where(real, place, first))
    return _windows(x, places)


def _adaptive(x: Tensor, output: Any, *, axes: int) -> Tensor:
    places = []
    for size, count in zip(x.shape[-axes:], _per_axis(output, axes), strict=True):
        bounds = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        widest = max(stop - start for start, stop in bounds)
        rows = [[min(start + j, stop - 1) for j in range(widest)] for start, stop in bounds]
        places.append(torch.tensor(rows, device=x.device))
    return _windows(x, places)


def _per_axis(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    return values * axes if len(values) == 1 else values


# Operations that pick the largest (1) or smallest (-1) of many entries: how to lay out the entries.
CONTESTS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "amax": (1, _whole),
    "amin": (-1, _whole),
    "max": (1, _whole),
    "min": (-1, _whole),
    "max_pool2d_with_indices": (1, _pooled),
    "max_pool3d_with_indices": (1, _pooled),
    "max_pool2d": (1, _pooled),
    "adaptive_max_pool2d": (1, lambda x, output: _adaptive(x, output, axes=2)),
    "adaptive_max_pool3d": (1, lambda x, output: _adaptive(x, output, axes=3)),
}

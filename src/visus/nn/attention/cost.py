"""What each kind of attention costs, exactly: parameters, multiply-accumulates, cache. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from visus.errors import InputError

KINDS = ("standard", "optimized", "efficient", "super")
_MAPS = {"standard": 4, "optimized": 3, "efficient": 2, "super": 2, "absorbed": 4}
_CACHE_ROWS = {"standard": 2, "optimized": 2, "efficient": 1, "super": 2, "absorbed": 1}


@dataclass(frozen=True, kw_only=True)
class AttentionCost:
    """The cost of one self-attention layer.

    parameters : trainable numbers.
    macs : multiply-accumulates of a forward pass over `batch` sequences of `length` tokens.
    exponentials : exp() calls of the softmax in that pass.
    decode_macs : multiply-accumulates for one more token when the cache then holds `length` tokens, over the
        batch.
    cache_bytes : cache of `batch` sequences of `length` tokens.
    """

    kind: str
    parameters: int
    macs: int
    exponentials: int
    decode_macs: int
    cache_bytes: int


@dataclass(frozen=True, kw_only=True)
class SuperLimits:
    """How far Super attention is cheaper than standard attention of the same width.

    macs : longest input for which it needs fewer multiply-accumulates (l < 2 d).
    decode_macs : longest cache for which one more token needs fewer (n < 2 d).
    parameters : longest W_A for which it has fewer parameters (l^2 < 2 (d^2 + d), with biases as counted).
    """

    macs: int
    decode_macs: int
    parameters: int


def cost(
    kind: str,
    *,
    width: int,
    length: int,
    num_heads: int = 1,
    batch: int = 1,
    bias: bool = True,
    wa_bias: bool = False,
    wa_length: int | None = None,
    element_bytes: int = 4,
) -> AttentionCost:
    """Cost of one kind: `standard`, `optimized`, `efficient`, `super` or `absorbed`.

    With d = width, l = length, h = num_heads, per sequence: standard 4 l d^2 + 2 l^2 d multiply-accumulates,
    optimized 3 l d^2 + 2 l^2 d, efficient 2 l d^2 + 2 l^2 d, super 2 l d^2 + 3 l^2 d, absorbed 4 l d^2 + 2 h
    l^2 d, plus h l^2 exponentials. Counted without the savings of a causal kernel.

    Parameters
    ----------
    wa_length : size of W_A where it was made for longer inputs than `length`.
    element_bytes : 4 for float32, 2 for bfloat16.

    >>> [cost(kind, width=32, length=32, wa_bias=True).parameters for kind in KINDS]
    [4224, 3168, 2112, 3168]
    """
    if kind not in _MAPS:
        raise InputError(f"{kind!r} is unknown", field="kind", remedy="choose " + ", ".join(_MAPS))
    sizes = {
        "width": width,
        "length": length,
        "num_heads": num_heads,
        "batch": batch,
        "element_bytes": element_bytes,
    }
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"is {size}", field=name, remedy="use 1 or more")
    if width % num_heads:
        raise InputError(f"does not divide the width {width}", field="num_heads", remedy="choose a divisor")
    made_for = length if wa_length is None else wa_length
    if made_for < length:
        raise InputError(
            f"is shorter than the input ({length})", field="wa_length", remedy="use at least the length"
        )
    maps, d = _MAPS[kind], width
    mixing = kind == "super"
    attention = 2 * (num_heads if kind == "absorbed" else 1) + (1 if mixing else 0)
    extra = (made_for**2 + (made_for if wa_bias else 0)) if mixing else 0
    return AttentionCost(
        kind=kind,
        parameters=maps * (d * d + (d if bias else 0)) + extra,
        macs=batch * (maps * length * d * d + attention * length * length * d),
        exponentials=batch * num_heads * length * length,
        decode_macs=batch * (maps * d * d + attention * length * d),
        cache_bytes=batch * length * d * _CACHE_ROWS[kind] * element_bytes,
    )


def super_limits(width: int, *, bias: bool = True, wa_bias: bool = False) -> SuperLimits:
    """The lengths up to which Super attention is cheaper than standard attention of the same width.

    >>> super_limits(512)
    SuperLimits(macs=1023, decode_macs=1023, parameters=724)
    """
    if width < 1:
        raise InputError(f"is {width}", field="width", remedy="use 1 or more")
    saved = 2 * (width * width + (width if bias else 0))
    longest = math.isqrt(saved - 1)
    while longest > 0 and longest * longest + (longest if wa_bias else 0) >= saved:
        longest -= 1
    return SuperLimits(macs=2 * width - 1, decode_macs=2 * width - 1, parameters=longest)

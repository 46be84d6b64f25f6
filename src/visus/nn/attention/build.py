"""Attention by name."""

from __future__ import annotations

from typing import Any

from visus.errors import InputError
from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.cost import KINDS
from visus.nn.attention.variants import (
    EfficientAttention,
    OptimizedAttention,
    StandardAttention,
    SuperAttention,
)

CLASSES: dict[str, type[MultiheadBase]] = {
    made.kind: made for made in (StandardAttention, OptimizedAttention, EfficientAttention, SuperAttention)
}


def attention_class(kind: str) -> type[MultiheadBase]:
    """The class of a kind: `standard`, `optimized`, `efficient` or `super`."""
    if kind not in CLASSES:
        raise InputError(f"{kind!r} is unknown", field="kind", remedy="choose " + ", ".join(KINDS))
    return CLASSES[kind]


def length_option(kind: str, length: int | None) -> dict[str, int]:
    """The constructor argument only Super attention has."""
    if kind != SuperAttention.kind:
        return {}
    if length is None:
        raise InputError(
            "is needed by Super attention",
            field="length",
            remedy="give the largest number of tokens it will see",
        )
    return {"length": length}


def build_attention(
    kind: str, width: int, *, num_heads: int, length: int | None = None, **options: Any
) -> MultiheadBase:
    """Attention by name; `length` is used by `super` only.

    >>> build_attention("super", 32, num_heads=4, length=16).kind
    'super'
    """
    return attention_class(kind)(width, num_heads=num_heads, **length_option(kind, length), **options)

"""Multi-head attention with fewer linear maps (arXiv 2403.01643), drop-in replacement, exact costs."""

from visus.nn.attention.absorbed import AbsorbedAttention
from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.build import build_attention
from visus.nn.attention.cache import KeyValueCache
from visus.nn.attention.cost import KINDS, AttentionCost, SuperLimits, cost, super_limits
from visus.nn.attention.pretrained import load_replaced, save_replaced
from visus.nn.attention.replace import AttentionSite, find_attention, replace_attention
from visus.nn.attention.variants import (
    EfficientAttention,
    OptimizedAttention,
    StandardAttention,
    SuperAttention,
)

__all__ = [
    "KINDS",
    "AbsorbedAttention",
    "AttentionCost",
    "AttentionSite",
    "EfficientAttention",
    "KeyValueCache",
    "MultiheadBase",
    "OptimizedAttention",
    "StandardAttention",
    "SuperAttention",
    "SuperLimits",
    "build_attention",
    "cost",
    "find_attention",
    "load_replaced",
    "replace_attention",
    "save_replaced",
    "super_limits",
]

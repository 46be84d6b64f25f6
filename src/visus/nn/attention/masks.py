"""Which query may look at which key: every way of saying so, merged into one mask for fused attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visus.errors import InputError

Mask: TypeAlias = Bool[Tensor, "..."] | Float[Tensor, "..."]


@dataclass(frozen=True)
class Visibility:
    """The merged mask of one attention call; `b`, `h` and `l` may be 1 where the mask does not vary.

    mask : (b, h, l, n), boolean with True = visible, or additive; None when nothing beyond `is_causal` hides
        keys.
    is_causal : the plain square causal case, left to the kernel.
    dead : (b, h, l, 1), True where a head's query sees no key at all; None when no mask was given.
    hidden_keys : (b, n), True where a key is hidden from every query (padding); None when no such statement
        was made.
    hidden_pairs : (b, l, n), True where `attn_mask` hides the pair in any head; None without an `attn_mask`.
    """

    mask: Tensor | None
    is_causal: bool
    dead: Tensor | None
    hidden_keys: Tensor | None
    hidden_pairs: Tensor | None


def merge_masks(
    *,
    batch: int,
    heads: int,
    queries: int,
    keys: int,
    start: int,
    causal: bool,
    key_padding_mask: Mask | None,
    attn_mask: Mask | None,
    like: Tensor,
) -> Visibility:
    """Merge causality, key padding and an attention mask.

    Conventions are those of `torch.nn.MultiheadAttention`: boolean True = hidden; a floating mask is added to
    the scores, -inf = hidden. Query i stands at position `start + i` and, when `causal`, sees keys up to that
    position. A row that sees no key is made visible here, so that no softmax is taken over nothing (its
    gradient would be NaN), and is reported in `dead` to be zeroed after attention.

    Parameters
    ----------
    key_padding_mask : (b, n).
    attn_mask : (l, n), (b, l, n), (b*h, l, n) or (b | 1, h | 1, l | 1, n).
    like : gives device and floating type.

    Raises
    ------
    InputError : a mask whose shape fits neither.
    """
    padding = _padding(key_padding_mask, batch=batch, keys=keys)
    pairs = _pairs(attn_mask, batch=batch, heads=heads, queries=queries, keys=keys)
    given = [mask for mask in (padding, pairs) if mask is not None]
    hidden_keys = None if padding is None else is_hidden(padding)[:, 0, 0]
    hidden_pairs = None if pairs is None else is_hidden(pairs).any(1)
    if not given and (not causal or (queries == 1 and start + 1 == keys)):
        return Visibility(None, False, None, hidden_keys, hidden_pairs)
    if not given and start == 0 and queries == keys:
        return Visibility(None, True, None, hidden_keys, hidden_pairs)
    if causal:
        given.append(later_keys(queries, keys, start=start, device=like.device)[None, None])
    mask, dead = _combine(given, like)
    return Visibility(mask, False, dead, hidden_keys, hidden_pairs)


def later_keys(
    queries: int, keys: int, *, start: int = 0, device: torch.device | None = None
) -> Bool[Tensor, "l n"]:
    """True where key j comes after query i, which stands at position `start + i`."""
    position = torch.arange(start, start + queries, device=device)
    return torch.arange(keys, device=device)[None, :] > position[:, None]


def is_hidden(mask: Mask) -> Tensor:
    """The pairs a mask hides outright."""
    return mask if mask.dtype == torch.bool else torch.isneginf(mask)


def _combine(given: list[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    if all(mask.dtype == torch.bool for mask in given):
        hidden = given[0]
        for mask in given[1:]:
            hidden = hidden | mask
        dead = hidden.all(-1, keepdim=True)
        return ~hidden | dead, dead
    total = torch.zeros((), dtype=like.dtype, device=like.device)
    for mask in given:
        if mask.dtype == torch.bool:
            total = total.masked_fill(mask, float("-inf"))
        else:
            total = total + mask.to(like.dtype)
    dead = torch.isneginf(total).all(-1, keepdim=True)
    return total.masked_fill(dead, 0.0), dead


def _padding(mask: Tensor | None, *, batch: int, keys: int) -> Tensor | None:
    if mask is None:
        return None
    if tuple(mask.shape) != (batch, keys):
        raise InputError(
            f"has shape {tuple(mask.shape)}, but there are {batch} sequences of {keys} keys",
            field="key_padding_mask",
            remedy="give one boolean per key, True = padded; with a cache, for the cached keys too",
        )
    return _known_type(mask, "key_padding_mask")[:, None, None, :]


def _pairs(mask: Tensor | None, *, batch: int, heads: int, queries: int, keys: int) -> Tensor | None:
    if mask is None:
        return None
    shape = tuple(mask.shape)
    full = mask
    if mask.ndim == 2:
        full = mask[None, None]
    elif mask.ndim == 3 and heads > 1 and shape[0] == batch * heads:
        full = mask.unflatten(0, (batch, heads))
    elif mask.ndim == 3:
        full = mask[:, None]
    wanted = ((1, batch), (1, heads), (1, queries), (keys,))
    if full.ndim != 4 or any(size not in allowed for size, allowed in zip(full.shape, wanted, strict=True)):
        raise InputError(
            f"has shape {shape}; there are {batch} sequences, {heads} heads, {queries} queries, {keys} keys",
            field="attn_mask",
            remedy=f"give ({queries}, {keys}), ({batch}, {queries}, {keys}) or "
            f"({batch}, {heads}, {queries}, {keys})",
        )
    return _known_type(full, "attn_mask")


def _known_type(mask: Tensor, name: str) -> Tensor:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise InputError(
            f"has type {mask.dtype}",
            field=name,
            remedy="give booleans (True = hidden) or additive floating numbers",
        )
    return mask

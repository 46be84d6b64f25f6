"""Attention of slots to remembered slots, whose keys and values can be kept, and places in time."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots import CrossAttention

TimeKind = Literal["learned", "sin", "relative"]


class TimePositions(nn.Module):
    """Tells a frame's age, counted back from the frame that looks: the same for streams and bounded buffers.

    `learned`: one vector per age, added to the remembered slots before keys and values are made of them.
    `sin`: the same with fixed vectors p(age)[2i] = sin(age / 10000^(2i/d)), p(age)[2i+1] = cos of it.
    `relative`: one number per head and age, added to the attention's logits.

    Adding before a linear map is adding after it, so that projected keys and values can be kept although
    their ages grow. Nothing is added to the query: its age is always 0.

    Paper: none; 2403.15245 has no position in time, and its attention over the memory is blind to order.

    Parameters
    ----------
    span : ages told apart by `learned` and `relative`; older frames count as age span - 1.
    """

    def __init__(self, kind: TimeKind, *, size: int, heads: int, span: int) -> None:
        super().__init__()
        if kind not in get_args(TimeKind):
            remedy = f"choose None, {', '.join(get_args(TimeKind))}"
            raise InputError(f"{kind!r} is unknown", field="time_positions", remedy=remedy)
        if span < 1:
            raise InputError(f"is {span}", field="span", remedy="choose 1 or more")
        self.kind, self.size, self.span = kind, size, span
        if kind == "learned":
            self.table = nn.Parameter(0.02 * torch.randn(span, size))
        elif kind == "relative":
            self.table = nn.Parameter(torch.zeros(heads, span))

    @property
    def on_tokens(self) -> bool:
        """Whether ages are vectors added to tokens (else numbers added to logits)."""
        return self.kind != "relative"

    def told_apart(self, ages: Int[Tensor, "t l"]) -> Int[Tensor, "t l"]:
        """Ages as rows of the table."""
        return ages.clamp(min=0) if self.kind == "sin" else ages.clamp(0, self.span - 1)

    def told_of(self, frames: int) -> int:
        """How many ages `frames` frames have."""
        return frames if self.kind == "sin" else min(frames, self.span)

    def vectors(self, frames: int, like: Tensor) -> Float[Tensor, "a d"]:
        """The vectors of the ages of `frames` frames."""
        if self.kind == "sin":
            return sinusoid(torch.arange(frames, device=like.device), self.size, dtype=like.dtype)
        return self.table[:frames]

    def bias(self, ages: Int[Tensor, "t l"]) -> Float[Tensor, "h t l"]:
        """What is added to the logits of every head."""
        return self.table[:, self.told_apart(ages)]


def sinusoid(
    places: Int[Tensor, " n"], size: int, *, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n d"]:
    """Sines at even and cosines at odd numbers, with wavelengths from 2 pi to 10000 * 2 pi.

    Paper: 1706.03762, sec. 3.5.
    """
    wide = torch.promote_types(dtype, torch.float32)
    rates = torch.arange(0, size, 2, device=places.device, dtype=wide).mul(-math.log(10000.0) / size).exp()
    angles = places[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size].to(dtype)


class TimeAttention(CrossAttention):
    """Slots of some frames look back at the slots of their own and all earlier frames.

    `corresponding` (CS): slot i looks at slot i alone, 2 K L qkv multiply-adds for K slots and L frames.
    `all` (AS): every slot looks at every slot of every frame, 2 K^2 L qkv.

    What is remembered of a frame is what `entry` returns: with `cache` its keys and values, which are then
    projected once; without, the slots themselves, projected again by every later frame. The outputs are equal.

    Paper: 2403.15245, sec. 3 (CS and AS).
    Differs: the reference's AS with pre-norm attends to corresponding slots only; here AS is AS in both.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        qkv: int,
        everything: bool,
        window: int | None,
        cache: bool,
        positions: TimePositions | None,
    ) -> None:
        super().__init__(size, heads=heads, qkv=qkv)
        self.size, self.qkv = size, qkv
        self.everything, self.window, self.cache = everything, window, cache
        self.positions = positions

    @property
    def width(self) -> int:
        """Numbers remembered of a slot of a frame."""
        return 2 * self.qkv if self.cache else self.size

    def entry(self, x: Float[Tensor, "b k t d"]) -> Float[Tensor, "b k t c"]:
        """What is remembered of `x`."""
        return self.to_key_value(x) if self.cache else x

    def look(
        self, x: Float[Tensor, "b k t d"], entries: Float[Tensor, "b k l c"], ages: Int[Tensor, "t l"]
    ) -> Float[Tensor, "b k t d"]:
        """Let the slots `x` of the last t frames look at the entries of l frames, their own included."""
        key_value = entries if self.cache else self.to_key_value(entries)
        key, value = (self._fold(part) for part in key_value.chunk(2, dim=-1))
        slots, frames = x.shape[1], entries.shape[2]
        seen = None if x.shape[2] == 1 else self._visible(ages)
        if self.everything:
            ages = ages.repeat(slots, slots)
            seen = None if seen is None else seen.repeat(slots, slots)
        mixed = self._mix(self._fold(self.to_query(x)), key, value, ages, seen, frames=frames)
        return self.to_out(self._unfold(mixed, slots))

    def operations(self, slots: int, frames: int) -> int:
        """Multiply-adds of one step whose memory then holds `frames` frames."""
        entries = slots * frames if self.everything else frames
        projected = slots * (1 if self.cache else frames)
        spent = attention_operations(self, slots, entries, projected=projected)
        if self.positions is not None and self.positions.on_tokens:
            told = self.positions.told_of(frames)
            spent += 2 * told * self.size * self.qkv
        return spent

    def _fold(self, x: Float[Tensor, "b k l c"]) -> Float[Tensor, "n h m e"]:
        pattern = "b k l (h e) -> b h (k l) e" if self.everything else "b k l (h e) -> (b k) h l e"
        return rearrange(x, pattern, h=self.heads)

    def _unfold(self, x: Float[Tensor, "n h m e"], slots: int) -> Float[Tensor, "b k l c"]:
        pattern = "b h (k l) e -> b k l (h e)" if self.everything else "(b k) h l e -> b k l (h e)"
        return rearrange(x, pattern, k=slots)

    def _mix(
        self,
        query: Float[Tensor, "n h t e"],
        key: Float[Tensor, "n h l e"],
        value: Float[Tensor, "n h l e"],
        ages: Int[Tensor, "t l"],
        seen: Bool[Tensor, "t l"] | None,
        *,
        frames: int,
    ) -> Float[Tensor, "n h t e"]:
        """Attention of queries to the entries they may see; the queries of one frame alone see all (None)."""
        if self.positions is None:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        if not self.positions.on_tokens:
            bias = self.positions.bias(ages).to(query.dtype)
            bias = bias if seen is None else bias.masked_fill(~seen, -torch.inf)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        ages = self.positions.told_apart(ages)
        key_places, value_places = self._project_places(frames, like=query)
        if seen is None:
            key, value = key + key_places[:, ages[0]], value + value_places[:, ages[0]]
            return F.scaled_dot_product_attention(query, key, value)
        # every query sees an entry at another age: the places are added to logits and outputs instead
        places = F.one_hot(ages, key_places.shape[1]).to(query.dtype)
        logits = query @ key.mT + torch.einsum("nhta,tla->nhtl", query @ key_places.mT, places)
        logits = (logits / math.sqrt(query.shape[-1])).masked_fill(~seen, -torch.inf)
        weights = logits.softmax(dim=-1).to(value.dtype)
        return weights @ value + torch.einsum("nhtl,tla->nhta", weights, places) @ value_places

    def _visible(self, ages: Int[Tensor, "t l"]) -> Bool[Tensor, "t l"]:
        return (ages >= 0) if self.window is None else (ages >= 0) & (ages < self.window)

    def _project_places(
        self, frames: int, like: Tensor
    ) -> tuple[Float[Tensor, "h a e"], Float[Tensor, "h a e"]]:
        assert self.positions is not None
        vectors = self.positions.vectors(frames, like)
        projected = F.linear(vectors, self.to_key_value.weight).to(like.dtype)
        key, value = rearrange(projected, "a (s h e) -> s h a e", s=2, h=self.heads)
        return key, value


def attention_operations(layer: CrossAttention, queries: int, entries: int, *, projected: int) -> int:
    """Multiply-adds of `queries` tokens that look at `entries` each, with keys and values made for `projected`."""
    qkv, size = layer.to_query.weight.shape
    return 2 * size * qkv * (queries + projected) + 2 * queries * entries * qkv

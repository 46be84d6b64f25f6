"""Predictors that read a window of past frames anew at every step: SlotFormer's and OCVP's.

Ages count back from the newest frame, so that a stream and a window cut out of it agree.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from visus.methods.statm.model.attention import sinusoid
from visus.methods.statm.model.memory import Memory, check_slots, join
from visus.methods.statm.model.predictors import (
    Predictor,
    SlotClip,
    block_operations,
    check_buffer,
    dense_operations,
)
from visus.nn.slots import CrossAttention, TransformerBlock, layer_norm, mlp, start_like_flax


class HistoryPredictor(Predictor):
    """Reads a window of past frames anew at every step; subclasses say how (`read`).

    Parameters
    ----------
    window : frames in the window, the current one included; None reads all.
    residual : predict the change of the slots instead of the slots.
    """

    def __init__(self, size: int, *, width: int, window: int | None, residual: bool) -> None:
        super().__init__()
        check_buffer(window)
        self.size, self.width, self.window, self.residual = size, width, window, residual
        self.enter, self.leave = nn.Linear(size, width), nn.Linear(width, size)
        start_like_flax(self)

    @abstractmethod
    def read(
        self, tokens: Float[Tensor, "n l k e"], present: Bool[Tensor, "n l"] | None
    ) -> Float[Tensor, "n l k e"]:
        """The tokens after the layers; frames that are not `present` must not be looked at."""

    def blank(self, batch: int, count: int, like: Tensor) -> Memory:
        return Memory(entries=like.new_zeros(batch, count, 0, self.size))

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        batch, frames = slots.shape[:2]
        keep = None if self.window is None else self.window + frames - 1
        entries = join(memory["entries"], slots.transpose(1, 2), keep=keep)
        windows, present = self._windows(entries.transpose(1, 2), frames)
        last = self.predict(windows, present)
        kept = entries if self.window is None else entries[:, :, -self.window :]
        return last.unflatten(0, (batch, frames)), Memory(entries=kept)

    def predict(
        self, window: Float[Tensor, "n l k d"], present: Bool[Tensor, "n l"] | None = None
    ) -> Float[Tensor, "n k d"]:
        """The slots after the last frame of each window."""
        ages = torch.arange(window.shape[1] - 1, -1, -1, device=window.device)
        tokens = self.enter(window)
        tokens = tokens + sinusoid(ages, self.width, dtype=tokens.dtype)[:, None]
        predicted = self.leave(self.read(tokens, present)[:, -1])
        return window[:, -1] + predicted if self.residual else predicted

    def remembered(self, slots: int, length: int) -> int:
        return slots * self.seen(length) * self.size

    def seen(self, length: int) -> int:
        """Frames in the window when `length` have been seen."""
        return length if self.window is None else min(length, self.window)

    def operations(self, slots: int, length: int) -> int:
        frames = self.seen(length)
        return (frames + 1) * slots * self.size * self.width + self.reading(slots, frames)

    @abstractmethod
    def reading(self, slots: int, frames: int) -> int:
        """Multiply-adds of `read` on one window."""

    def _windows(
        self, history: SlotClip, frames: int
    ) -> tuple[Float[Tensor, "n l k d"], Bool[Tensor, "n l"] | None]:
        """For each of the last `frames` frames what it may see, filled up in front, and what is no filling."""
        if frames == 1:
            return history, None
        length = history.shape[1]
        width = length if self.window is None else min(length, self.window)
        seen = torch.arange(length, device=history.device)
        places = seen[length - frames :, None] - seen[:width].flip(0)
        present = (places >= 0).repeat(history.shape[0], 1)
        return history[:, places.clamp(min=0)].flatten(0, 1), present


class SlotFormerPredictor(HistoryPredictor):
    """All slots of all frames of a window look at each other, 4 layers deep; the newest frame's outputs are read.

    tokens = W s + sin(age); pre-norm transformer over the (K L) tokens; out = W' of the last K tokens.

    Paper: SlotFormer 2210.05861 (window of 6 frames, a fixed sine per frame and none per slot).
    Differs: at the beginning it reads the frames there are, where the original waits for 6.

    Parameters
    ----------
    width : numbers per token (the original: twice the slot's for CLEVRER, the slot's for OBJ3D).
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        width: int = 128,
        hidden: int = 512,
        layers: int = 4,
        window: int | None = 6,
    ) -> None:
        super().__init__(size, width=width, window=window, residual=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads=heads, hidden=hidden, pre_norm=True) for _ in range(layers)
        )

    def read(
        self, tokens: Float[Tensor, "n l k e"], present: Bool[Tensor, "n l"] | None
    ) -> Float[Tensor, "n l k e"]:
        flat, slots = tokens.flatten(1, 2), tokens.shape[2]
        visible = None if present is None else present.repeat_interleave(slots, dim=1)
        for block in self.blocks:
            flat = block(flat, visible=visible)
        return flat.unflatten(1, (-1, slots))

    def reading(self, slots: int, frames: int) -> int:
        return block_operations(self.blocks, slots * frames)


class OCVPSequential(HistoryPredictor):
    """Layers that look over the slots of each frame, then over the frames of each slot; the whole history.

    Each half is a pre-norm transformer block with an MLP of its own; out = s + W' of the newest tokens.

    Paper: OCVP 2302.11850 (OCVP-Seq), sizes of its MOVi-A settings at half the width by default.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        width: int = 128,
        hidden: int = 256,
        layers: int = 4,
        window: int | None = None,
    ) -> None:
        super().__init__(size, width=width, window=window, residual=True)

        def blocks() -> nn.ModuleList:
            made = (TransformerBlock(width, heads=heads, hidden=hidden, pre_norm=True) for _ in range(layers))
            return nn.ModuleList(made)

        self.space_blocks, self.time_blocks = blocks(), blocks()

    def read(
        self, tokens: Float[Tensor, "n l k e"], present: Bool[Tensor, "n l"] | None
    ) -> Float[Tensor, "n l k e"]:
        items, _, slots, _ = tokens.shape
        visible = None if present is None else present.repeat_interleave(slots, dim=0)
        for space, time in zip(self.space_blocks, self.time_blocks):
            tokens = space(tokens.flatten(0, 1)).view_as(tokens)
            by_slot = time(rearrange(tokens, "n l k e -> (n k) l e"), visible=visible)
            tokens = rearrange(by_slot, "(n k) l e -> n l k e", n=items)
        return tokens

    def reading(self, slots: int, frames: int) -> int:
        space = frames * block_operations(self.space_blocks, slots)
        return space + slots * block_operations(self.time_blocks, frames)


class OCVPLayer(nn.Module):
    """x = x + SA(LN x) + TA(LN x); x = x + MLP(LN x), with one norm for both attentions.

    Paper: OCVP 2302.11850 (OCVP-Par).
    """

    def __init__(self, width: int, *, heads: int, hidden: int) -> None:
        super().__init__()
        self.space, self.time = CrossAttention(width, heads=heads), CrossAttention(width, heads=heads)
        self.mlp = mlp(width, hidden, width)
        self.norm_attention, self.norm_mlp = layer_norm(width), layer_norm(width)
        start_like_flax(self)

    def forward(
        self, tokens: Float[Tensor, "n l k e"], visible: Bool[Tensor, "m l"] | None
    ) -> Float[Tensor, "n l k e"]:
        normed = self.norm_attention(tokens)
        frames, slots = normed.flatten(0, 1), rearrange(normed, "n l k e -> (n k) l e")
        space = self.space(frames, frames).view_as(tokens)
        time = self.time(slots, slots, visible=visible)
        tokens = tokens + space + rearrange(time, "(n k) l e -> n l k e", n=len(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))


class OCVPParallel(HistoryPredictor):
    """Layers that look over the slots of each frame and over the frames of each slot at once; the whole history.

    Paper: OCVP 2302.11850 (OCVP-Par), sizes as `OCVPSequential`.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        width: int = 128,
        hidden: int = 256,
        layers: int = 4,
        window: int | None = None,
    ) -> None:
        super().__init__(size, width=width, window=window, residual=True)
        self.layers = nn.ModuleList(OCVPLayer(width, heads=heads, hidden=hidden) for _ in range(layers))

    def read(
        self, tokens: Float[Tensor, "n l k e"], present: Bool[Tensor, "n l"] | None
    ) -> Float[Tensor, "n l k e"]:
        visible = None if present is None else present.repeat_interleave(tokens.shape[2], dim=0)
        for layer in self.layers:
            tokens = layer(tokens, visible)
        return tokens

    def reading(self, slots: int, frames: int) -> int:
        looks = 2 * slots * frames * (slots + frames) * self.width
        return dense_operations(self.layers, slots * frames) + len(self.layers) * looks

"""From the slots of a frame to the slots that start the next one: the interface, SAVi's block and STATM's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.statm.model.attention import (
    TimeAttention,
    TimeKind,
    TimePositions,
    attention_operations,
)
from visus.methods.statm.model.memory import Memory, ages_of, check_slots, join
from visus.nn.slots import CrossAttention, TransformerBlock, layer_norm, mlp, start_like_flax

Fusion = Literal["space_time_sum", "space_then_time", "time_then_space", "shared_residual"]
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
SlotClip = Float[Tensor, "b t k d"]


class Predictor(nn.Module, ABC):
    """The next frame's slots from this frame's slots and what is remembered of the frames before.

    A predictor is a function: the memory goes in, another comes out, the module keeps nothing. One frame at a
    time (`forward`), a whole clip at once (`parallel`) and a clip that goes on from a memory (`advance`) are
    the same computation; subclasses write `advance`.

    Attributes
    ----------
    size : numbers per slot.
    """

    size: int

    @abstractmethod
    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        """The prediction after every frame of `slots` (from that frame and those before it, memory included),
        and the memory that includes them all.
        """

    @abstractmethod
    def operations(self, slots: int, length: int) -> int:
        """Multiply-adds of the matrix products of one step, for one item, when `length` frames have been seen,
        this one included.
        """

    def remembered(self, slots: int, length: int) -> int:
        """Numbers in the memory of one item after `length` frames; none unless overridden."""
        return 0

    def start(
        self,
        batch: int,
        count: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Memory:
        """The memory before the first frame, for `batch` items of `count` slots.

        Parameters
        ----------
        device, dtype : of the slots to come; where left out, those of the module's weights.
        """
        like = next(self.parameters(), torch.empty(0))
        zeros = torch.zeros((), device=device or like.device, dtype=dtype or like.dtype)
        return self.blank(batch, count, zeros)

    def blank(self, batch: int, count: int, like: Tensor) -> Memory:
        """An empty memory on the device and in the format of `like`; none at all unless overridden."""
        return Memory()

    def forward(self, slots: Float[Tensor, "b k d"], memory: Memory) -> tuple[Float[Tensor, "b k d"], Memory]:
        """One step: the next frame's slots, and the memory with this frame in it."""
        predicted, memory = self.advance(slots[:, None], memory)
        return predicted[:, 0], memory

    def parallel(self, slots: SlotClip) -> SlotClip:
        """Teacher-forced predictions after every frame, from that frame and those before, in one pass."""
        batch, _, count, _ = slots.shape
        return self.advance(slots, self.start(batch, count, device=slots.device, dtype=slots.dtype))[0]


class SAViBlock(Predictor):
    """The transformer block of SAVi: this frame's slots look at each other; nothing is remembered.

    x = LN(Q + SA(Q)); out = LN(x + MLP(x)); pre-norm: x = Q + SA(LN Q); out = x + MLP(LN x).

    Paper: 2111.12594, sec. 3; the baseline of 2403.15245.
    """

    def __init__(
        self, size: int, *, heads: int = 4, qkv: int = 128, hidden: int = 256, pre_norm: bool = False
    ) -> None:
        super().__init__()
        self.size = size
        self.block = TransformerBlock(size, heads=heads, qkv=qkv, hidden=hidden, pre_norm=pre_norm)

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        return self.block(slots.flatten(0, 1)).view_as(slots), memory

    def operations(self, slots: int, length: int) -> int:
        return block_operations(self.block, slots)


@dataclass(frozen=True, kw_only=True)
class Past:
    """How a predictor looks back.

    Attributes
    ----------
    time : `corresponding` (CS): a slot looks at itself in all frames. `all` (AS): at all slots of all frames.
    positions : None (the paper's: blind to order), or what tells a frame's age, see `TimePositions`.
    buffer : frames remembered, the current one included; None remembers all.
    cache : remember projected keys and values instead of slots (equal results, less work).
    span : ages told apart by learned positions.
    """

    time: Literal["corresponding", "all"] = "corresponding"
    positions: TimeKind | None = None
    buffer: int | None = None
    cache: bool = True
    span: int = 24

    def __post_init__(self) -> None:
        if self.time not in ("corresponding", "all"):
            raise InputError(f"{self.time!r} is unknown", field="time", remedy="choose corresponding, all")
        check_buffer(self.buffer)


class STATM(Predictor):
    """Slot-based time-space transformer with memory buffer.

    With Q this frame's slots, M the remembered slots (this frame's included), SA attention over the slots of
    the frame, TA attention from Q to M and MLP one hidden layer with ReLU, in the post-norm form:

    - `space_time_sum`: y = LN1(Q + SA(Q)) + LN2(Q + TA(Q, M)) (the paper's T+S, its best);
    - `space_then_time`: x = LN1(Q + SA(Q)), y = LN2(x + TA(x, M));
    - `time_then_space`: x = LN2(Q + TA(Q, M)), y = LN1(x + SA(x));
    - `shared_residual`: y = LN1(Q + SA(Q) + TA(Q, M));

    then out = LN3(y + MLP(y)). In the pre-norm form branches get normed inputs, M its own norm, and sums none;
    the y of `space_time_sum` then holds Q twice. Time and space have weights of their own.

    Paper: 2403.15245, sec. 3; the reference's blocks 2, 1, 3, 4, and with `Past(time="all")` block 5.
    Differs: the reference's pre-norm `space_then_time` leaves M without a norm although its query has one, and
    its pre-norm block 5 looks at corresponding slots only; here M is normed and `all` means all.

    Parameters
    ----------
    size : numbers per slot, D.
    qkv : numbers of all heads together; need not be `size`.
    hidden : numbers inside the MLP.
    past : what is remembered and how it is looked at.

    >>> predictor = STATM(8, qkv=8, hidden=16, past=Past(buffer=6))
    >>> memory = predictor.start(2, 3)
    >>> predicted, memory = predictor(torch.zeros(2, 3, 8), memory)
    >>> predicted.shape, memory["entries"].shape
    (torch.Size([2, 3, 8]), torch.Size([2, 3, 1, 16]))
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        qkv: int = 128,
        hidden: int = 256,
        fusion: Fusion = "space_time_sum",
        pre_norm: bool = False,
        past: Past | None = None,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise InputError(f"{fusion!r} is unknown", field="fusion", remedy="choose " + ", ".join(FUSIONS))
        self.size, self.fusion, self.pre_norm = size, fusion, pre_norm
        self.past = past = past or Past()
        self.space_attention = CrossAttention(size, heads=heads, qkv=qkv)
        self.time_attention = TimeAttention(
            size,
            heads=heads,
            qkv=qkv,
            everything=past.time == "all",
            window=past.buffer,
            cache=past.cache,
            positions=past.positions
            and TimePositions(past.positions, size=size, heads=heads, span=past.span),
        )
        self.mlp = mlp(size, hidden, size)
        names = ["space", "time", "memory", "mlp"]
        if not pre_norm:
            names = ["space", "mlp"] if fusion == "shared_residual" else ["space", "time", "mlp"]
        self.norms = nn.ModuleDict({name: layer_norm(size) for name in names})
        start_like_flax(self)

    def blank(self, batch: int, count: int, like: Tensor) -> Memory:
        return Memory(entries=like.new_zeros(batch, count, 0, self.time_attention.width))

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        frames, buffer = slots.shape[1], self.past.buffer
        written = self.time_attention.entry(self._before("memory", slots).transpose(1, 2))
        # a frame in the middle of the clip looks further back than the last one
        entries = join(memory["entries"], written, keep=None if buffer is None else buffer + frames - 1)
        ages = ages_of(frames, entries.shape[2], device=slots.device)

        def time(x: SlotClip) -> SlotClip:
            query = self._before("time", x).transpose(1, 2)
            return self.time_attention.look(query, entries, ages).transpose(1, 2)

        y = self._fuse(slots, time)
        y = self._after("mlp", y + self.mlp(self._before("mlp", y)))
        return y, Memory(entries=entries if buffer is None else entries[:, :, -buffer:])

    def remembered(self, slots: int, length: int) -> int:
        return slots * self._seen(length) * self.time_attention.width

    def operations(self, slots: int, length: int) -> int:
        space = attention_operations(self.space_attention, slots, slots, projected=slots)
        return (
            space
            + self.time_attention.operations(slots, self._seen(length))
            + dense_operations(self.mlp, slots)
        )

    def _seen(self, length: int) -> int:
        return length if self.past.buffer is None else min(length, self.past.buffer)

    def _fuse(self, x: SlotClip, time: Callable[[SlotClip], SlotClip]) -> SlotClip:
        space, after = self._space, self._after
        if self.fusion == "space_time_sum":
            return after("space", x + space(x)) + after("time", x + time(x))
        if self.fusion == "shared_residual":
            return after("space", x + space(x) + time(x))
        if self.fusion == "space_then_time":
            x = after("space", x + space(x))
            return after("time", x + time(x))
        x = after("time", x + time(x))
        return after("space", x + space(x))

    def _space(self, x: SlotClip) -> SlotClip:
        frames = rearrange(self._before("space", x), "b t k d -> (b t) k d")
        return self.space_attention(frames, frames).view_as(x)

    def _before(self, name: str, x: Tensor) -> Tensor:
        return self.norms[name](x) if self.pre_norm else x

    def _after(self, name: str, x: Tensor) -> Tensor:
        return x if self.pre_norm else self.norms[name](x)


def check_buffer(buffer: int | None) -> None:
    """Refuse a buffer that cannot hold the current frame."""
    if buffer is not None and buffer < 1:
        remedy = "choose 1 or more frames, or None to remember all"
        raise InputError(f"is {buffer}", field="buffer", remedy=remedy)


def dense_operations(layers: nn.Module, tokens: int) -> int:
    """Multiply-adds of the dense layers inside `layers`, each applied to `tokens` tokens."""
    return tokens * sum(layer.weight.numel() for layer in layers.modules() if isinstance(layer, nn.Linear))


def block_operations(block: nn.Module, tokens: int) -> int:
    """Multiply-adds of self-attention and dense layers on `tokens` tokens."""
    widths = (part.to_out.in_features for part in block.modules() if isinstance(part, CrossAttention))
    return dense_operations(block, tokens) + sum(2 * tokens**2 * width for width in widths)

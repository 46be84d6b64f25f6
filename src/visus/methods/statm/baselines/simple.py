"""Predictors that read no history: copying, going on, a layer per slot, a recurrent cell."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from visus.methods.statm.model.memory import Memory, check_slots
from visus.methods.statm.model.predictors import Predictor, SlotClip, block_operations, dense_operations
from visus.nn.slots import TransformerBlock, layer_norm, mlp, start_like_flax


class CopyPredictor(Predictor):
    """The next frame's slots are this frame's."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        return slots, memory

    def operations(self, slots: int, length: int) -> int:
        return 0


class VelocityPredictor(Predictor):
    """Slots go on as they went: 2 s_t - s_(t-1); the first frame's are copied."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def blank(self, batch: int, count: int, like: Tensor) -> Memory:
        return Memory(entries=like.new_zeros(batch, count, 0, self.size))

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        before = memory["entries"].transpose(1, 2)
        before = torch.cat([before if before.shape[1] else slots[:, :1], slots[:, :-1]], dim=1)
        return 2 * slots - before, Memory(entries=slots[:, -1:].transpose(1, 2))

    def remembered(self, slots: int, length: int) -> int:
        return slots * self.size

    def operations(self, slots: int, length: int) -> int:
        return 0


class MLPPredictor(Predictor):
    """Every slot by itself: LN(Q + MLP(Q)); pre-norm: Q + MLP(LN Q).

    SAVi's block without its attention. Paper: 2111.12594, the ablations of the predictor.
    """

    def __init__(self, size: int, *, hidden: int = 256, pre_norm: bool = False) -> None:
        super().__init__()
        self.size, self.pre_norm = size, pre_norm
        self.norm, self.mlp = layer_norm(size), mlp(size, hidden, size)
        start_like_flax(self)

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        if self.pre_norm:
            return slots + self.mlp(self.norm(slots)), memory
        return self.norm(slots + self.mlp(slots)), memory

    def operations(self, slots: int, length: int) -> int:
        return dense_operations(self.mlp, slots)


class LSTMPredictor(Predictor):
    """SAVi's block, then a recurrent cell per slot: h, c = LSTM(block(Q), h, c); out = W h.

    Paper: SlotFormer 2210.05861, the recurrent predictor of its slot extractor (LSTM of 256 numbers).
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        qkv: int = 128,
        hidden: int = 256,
        cell: int = 256,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.cell = size, cell
        self.block = TransformerBlock(size, heads=heads, qkv=qkv, hidden=hidden, pre_norm=pre_norm)
        self.lstm = nn.LSTMCell(size, cell)
        self.out = nn.Linear(cell, size)
        start_like_flax(self.out)

    def blank(self, batch: int, count: int, like: Tensor) -> Memory:
        return Memory({name: like.new_zeros(batch, count, self.cell) for name in ("hidden", "cell")})

    def advance(self, slots: SlotClip, memory: Memory) -> tuple[SlotClip, Memory]:
        check_slots(slots, size=self.size)
        batch = slots.shape[0]
        blocked = rearrange(self.block(slots.flatten(0, 1)), "(b t) k d -> t (b k) d", b=batch)
        hidden, cell = memory["hidden"].flatten(0, 1), memory["cell"].flatten(0, 1)
        made = []
        for frame in blocked:
            hidden, cell = self.lstm(frame, (hidden, cell))
            made.append(hidden)
        predicted = rearrange(self.out(torch.stack(made)), "t (b k) d -> b t k d", b=batch)
        shape = memory["hidden"].shape
        return predicted, Memory(hidden=hidden.view(shape), cell=cell.view(shape))

    def remembered(self, slots: int, length: int) -> int:
        return 2 * slots * self.cell

    def operations(self, slots: int, length: int) -> int:
        gates = 4 * self.cell * (self.size + self.cell)
        return block_operations(self.block, slots) + slots * (gates + self.cell * self.size)

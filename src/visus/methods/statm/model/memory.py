"""What a predictor keeps of the frames it has seen: an immutable value made of tensors alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from visus.errors import InputError


class Memory(Mapping[str, Tensor]):
    """Named tensors whose first axis is the batch.

    A predictor never changes the memory it is given, it returns another one: two roll-outs may start from the
    same memory. Gradients flow through it unless it is detached.

    Saved as `safetensors.torch.save_file(dict(memory.contiguous()), file)`, read back as
    `Memory(safetensors.torch.load_file(file))`.

    >>> memory = Memory(entries=torch.zeros(4, 3, 2, 8))
    >>> memory.rows([0, 2])["entries"].shape
    torch.Size([2, 3, 2, 8])
    """

    def __init__(self, fields: Mapping[str, Tensor] | None = None, /, **named: Tensor) -> None:
        self._fields = {**(fields or {}), **named}

    def __getitem__(self, name: str) -> Tensor:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Memory({', '.join(f'{name}: {tuple(value.shape)}' for name, value in self.items())})"

    def rows(self, index: int | slice | Sequence[int] | Int[Tensor, " n"]) -> Memory:
        """The memory of some items of the batch; one number keeps a batch axis of 1."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Memory({name: value[index] for name, value in self.items()})

    def to(self, *args: Any, **options: Any) -> Memory:
        """Another device or number format, as `Tensor.to`."""
        return Memory({name: value.to(*args, **options) for name, value in self.items()})

    def detach(self) -> Memory:
        """The same numbers without their history: gradients stop here."""
        return Memory({name: value.detach() for name, value in self.items()})

    def contiguous(self) -> Memory:
        """The same numbers in storage of their own, for saving."""
        return Memory({name: value.contiguous() for name, value in self.items()})

    @staticmethod
    def stack(memories: Sequence[Memory]) -> Memory:
        """The memories of several batches as one; all must have seen equally many frames."""
        return Memory({name: torch.cat([memory[name] for memory in memories]) for name in memories[0]})


def join(
    old: Float[Tensor, "b k m c"], new: Float[Tensor, "b k t c"], *, keep: int | None
) -> Float[Tensor, "b k l c"]:
    """`new` after `old` along time, of which the last `keep` frames (None: all).

    The slot axis comes before the time axis, so that the sequence of every slot, and the sequence of all slots
    together, is a view. The first frames are returned as they are: an empty memory prescribes no number format.
    """
    if old.shape[2]:
        if keep is not None:
            old = old[:, :, max(0, old.shape[2] + new.shape[2] - keep) :]
        new = torch.cat([old, new], dim=2)
    return new if keep is None or new.shape[2] <= keep else new[:, :, -keep:]


def ages_of(queries: int, frames: int, *, device: torch.device) -> Int[Tensor, "t l"]:
    """How many frames before query i entry j was seen; the queries are the last of the frames.

    Negative where j lies in the query's future.

    >>> ages_of(2, 3, device=torch.device("cpu"))
    tensor([[ 1,  0, -1],
            [ 2,  1,  0]])
    """
    seen = torch.arange(frames, device=device)
    return seen[frames - queries :, None] - seen


def check_slots(slots: Float[Tensor, "b t k d"], *, size: int) -> None:
    """Refuse slots of another size, or a clip without frames."""
    if slots.ndim != 4 or slots.shape[-1] != size or not slots.shape[1]:
        raise InputError(
            f"has shape {tuple(slots.shape)}, expected (batch, frames, slots, {size}) with at least one frame",
            field="slots",
            remedy=f"give slots of {size} numbers each",
        )

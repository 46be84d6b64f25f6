"""What training reads: pictures or features with the tensors of their programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.image_table import resize
from visus.data.loader import Indices, as_indices, fingerprint
from visus.errors import InputError
from visus.methods.nsi.model.tensors import Programs
from visus.protocols import Batch, Source

READ_AT_ONCE = 64
KEEP_BYTES = 2**30
"""Most memory for inputs that are kept between epochs; larger sets are read again every time."""


def read_inputs(batch: Batch, *, image_size: int, features: bool | None = None) -> Float[Tensor, b * rest]:
    """The field `features` (b, n, c), or pictures as squares (b, 3, image_size, image_size).

    Parameters
    ----------
    features : which of the two a model takes; None takes features where there are any.

    Raises
    ------
    InputError : neither field, another number of axes or channels, pictures of bytes, or values that are not
        finite.
    """
    found = "features" in batch if features is None else features
    name = "features" if found else "image"
    if name not in batch:
        known = ", ".join(batch) or "no field"
        remedy = "wrap the pictures in FrozenFeatures" if found else "give pictures"
        raise InputError(f"is missing (there are {known})", field=name, remedy=remedy)
    values = torch.as_tensor(batch[name])
    if not torch.isfinite(values).all():
        item = int((~torch.isfinite(values.flatten(1))).any(1).nonzero()[0])
        raise InputError(
            f"item {item} has values that are not finite", field=name, remedy="repair or remove it"
        )
    if found:
        if values.ndim != 3:
            raise InputError(f"has shape {tuple(values.shape)}", field=name, remedy="give (b, n, c)")
        return values.float()
    if values.ndim != 4 or values.shape[1] not in (1, 3):
        remedy = "give pictures (b, 3, h, w) or gray ones (b, 1, h, w), values 0..1"
        raise InputError(f"has shape {tuple(values.shape)}", field=name, remedy=remedy)
    if not values.is_floating_point():
        remedy = "give numbers in 0..1: divide bytes by 255"
        raise InputError(f"holds whole numbers ({values.dtype})", field=name, remedy=remedy)
    values = values.float().expand(-1, 3, -1, -1)
    side = (image_size, image_size)
    return values if values.shape[-2:] == side else resize(values, side)


class Scenes:
    """Inputs with their programs as tensors, a source for the engine.

    A batch has `inputs`, the fields of `Programs`, and `index`, the item's number in the whole set, from which
    its noise is drawn: training does not depend on how items are shared out.

    Parameters
    ----------
    source : `image` or `features`.
    programs : of the same items.
    image_size : see `read_inputs`.
    keep : `inputs` of all items from an earlier reading.
    """

    def __init__(
        self,
        source: Source,
        programs: Programs,
        *,
        image_size: int,
        index: Sequence[int] | None = None,
        keep: Tensor | None = None,
    ) -> None:
        self.source, self.programs, self.image_size = source, programs, image_size
        self.index = torch.arange(len(programs)) if index is None else torch.as_tensor(index)
        self.kept = keep

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, indices: Indices) -> Batch:
        rows = self.index[as_indices(indices, len(self))]
        programs = self.programs[rows]
        return {"inputs": self.inputs(rows), "index": rows, **pack(programs)}

    def inputs(self, rows: Tensor) -> Float[Tensor, b * rest]:
        """The inputs of some items of the whole set."""
        if self.kept is not None:
            return unpacked(self.kept[rows])
        return read_inputs(self.source.batch(rows.tolist()), image_size=self.image_size)

    def subset(self, index: Sequence[int]) -> Scenes:
        """Some items; what is kept in memory is shared."""
        return Scenes(self.source, self.programs, image_size=self.image_size, index=index, keep=self.kept)

    def fingerprint(self) -> str:
        """Hash of the data's own fingerprint, the programs and the choice."""
        digest = hashlib.sha256(fingerprint(self.source).encode())
        digest.update(self.index.numpy().tobytes())
        for value in pack(self.programs).values():
            digest.update(value.contiguous().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        return digest.hexdigest()


def pack(programs: Programs) -> dict[str, Tensor]:
    """The fields of programs as entries of a batch."""
    return {field.name: getattr(programs, field.name) for field in fields(programs)}


def unpack(batch: Batch) -> Programs:
    """The programs of a batch."""
    return Programs(*(batch[field.name] for field in fields(Programs)))


def packed(inputs: Float[Tensor, b * rest]) -> Tensor:
    """Inputs as they are kept: pictures in 8 bits, features in half precision."""
    return (inputs * 255).round().byte() if inputs.ndim == 4 else inputs.half()


def unpacked(kept: Tensor) -> Float[Tensor, b * rest]:
    """What `packed` kept."""
    return kept.float() / 255 if kept.dtype == torch.uint8 else kept.float()


def read_all(source: Source, *, image_size: int) -> tuple[list[Any], Tensor | None, tuple[int, ...]]:
    """The objects of every item, the inputs if memory allows, and the shape of one input.

    Raises
    ------
    InputError : an item has no list of objects; see also `read_inputs`.
    """
    scenes: list[Any] = []
    parts: list[Tensor] | None = []
    shape: tuple[int, ...] = ()
    for start in range(0, len(source), READ_AT_ONCE):
        batch = source.batch(range(start, min(len(source), start + READ_AT_ONCE)))
        scenes += read_objects(batch, start)
        if parts is None:
            continue
        inputs = read_inputs(batch, image_size=image_size)
        if shape and inputs.shape[1:] != shape:
            raise InputError(f"has shape {tuple(inputs.shape[1:])}, others {shape}", field=f"item {start}")
        shape = tuple(inputs.shape[1:])
        small = packed(inputs)
        room = small[0].numel() * small.element_size() * len(source) <= KEEP_BYTES
        parts = [*parts, small] if room else None
    return scenes, torch.cat(parts) if parts else None, shape


def read_objects(batch: Batch, start: int = 0) -> list[Any]:
    """The objects of a batch's items.

    Raises
    ------
    InputError : there is no such field, or something in it is not a list of dicts.
    """
    if "objects" not in batch:
        remedy = "give pictures with programs: see `visus nsi fit --help`"
        raise InputError("is missing", field="objects", remedy=remedy)
    for number, objects in enumerate(batch["objects"], start):
        if not isinstance(objects, list | tuple) or not all(isinstance(each, dict) for each in objects):
            raise InputError(
                "is not a list of objects",
                field=f"objects of item {number}",
                remedy="give dicts of attributes",
            )
    return list(batch["objects"])

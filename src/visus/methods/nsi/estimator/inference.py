"""Running a fitted model over any number of items."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.loader import Tensors, iterate
from visus.methods.nsi.config import NSIConfig, built
from visus.methods.nsi.model.attributes import Continuous, Primitive, Scene
from visus.methods.nsi.model.encoder import ProgramEncoder, ProjectionHead
from visus.methods.nsi.model.generator import ProgramGenerator
from visus.methods.nsi.model.images import SlotImageEncoder, SlotImages, feature_slots, picture_slots
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs
from visus.methods.nsi.training.data import read_inputs
from visus.protocols import Batch, Source

AT_ONCE = 64


@dataclass(frozen=True)
class Inputs:
    """What a model reads: pictures, or features on a grid of cells."""

    width: int = 0
    """Channels of the features; 0 for pictures."""
    cells: tuple[int, int] = (0, 0)

    @property
    def features(self) -> bool:
        """Whether it reads features."""
        return self.width > 0

    @classmethod
    def of(cls, source: Any, shape: Sequence[int]) -> Inputs:
        """The kind of inputs of one item's shape; a grid that the source does not tell is taken for square."""
        if len(shape) == 3:
            return cls()
        tokens, width = shape
        side = math.isqrt(tokens)
        rows, columns = getattr(source, "cells", (side, tokens // side))
        return cls(width, (int(rows), int(columns)))


@dataclass(frozen=True)
class Network:
    """The modules of a model."""

    images: SlotImageEncoder
    programs: ProgramEncoder
    generator: ProgramGenerator | None

    def parts(self) -> dict[str, nn.Module]:
        """Modules by name."""
        named: dict[str, nn.Module] = {"images": self.images, "programs": self.programs}
        return named if self.generator is None else {**named, "generator": self.generator}


def build(config: NSIConfig, schema: Schema, inputs: Inputs) -> Network:
    """The modules for a schema and a kind of inputs; weights are drawn from torch's global generator."""
    hidden = (config.decoder_width,) * config.decoder_layers
    if inputs.features:
        images = feature_slots(
            features=inputs.width,
            cells=inputs.cells,
            hidden=hidden,
            decode=config.decoder != "none",
            **built(config),
        )
    else:
        images = picture_slots(
            image=(config.image_size, config.image_size),
            channels=config.channels,
            strides=config.strides,
            decoder=config.decoder,
            cells=(config.decoder_cells, config.decoder_cells),
            hidden=hidden,
            **built(config),
        )
    programs = ProgramEncoder(
        schema,
        width=config.program_width,
        heads=config.program_heads,
        blocks=config.program_blocks,
        size=config.joint,
        legacy_padding=config.legacy_padding,
    )
    for module in (*images.modules(), *programs.modules()):
        if isinstance(module, ProjectionHead):
            module.dropout.p = config.dropout
    generator = None
    if config.generator_epochs:
        generator = ProgramGenerator(
            schema,
            config.slot_size,
            per_slot=config.per_slot,
            width=config.generator_width,
            blocks=config.generator_blocks,
            heads=config.generator_heads,
        )
    return Network(images, programs, generator)


def fingerprint(network: Network, schema: Schema) -> str:
    """Hash of what the joint space depends on: the schema and the weights of both encoders."""
    digest = hashlib.sha256(json.dumps(schema.to_plain(), sort_keys=True).encode())
    for module in (network.images, network.programs):
        for name, weight in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@torch.no_grad()
def run_images(
    images: SlotImageEncoder, data: Batch | Source, config: NSIConfig, inputs: Inputs, *, decode: bool = False
) -> Iterator[tuple[Batch, SlotImages]]:
    """Batches of the data with what the image side says of them; every item starts from the same noise."""
    images.eval()
    source = Tensors(data) if isinstance(data, dict) else data
    device = next(images.parameters()).device
    for batch in iterate(source, AT_ONCE):
        values = read_inputs(batch, image_size=config.image_size, features=inputs.features)
        yield batch, images(values.to(device), decode=decode and images.decoder is not None)


@torch.no_grad()
def embed_programs(programs: ProgramEncoder, encoded: Programs) -> Float[Tensor, "b p e"]:
    """Vectors of the primitives, on the CPU."""
    programs.eval()
    device = next(programs.parameters()).device
    parts = [
        programs(encoded[slice(i, i + AT_ONCE)].to(device)).cpu() for i in range(0, len(encoded), AT_ONCE)
    ]
    return torch.cat(parts)


def widened(schema: Schema, scenes: Sequence[Sequence[Any]]) -> Schema:
    """The schema with room for the fullest of these scenes: the score needs no greatest number."""
    fullest = max((len(objects) for objects in scenes), default=0)
    return replace(schema, most=max(schema.most, fullest))


def rounded(scene: Scene, schema: Schema) -> Scene:
    """Numbers cut to a thousandth of their range: what is left is no more exact than that."""
    made: list[Primitive] = []
    for primitive in scene:
        kept = dict(primitive)
        for each in schema.continuous:
            if each.name in kept:
                kept[each.name] = _rounded(kept[each.name], each)
        made.append(kept)
    return tuple(made)


def _rounded(value: Any, attribute: Continuous) -> float | tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    digits = [max(0, 3 - math.floor(math.log10(span))) for span in attribute.span]
    found = tuple(round(number, places) + 0.0 for number, places in zip(values, digits))
    return found if isinstance(value, tuple) else found[0]

"""The 36 hand-designed networks of the paper's second training stage, from their published definitions.

EfficientNet B0-B7, GoogLeNet, RegNet X and Y in seven sizes each, ResNet 18-152, ResNeXt 50 and 101,
ShuffleNet V2 in four widths, wide ResNet 50 and 101: the classification networks of torchvision of those families,
named as there, with the same number of parameters.

Paper: 2305.05351, sec. IV-A.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable

import torch
from torch import nn

from visus.errors import InputError
from visus.methods.gptnas.model.blocks import composite_blocks, with_single_blocks
from visus.methods.gptnas.model.records import Architecture
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import efficientnet, googlenet, regnet, resnet, shufflenet
from visus.methods.gptnas.model.zoo.entry import Entry

_ENTRIES: dict[str, Entry] = {
    **efficientnet.ENTRIES,
    **googlenet.ENTRIES,
    **regnet.ENTRIES,
    **resnet.ENTRIES,
    **shufflenet.ENTRIES,
}
ZOO: tuple[str, ...] = tuple(sorted(_ENTRIES))
"""Names of the 36 networks."""


def make_network(name: str, *, num_classes: int = 1000) -> nn.Module:
    """A network of the zoo as a module, freshly initialized."""
    return _entry(name).make(num_classes=num_classes)


@functools.cache
def zoo_architecture(name: str) -> Architecture:
    """The record of a network of the zoo on images of its published size, with its blocks marked.

    Nothing is allocated: the module is made and traced on the meta device.

    >>> zoo_architecture("resnet18").num_params
    11689512
    """
    with torch.device("meta"):
        model = make_network(name)
    side = _entry(name).side
    record = trace(model, (3, side, side), name=name, blocks=composite_blocks(model))
    return with_single_blocks(record)


def zoo_architectures(names: Iterable[str] = ()) -> tuple[Architecture, ...]:
    """Records of the named networks (all 36 by default), in the given order."""
    return tuple(zoo_architecture(name) for name in (tuple(names) or ZOO))


def _entry(name: str) -> Entry:
    if name not in _ENTRIES:
        near = difflib.get_close_matches(name, ZOO, n=3, cutoff=0.3)
        raise InputError(f"is {name!r}", field="network", remedy=f"near names: {', '.join(near or ZOO)}")
    return _ENTRIES[name]


__all__ = ["ZOO", "make_network", "zoo_architecture", "zoo_architectures"]

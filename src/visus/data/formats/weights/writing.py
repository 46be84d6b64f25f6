"""A network as a file that says by itself what its tensors belong to."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save
from torch import nn

from visus.data.formats.weights.description import KEY, chain, describe
from visus.errors import InputError
from visus.records import write_atomically


def write_network(path: str | Path, network: nn.Module) -> None:
    """Write a chain of layers as `.safetensors`, whole or not at all; `read_network` gives it back exactly.

    The tensors are named as those of the flat `nn.Sequential` (`0.weight`, `0.bias`, `2.weight`, ...); the
    header's entry `visus.network` lists the layers with their settings, so that strides, padding, slopes and
    orders are not guessed.

    Raises
    ------
    InputError : the name does not end in .safetensors, or the network is not a chain of known layers.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise InputError("does not end in .safetensors", file=path, remedy="name it so")
    layers = describe(network)
    tensors = {
        f"{number}.{name}": value.detach().to("cpu", copy=True).contiguous()
        for number, layer in enumerate(chain(network))
        for name, value in layer.state_dict().items()
    }
    write_atomically(path, save(tensors, metadata={KEY: json.dumps(layers)}))

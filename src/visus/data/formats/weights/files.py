"""Named tensors from the files people keep weights in."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from visus.data.formats.picture import present
from visus.data.formats.weights.description import KEY
from visus.errors import InputError

NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "params")
"""Names under which training scripts put the weights beside other things."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a file holds: tensors by name, whether their order means something, and the layers if it says so."""

    tensors: dict[str, Tensor]
    ordered: bool
    layers: list[dict[str, Any]] | None = None


def read_weights(path: str | Path) -> Weights:
    """The tensors of a .safetensors, .npz, .pt or .pth file, all finite real numbers (float32 or float64).

    Raises
    ------
    InputError : names the file, the tensor and the remedy.
    """
    path = present(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            "has no known ending", file=path, remedy=f"give a file ending in {' '.join(READERS)} .onnx"
        )
    found = reader(path)
    if not found.tensors:
        raise InputError("holds no tensors", file=path, remedy="save the network's state_dict()")
    return Weights(
        tensors={name: _checked(name, value, path) for name, value in found.tensors.items()},
        ordered=found.ordered,
        layers=found.layers,
    )


def _safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as content:
            notes = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _broken(path, "safetensors", error) from None
    return Weights(tensors=tensors, ordered=False, layers=_layers(notes, path))


def _layers(notes: Mapping[str, str], path: Path) -> list[dict[str, Any]] | None:
    if KEY not in notes:
        return None
    try:
        layers = json.loads(notes[KEY])
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON ({error.msg})", file=path, field=f"header entry {KEY}") from None
    if not isinstance(layers, list):
        raise InputError("is not a list of layers", file=path, field=f"header entry {KEY}")
    return layers


def _npz(path: Path) -> Weights:
    tensors = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                array = archive[name]
                tensors[name] = torch.from_numpy(
                    array if array.dtype.kind in "biufc" else array.astype(np.float64)
                )
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, AttributeError) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                "holds Python objects, which are not read because loading them could run foreign code",
                file=path,
                remedy="save plain arrays: numpy.savez(path, W0=..., b0=..., W1=...)",
            ) from None
        raise _broken(path, "NumPy", error) from None
    return Weights(tensors=tensors, ordered=False)


def _torch(path: Path) -> Weights:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError, TypeError) as error:
        if "weights_only" not in str(error).lower() and "Weights only" not in str(error):
            raise _broken(path, "torch", error) from None
        raise InputError(
            "holds Python objects, which are not read because loading them could run foreign code",
            file=path,
            remedy="save the weights alone: torch.save(network.state_dict(), path)",
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _broken(path, "torch", error) from None
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise InputError(
            f"holds a {type(content).__name__}, not weights by name",
            file=path,
            remedy="save the weights alone: torch.save(network.state_dict(), path)",
        )
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"is a {type(value).__name__}, not a tensor",
                file=path,
                field=f"entry {name}",
                remedy="save the weights alone: torch.save(network.state_dict(), path)",
            )
    return Weights(tensors={str(name): value for name, value in content.items()}, ordered=True)


READERS = {".safetensors": _safetensors, ".npz": _npz, ".pt": _torch, ".pth": _torch}


def _broken(path: Path, kind: str, error: Exception) -> InputError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(
        f"is not a complete {kind} file ({reason})", file=path, remedy="copy, download or save it again"
    )


def _checked(name: str, value: Tensor, path: Path) -> Tensor:
    field = f"tensor {name}"
    if name.endswith("num_batches_tracked"):
        return value
    if value.is_quantized or not value.is_floating_point():
        raise InputError(
            f"holds {value.dtype}, not real numbers",
            file=path,
            field=field,
            remedy="save the weights as float32 or float64",
        )
    if value.dtype not in (torch.float32, torch.float64):
        value = value.float()
    wrong = ~torch.isfinite(value)
    if wrong.any():
        problem = f"holds {int(wrong.sum())} values that are not finite numbers"
        raise InputError(problem, file=path, field=field, remedy="train again with a lower learning rate")
    return value.detach().contiguous()

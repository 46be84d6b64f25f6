"""Hashes that tell one encoder from another: a changed weight, structure or setting changes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LENGTH = 16
VOLATILE = ("transformers_version", "_name_or_path", "_commit_hash", "architectures", "dtype", "torch_dtype")
"""Entries of a transformers configuration that say where and how a model was saved, not what it computes."""


def hash_of(plain: Any) -> str:
    """Short hash of plain data (dicts, lists, numbers, text); the order of a dict's keys does not matter.

    >>> hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:LENGTH]


def hash_of_module(module: nn.Module, *, leaving_out: Collection[str] = ()) -> str:
    """Short hash of a network: its printed structure and every tensor of its state_dict.

    Parameters
    ----------
    leaving_out : tensors that take no part (random ones that nothing uses).
    """
    digest = hashlib.sha256(f"{type(module).__qualname__}\n{module}".encode())
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor) and name not in leaving_out:
            digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(content.numpy().data)
    return digest.hexdigest()[:LENGTH]


def hash_of_config(config: Any) -> str:
    """Short hash of a transformers configuration without what depends on place and version of saving."""
    return hash_of(_lasting(json.loads(json.dumps(config.to_dict(), default=str))))


def _lasting(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        return {name: _lasting(value) for name, value in plain.items() if name not in VOLATILE}
    return plain

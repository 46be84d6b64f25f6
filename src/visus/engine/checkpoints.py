"""Checkpoints that a crash cannot spoil: safetensors and JSON in a folder that appears whole or not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from visus.errors import InputError

TENSORS, STATE = "tensors.safetensors", "state.json"


class Checkpoints:
    """The folder of a run's checkpoints: `step-<n>` to resume from, `best-<n>` with the chosen weights.

    A checkpoint is written under a temporary name, flushed to disk and renamed. `step-<n>` names the best one
    it belongs with; everything the newest `step` does not need is removed after it is safely there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def save(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write one checkpoint, replacing one of the same name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{name}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        # a copy per entry: safetensors refuses tensors that share memory (tied weights)
        plain = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}
        save_file(plain, draft / TENSORS)
        (draft / STATE).write_text(json.dumps(state), encoding="utf-8")
        for file in (draft / TENSORS, draft / STATE, draft):
            _flush(file)
        target = self.folder / name
        if target.exists():
            shutil.rmtree(target)
        os.rename(draft, target)
        _flush(self.folder)

    def newest(self) -> str | None:
        """Name of the newest checkpoint to resume from."""
        names = sorted(path.name for path in self.folder.glob("step-*") if (path / STATE).exists())
        return names[-1] if names else None

    def load(self, name: str, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and state of a checkpoint."""
        folder = self.folder / name
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            return load_file(folder / TENSORS, device=str(device)), state
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(
                f"checkpoint cannot be read ({error})",
                file=folder,
                remedy="delete this folder to resume from an earlier checkpoint or to start again",
            ) from None

    def tidy(self, *keep: str | None) -> None:
        """Remove every checkpoint and leftover draft except those named."""
        for path in self.folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pack_optimizer(name: str, state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's state_dict into tensors and plain values."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{name}/{index}/{key}"] = value
            else:
                plain.setdefault(str(index), {})[key] = value
    groups = [
        {key: value.item() if isinstance(value, Tensor) else value for key, value in group.items()}
        for group in state["param_groups"]
    ]
    return tensors, {"values": plain, "groups": groups}


def unpack_optimizer(name: str, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `pack_optimizer`."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["values"].items()}
    prefix = f"optimizer/{name}/"
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, entry = key[len(prefix) :].split("/", 1)
            state.setdefault(int(index), {})[entry] = value
    return {"state": state, "param_groups": plain["groups"]}

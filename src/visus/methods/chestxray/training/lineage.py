"""Which weights every stage of a training began from and ended with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visus.records import record


@record
class StageRecord:
    """One stage of a finished training."""

    stage: str
    began: str
    """Hash of the network's weights (see `weights_hash`) before the stage."""
    ended: str
    """Hash of the weights it left: those of its best epoch."""
    epochs: int
    """Epochs run, the impatient ones included."""
    best_epoch: int | None
    """Counted from 1; None where nothing was validated."""
    best: float | None
    """Validation loss of that epoch."""


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of all parameters and buffers by name, shape, type and bits; the same on every device."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class Ledger(nn.Module):
    """The hash that every stage began from, as a buffer: it travels in the checkpoints with the weights.

    A resumed run repeats the beginnings of earlier stages with weights that mean nothing and then loads the
    checkpoint, ledger included; so its entries are those of the uninterrupted run.

    >>> ledger, layer = Ledger(2), nn.Linear(2, 2)
    >>> ledger.note(1, layer)
    >>> ledger.began(1) == weights_hash(layer)
    True
    """

    hashes: Tensor

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.register_buffer("hashes", torch.zeros(stages, hashlib.sha256().digest_size, dtype=torch.uint8))

    def note(self, number: int, module: nn.Module) -> None:
        """Stage `number` begins with these weights."""
        told = list(bytes.fromhex(weights_hash(module)))
        self.hashes[number] = torch.tensor(told, dtype=torch.uint8, device=self.hashes.device)

    def began(self, number: int) -> str:
        """What stage `number` began from."""
        return bytes(self.hashes[number].tolist()).hex()

    def records(
        self, names: Sequence[str], rows: Sequence[Mapping[str, Any]], module: nn.Module
    ) -> list[StageRecord]:
        """The story of a training whose log has `rows` and whose last stage left `module`."""
        ends = [self.began(number) for number in range(1, len(names))] + [weights_hash(module)]
        return [
            _record(name, self.began(number), ended, [row for row in rows if row["phase"] == name])
            for number, (name, ended) in enumerate(zip(names, ends))
        ]


def _record(name: str, began: str, ended: str, rows: Sequence[Mapping[str, Any]]) -> StageRecord:
    checks = [
        (row["loss"], row["epoch"] + 1)
        for row in rows
        if row.get("check") and row.get("loss") is not None and math.isfinite(row["loss"])
    ]
    # the engine keeps the first of equals
    best, epoch = min(checks, default=(None, None))
    epochs = max((row["epoch"] + 1 for row in rows), default=0)
    return StageRecord(stage=name, began=began, ended=ended, epochs=epochs, best_epoch=epoch, best=best)

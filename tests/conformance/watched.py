"""A run that can be watched, slowed down and stopped at a given step, and what a training leaves behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from visus.engine import Run


class WatchedRun(Run):
    """Calls `before_step(count)` before each training step and notes which parameters ever got a gradient.

    Runs inside this one (`child`) share the count and the notes.
    """

    before_step: Callable[[int], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, progress=False, device="cpu", **kwargs)
        self.gradients: dict[str, bool] = {}
        self.watched: dict[int, tuple[str, torch.Tensor]] = {}
        self.counts = {"steps": 0}

    def train(self, trainable: Any, source: Any, phases: Any, *, check: Any = None) -> Any:
        return super().train(_Watched(trainable, self), source, phases, check=check)

    def watch(self, parts: Mapping[str, torch.nn.Module]) -> None:
        """Note gradients of all parameters not seen before, also of parts that a later phase adds or thaws."""
        for part, module in parts.items():
            for name, weight in module.named_parameters():
                key = f"{self.folder.name}/{part}/{name}"
                self.gradients.setdefault(key, False)
                if weight.requires_grad and id(weight) not in self.watched:
                    self.watched[id(weight)] = key, weight  # holding it keeps its id from being used again
                    weight.register_hook(self._note(key))

    def _note(self, key: str) -> Callable[[torch.Tensor], None]:
        def note(gradient: torch.Tensor) -> None:
            if bool((gradient != 0).any()):
                self.gradients[key] = True

        return note


class _Watched:
    def __init__(self, trainable: Any, run: WatchedRun) -> None:
        self._trainable, self._run = trainable, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainable, name)

    def step(self, batch: Any, turn: Any) -> Any:
        self._run.watch(self._trainable.parts())
        self._run.counts["steps"] += 1
        if self._run.before_step is not None:
            self._run.before_step(self._run.counts["steps"])
        return self._trainable.step(batch, turn)


def stop_at(step: int) -> Callable[[int], None]:
    """Ask for a stop during a step, as Ctrl-C does."""

    def ask(count: int) -> None:
        if count == step:
            os.kill(os.getpid(), signal.SIGINT)

    return ask


def weights(model: Any, folder: Path) -> dict[str, torch.Tensor]:
    """A model's saved weights."""
    model.save(folder)
    return load_file(folder / "model.safetensors")


def log(folder: Path) -> list[dict[str, Any]]:
    """Every row of every log in a run folder, without times."""
    rows = []
    for file in sorted(folder.rglob("log.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = {key: value for key, value in json.loads(line).items() if key != "time"}
            rows.append({"run": file.parent.relative_to(folder).as_posix(), **row})
    return rows


def last_checkpoints(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and optimizer states in the final checkpoint of every training in a run folder."""
    found = {}
    for file in sorted(folder.rglob("step-*-done/tensors.safetensors")):
        for name, value in load_file(file).items():
            found[f"{file.parent.relative_to(folder)}/{name}"] = value
    return found

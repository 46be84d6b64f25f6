"""A run that can be watched, slowed down and stopped at a given step; also a command line, for other processes."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from visus import catalogue
from visus.engine import Run
from visus.records import override


class WatchedRun(Run):
    """Calls `before_step(count)` before each training step and notes which parameters ever got a gradient."""

    before_step: Callable[[int], None] | None = None
    steps: int = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, progress=False, device="cpu", **kwargs)
        self.gradients: dict[str, bool] = {}
        self.counts = {"steps": 0}

    def train(self, trainable: Any, source: Any, phases: Any, *, check: Any = None) -> Any:
        prefix = self.folder.name
        for part, module in trainable.parts().items():
            for name, weight in module.named_parameters():
                key = f"{prefix}/{part}/{name}"
                self.gradients.setdefault(key, False)
                if weight.requires_grad:
                    weight.register_hook(self._note(key))
        return super().train(_Watched(trainable, self), source, phases, check=check)

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("slug")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    estimator = catalogue.get(options.slug).load()
    run = WatchedRun(options.folder / "run", checkpoint_steps=2)
    if options.delay:
        run.before_step = lambda _: time.sleep(options.delay)
    made = estimator(override(estimator.preset("smoke"), options.set)).fit(estimator.example("train"), run)
    if run.is_main:
        made.save(options.folder / "model")


if __name__ == "__main__":
    main()

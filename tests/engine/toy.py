"""A small trainable and a command line to train it in, kill it and run it again."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from torch import nn

from visus.data.loader import Tensors
from visus.engine import Run
from visus.protocols import Phase


class Toy:
    """A regression with batch norm and dropout; a second optimizer plays an adversary on the inputs."""

    def __init__(self, *, dropout: float = 0.2, adversary: bool = True, delay: float = 0.0, optimizer: str = "adam"):
        torch.manual_seed(7)
        self.network = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        )
        self.noise = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(4))})
        self.adversary, self.delay, self.kind = adversary, delay, optimizer

    def parts(self):
        return {"network": self.network, "noise": self.noise}

    def optimizers(self):
        make = {"adam": torch.optim.Adam, "sgd": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)}[self.kind]
        made = {"network": make(self.network.parameters(), lr=0.01)}
        if self.adversary:
            made["noise"] = torch.optim.SGD(self.noise.parameters(), lr=0.01)
        return made

    def losses(self, batch):
        return (self.network(batch["x"] + self.noise["shift"]).squeeze(-1) - batch["y"]) ** 2

    def step(self, batch, turn):
        if self.delay:
            time.sleep(self.delay)
        loss = turn.mean(self.losses(batch))
        turn.update("network", loss)
        if self.adversary:
            turn.update("noise", -0.1 * turn.mean(self.losses(batch)))
        return {"loss": loss}

    def weights(self):
        return {f"{p}.{k}": v.clone() for p, m in self.parts().items() for k, v in m.state_dict().items()}


def source(n: int = 50) -> Tensors:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=generator)
    return Tensors({"x": x, "y": x.sum(1) + 0.1 * torch.randn(n, generator=generator)})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--checkpoint-steps", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    toy = Toy(delay=options.delay, dropout=options.dropout)
    run = Run(options.folder, device="cpu", progress=False, checkpoint_steps=options.checkpoint_steps)
    run.train(toy, source(), [Phase(epochs=options.epochs, batch_size=options.batch, ema_decay=0.9, clip_norm=1.0)])
    if run.is_main:
        final = {key: value.double().tolist() for key, value in toy.weights().items()}
        draft = options.folder / f"final.{os.getpid()}"
        draft.write_text(json.dumps(final))
        draft.rename(options.folder / "final.json")


if __name__ == "__main__":
    main()

"""A small trainable and a command line to train it in, kill it and run it again."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from visus.data.loader import Tensors
from visus.engine import Run
from visus.errors import VisusError
from visus.protocols import Phase


class Toy:
    """A regression with batch norm and dropout; a second optimizer plays an adversary on the inputs."""

    def __init__(
        self,
        *,
        dropout: float = 0.2,
        norm: bool = True,
        adversary: bool = True,
        delay: float = 0.0,
        optimizer: str = "adam",
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        generator = torch.Generator().manual_seed(7)
        middle = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.network = nn.Sequential(
            nn.Linear(4, 8, bias=False), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        )
        with torch.no_grad():
            for weight in self.network.parameters():
                weight.copy_(torch.rand(weight.shape, generator=generator) - 0.5)
        self.noise = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(4))})
        self.adversary, self.delay, self.kind, self.on_step = adversary, delay, optimizer, on_step

    def parts(self) -> dict[str, nn.Module]:
        return {"network": self.network, "noise": self.noise}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        make = {"adam": torch.optim.Adam, "sgd": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)}[
            self.kind
        ]
        made = {"network": make(self.network.parameters(), lr=0.01)}
        if self.adversary:
            made["noise"] = torch.optim.SGD(self.noise.parameters(), lr=0.01)
        return made

    def losses(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.network(batch["x"] + self.noise["shift"]).squeeze(-1) - batch["y"]) ** 2

    def step(self, batch, turn):
        if self.on_step is not None:
            self.on_step(turn.step)
        if self.delay:
            time.sleep(self.delay)
        loss = turn.mean(self.losses(batch))
        turn.update("network", loss)
        if self.adversary:
            turn.update("noise", -0.1 * turn.mean(self.losses(batch)))
        return {"loss": loss}

    def weights(self) -> dict[str, Tensor]:
        return {f"{p}.{k}": v.clone() for p, m in self.parts().items() for k, v in m.state_dict().items()}


def source(n: int = 50) -> Tensors:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=generator)
    return Tensors({"x": x, "y": x.sum(1) + 0.1 * torch.randn(n, generator=generator)})


def quiet(folder: Path | None = None, **options) -> Run:
    """A run on the CPU that shows nothing."""
    return Run(folder, device="cpu", progress=False, **options)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def steps_of(rows: Sequence[Mapping]) -> list[tuple[str, int]]:
    """(phase, step) of the training rows of a log."""
    return [(row["phase"], row["step"]) for row in rows if "check" not in row]


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--checkpoint-steps", type=int, default=3)
    parser.add_argument(
        "--heartbeat", type=int, default=None, help="file descriptor that gets a line per step"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

    def beat(step: int) -> None:
        if options.heartbeat is not None:
            os.write(options.heartbeat, f"{step}\n".encode())

    toy = Toy(delay=options.delay, dropout=options.dropout, on_step=beat)
    run = Run(options.folder, device="cpu", progress=False, checkpoint_steps=options.checkpoint_steps)
    phase = Phase(epochs=options.epochs, batch_size=options.batch, ema_decay=0.9, clip_norm=1.0)
    run.train(toy, source(), [phase])
    if run.is_main:
        final = {key: value.double().tolist() for key, value in toy.weights().items()}
        draft = options.folder / f"final.{os.getpid()}"
        draft.write_text(json.dumps(final))
        draft.rename(options.folder / "final.json")


if __name__ == "__main__":
    try:
        main()
    except VisusError as error:
        print(f"{type(error).__name__}: {error}")
        raise SystemExit(error.exit_code) from None

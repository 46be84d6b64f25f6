"""A method small enough to read at a glance, right or wrong in one named way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from method import Method
from specimen import BadInput, Overfit, Specimen
from torch import Tensor, nn

from visus.data.loader import Tensors, iterate
from visus.engine import Run, TorchEstimator
from visus.protocols import Batch, Logs, Phase, Prediction, Scores, Source, Turn
from visus.records import record

Flaw = Literal[
    "none",
    "idle field",
    "rounding field",
    "unused parameter",
    "untrained part",
    "learns nothing",
    "global randomness",
    "seed ignored",
    "state outside the checkpoint",
    "starts again",
    "batch statistics",
    "order matters",
    "statistics not saved",
    "not finite",
    "mean of the share",
]


@record
class ToyConfig:
    """Settings of the toy."""

    epochs: int = 3
    batch_size: int = 10
    learning_rate: float = 0.05
    noise: float = 0.1


def points(part: str = "train", *, seed: int = 0) -> Source:
    """Two classes of points in a plane."""
    generator = torch.Generator().manual_seed(seed + (part == "test"))
    x = torch.randn(80, 2, generator=generator) + 3.0
    return Tensors({"x": x, "target": (x[:, 0] > x[:, 1]).long()})


class ToyTraining:
    """Trains the toy's network."""

    def __init__(self, parts: Mapping[str, nn.Module], config: ToyConfig, flaw: Flaw) -> None:
        self.net, self.config, self.flaw, self.seen = parts["net"], config, flaw, 0
        rate = 0.0 if flaw == "learns nothing" else config.learning_rate
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=rate)

    def parts(self) -> Mapping[str, nn.Module]:
        return {"net": self.net}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"net": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        self.seen += 1
        x = batch["x"] + self.config.noise * torch.randn_like(batch["x"])
        if self.flaw == "state outside the checkpoint":
            x = x * (1 + 0.01 * self.seen)
        losses = nn.functional.cross_entropy(self.net(x), batch["target"], reduction="none")
        loss = losses.mean() if self.flaw == "mean of the share" else turn.mean(losses)
        turn.update("net", loss)
        return {"loss": loss}


class Toy(TorchEstimator):
    """Logistic regression with the flaw named by the class attribute."""

    slug = "toy"
    Config = ToyConfig
    PRESETS = dict.fromkeys(("smoke", "demo", "gpu", "paper"), ToyConfig())
    flaw: Flaw = "none"

    def fit(self, data: Source, run: Any = None) -> Self:
        run = run or Run(progress=False)
        config, flaw = self.settings, self.flaw
        if flaw == "idle field":
            config = ToyConfig(epochs=config.epochs, noise=config.noise, batch_size=config.batch_size)
        if flaw == "rounding field":
            config = ToyConfig(**{**vars(config), "learning_rate": 0.05 + 1e-9 * config.learning_rate})
        x = torch.cat([batch["x"] for batch in iterate(data, 100)])
        self.mean_ = x.mean(0).tolist()
        if flaw == "global randomness":
            self._build()
        elif flaw == "seed ignored":
            torch.manual_seed(0)
            self._build()
            run.seed = 0
        else:
            with run.seeded("init"):
                self._build()
        if flaw == "starts again":
            run = run.child(f"attempt-{len(list(run.folder.iterdir()))}")
        phases = [Phase(epochs=config.epochs, batch_size=config.batch_size)]
        run.train(ToyTraining(self.parts(), config, flaw), data, phases)
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        batches = [inputs] if isinstance(inputs, dict) else iterate(inputs, 100)
        x = torch.cat([batch["x"] for batch in batches])
        if self.flaw == "batch statistics":
            x = x - x.mean(0)
        if self.flaw == "order matters":
            x = x + 0.01 * torch.arange(len(x))[:, None] * (len(x) > 1)
        if self.flaw == "statistics not saved":
            x = x - torch.tensor(self.mean_)
        with torch.no_grad():
            probabilities = self.net_(x).softmax(1)
        if self.flaw == "not finite":
            probabilities = probabilities / 0.0
        label = probabilities.argmax(1)
        return {"probabilities": probabilities, "label": label, "name": ["ab"[i] for i in label.tolist()]}

    def evaluate(self, data: Source) -> Scores:
        target = torch.cat([batch["target"] for batch in iterate(data, 100)])
        return {"accuracy": (self.predict(data)["label"] == target).double().mean().item()}

    def parts(self) -> dict[str, nn.Module]:
        more = {"extra": self.extra_} if self.flaw == "untrained part" else {}
        return {"net": self.net_, **more} if hasattr(self, "net_") else super().parts()

    @classmethod
    def example(cls, part: str = "train", *, seed: int = 0) -> Source:
        return points(part, seed=seed)

    def _build(self) -> None:
        self.net_, self.extra_ = nn.Linear(2, 2), nn.Linear(2, 2)
        if self.flaw == "unused parameter":
            self.net_.register_parameter("forgotten", nn.Parameter(torch.zeros(3)))

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.mean_ = [0.0, 0.0]
        self._build()


def flawed(flaw: Flaw) -> type[Toy]:
    """The toy with a flaw."""
    return type("Toy", (Toy,), {"flaw": flaw, "__module__": __name__})


def toy(flaw: Flaw) -> Method:
    """The toy with a flaw and its specimen, also for another process."""
    return Method(flawed(flaw), TOY)


def check_prediction(found: Prediction, n: int) -> None:
    assert found["probabilities"].shape == (n, 2)


def _nothing(*_: Any) -> Sequence[BadInput]:
    return ()


def _tensors() -> tuple[Tensor, Tensor]:
    return torch.arange(3.0), torch.arange(3.0)


TOY = Specimen(
    micro=["epochs=3"],
    steady=["noise=0.0", "batch_size=9"],
    overfit=Overfit(
        settings=["epochs=40", "noise=0.0", "learning_rate=0.3"],
        source=points,
        metric="accuracy",
        at_least=0.95,
    ),
    odd=lambda: (),
    check_prediction=check_prediction,
    ingredient_off=_tensors,
    losses=lambda: (),
    bad_inputs=_nothing,
)

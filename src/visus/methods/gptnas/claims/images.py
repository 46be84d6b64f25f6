"""Real training on small pictures: does a short training predict a long one, and does the prior pay?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from sklearn.datasets import load_digits

from visus.data import Tensors
from visus.methods.gptnas.config import DEMO, SMOKE, GPTNASConfig
from visus.methods.gptnas.search.space import stream
from visus.protocols import Scores, Trial

SEARCH = replace(
    DEMO,
    gpt_width=64,
    gpt_epochs=10,
    population=12,
    evaluations=72,
    least_blocks=4,
    most_blocks=10,
    width=16,
    candidate_epochs=6,
    epochs=40,
    drop_every=15,
    # a search that regrows nothing would train normalization alone: arms must differ in the prior only
    trainable="all",
)
CONFIGS: Mapping[str, GPTNASConfig] = {
    "smoke": replace(SMOKE, trainable="all"),
    "demo": SEARCH,
    "gpu": SEARCH,
    "paper": SEARCH,
}
PRIORS: Mapping[str, str] = {"gpt": "zoo", "ga": "none", "uniform": "uniform"}


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """How many networks are compared, and how long they are trained."""

    networks: int
    short: int
    long: int
    blocks: tuple[int, int]
    width: int
    stages: int


PROXIES: Mapping[str, Proxy] = {
    "smoke": Proxy(networks=4, short=1, long=2, blocks=(2, 3), width=4, stages=2),
    **dict.fromkeys(
        ("demo", "gpu", "paper"), Proxy(networks=24, short=6, long=60, blocks=(4, 10), width=16, stages=2)
    ),
}
REGROWN = 0.4
"""Share of the blocks that a short training moves, as at the beginning of the paper's search."""


def measure_images(trial: Trial, run: Any) -> Scores:
    """Test scores of the network that one way of searching finds; all arms train candidates alike and in full."""
    from visus.methods.gptnas.estimator import GPTNAS

    config = replace(CONFIGS[trial.preset], prior=PRIORS[trial.arm])
    made = GPTNAS(config).fit(digits("train", seed=trial.seed), run)
    return made.evaluate(digits("test", seed=trial.seed))


def measure_proxy(trial: Trial, run: Any) -> Scores:
    """Pearson correlation over random networks between held-out accuracies after a short training of 40 % of
    the blocks and after a long training of everything; `shuffled` pairs the networks at random."""
    size = PROXIES[trial.preset]
    accuracies = {
        "short": trained(trial, run.child("short"), size, epochs=size.short, rule="paper"),
        "long": trained(trial, run.child("long"), size, epochs=size.long, rule="all"),
    }
    short = accuracies["short"]
    if trial.arm == "shuffled":
        short = stream(trial.seed, "shuffled").permutation(short)
    return {"correlation": pearson(short, accuracies["long"])}


def trained(trial: Trial, run: Any, size: Proxy, *, epochs: int, rule: Literal["paper", "all"]) -> np.ndarray:
    """Held-out accuracy of every random network of the seed after some epochs."""
    from visus.methods.gptnas.model.network import BlockNetwork
    from visus.methods.gptnas.training import Candidates, Labeled, Pixels, Recipe
    from visus.methods.gptnas.training.prior import network_space

    source = digits("train", seed=trial.seed)
    count = len(source) * 2 // 3
    pixels = Pixels.learn(source, list(range(count)), image_size=None)
    whole = Labeled(source, pixels, torch.tensor([int(name) for name in source["target"]]))
    parts = whole.subset(torch.arange(count)), whole.subset(torch.arange(count, len(source)))
    space = network_space(least=size.blocks[0], most=size.blocks[1])

    def build(individual: tuple[int, ...]) -> BlockNetwork:
        return BlockNetwork(
            individual, in_channels=1, num_classes=10, image_size=8, width=size.width, stages=size.stages
        )

    recipe = Recipe(epochs=epochs, batch_size=64, learning_rate=0.05, warmup=0.2)
    candidates = Candidates(build, parts, recipe, run, rule=rule)
    draws = stream(trial.seed, "networks")
    found = []
    for _ in range(size.networks):
        individual = space.random(draws)
        regrown = draws.random(len(individual)) < REGROWN
        regrown[int(draws.integers(len(individual)))] = True
        found.append(candidates.worth(individual, regrown.tolist()).fitness)
    return np.array(found)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two lists of numbers; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def digits(part: Literal["train", "test"], *, seed: int) -> Tensors:
    """The 8x8 digits of scikit-learn, cut by `seed` into 900 to search and train on and 897 to test on."""
    pixels, digit = (np.asarray(array) for array in load_digits(return_X_y=True))
    order = stream(seed, "digits").permutation(len(digit))
    chosen = order[:900] if part == "train" else order[900:]
    images = torch.from_numpy((pixels[chosen] / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    return Tensors({"image": images, "target": [str(name) for name in digit[chosen]]})

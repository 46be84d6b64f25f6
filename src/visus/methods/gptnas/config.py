"""Settings of the architecture search on pictures, and its presets."""

from __future__ import annotations

import math
from typing import Literal

from visus.errors import InputError
from visus.records import record


@record
class GPTNASConfig:
    """Settings of `GPTNAS`, in the order in which they are used."""

    prior: str = "zoo"
    """What regrows eliminated blocks. `zoo`: a layer model trained on the 36 published networks; `uniform`: all
    blocks alike; `none`: nothing is eliminated, the plain genetic search; else the folder of a saved prior."""
    networks: tuple[str, ...] = ()
    """Names of the published networks to learn from; empty = all 36."""
    gpt_width: int = 128
    gpt_depth: int = 4
    gpt_heads: int = 4
    gpt_window: int = 10
    """Layers the model looks back on."""
    gpt_attention: Literal["standard", "optimized", "efficient", "super"] = "standard"
    gpt_epochs: int = 20
    gpt_batch: int = 128
    gpt_rate: float = 1e-3
    """Learning rate of the layer model (Adam)."""
    chooser_width: int = 256
    chooser_epochs: int = 20
    chooser_rate: float = 1e-3
    population: int = 12
    evaluations: int = 60
    """Most different candidates that are trained; over them the elimination rate falls to zero."""
    start: Literal["random", "prior"] = "random"
    """Whether the first individuals are random (and regrown in part) or drawn from the prior."""
    least_blocks: int = 10
    most_blocks: int = 20
    crossover: float = 0.9
    mutation: float = 0.3
    elimination: float = 0.4
    """Probability r0 that a block is eliminated and regrown, at the beginning of the search."""
    unit: Literal["block", "layer"] = "block"
    """Whether that probability holds for a block or for each of its layers."""
    temperature: float = 1.0
    """Of sampling the next layer."""
    top_k: int | None = None
    """Sample among so many of the likeliest blocks; None = all, 1 = always the likeliest."""
    image_size: tuple[int, int] | None = None
    """Height and width to which pictures are resized; None takes them as they are."""
    flip: bool = False
    """Mirror training pictures at random."""
    crop: int = 0
    """Shift training pictures at random by up to so many pixels."""
    width: int = 16
    """Channels of the first stage; every stage doubles them and halves the picture."""
    stages: int = 3
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    validation: float = 0.2
    """Share of the training pictures on which candidates are compared; none of them is trained on before the
    search is over."""
    candidate_epochs: int = 6
    warmup: float = 0.5
    """Share of a candidate's steps in which the learning rate rises from zero."""
    trainable: Literal["paper", "all"] = "paper"
    """What a candidate's training moves. `paper`: the regrown blocks and the head, or the normalization if
    nothing was regrown. `all`: everything."""
    settled: bool = True
    """Give the normalization layers of a drawn network the statistics of one batch, once."""
    keep: bool = False
    """Keep weights and logs of every candidate on disk."""
    epochs: int = 60
    """Of the final training of the best architecture."""
    drop_every: int = 20
    """Epochs after which the final learning rate falls to a tenth; 0 = never."""


LEAST: dict[str, float] = {
    **dict.fromkeys(("gpt_width", "gpt_depth", "gpt_heads", "gpt_window", "gpt_epochs", "gpt_batch"), 1),
    **dict.fromkeys(("chooser_width", "chooser_epochs", "evaluations", "least_blocks", "width", "stages"), 1),
    **dict.fromkeys(("batch_size", "candidate_epochs", "epochs"), 1),
    **dict.fromkeys(("crop", "weight_decay", "drop_every"), 0),
    "population": 2,
}
"""Smallest value of each setting that has one."""
POSITIVE = ("gpt_rate", "chooser_rate", "temperature", "learning_rate")
SHARES = ("crossover", "mutation", "elimination", "warmup")


def check(config: GPTNASConfig) -> None:
    """Refuse settings that no data could make sense of: an `InputError` names the first of them."""
    for name, least in LEAST.items():
        value = getattr(config, name)
        if not (value >= least and math.isfinite(value)):
            raise InputError(f"{value} is not {least} or more", field=name, remedy=f"give {least} or more")
    for name in POSITIVE:
        value = getattr(config, name)
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"{value} is not above 0", field=name, remedy="give a number above 0")
    for name in SHARES:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise InputError(f"{value} is not a share", field=name, remedy="give a number from 0 to 1")
    if not 0 <= config.momentum < 1:
        raise InputError(f"{config.momentum} is not in range", field="momentum", remedy="give 0 to below 1")
    if not 0 < config.validation < 1:
        raise InputError(
            f"{config.validation} leaves nothing to compare candidates or to train them on",
            field="validation",
            remedy="give a share above 0 and below 1",
        )
    if config.most_blocks < config.least_blocks:
        raise InputError(
            f"{config.most_blocks} is less than least_blocks = {config.least_blocks}",
            field="most_blocks",
            remedy=f"give {config.least_blocks} or more",
        )
    if config.gpt_width % config.gpt_heads:
        raise InputError(
            f"{config.gpt_heads} heads do not divide a width of {config.gpt_width}",
            field="gpt_heads",
            remedy="choose a number that divides gpt_width",
        )
    if config.top_k is not None and config.top_k < 1:
        raise InputError(f"is {config.top_k}", field="top_k", remedy="give 1 or more, or null for all")
    if config.image_size is not None and min(config.image_size) < 1:
        raise InputError(f"is {config.image_size}", field="image_size", remedy="give height and width")


SMOKE = GPTNASConfig(
    networks=("resnet18", "resnet34", "googlenet", "shufflenet_v2_x0_5"),
    gpt_width=16,
    gpt_depth=1,
    gpt_heads=2,
    gpt_epochs=3,
    chooser_width=16,
    chooser_epochs=3,
    population=3,
    evaluations=4,
    least_blocks=2,
    most_blocks=4,
    width=4,
    stages=2,
    candidate_epochs=1,
    epochs=2,
    drop_every=0,
)
"""For tests: seconds.

`visus gptnas fit DATA --preset smoke --out RUN`: some ten seconds on one core; little better than guessing.
"""

DEMO = GPTNASConfig(
    gpt_width=32,
    gpt_epochs=4,
    population=6,
    evaluations=24,
    least_blocks=3,
    most_blocks=6,
    width=8,
    stages=2,
    candidate_epochs=2,
    learning_rate=0.05,
    epochs=30,
    drop_every=12,
)
"""Small pictures on a laptop: minutes.

`visus gptnas fit DATA --preset demo --out RUN`.
"""

GPU = GPTNASConfig(batch_size=256, flip=True, crop=2)
"""Pictures of about 32x32 pixels, one GPU.

`visus gptnas fit DATA --preset gpu --device cuda --out RUN`: meant for up to 50,000 pictures in under 25
minutes; time and score have not been measured.
"""

PAPER = GPTNASConfig(
    gpt_epochs=300,
    gpt_rate=1e-4,
    population=30,
    evaluations=630,
    batch_size=512,
    flip=True,
    crop=4,
    width=64,
    validation=0.1,
    warmup=1.0,
    epochs=350,
    drop_every=100,
)
"""The published settings for CIFAR, and what we chose where the paper is silent (see NOTES.md).

`visus gptnas fit DATA --preset paper --device cuda --out RUN`: days on one GPU; not measured here.
"""

PRESETS = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER}

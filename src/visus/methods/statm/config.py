"""Settings of the video tracker, and its presets."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from visus.errors import InputError
from visus.records import record

Size: TypeAlias = Literal["tiny", "small", "plus"]
"""`small`: the convolutional SAVi of 64x64 frames. `plus`: SAVi++ with a ResNet-34 for 128x128. `tiny`: of our
own, for two CPU cores."""

Kind: TypeAlias = Literal[
    "statm", "savi", "mlp", "lstm", "slotformer", "ocvp_seq", "ocvp_par", "copy", "velocity"
]
"""What predicts the next frame's slots.

`statm`: attention over objects and over the buffer of past slots. `savi`: attention over the objects of the
current frame. `mlp`: every slot by itself. `lstm`: attention, then a recurrent cell per slot. `slotformer`: a
transformer over all slots of past frames. `ocvp_seq`, `ocvp_par`: attention over objects and over times, one
after the other or side by side. `copy`: the same slots again. `velocity`: they go on as they went."""

WITHOUT_WEIGHTS: tuple[Kind, ...] = ("copy", "velocity")

Fusion: TypeAlias = Literal["space_time_sum", "space_then_time", "time_then_space", "shared_residual"]
Hint: TypeAlias = Literal["auto", "boxes", "points", "masks", "none"]
Targets: TypeAlias = Literal["auto", "flow", "rgb", "depth", "flow+depth"]


@record
class StatmConfig:
    """Settings of `StatmTracker`."""

    size: Size = "small"
    predictor: Kind = "statm"
    fusion: Fusion = "space_time_sum"
    """How attention over time and over objects meet: their sum, one after the other, or one shared residual."""
    time: Literal["corresponding", "all"] = "corresponding"
    """A slot looks back at itself, or at every slot."""
    time_positions: Literal["learned", "sin", "relative"] | None = None
    """How attention over time knows the order of frames; None: it does not, as published."""
    pre_norm: bool = False
    buffer: int | None = None
    """Past frames that attention over time sees; None: all of them."""
    init: Hint = "auto"
    """What the slots start from in the first frame; `auto`: boxes where the data have objects, else nothing."""
    targets: Targets = "auto"
    """What is decoded from the slots; `auto`: backward flow where the data have it, else color."""
    clip_length: int = 6
    """Frames of a training clip."""
    image_size: tuple[int, int] = (64, 64)
    """Rows and columns of the frames that the network reads; frames of other sizes are resized."""
    max_instances: int = 10
    """Objects that may have a slot, besides the one of the background; more are background."""
    slots: int = 11
    """Number of slots where nothing is known of the first frame."""
    crop: float = 1.0
    """Least share of the picture that a random crop keeps, one crop per clip; 1: no cropping."""
    start_at_mean: bool = True
    """Begin with a decoder that gives the training clips' mean; the reference begins with zeros."""
    steps: int = 20_000
    batch_size: int = 32
    learning_rate: float = 2e-4
    warmup: float = 0.025
    """Share of the steps in which the learning rate rises."""
    clip_norm: float = 0.05
    """Most that the gradient's norm may be; 0: no limit."""
    validation: float = 0.1
    """Share of the videos that chooses the best weights by their loss; 0 keeps the last."""
    check_every: int = 5
    """Passes over the training clips between validations."""
    future_steps: int = 0
    """Steps of a second training, for long roll-outs, of a predictor of its own on frozen slots; 0: none."""
    burn_in: int = 6
    """Frames that are seen before a roll-out."""
    horizon: int = 10
    """Frames of a roll-out in that training."""
    future_image_weight: float = 1.0
    """Weight of the decoded frames beside the slots in that training."""


LEAST: dict[str, int] = {
    "clip_length": 2,
    "max_instances": 1,
    "slots": 2,
    "steps": 1,
    "batch_size": 1,
    "check_every": 1,
    "future_steps": 0,
    "burn_in": 1,
    "horizon": 1,
    "clip_norm": 0,
    "future_image_weight": 0,
}
"""Smallest value of each setting that has one."""

MOST_OBJECTS = 254
"""Segmentations are stored in bytes."""


def check(config: StatmConfig) -> None:
    """Refuse settings that no data could make sense of.

    Raises
    ------
    InputError : names the first of them.
    """
    for name, least in LEAST.items():
        value = getattr(config, name)
        if not (value >= least and math.isfinite(value)):
            raise InputError(f"{value} is not {least} or more", field=name, remedy=f"give {least} or more")
    for name in ("max_instances", "slots"):
        if getattr(config, name) > MOST_OBJECTS:
            raise InputError(
                f"{getattr(config, name)} is too many", field=name, remedy=f"give at most {MOST_OBJECTS}"
            )
    if config.buffer is not None and config.buffer < 1:
        raise InputError(
            f"{config.buffer} is not 1 or more",
            field="buffer",
            remedy="give 1 or more, or null for all frames",
        )
    if not (config.learning_rate > 0 and math.isfinite(config.learning_rate)):
        raise InputError(
            f"{config.learning_rate} is not above 0", field="learning_rate", remedy="give for example 0.0002"
        )
    for name in ("warmup", "validation"):
        if not 0 <= getattr(config, name) < 1:
            raise InputError(
                f"{getattr(config, name)} is not a share", field=name, remedy="give 0 or more, below 1"
            )
    if not 0 < config.crop <= 1:
        raise InputError(f"{config.crop} is not a share", field="crop", remedy="give above 0, at most 1")
    if config.future_steps and config.predictor in WITHOUT_WEIGHTS:
        raise InputError(
            f"predictor {config.predictor} has no weights to train",
            field="future_steps",
            remedy="give 0, or another predictor",
        )
    if min(config.image_size) < 8:
        raise InputError(
            f"{config.image_size[0]}x{config.image_size[1]} is too small",
            field="image_size",
            remedy="give 8 rows and columns or more",
        )


SMOKE = StatmConfig(
    size="tiny",
    image_size=(16, 16),
    max_instances=4,
    slots=5,
    clip_length=4,
    steps=30,
    batch_size=6,
    learning_rate=1e-3,
)
"""For tests.

`visus statm fit DATA --preset smoke --out RUN`: seconds on one core; it learns next to nothing.
"""

DEMO = StatmConfig(
    size="tiny",
    image_size=(32, 32),
    max_instances=6,
    slots=7,
    steps=900,
    batch_size=8,
    learning_rate=1e-3,
)
"""Short clips on a laptop, reduced to 32x32.

`visus statm fit DATA --preset demo --out RUN`: some minutes on two cores.
"""

GPU = StatmConfig(steps=12_000, warmup=0.05, future_steps=3000)
"""Frames of 64x64 on one GPU.

`visus statm fit DATA --preset gpu --device cuda --precision bf16 --out RUN`: meant for under 25 minutes; time and
score have not been measured.
"""

PAPER = StatmConfig(
    targets="flow", init="boxes", start_at_mean=False, steps=100_000, batch_size=64, validation=0.0
)
"""The published values for SAVi with STATM on MOVi-A, B and C: 64x64, batches of 64, 100,000 steps.

`visus statm fit movi_a --preset paper --device cuda --out RUN`. Time and score of this preset have not been
measured here.
"""

PAPER_PLUS = StatmConfig(
    size="plus",
    targets="flow+depth",
    init="boxes",
    image_size=(128, 128),
    max_instances=23,
    slots=24,
    crop=0.75,
    start_at_mean=False,
    steps=100_000,
    warmup=0.025,
    validation=0.0,
)
"""The published values for SAVi++ with STATM on MOVi-D and E: 128x128, batches of 32.

`visus statm fit movi_e --preset paper_plus --device cuda --out RUN`. Time and score of this preset have not been
measured here.
"""

PRESETS = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER, "paper_plus": PAPER_PLUS}

"""From settings and data to a model."""

from __future__ import annotations

from typing import cast

from visus.errors import InputError
from visus.methods.statm.baselines import build_predictor
from visus.methods.statm.config import StatmConfig
from visus.methods.statm.losses import CHANNELS, Target
from visus.methods.statm.model.predictors import Predictor
from visus.methods.statm.model.video import SIZES, Init, SlotVideo, slot_video
from visus.methods.statm.training import HintKind
from visus.protocols import Batch

FIELDS: dict[Target, str] = {"flow": "backward_flow", "depth": "depth", "rgb": "video"}
"""Where each target comes from."""


def model_of(config: StatmConfig, hint: HintKind, targets: tuple[Target, ...]) -> SlotVideo:
    """A fresh model."""
    initializer: Init = "gaussian" if hint == "none" else hint
    return slot_video(
        config.size,
        outputs=sum(CHANNELS[name] for name in targets),
        image=config.image_size,
        slots=config.slots if hint == "none" else config.max_instances + 1,
        initializer=initializer,
        predictor=predictor_of(config),
    )


def predictor_of(config: StatmConfig) -> Predictor:
    """A fresh predictor of the configured kind, for the slots of the configured size."""
    widths = SIZES[config.size]
    return build_predictor(
        config.predictor,
        widths.slot,
        heads=widths.heads,
        qkv=widths.qkv,
        hidden=widths.hidden,
        fusion=config.fusion,
        time=config.time,
        time_positions=config.time_positions,
        buffer=config.buffer,
        pre_norm=config.pre_norm,
    )


def chosen_hint(config: StatmConfig, batch: Batch) -> HintKind:
    """What the slots start from, given what the data have."""
    if config.init != "auto":
        return config.init
    return "boxes" if "boxes" in batch or "segmentation" in batch else "none"


def chosen_targets(config: StatmConfig, batch: Batch) -> tuple[Target, ...]:
    """What is decoded, given what the data have.

    Raises
    ------
    InputError : the data lack what was asked for.
    """
    if config.targets == "auto":
        return ("flow",) if FIELDS["flow"] in batch else ("rgb",)
    names = cast(tuple[Target, ...], tuple(config.targets.split("+")))
    for name in names:
        if FIELDS[name] not in batch:
            raise InputError(
                f"is absent, but targets are {config.targets}",
                field=FIELDS[name],
                remedy="give data that have it, or set targets=rgb",
            )
    return names

"""Sizes of the comparisons, and what every arm changes; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from visus.methods.chestxray.config import ChestXrayConfig


class Lengths(NamedTuple):
    """Epochs of the four stages."""

    contrastive: int
    classify: int
    saliency: int
    final: int

    @property
    def total(self) -> int:
        """Epochs of all stages."""
        return sum(self)

    def of_modules(self, *, joint: bool = True) -> dict[str, int]:
        """Epochs in which each module learns; `joint`: whether the final stage trains everything."""
        shared = self.final if joint else 0
        dense, maps = self.contrastive + self.classify + shared, self.saliency + shared
        return {"dense": dense, "encoder": maps, "decoder": maps, "fusion": self.final}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is made, trained and asked.

    native : (height, width) in which the world is made; image : in which networks see it.
    train, test : radiographs of a seed; pool : radiographs with other labels, for pre-training.
    backbone, base_channels : of the networks; small : the dense encoder where pre-training is compared.
    joint : epochs of every arm that trains all at once.
    total : stages that together last as long as `joint`.
    module : stages in which every module of the maps and of the dense encoder learns as long as in `joint`.
    head : the same, where the final stage trains the head alone.
    validation : share of the training patients that chooses epochs and the temperature.
    precision : of the training.
    """

    native: tuple[int, int] = (64, 64)
    image: tuple[int, int] = (32, 32)
    train: int = 200
    test: int = 120
    pool: int = 0
    backbone: str = "compact"
    small: str = "compact"
    base_channels: int = 4
    hidden: int = 32
    joint: int = 10
    total: Lengths
    module: Lengths
    head: Lengths
    batch: int = 16
    learning_rate: float = 3e-3
    validation: float = 0.15
    precision: str = "no"


DEMO = Size(total=Lengths(1, 2, 4, 3), module=Lengths(2, 4, 6, 4), head=Lengths(4, 6, 10, 4))
SMOKE = replace(
    DEMO,
    train=24,
    test=15,
    pool=18,
    base_channels=2,
    hidden=4,
    joint=4,
    total=Lengths(1, 1, 1, 1),
    module=Lengths(1, 1, 2, 2),
    head=Lengths(1, 3, 4, 2),
    batch=8,
    validation=0.3,
)
GPU = Size(
    native=(160, 128),
    image=(160, 128),
    train=800,
    test=240,
    pool=1000,
    backbone="densenet201",
    base_channels=32,
    hidden=64,
    joint=12,
    total=Lengths(1, 3, 4, 4),
    module=Lengths(2, 4, 6, 6),
    head=Lengths(4, 8, 12, 6),
    batch=32,
    learning_rate=3e-4,
    validation=0.1,
    precision="bf16",
)
SIZES: Mapping[str, Size] = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": GPU}

FIXED = ("mean_map", "center")
"""Arms that look at no image."""
UNTOLD = {"shuffled": "gaze of other images", "no_gaze": "no gaze"}
"""Arms whose training images come with something else than their own gaze."""
NETWORKS = ("mtunet", "res_se", "unet", "dense", "gaze_mtl")
PRETRAINED = ("pool_joint", "pool_staged")
LITE = ("lite_joint", "lite_staged")


def settings_of(arm: str, size: Size, *, small: bool = False, weights: str | None = None) -> ChestXrayConfig:
    """The estimator's settings of an arm.

    Parameters
    ----------
    small : use the small dense encoder, as the comparison of pre-trained encoders does.
    weights : file that the dense encoder starts from.
    """
    base = ChestXrayConfig(
        image_size=size.image,
        backbone=size.small if small else size.backbone,
        backbone_weights=weights,
        base_channels=size.base_channels,
        hidden=size.hidden,
        schedule="joint",
        final_epochs=size.joint,
        contrastive_size=size.image,
        learning_rate=size.learning_rate,
        batch_size=size.batch,
        contrastive_batch=size.batch,
        final_batch=size.batch,
        patience=None,
        validation=size.validation,
    )
    return replace(base, **_changes(arm, size))


def _changes(arm: str, size: Size) -> dict[str, Any]:
    """What an arm has other than joint training of the dual network from scratch."""
    if arm in NETWORKS:
        return {"network": arm}
    if arm in LITE:
        stages = _staged(size.module) if arm == "lite_staged" else {}
        return {"backbone": "efficientnet_lite0", "backbone_weights": "imagenet", **stages}
    merged = size.module._replace(contrastive=0, classify=size.module.contrastive + size.module.classify)
    changes: dict[str, dict[str, Any]] = {
        "staged_total": _staged(size.total),
        "staged_module": _staged(size.module),
        "staged_head": {**_staged(size.head), "final_stage": "head"},
        "staged_no_triplet": _staged(merged),
        "staged_dense_only": {**_staged(size.module), "fuse_decoder": False},
        "pool_staged": _staged(size.module),
        "fixed": {"weighting": "fixed"},
    }
    return changes.get(arm, {})


def _staged(lengths: Lengths) -> dict[str, Any]:
    return {"schedule": "staged", **{f"{name}_epochs": count for name, count in lengths._asdict().items()}}

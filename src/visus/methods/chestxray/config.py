"""Settings of the chest X-ray reader and the presets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, TypeAlias

from visus.errors import InputError
from visus.records import record

Network: TypeAlias = Literal["dual", "mtunet", "unet", "res_se", "dense", "gaze_mtl"]
"""`dual`: the paper's two encoders with one decoder. `mtunet`: a plain U-Net with two heads (MT-UNet).
`unet`: gaze alone. `res_se`: the second encoder and the decoder without the dense encoder. `dense`: diagnosis
alone. `gaze_mtl`: the dense classifier with features of the gaze as auxiliary targets."""


@record
class ChestXrayConfig:
    """Settings of `ChestXrayReader`. Lengths of training are epochs; 0 leaves a stage out."""

    classes: tuple[str, ...] = ()
    """Order of the class names; empty = sorted."""
    image_size: tuple[int, int] = (640, 512)
    """Height and width to which radiographs are brought."""
    fit: Literal["pad", "stretch"] = "pad"
    """`pad`: keep the proportions and fill up with 0. `stretch`: fill the whole size."""
    network: Network = "dual"
    backbone: str = "densenet201"
    """Dense encoder: compact, densenet121, densenet169, densenet201, densenet264 or efficientnet_lite0."""
    backbone_weights: str | None = None
    """File with weights that the dense encoder starts from; `imagenet` for those in efficientnet_lite0's package;
    None draws them."""
    base_channels: int = 64
    """Channels of the first level of the second encoder and of the decoder; deeper levels double them."""
    hidden: int = 64
    """Width of the diagnosis head."""
    dropout: float = 0.25
    fuse_decoder: bool = True
    """Whether the diagnosis also sees the decoder's features; False leaves the dense features alone."""
    schedule: Literal["staged", "joint"] = "staged"
    """`staged`: the stages below one after the other. `joint`: all at once from the start, for `final_epochs`."""
    contrastive_epochs: int = 50
    classify_epochs: int = 10
    saliency_epochs: int = 50
    final_epochs: int = 40
    final_stage: Literal["joint", "head"] = "joint"
    """What the final stage trains: everything, or the diagnosis head alone."""
    contrastive: Literal["triplet", "supcon"] = "triplet"
    mining: Literal["all", "hard", "semi_hard"] = "all"
    """Which triplets of a batch count."""
    margin: float = 1.0
    """Of the triplet loss."""
    temperature: float = 0.1
    """Of the supervised contrastive loss."""
    normalize: bool = False
    """Whether embeddings are brought to length 1 before triplets compare them."""
    contrastive_size: tuple[int, int] | None = None
    """Image size of the contrastive stage; None halves `image_size`."""
    weighting: Literal["uncertainty", "fixed"] = "uncertainty"
    """How the two losses are added: by learned uncertainty, or by `saliency_weight`."""
    saliency_weight: float = 0.5
    """Weight of the gaze loss beside the diagnosis loss, in validation and where the weighting is fixed."""
    learn_saliency_sigma: bool = False
    """Whether the uncertainty of the gaze loss is learned too; it stays 1 otherwise."""
    class_weights: Literal["none", "balanced"] | dict[str, float | int] = "none"
    learning_rate: float = 1e-4
    dense_rate: float = 1.0
    """Factor on the dense encoder's learning rate where it is trained together with the rest."""
    batch_size: int = 16
    contrastive_batch: int = 32
    final_batch: int = 6
    patience: int | None = 20
    """Epochs without a lower validation loss that end a stage; None runs every stage to its end."""
    plateau: int = 0
    """Epochs without a lower validation loss after which the learning rate is divided by 10; 0 never does."""
    validation: float = 0.1
    """Share of the patients that choose every stage's epoch and the temperature; 0 keeps the last epoch."""
    sigma_px: float | None = None
    """Width of a fixation's Gaussian in pixels of the native image; None = 2.97 % of its width."""
    gaze_weight: Literal["duration", "count"] = "duration"


_FROM_ONE = ("base_channels", "hidden")
_FROM_TWO = ("batch_size", "contrastive_batch", "final_batch")
"""Batch normalization needs two images."""
_FROM_ZERO = ("contrastive_epochs", "classify_epochs", "saliency_epochs", "final_epochs", "plateau", "margin")
_FROM_ZERO += ("saliency_weight",)
_ABOVE_ZERO = ("learning_rate", "dense_rate", "temperature")
_SHARES = ("dropout", "validation")


def check(config: ChestXrayConfig) -> None:
    """Refuse settings that no data could make sense of.

    Raises
    ------
    InputError : names the first setting that is out of its bounds.
    """
    rules = (
        (_FROM_ONE, lambda value: value >= 1, "choose a number from 1"),
        (_FROM_TWO, lambda value: value >= 2, "choose a number from 2"),
        (_FROM_ZERO, lambda value: 0 <= value < math.inf, "choose 0 or more"),
        (_ABOVE_ZERO, lambda value: 0 < value < math.inf, "choose a number above 0"),
        (_SHARES, lambda value: 0 <= value < 1, "choose a share from 0 to below 1"),
    )
    for names, fine, remedy in rules:
        for name in names:
            if not fine(getattr(config, name)):
                raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)
    for name in ("image_size", "contrastive_size"):
        size = getattr(config, name)
        if size is not None and min(size) < 1:
            raise InputError(f"is {list(size)}", field=name, remedy="give height and width from 1")
    if config.sigma_px is not None and not 0 < config.sigma_px < math.inf:
        raise InputError(f"is {config.sigma_px}", field="sigma_px", remedy="give pixels above 0, or null")
    if config.patience is not None and config.patience < 1:
        raise InputError(f"is {config.patience}", field="patience", remedy="give epochs from 1, or null")
    if len(set(config.classes)) < len(config.classes):
        raise InputError("names a class twice", field="classes", remedy="name every class once")
    if isinstance(config.class_weights, dict):
        _check_weights(config.class_weights)
    if config.network in ("dual", "dense", "gaze_mtl"):
        _check_backbone(config.backbone, config.backbone_weights)


def _check_backbone(name: str, weights: str | None) -> None:
    """Here, so that a wrong name does not wait for all images to be read."""
    from visus.methods.chestxray.model import BACKBONES

    if name not in BACKBONES:
        raise InputError(f"is {name!r}", field="backbone", remedy=f"give one of {', '.join(BACKBONES)}")
    if weights == "imagenet" and name != "efficientnet_lite0":
        remedy = "give the file of a torchvision checkpoint, or choose backbone=efficientnet_lite0"
        raise InputError(
            f"no package brings ImageNet weights of {name}", field="backbone_weights", remedy=remedy
        )
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise InputError("is no file", file=weights, field="backbone_weights", remedy="check the path")


def _check_weights(weights: dict[str, float | int]) -> None:
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise InputError(f"is {weight}", field=f"class_weights.{name}", remedy="choose 0 or more")
    if not any(weights.values()):
        raise InputError("are all 0", field="class_weights", remedy="give a class a weight above 0")


SMOKE = ChestXrayConfig(
    image_size=(64, 64),
    backbone="compact",
    base_channels=4,
    hidden=16,
    contrastive_epochs=1,
    classify_epochs=2,
    saliency_epochs=3,
    final_epochs=2,
    final_batch=16,
    learning_rate=3e-3,
    validation=0.2,
)
"""For tests: seconds.

`visus chestxray fit DATA --preset smoke --out RUN`: a few seconds on one core; little better than guessing.
"""

DEMO = ChestXrayConfig(
    image_size=(64, 64),
    backbone="compact",
    base_channels=8,
    contrastive_epochs=4,
    classify_epochs=10,
    saliency_epochs=15,
    final_epochs=12,
    final_batch=16,
    learning_rate=1e-3,
    patience=8,
    validation=0.2,
)
"""Some hundred small radiographs on a laptop.

`visus chestxray fit DATA --preset demo --out RUN`: 85 seconds of one core for 300 radiographs; see NOTES.md for scores.
"""

GPU = ChestXrayConfig(
    image_size=(320, 256),
    base_channels=32,
    contrastive_epochs=6,
    classify_epochs=6,
    saliency_epochs=10,
    final_epochs=8,
    final_batch=16,
    patience=None,
)
"""Some thousand radiographs at half the published size, one GPU.

`visus chestxray fit DATA --preset gpu --device cuda --out RUN`: meant for under 25 minutes.
"""

PAPER = ChestXrayConfig(
    classes=("Normal", "CHF", "pneumonia"),
    gaze_weight="count",
    patience=83,
    plateau=40,
)
"""The settings of the released code, with weights of a DenseNet-201 trained on ImageNet that you have on disk.

`visus chestxray fit EGD --preset paper --set backbone_weights=densenet201.pth --device cuda --out RUN`. Time and
score have not been measured here. A patience of 83 epochs is longer than any stage, as published.
"""

PRESETS: dict[str, ChestXrayConfig] = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER}

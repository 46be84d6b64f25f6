"""Settings of HyperFusion and the presets."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from visus.errors import InputError
from visus.records import record

Fusion: TypeAlias = Literal[
    "hyper",
    "tabular",
    "image",
    "concat",
    "concat_matched",
    "film",
    "daft",
    "film_centered",
    "daft_centered",
    "gbm",
    "gbm_features",
]
"""How table and image meet.

`hyper`: the table emits weights of the image network. `tabular`, `image`: one of the two alone. `concat`:
the table joins the pooled image features. `concat_matched`: the same with a two-layer head that has as many
parameters as `hyper`. `film`, `daft`: the table scales and shifts feature maps (DAFT looks at the maps
too); `_centered`: scale 1 + x instead of x. `gbm`: gradient boosting on the table; `gbm_features`: on table
and frozen image features."""

Position: TypeAlias = Literal[
    "fc1",
    "fc2",
    "paper_ad",
    "block1",
    "block2",
    "block3",
    "last_TTF",
    "last_TFF",
    "last_TTT",
    "paper_age",
]
"""Which layers the table emits.

`fc1`: the first fully connected layer after pooling. `fc2`: both. `paper_ad`: the 1x1 shortcut convolution
of the last block; `block1..3`: that of an earlier block. `last_XYZ`: in the last block conv1, conv2,
shortcut where T stands. `paper_age`: another network (plain convolutions), all four fully connected
layers."""

Columns: TypeAlias = dict[str, Literal["continuous", "categorical", "binary", "ignore"]]


@record
class HyperFusionConfig:
    """Settings of `HyperFusion`."""

    task: Literal["auto", "classification", "regression"] = "auto"
    """`auto`: regression if the target is numbers with a fraction or more than 20 different values."""
    classes: tuple[str, ...] = ()
    """Order of the class names; empty = sorted."""
    columns: Columns | None = None
    """Kind of each table column; None infers them, columns not named are not used."""
    missing: Literal["indicators", "fill"] = "indicators"
    """`indicators`: 0/1 columns say what was missing; `fill`: gaps are filled and nothing says so."""
    imputer: Literal["iterative", "median"] = "iterative"
    fusion: Fusion = "hyper"
    position: Position = "fc1"
    width: int = 16
    """Channels after the first convolution (f); later stages double it."""
    blocks: int = 4
    """Residual blocks; every one after the first halves the resolution."""
    stem_pool: bool = True
    """Max pooling after the first convolution; off for tiny images."""
    dropout: float = 1.0
    """Factor on the paper's dropout rates."""
    embedding: int = 8
    """Width of the table's embedding."""
    embedding_epochs: int = 0
    """Epochs of tabular-only training that start the embedding; 0 = from scratch."""
    variance: Literal["input_variance", "embedding_variance", "embedding_second_moment"] | float = (
        "embedding_second_moment"
    )
    """Variance of the condition for hyperfan-in initialization."""
    impl: Literal["auto", "rule", "grouped", "einsum", "vmap", "loop", "factored"] = "rule"
    """How per-sample weights are applied; `auto` measures, so its rounding may differ between runs."""
    normalize: Literal["image", "nonzero", "none"] = "image"
    """Per image: subtract mean, divide by deviation, over all or the nonzero pixels."""
    image_size: tuple[int, ...] | None = None
    """Resize images to this; None takes them as they are."""
    flips: tuple[int, ...] = ()
    """Spatial axes along which training images are flipped at random."""
    hemispheres: int | None = None
    """Spatial axis along which an image holds two mirrored halves: train on either, average over both."""
    class_weights: Literal["none", "balanced"] | dict[str, float | int] = "balanced"
    standardize_target: bool = True
    """Regression: learn the target in units of its training mean and deviation."""
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    epochs: int = 40
    batch_size: int = 32
    validation: float = 0.2
    """Share of the training rows that choose the epoch; 0 keeps the last."""
    check_every: int = 1
    """Epochs between validations."""
    trees: int = 100
    """Boosting rounds of `gbm` and `gbm_features`."""


LEAST: dict[str, int] = {
    "width": 1,
    "blocks": 1,
    "embedding": 1,
    "embedding_epochs": 0,
    "epochs": 1,
    "batch_size": 1,
    "check_every": 1,
    "trees": 1,
    "weight_decay": 0,
}
"""Smallest value of each setting that has one."""


def check(config: HyperFusionConfig) -> None:
    """Refuse settings that no data could make sense of: an `InputError` names the first of them.

    What depends on the data (axes of the images, names of classes and columns) is checked by `fit`.
    """
    for name, least in LEAST.items():
        at_least(name, getattr(config, name), least)
    if not (config.learning_rate > 0 and math.isfinite(config.learning_rate)):
        raise InputError(
            f"{config.learning_rate} is not above 0", field="learning_rate", remedy="give for example 0.001"
        )
    if not 0 <= config.validation < 1:
        raise InputError(
            f"{config.validation} is not a share", field="validation", remedy="give 0 <= validation < 1"
        )
    # the highest of the rates that the factor multiplies
    highest = 0.2 if config.position == "paper_age" else 0.6
    if not (config.dropout >= 0 and config.dropout * highest < 1):
        raise InputError(
            f"{config.dropout} is no factor on rates up to {highest}",
            field="dropout",
            remedy=f"give 0 <= dropout < {1 / highest:.3g}",
        )
    if not isinstance(config.variance, str) and not (config.variance > 0 and math.isfinite(config.variance)):
        raise InputError(
            f"{config.variance} is not above 0", field="variance", remedy="give for example 0.25"
        )
    for name in ("flips", "hemispheres"):
        axes = getattr(config, name)
        for axis in axes if name == "flips" else () if axes is None else (axes,):
            at_least(name, axis, 0, remedy="count the spatial axes from 0")
    if isinstance(config.class_weights, dict):
        _check_weights(config.class_weights)


def at_least(name: str, value: float, least: int, *, remedy: str | None = None) -> None:
    """Refuse a setting or argument that is smaller than `least`, infinite or not a number."""
    if not (value >= least and math.isfinite(value)):
        raise InputError(
            f"{value} is not {least} or more", field=name, remedy=remedy or f"give {least} or more"
        )


def _check_weights(weights: dict[str, float | int]) -> None:
    for name, weight in weights.items():
        at_least(f"class_weights.{name}", weight, 0)
    if not any(weights.values()):
        raise InputError(
            "all weights are 0", field="class_weights", remedy="give at least one class a weight above 0"
        )


PRESETS: dict[str, HyperFusionConfig] = {
    "smoke": HyperFusionConfig(
        width=4, blocks=3, stem_pool=False, dropout=0.2, epochs=3, batch_size=32, learning_rate=3e-3, trees=20
    ),
    "demo": HyperFusionConfig(
        width=8, blocks=3, stem_pool=False, dropout=0.2, epochs=30, batch_size=50, learning_rate=3e-3
    ),
    "gpu": HyperFusionConfig(width=16, epochs=60, batch_size=64, learning_rate=1e-3),
    "paper": HyperFusionConfig(
        position="paper_ad",
        classes=("CN", "MCI", "AD"),
        embedding_epochs=250,
        variance="input_variance",
        normalize="nonzero",
        hemispheres=2,
        class_weights={"CN": 1.1, "MCI": 0.6962, "AD": 1.4},
        learning_rate=1e-4,
        weight_decay=1e-5,
        epochs=250,
        batch_size=32,
    ),
    "paper_age": HyperFusionConfig(
        task="regression",
        position="paper_age",
        variance=0.25,
        standardize_target=False,
        learning_rate=1.5e-4,
        weight_decay=0.05,
        epochs=60,
        batch_size=64,
    ),
}
"""`smoke`: seconds, for tests. `demo`: one model in well under a minute on 2 CPU cores. `gpu`: photos,
radiographs and volumes on one GPU. `paper`: the published Alzheimer's settings; `paper_age`: those for
brain age."""

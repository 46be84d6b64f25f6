"""Settings of the zero-shot classifier and of the small two-tower network it can train, and their presets."""

from __future__ import annotations

import math
from typing import Literal

from visus.errors import InputError
from visus.records import record

SCRATCH = "scratch"


@record
class VGlossConfig:
    """What is compared, how descriptions become a classifier, and the network trained from scratch.

    model : `scratch` trains a small CLIP on captioned pictures; otherwise a folder, a name or a hub id that
        `visus.data.features.open_encoder` knows: nothing is trained.
    text_model : another encoder for the texts, brought to the pictures' space by a `TextBridge` that is fitted
        on classes with known visual prototypes; empty: the model's own text tower.
    kernel : of that bridge.
    ridge : its weight; 0 chooses it by cross-validation over the seen classes.
    use : descriptions written for a class alone (`normal`), against its neighbors (`contrastive`), or `both`.
    form : how a description becomes a text; `{c}` (the name) and `{description}` are filled in.
    templates : texts with `{c}` for the name that join the descriptions of every class.
    ensemble : templates and descriptions in one pool, or two unit classifiers averaged.
    pooling : how a class's texts become one score, see `TextClassifierBuilder`.
    follow_up : re-score that many best classes with the contrastive texts among them; 0 leaves it out.
    logit_scale : factor of the cosines before the softmax; 0 takes the model's own.
    image_size, patch : pictures are squeezed to a square of that side and cut into patches.
    width, layers, heads : of both towers' transformers (the picture's has `layers`, the text's `text_layers`).
    text_layers, text_width, text_length : of the text tower; longer texts are cut at `text_length` tokens.
    vocabulary : most merges of byte pairs that the tokenizer learns from the captions.
    joint : width of the space in which both meet.
    temperature : of the contrastive loss when training starts; it is learned.
    identical : equal captions in a batch are each other's positives (`shared`), or negatives as published
        (`apart`).
    flips : mirror training pictures at random.
    epochs, batch_size, learning_rate, weight_decay, warmup, clip_norm, schedule : AdamW; `warmup` is a share of
        the training, clip_norm 0 means no clipping.
    """

    model: str = SCRATCH
    text_model: str = ""
    kernel: Literal["linear", "gaussian"] = "gaussian"
    ridge: float = 0.0
    use: Literal["normal", "contrastive", "both"] = "normal"
    form: str = "{description}"
    templates: tuple[str, ...] = ()
    ensemble: Literal["pool", "average"] = "pool"
    pooling: Literal["mean", "similarity_mean", "max", "weighted"] = "mean"
    follow_up: int = 0
    logit_scale: float = 0.0
    image_size: int = 32
    patch: int = 8
    width: int = 64
    layers: int = 2
    heads: int = 4
    text_layers: int = 1
    text_width: int = 64
    text_length: int = 77
    vocabulary: int = 512
    joint: int = 64
    temperature: float = 0.1
    identical: Literal["shared", "apart"] = "shared"
    flips: bool = True
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    warmup: float = 0.1
    clip_norm: float = 1.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"


_FROM_ONE = (
    *("image_size", "patch", "width", "layers", "heads", "text_layers", "text_width", "vocabulary", "joint"),
    *("epochs", "batch_size"),
)
_FROM_ZERO = ("ridge", "follow_up", "logit_scale", "weight_decay", "clip_norm")
_ABOVE_ZERO = ("temperature", "learning_rate")


def check(config: VGlossConfig) -> None:
    """Refuse settings that no classifier can be made with.

    Raises
    ------
    InputError : a number out of its bounds, heads that do not divide a width, patches that do not divide the
        pictures, or a form or template without its place.
    """
    rules = (
        (_FROM_ONE, lambda value: value >= 1, "choose a number from 1"),
        (_FROM_ZERO, lambda value: 0 <= value < math.inf, "choose 0 or more"),
        (_ABOVE_ZERO, lambda value: 0 < value < math.inf, "choose a number above 0"),
        (("text_length",), lambda value: value >= 3, "choose a number from 3"),
        (("warmup",), lambda value: 0 <= value < 1, "choose a share from 0 to below 1"),
    )
    for names, fine, remedy in rules:
        for name in names:
            if not fine(getattr(config, name)):
                raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)
    for width in ("width", "text_width"):
        if getattr(config, width) % config.heads:
            problem = f"{config.heads} heads do not divide a {width} of {getattr(config, width)}"
            raise InputError(problem, field="heads", remedy=f"choose a number that divides {width}")
    if config.image_size % config.patch:
        problem = f"patches of {config.patch} do not divide pictures of {config.image_size}"
        raise InputError(problem, field="patch", remedy="choose a number that divides image_size")
    _check_text("form", config.form, "{description}")
    for template in config.templates:
        _check_text("templates", template, "{c}")
    if config.model == SCRATCH and config.text_model:
        remedy = "give a model that is trained already, or leave text_model out"
        raise InputError("does not go with model=scratch", field="text_model", remedy=remedy)


def _check_text(field: str, text: str, place: str) -> None:
    if place not in text:
        raise InputError(f"{text!r} has no {place}", field=field, remedy=f"write {place} where it belongs")
    known = ("{c}", "{description}") if field == "form" else ("{c}",)
    rest = text
    for each in known:
        rest = rest.replace(each, "")
    if "{" in rest or "}" in rest:
        remedy = f"braces are for {' and '.join(known)} alone"
        raise InputError(f"{text!r} has other braces", field=field, remedy=remedy)


PRESETS = {
    "smoke": VGlossConfig(width=32, text_width=16, joint=32, epochs=4, batch_size=32),
    "demo": VGlossConfig(),
    "gpu": VGlossConfig(
        image_size=64,
        width=256,
        layers=6,
        heads=8,
        text_layers=4,
        text_width=256,
        joint=256,
        vocabulary=4096,
        epochs=30,
        batch_size=512,
        learning_rate=1e-3,
        weight_decay=0.05,
        temperature=0.07,
    ),
    "paper": VGlossConfig(
        model="openai/clip-vit-large-patch14", use="both", form="{c}: {description}", logit_scale=100.0
    ),
}
"""`smoke`: seconds, for tests. `demo`: a network on a few thousand captioned pictures of 32 px, about ten seconds
of one core. `gpu`: a network on a person's own captioned pictures; time and score have not been measured.
`paper`: a published CLIP that is trained already (which one the paper's tables use could not be confirmed)."""

"""Settings of the attention classifier, and its presets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from visus.errors import InputError
from visus.records import record

Kind = Literal[
    "standard", "optimized", "efficient", "super", "efficient_mixed", "mqa", "gqa", "linformer", "mixer"
]


@record
class AttentionConfig:
    """A small transformer classifier for images or texts; which of the two is read off the data.

    kind : `standard`, `optimized`, `efficient`, `super`, or one of the baselines: `efficient_mixed`
        (Efficient with the token mixing after instead of inside attention), `mqa` and `gqa` (one key and
        value head for all, or for every two query heads), `linformer` (keys and values shortened along the
        tokens), `mixer` (a two-layer network over the tokens in place of attention).
    width, num_heads, layers, feed_forward : sizes of the transformer.
    norm : `post` normalizes after each residual sum (as in the paper's experiments), `pre` before each
        branch.
    dropout : after attention, after the feed-forward layer and in the head.
    head : hidden units between pooled tokens and class scores; 0 for none.
    wa_init, wa_bias, wa_frozen : how W_A of Super attention starts, whether it has a bias, whether it stays
        as it starts.
    image_size, patch : images are resized to a square of that side and cut into square patches.
    vocabulary, length, keep : most different words, words per text, and which end of a longer text stays.
    epochs, batch_size, learning_rate, weight_decay, clip_norm : AdamW; clip_norm 0 means no clipping.
    validation : share of the training data that chooses the best epoch; 0 keeps the last one.
    """

    kind: Kind = "super"
    width: int = 64
    num_heads: int = 4
    layers: int = 2
    feed_forward: int = 128
    norm: Literal["post", "pre"] = "post"
    dropout: float = 0.1
    head: int = 0
    wa_init: Literal["xavier", "eye", "orthogonal"] = "xavier"
    wa_bias: bool = False
    wa_frozen: bool = False
    image_size: int = 8
    patch: int = 2
    vocabulary: int = 20_000
    length: int = 48
    keep: Literal["first", "last"] = "first"
    epochs: int = 25
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    validation: float = 0.1


AT_LEAST_ONE = (
    *("width", "num_heads", "layers", "feed_forward", "patch", "image_size", "vocabulary", "length"),
    *("epochs", "batch_size"),
)


def check(config: AttentionConfig) -> None:
    """Refuse numbers that no model can be built or trained with.

    Raises
    ------
    InputError : a number out of its bounds, or heads that do not divide the width (whatever the kind).
    """
    bounds = {
        **{name: (getattr(config, name) >= 1, "choose a number from 1") for name in AT_LEAST_ONE},
        "head": (config.head >= 0, "choose 0 (none) or more"),
        "dropout": (0.0 <= config.dropout < 1.0, "choose a share from 0 to below 1"),
        "learning_rate": (0.0 < config.learning_rate < math.inf, "choose a number above 0"),
        "weight_decay": (0.0 <= config.weight_decay < math.inf, "choose 0 (none) or more"),
        "clip_norm": (config.clip_norm >= 0.0, "choose 0 (no clipping) or more"),
        "validation": (0.0 <= config.validation < 1.0, "choose a share from 0 to below 1"),
    }
    for name, (within, remedy) in bounds.items():
        if not within:
            raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)
    if config.width % config.num_heads:
        raise InputError(
            f"{config.num_heads} heads do not divide a width of {config.width}",
            field="num_heads",
            remedy="choose a number that divides width",
        )


def told_reduction(config: AttentionConfig, size: Sequence[int]) -> str | None:
    """What to tell a user whose pictures are larger (height, width) than the network reads them."""
    height, width = size
    side = config.image_size
    if max(height, width) <= side:
        return None
    more, patch = (32, 4) if side < 32 else (2 * side, 2 * config.patch)
    return (
        f"pictures of {width}x{height} are reduced to {side}x{side}; --set image_size={more} patch={patch} "
        "keeps more"
    )


SMOKE = AttentionConfig(width=16, num_heads=2, layers=1, feed_forward=16, epochs=2, length=24, vocabulary=400)
"""For tests: seconds.

`visus attention fit DATA --preset smoke --out RUN`: under 5 seconds on one core; little better than guessing.
"""

DEMO = AttentionConfig()
"""Small pictures or short texts on a laptop.

`visus attention fit DATA --preset demo --out RUN`: about 5 seconds per 1,000 small pictures on one core. On
the 8x8 digits of scikit-learn (900 to learn from) about 95 % of the others are recognized.
"""

GPU = AttentionConfig(
    width=192,
    num_heads=3,
    layers=6,
    feed_forward=384,
    norm="pre",
    image_size=32,
    patch=4,
    length=128,
    epochs=60,
    batch_size=256,
    weight_decay=0.05,
)
"""Pictures of about 32x32 pixels or paragraphs, one GPU.

`visus attention fit DATA --preset gpu --device cuda --out RUN`: meant for up to 50,000 items in under 25
minutes; time and score have not been measured.
"""

PAPER = AttentionConfig(
    width=32,
    num_heads=4,
    layers=1,
    feed_forward=32,
    head=6,
    wa_bias=True,
    vocabulary=20_000,
    length=32,
    keep="last",
    epochs=10,
    weight_decay=0.0,
    clip_norm=0.0,
)
"""The recipe of the paper's sentiment experiment (IMDB reviews: 32 words, one layer of width 32).

`visus attention fit aclImdb --preset paper --out RUN`. Time and score of this preset have not been measured here: the
reviews are not embedded and cannot be fetched while testing.
"""

PRESETS = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER}

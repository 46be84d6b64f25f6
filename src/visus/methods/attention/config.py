"""Settings of the attention classifier, and its presets."""

from __future__ import annotations

from typing import Literal

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

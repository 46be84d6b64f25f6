"""Settings of the slot interpreter and of its few-shot classifier, and their presets."""

from __future__ import annotations

import math
from typing import Any, Literal

from visus.errors import InputError
from visus.records import record

Decoder = Literal["mlp", "broadcast", "none"]


@record
class NSIConfig:
    """Image slots, scene programs, the score between them, and the writer of programs.

    image_size : pictures are squeezed to a square of that side; not used with features of a frozen network.
    attributes : attributes of the objects that programs speak of; empty: all that the training data have.
    slots, slot_size, iterations : number of slots K, their width D, rounds of Slot Attention.
    joint : width of the space in which slots and primitives meet.
    channels, strides : of the convolutions that read pictures; not used with features.
    decoder : what reconstructs the input from slots: `mlp` (pictures at `decoder_cells` a side, features in
        full), `broadcast` (pictures in full) or none.
    decoder_cells, decoder_width, decoder_layers : of the decoder `mlp`.
    program_width, program_heads, program_blocks : of the transformer over primitives; 0 blocks leave it out.
    legacy_padding : let primitives see padded rows, as the published code does.
    dropout : in the two heads that lead to the joint space.
    assign, reduce, normalize : the score, see `bilevel_scores`.
    temperature : of the contrastive loss (tau).
    beta : weight of the reconstruction loss.
    partial : share of training programs that are cut to a part, so that parts of programs can be searched for.
    generator_width, generator_heads, generator_blocks, per_slot : of the generator; `per_slot` is how many
        objects one slot may hold.
    pretrain_epochs : reconstruction alone, before the alignment.
    epochs : contrastive loss and reconstruction together.
    generator_epochs : the generator, with everything else frozen; 0 for no generator.
    batch_size, learning_rate, warmup, clip_norm : Adam; `warmup` is a share of each phase, clip_norm 0 means
        no clipping.
    halve_after : halve the learning rate after that many epochs without a lower validation loss; 0 never.
    validation : share of the training data that chooses the best epoch of each phase; 0 keeps the last one.
    """

    image_size: int = 64
    attributes: tuple[str, ...] = ()
    slots: int = 7
    slot_size: int = 64
    iterations: int = 3
    joint: int = 64
    channels: int = 32
    strides: tuple[int, ...] = (2, 2, 1)
    decoder: Decoder = "mlp"
    decoder_cells: int = 16
    decoder_width: int = 128
    decoder_layers: int = 2
    program_width: int = 64
    program_heads: int = 4
    program_blocks: int = 4
    legacy_padding: bool = False
    dropout: float = 0.1
    assign: Literal["max", "hungarian", "softmax"] = "max"
    reduce: Literal["sum", "mean"] = "sum"
    normalize: bool = False
    temperature: float = 0.1
    beta: float = 1.0
    partial: float = 0.0
    generator_width: int = 64
    generator_heads: int = 4
    generator_blocks: int = 2
    per_slot: int = 2
    pretrain_epochs: int = 0
    epochs: int = 60
    generator_epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 4e-4
    warmup: float = 0.1
    clip_norm: float = 1.0
    halve_after: int = 0
    validation: float = 0.1


@record
class FewShotConfig:
    """A classifier over frozen slots.

    width, heads, blocks, dropout : of its transformer.
    epochs, batch_size, learning_rate, weight_decay : AdamW.
    shots : pictures per class that are learned from, drawn by the run's seed; 0 takes all.
    """

    width: int = 64
    heads: int = 4
    blocks: int = 2
    dropout: float = 0.0
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    shots: int = 0


_FROM_ONE = (
    *("image_size", "slots", "slot_size", "iterations", "joint", "channels", "decoder_cells"),
    *("decoder_width", "decoder_layers", "program_width", "program_heads", "generator_width"),
    *("generator_heads", "per_slot", "epochs", "batch_size", "width", "heads", "blocks"),
)
_FROM_ZERO = (
    *("program_blocks", "generator_blocks", "pretrain_epochs", "generator_epochs", "halve_after"),
    *("beta", "clip_norm", "weight_decay", "shots"),
)
_ABOVE_ZERO = ("temperature", "learning_rate")
_SHARES = ("dropout", "validation", "partial", "warmup")


def check(config: NSIConfig | FewShotConfig) -> None:
    """Refuse numbers that no model can be built or trained with.

    Raises
    ------
    InputError : a number out of its bounds; heads that do not divide their width; a pre-training without a
        decoder.
    """
    rules = (
        (_FROM_ONE, lambda value: value >= 1, "choose a number from 1"),
        (_FROM_ZERO, lambda value: 0 <= value < math.inf, "choose 0 or more"),
        (_ABOVE_ZERO, lambda value: 0 < value < math.inf, "choose a number above 0"),
        (_SHARES, lambda value: 0 <= value < 1, "choose a share from 0 to below 1"),
    )
    for names, fine, remedy in rules:
        for name in names:
            if hasattr(config, name) and not fine(getattr(config, name)):
                raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)
    for width, heads in (
        ("program_width", "program_heads"),
        ("generator_width", "generator_heads"),
        ("width", "heads"),
    ):
        if hasattr(config, width) and getattr(config, width) % getattr(config, heads):
            problem = f"{getattr(config, heads)} heads do not divide a width of {getattr(config, width)}"
            raise InputError(problem, field=heads, remedy=f"choose a number that divides {width}")
    if isinstance(config, NSIConfig):
        _check_pictures(config)


def _check_pictures(config: NSIConfig) -> None:
    if not config.strides or min(config.strides) < 1:
        raise InputError(
            f"is {list(config.strides)}", field="strides", remedy="give numbers from 1, e.g. [2,2,1]"
        )
    if config.pretrain_epochs and config.decoder == "none":
        remedy = "choose decoder mlp or broadcast, or pretrain_epochs=0"
        raise InputError("needs a decoder", field="pretrain_epochs", remedy=remedy)


SMOKE = NSIConfig(
    image_size=32,
    slots=4,
    slot_size=32,
    iterations=2,
    joint=32,
    channels=16,
    strides=(2, 2),
    decoder_cells=8,
    decoder_width=32,
    decoder_layers=1,
    program_width=32,
    program_blocks=1,
    generator_width=32,
    generator_blocks=1,
    temperature=1.0,
    beta=10.0,
    epochs=4,
    generator_epochs=4,
    batch_size=32,
    learning_rate=2e-3,
)
"""For tests: seconds.

`visus nsi fit DATA --preset smoke --out RUN`: about 5 seconds on one core; little better than guessing.
"""

DEMO = NSIConfig(
    image_size=32,
    slots=6,
    iterations=2,
    strides=(2, 2),
    decoder_cells=8,
    decoder_width=64,
    program_blocks=2,
    temperature=1.0,
    beta=10.0,
    partial=0.1,
    pretrain_epochs=5,
    epochs=80,
    generator_epochs=40,
    learning_rate=2e-3,
)
"""A thousand small pictures of a few objects, on a laptop.

`visus nsi fit DATA --preset demo --out RUN`: 70 to 90 seconds of one core for 700 pictures of 32 px.

Scores are sums of inner products: at the paper's temperature of 0.1 a short training spends its steps on shrinking
them. At 1.0 it begins to learn at once.
"""

GPU = NSIConfig(
    slots=8,
    slot_size=128,
    channels=64,
    decoder="broadcast",
    program_width=128,
    program_heads=8,
    generator_width=128,
    generator_heads=8,
    generator_blocks=4,
    pretrain_epochs=10,
    epochs=60,
    generator_epochs=40,
    batch_size=128,
    partial=0.25,
)
"""About 20,000 pictures of 64 px, one GPU.

`visus nsi fit DATA --preset gpu --device cuda --out RUN`: meant for under 25 minutes; time and score have not been
measured.
"""

PAPER = NSIConfig(
    image_size=224,
    slots=15,
    slot_size=192,
    joint=64,
    decoder_width=1024,
    decoder_layers=3,
    program_width=192,
    program_heads=8,
    program_blocks=8,
    generator_width=192,
    generator_heads=8,
    generator_blocks=4,
    per_slot=3,
    epochs=300,
    generator_epochs=100,
    batch_size=128,
    warmup=0.114,
    halve_after=4,
    validation=0.0625,
)
"""The published sizes, over features of a frozen ViT-B/8 (DINO) that you have on disk.

`visus nsi fit CLEVRTEX --backbone DINO --preset paper --device cuda --out RUN`. The warm-up is 10,000 of 88,000 steps
on the 37,500 training pictures of CLEVRTex. Time and score have not been measured here.
"""

PRESETS = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER}

FEWSHOT_PRESETS = {
    "smoke": FewShotConfig(width=32, blocks=1, epochs=20),
    "demo": FewShotConfig(),
    "gpu": FewShotConfig(width=192, blocks=4),
    "paper": FewShotConfig(width=192, blocks=4, learning_rate=1e-4),
}
"""The paper's sizes (`paper`) are those of common practice; its own are not published."""


def built(config: NSIConfig) -> dict[str, Any]:
    """The slots' sizes, which both kinds of image encoder take."""
    return {
        "count": config.slots,
        "size": config.slot_size,
        "joint": config.joint,
        "iterations": config.iterations,
    }

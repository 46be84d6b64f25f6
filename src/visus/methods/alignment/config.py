"""Settings of the aligners and their presets."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from visus.errors import InputError
from visus.records import record

Kind: TypeAlias = Literal["probe", "glocal", "ridge", "center", "none"]
"""How the transform is found.

`probe`: a linear map trained on the triplets. `glocal`: the same with a term that keeps the similarities of
unrelated images. `ridge`: ridge regression to a reference embedding, in closed form. `center`: the training
objects' mean is subtracted. `none`: features as they are."""

Penalty: TypeAlias = Literal["fro", "fro2", "identity", "none"]
"""What keeps the map W small or simple.

`fro`: ||W||_F, as in the public code. `fro2`: ||W||_F^2. `identity`: ||W - mean(diag W) I||_F^2, which leaves a
multiple of the identity free."""

Similarity: TypeAlias = Literal["cosine", "dot", "euclidean"]

GRADIENT: tuple[Kind, ...] = ("probe", "glocal")
"""The aligners trained by gradient."""


@record
class AlignmentConfig:
    """Settings of `Aligner`."""

    aligner: Kind = "probe"
    penalty: Penalty = "identity"
    penalty_weight: float = 0.1
    """Factor on the penalty (lambda)."""
    bias: bool = False
    """The map also adds a vector. (`ridge` always has its intercept.)"""
    init: Literal["gaussian", "identity"] = "identity"
    """`gaussian`: entries of W are normal; `identity`: W starts as a multiple of the identity."""
    init_scale: float = 1e-3
    """Deviation, or multiple of the identity, that W starts with; where the bias starts (sigma)."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """`sgd` has momentum 0.9."""
    learning_rate: float = 1e-3
    start_rate: float = 1.0
    """Share of the learning rate at the first step; it rises linearly to the whole over the training."""
    batch_size: int = 256
    """Triplets per step."""
    epochs: int = 100
    """Passes over the training triplets, at most."""
    steps: int | None = None
    """Exactly so many steps instead: no early stopping, and nothing is held out."""
    check_every: int = 0
    """Steps between validations; 0: one pass over the training triplets."""
    patience: int = 10
    """Validations without improvement before training ends."""
    min_delta: float = 1e-4
    """Smallest fall of the validation loss that counts as improvement."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    validation: float = 0.25
    """Share of the objects held out to choose the step; 0 keeps the last one."""
    contrastive_weight: float = 0.25
    """Share of the contrastive term in the loss of `glocal` (alpha)."""
    contrastive_temperature: float = 0.1
    contrastive_batch: int = 1024
    """Images per step of the contrastive term, at most."""
    ridge_alphas: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
    """Penalties of `ridge` to choose from, for every dimension by itself."""
    ridge_folds: int = 5
    """Parts of the training objects by which a penalty is chosen; 0: leave-one-out."""
    similarity: Similarity | Literal["auto"] = "auto"
    """How transformed features are compared; `auto`: dot product where a map was learned, else cosine."""
    temperature: float | Literal["fit"] = 1.0
    """Similarities are divided by it before they become probabilities; `fit` chooses it on the training
    triplets (on the validation triplets where there are some)."""


def similarity_of(config: AlignmentConfig) -> Similarity:
    """The similarity in force."""
    if config.similarity != "auto":
        return config.similarity
    return "cosine" if config.aligner in ("center", "none") else "dot"


def check(config: AlignmentConfig) -> None:
    """Refuse numbers that nothing can be trained with.

    Raises
    ------
    InputError : names the first setting that is out of its bounds.
    """
    finite = math.inf
    bounds = {
        "penalty_weight": (0.0 <= config.penalty_weight < finite, "choose 0 (none) or more"),
        "init_scale": (0.0 <= config.init_scale < finite, "choose 0 or more, for example 0.001"),
        "learning_rate": (0.0 < config.learning_rate < finite, "choose a number above 0"),
        "start_rate": (0.0 < config.start_rate <= 1.0, "choose a share above 0, at most 1"),
        "batch_size": (config.batch_size >= 1, "choose a number from 1"),
        "epochs": (config.epochs >= 1, "choose a number from 1"),
        "steps": (config.steps is None or config.steps >= 1, "choose a number from 1, or leave it empty"),
        "check_every": (config.check_every >= 0, "choose 0 (a whole pass) or more"),
        "patience": (config.patience >= 1, "choose a number from 1"),
        "min_delta": (0.0 <= config.min_delta < finite, "choose 0 or more"),
        "clip": (0.0 <= config.clip < finite, "choose 0 (no clipping) or more"),
        "validation": (0.0 <= config.validation < 1.0, "choose a share from 0 to below 1"),
        "contrastive_weight": (0.0 <= config.contrastive_weight <= 1.0, "choose a share from 0 to 1"),
        "contrastive_temperature": (0.0 < config.contrastive_temperature < finite, "choose a number above 0"),
        "contrastive_batch": (config.contrastive_batch >= 2, "choose a number from 2"),
        "ridge_alphas": (
            bool(config.ridge_alphas) and all(0.0 < alpha < finite for alpha in config.ridge_alphas),
            "give numbers above 0",
        ),
        "ridge_folds": (config.ridge_folds == 0 or config.ridge_folds >= 2, "choose 0 or a number from 2"),
        "temperature": (
            config.temperature == "fit" or 0.0 < float(config.temperature) < finite,
            "choose fit or a number above 0",
        ),
    }
    for name, (within, remedy) in bounds.items():
        if not within:
            raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)


PAPER = AlignmentConfig(penalty="fro", penalty_weight=1e-3, init="gaussian")
"""The linear probe as in the public code: Gaussian start, Frobenius norm, dot products, Adam at 1e-3, batches of
256, at most 100 passes, one object in four held out.

Penalty and learning rate are to be searched: `search(config, data)` goes through the public grid of penalties.
"""

GLOCAL = AlignmentConfig(
    aligner="glocal",
    penalty="identity",
    penalty_weight=1.0,
    init="identity",
    optimizer="sgd",
    start_rate=1 / 3,
    patience=15,
)
"""The variant that keeps the similarities of unrelated images, with the settings of its public example."""

PRESETS = {
    "smoke": AlignmentConfig(penalty_weight=0.01, epochs=4, batch_size=64, learning_rate=1e-2),
    "demo": AlignmentConfig(epochs=20, check_every=25, batch_size=1024, patience=5),
    "gpu": AlignmentConfig(epochs=50, check_every=50, batch_size=4096, patience=10),
    "paper": PAPER,
    "glocal": GLOCAL,
    "ridge": AlignmentConfig(aligner="ridge"),
}
"""`smoke`: seconds, for tests. `demo`: a few hundred thousand triplets on a laptop. `gpu`: millions of triplets.
`paper`: the published probe; `glocal`: its successor; `ridge`: closed form, seconds."""

"""Networks trained by us, judged by a made-up observer: does width matter, or the objective, or the data?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from visus.data.formats.arrays import read_arrays, write_arrays
from visus.data.loader import Tensors
from visus.data.triplets import sample_triplets
from visus.data.worlds.scenes import COLORS, MATERIALS, SHAPES, SIZES, SceneImages
from visus.engine.seeds import derive_seed
from visus.methods.alignment.claims.arms import Size
from visus.methods.alignment.claims.contest import accuracy
from visus.methods.alignment.claims.networks import PROJECTED, Lesson, SmallNet, labels_of
from visus.protocols import Phase, Scores

ROOM, PIXELS = 64, 32
"""Sides of the rendered picture, and of the part of it that is kept, with the object in its middle."""
LEARNING_RATE, OBSERVER_TEMPERATURE = 1e-2, 0.2
WEIGHTS = {"shape": 1.0, "color": 0.8, "size": 0.6, "material": 0.4}
"""How much the observer minds each attribute: two objects are as alike as the weights of those they share."""
KINDS = (
    ("shape", tuple(SHAPES)),
    ("color", tuple(COLORS)),
    ("size", tuple(SIZES)),
    ("material", tuple(MATERIALS)),
)
NAMED = 2
"""Attributes that supervised networks name: shape and color, as in "red cube"."""
DIGITS = 10
FIRST_SEED = 63_000
"""Of the scenes, the same for all seeds of the networks."""


def measured(arm: str, size: Size, run: Any) -> Scores:
    """`accuracy` on triplets of pictures that no network was trained on; every seed draws its own."""
    test, labels = scenes("test", size, run.cache)
    triplets = sample_triplets(
        observer(labels), size.judged, derive_seed(run.seed, "observer"), temperature=OBSERVER_TEMPERATURE
    )
    net = trained(arm, size, run)
    with torch.inference_mode():
        features = torch.cat([net(part.to(run.device)).cpu() for part in test.split(256)])
    return {"accuracy": accuracy(features, "cosine", triplets.rows)}


def observer(labels: Tensor) -> Float[np.ndarray, "n d"]:
    """An embedding whose dot products are the summed weights of what two pictures share."""
    parts = [
        F.one_hot(labels[:, i], len(names)).double() * WEIGHTS[kind] ** 0.5
        for i, (kind, names) in enumerate(KINDS)
    ]
    return torch.cat(parts, 1).numpy()


def trained(arm: str, size: Size, run: Any) -> SmallNet:
    """The network of an arm such as `supervised_wide`, in evaluation mode; `random` is not trained."""
    objective, variant = arm.split("_")
    source, outputs = lessons(objective, variant, size, run.cache)
    with run.seeded("net"):
        net = SmallNet(size.width * (2 if variant == "wide" else 1), outputs).to(run.device)
    lesson = Lesson(net, contrastive=objective == "simclr", learning_rate=LEARNING_RATE, seed=run.seed)
    if objective != "random":
        steps = Phase(
            steps=size.steps, batch_size=size.scene_batch, schedule="cosine", warmup=0.1, drop_last=True
        )
        run.train(lesson, source, [steps])
    return net.eval()


def lessons(objective: str, variant: str, size: Size, cache: Path) -> tuple[Tensors, tuple[int, ...]]:
    """What a network is trained on, and the sizes of its heads."""
    if variant == "other":
        pictures, digit = digits(size.scenes)
        return Tensors({"image": pictures, "label": digit[:, None]}), (DIGITS,)
    pictures, labels = scenes("train", size, cache)
    outputs = (PROJECTED,) if objective == "simclr" else tuple(len(names) for _, names in KINDS[:NAMED])
    return Tensors({"image": pictures, "label": labels[:, :NAMED]}), outputs


def scenes(part: Any, size: Size, cache: Path) -> tuple[Float[Tensor, "n 3 h w"], Tensor]:
    """Pictures of one object each in 0..1, with the numbers of its four attributes; rendered once per study."""
    count = size.scenes if part == "train" else size.unseen
    source = SceneImages(count, seed=FIRST_SEED, part=part, size=ROOM, objects=(1, 1))
    file = cache / f"scenes-{source.fingerprint()}.npz"
    if not file.exists():
        made = source.batch(range(count))
        file.parent.mkdir(parents=True, exist_ok=True)
        levels = (around(made["image"], made["boxes"][:, 0]) * 255).round().to(torch.uint8).numpy()
        write_arrays(file, {"image": levels, "label": labels_of(made["objects"], KINDS).numpy()})
    arrays: Any = read_arrays(file)
    return torch.from_numpy(arrays["image"]).float() / 255, torch.from_numpy(arrays["label"])


def around(pictures: Float[Tensor, "n 3 s s"], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 h w"]:
    """The part of every picture that has the middle of its box [ymin, xmin, ymax, xmax] in its own, as far as the
    picture reaches."""
    side = pictures.shape[-1]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 * side
    corner = (middle - PIXELS / 2).round().long().clamp(0, side - PIXELS)
    places = zip(pictures, corner.tolist(), strict=True)
    return torch.stack([image[:, y : y + PIXELS, x : x + PIXELS] for image, (y, x) in places])


def digits(count: int) -> tuple[Float[Tensor, "n 3 h w"], Tensor]:
    """Handwritten digits, as many as there are up to `count`, enlarged and in gray."""
    from visus.data.worlds.digits import make

    most = min(count, 1700)
    world = make(n=most, n_test=1, seed=FIRST_SEED)
    pictures: Any = world.train.batch(range(most))["image"]
    large = F.interpolate(pictures, size=(PIXELS, PIXELS), mode="bilinear")
    return large.expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(world.train_digits)

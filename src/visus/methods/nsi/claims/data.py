"""Sizes of the comparisons, and the scenes they are made on."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from visus.protocols import Batch

if TYPE_CHECKING:
    from visus.data.loader import Tensors

TEST_SEED, TRAIN_SEED = 42_000, 41_000
"""Training pictures differ by the trial's seed, the galleries are the same for all: rendered once a process. Sizes
were chosen on other pictures than these seeds draw."""
CROWD = 6
"""Objects of a crowded scene: two groups of three equal ones that touch."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is rendered, trained and asked.

    image : side of the pictures.
    train : training pictures; half of them crowded.
    gallery, crowd : pictures searched, of two to six objects, and crowded ones.
    queries : how many of the gallery's pictures and programs are searched for.
    shots, judged : pictures per class a few-shot classifier learns from, and is judged on in all.
    slots : fewer than the objects of a crowded scene.
    width, joint, channels, strides, iterations, cells, hidden : of the image side.
    blocks : of the transformer over primitives.
    pretrain, steps : of reconstruction alone, and of the arm's own loss after it.
    beta : weight of the reconstruction beside the arm's loss.
    temperature : of the contrastive losses; scores are sums of inner products, so that the paper's 0.1 spends the
        few steps of a small training on shrinking them.
    classes : steps of the few-shot classifier.
    """

    image: int = 32
    train: int = 1200
    gallery: int = 2000
    crowd: int = 300
    queries: int = 250
    shots: int = 20
    judged: int = 120
    slots: int = 4
    width: int = 64
    joint: int = 64
    channels: int = 32
    strides: tuple[int, ...] = (2, 2)
    iterations: int = 2
    cells: int = 8
    hidden: tuple[int, ...] = (32,)
    blocks: int = 2
    pretrain: int = 40
    steps: int = 360
    batch: int = 64
    learning_rate: float = 2e-3
    beta: float = 10.0
    temperature: float = 1.0
    classes: int = 40


DEMO = Size()
SMOKE = replace(
    DEMO,
    train=32,
    gallery=48,
    crowd=16,
    queries=16,
    shots=4,
    judged=12,
    pretrain=3,
    steps=4,
    batch=16,
    classes=3,
    width=32,
    joint=32,
    channels=16,
)
GPU = Size(
    image=64,
    train=20_000,
    crowd=2000,
    queries=2000,
    shots=100,
    judged=600,
    width=128,
    joint=64,
    channels=64,
    strides=(2, 2, 1),
    iterations=3,
    cells=16,
    hidden=(256, 256),
    blocks=4,
    pretrain=3000,
    steps=10_000,
    batch=128,
    learning_rate=4e-4,
    temperature=0.1,
    classes=600,
)
SIZES: Mapping[str, Size] = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": GPU}
Kind = Literal["train", "gallery", "crowd", "shots", "judged"]


def scenes_of(kind: Kind, size: Size, seed: int) -> Tensors:
    """Pictures (uint8) with boxes, segmentations, objects and, for few-shot classes, targets."""
    return _rendered(kind, size, seed if kind in ("train", "shots") else 0)


@functools.lru_cache(maxsize=12)
def _rendered(kind: Kind, size: Size, seed: int) -> Tensors:
    from visus.data.loader import Tensors, concatenate
    from visus.data.worlds.scenes import SceneImages

    def drawn(count: int, part: Any, start: int, **options: Any) -> Batch:
        source = SceneImages(count, seed=start + seed, part=part, size=size.image, **options)
        batches = [source.batch(range(i, min(count, i + 200))) for i in range(0, count, 200)]
        for batch in batches:
            batch["image"] = (batch["image"] * 255).round().byte()
        wanted = ("image", "boxes", "segmentation", "objects", *(["target"] if "classes" in options else []))
        return concatenate([{name: batch[name] for name in wanted} for batch in batches])

    plain: dict[str, Any] = {"objects": (2, CROWD)}
    crowded: dict[str, Any] = {"objects": (CROWD, CROWD), "copies": CROWD // 2, "touching": True}
    classed: dict[str, Any] = {"objects": (2, 3), "classes": "confounded"}
    if kind == "train":
        half = size.train // 2
        parts = [drawn(size.train - half, "train", TRAIN_SEED, **plain)]
        parts.append(drawn(half, "train", TRAIN_SEED + 500, **crowded))
        return Tensors(concatenate(parts))
    if kind == "gallery":
        return Tensors(drawn(size.gallery, "test", TEST_SEED, **plain))
    if kind == "crowd":
        return Tensors(drawn(size.crowd, "test", TEST_SEED + 1, **crowded))
    if kind == "shots":
        return Tensors(
            _balanced(drawn(6 * size.shots + 12, "train", TRAIN_SEED + 700, **classed), size.shots)
        )
    return Tensors(drawn(size.judged, "test", TEST_SEED + 2, **classed))


def _balanced(batch: Batch, shots: int) -> Batch:
    """The first `shots` pictures of every class."""
    seen: dict[str, int] = {}
    kept = []
    for i, name in enumerate(batch["target"]):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= shots:
            kept.append(i)
    return {k: v[kept] if hasattr(v, "shape") else [v[i] for i in kept] for k, v in batch.items()}

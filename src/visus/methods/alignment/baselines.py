"""What an aligner is compared with: embeddings that know nothing, know pictures only, or know people.

Every function gives an embedding with one row per object, to be scored by `visus.metrics.odd_one_out`, or choices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.methods.alignment.model import Transform
from visus.metrics.odd_one_out import Kind, choices, pair_similarities


def chance(count: int, *, seed: int) -> Int64[Tensor, " n"]:
    """Choices 0, 1 or 2 at random, right in a third of all cases.

    >>> round((chance(30_000, seed=0) == 2).double().mean().item(), 2)
    0.33
    """
    return torch.randint(3, (count,), generator=torch.Generator().manual_seed(seed))


def raw_pixels(pictures: Float[Tensor, "m c h w"], *, size: int | None = None) -> Float[Tensor, "m e"]:
    """Pictures as rows of pixels, first averaged down to `size` x `size`."""
    if size is not None:
        pictures = F.adaptive_avg_pool2d(pictures, size)
    return pictures.flatten(1)


@torch.no_grad()
def random_network(
    pictures: Float[Tensor, "m c h w"],
    *,
    seed: int,
    widths: Sequence[int] = (32, 64, 128),
    batch_size: int = 256,
) -> Float[Tensor, "m e"]:
    """Features of a convolutional network that was never trained: 3x3 layers of stride 2, ReLU, global average.

    Paper: 2211.01201 compares trained networks only; an untrained one shows what the architecture gives by itself.
    """
    draw = torch.Generator().manual_seed(seed)
    kernels = [
        torch.randn(outputs, inputs, 3, 3, generator=draw) * math.sqrt(2 / (9 * inputs))
        for inputs, outputs in itertools.pairwise((pictures.shape[1], *widths))
    ]
    found = []
    for x in pictures.split(batch_size):
        for kernel in kernels:
            x = F.conv2d(x, kernel.to(x), stride=2, padding=1).relu()
        found.append(x.mean((2, 3)))
    return torch.cat(found)


def centered(
    features: Float[Tensor, "m p"], training: Float[Tensor, "k p"] | None = None
) -> Float[Tensor, "m p"]:
    """Features less their mean over the training objects (over all where None); cheap, and often a gain."""
    mean = (features if training is None else training).double().mean(0)
    return (features.double() - mean).to(features.dtype)


def zero_shot(
    features: Float[Tensor, "m p"], triplets: Int64[Tensor, "n 3"], *, kind: Kind = "cosine"
) -> Int64[Tensor, " n"]:
    """Position judged odd by features as they are, -1 for a tie."""
    return choices(pair_similarities(features, triplets, kind=kind))


def human_model(reference: Float[Tensor, "m d"], triplets: Int64[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """Position judged odd by an embedding learned from people's choices (VICE), by its dot products."""
    return choices(pair_similarities(reference, triplets, kind="dot"))


def random_rotation(width: int, *, seed: int) -> Transform:
    """A random orthogonal map: a control that changes no cosine, no dot product and no distance.

    Method: QR decomposition of a normal matrix, signs put right (Mezzadri, Notices AMS 54, 2007).
    """
    normal = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    return Transform((q * r.diagonal().sign()).float())


def shuffled_reference(reference: Float[Tensor, "m d"], *, seed: int) -> Float[Tensor, "m d"]:
    """The reference embedding with its objects mixed up: a control that a closed form must not gain from."""
    return reference[torch.randperm(len(reference), generator=torch.Generator().manual_seed(seed))]

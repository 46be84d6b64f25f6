"""Images of any size in networks that halve their input: padded before, cropped after."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Height and width, each rounded up to a multiple.

    >>> padded_size((100, 64), 32)
    (128, 64)
    """
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def pad_to_multiple(
    image: Float[Tensor, "b c h w"], multiple: int, *, strict: bool = False
) -> Float[Tensor, "b c y x"]:
    """Repeat the last row and column until both sides are multiples.

    Only the bottom and the right grow, so that pixels keep their coordinates and cells of a feature map stay
    on the same pixels whatever the padding. Sides that fit already are returned as they are, uncopied.

    Parameters
    ----------
    strict : refuse instead of padding.

    Raises
    ------
    InputError : the image is empty, or, with `strict`, a side is no multiple.
    """
    height, width = image.shape[-2:]
    if height == 0 or width == 0:
        raise InputError(f"is empty ({height} x {width} pixels)", field="image", remedy="give an image")
    tall, wide = padded_size((height, width), multiple)
    if (tall, wide) == (height, width):
        return image
    if strict:
        problem = f"is {height} x {width} pixels, its sides are not multiples of {multiple}"
        raise InputError(problem, field="image", remedy=f"resize it to {tall} x {wide}, or allow padding")
    return F.pad(image, (0, wide - width, 0, tall - height), mode="replicate")


def crop(maps: Float[Tensor, "*lead y x"], size: tuple[int, int]) -> Float[Tensor, "*lead h w"]:
    """The top left part of `size`: a view, without the padding."""
    return maps[..., : size[0], : size[1]]


def covered_mean(
    features: Float[Tensor, "b c y x"], size: tuple[int, int], stride: int
) -> Float[Tensor, "b c"]:
    """Mean of a feature map over the image it was made from, padding left out.

    A cell counts by the part of its `stride` x `stride` pixels that lies in the image; without padding this is
    the plain mean.

    Parameters
    ----------
    size : height and width of the image before padding, pixels.

    >>> covered_mean(torch.tensor([[[[1.0, 4.0]]]]), (32, 48), 32)  # the right cell is half in the image
    tensor([[2.]])
    """
    rows, columns = features.shape[-2:]
    if size == (rows * stride, columns * stride):
        return features.mean((2, 3))
    covered = [
        (side - stride * torch.arange(cells, device=features.device)).clamp(0, stride)
        for side, cells in zip(size, (rows, columns))
    ]
    weight = (covered[0][:, None] * covered[1]).to(features.dtype) / (size[0] * size[1])
    return (features * weight).sum((2, 3))

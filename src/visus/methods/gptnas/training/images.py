"""What passes between the user's pictures and a network: scaling, labels, augmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data import iterate
from visus.data.image_table import resize
from visus.data.loader import Subset
from visus.errors import InputError
from visus.protocols import Batch, Source

READ_AT_ONCE = 256


@dataclass(frozen=True)
class Pixels:
    """What was learned of the training pictures: size (height, width), mean and deviation per channel."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def learn(cls, source: Source, train: Sequence[int], *, image_size: Sequence[int] | None = None) -> Self:
        """Read every picture once: all are looked at, the training pictures alone are measured.

        Raises `InputError`: no pictures of two axes, values that are not finite, different shapes.
        """
        size, total, square, count = None, torch.zeros(0), torch.zeros(0), 0
        measured = torch.zeros(len(source), dtype=torch.bool)
        measured[torch.as_tensor(train)] = True
        start = 0
        for batch in iterate(source, READ_AT_ONCE):
            image = as_pictures(batch, image_size).double()
            size = size or tuple(image.shape[1:])
            if tuple(image.shape[1:]) != size:
                raise InputError(
                    f"some have shape {tuple(image.shape[1:])}, others {size}",
                    field=f"images, after item {start}",
                    remedy="give image_size to resize all, and one number of channels",
                )
            chosen = image[measured[start : start + len(image)]]
            start += len(image)
            total = chosen.sum((0, 2, 3)) if not count else total + chosen.sum((0, 2, 3))
            square = chosen.square().sum((0, 2, 3)) if not count else square + chosen.square().sum((0, 2, 3))
            count += chosen[:, 0].numel()
        assert size is not None
        mean = total / count
        deviation = (square / count - mean.square()).clamp(min=0).sqrt()
        deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
        return cls((size[1], size[2]), tuple(mean.tolist()), tuple(deviation.tolist()))

    def scaled(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Zero mean and unit deviation per channel, at the learned size."""
        if image.shape[1] != len(self.mean):
            raise InputError(
                f"has {image.shape[1]} channels, the model was trained on {len(self.mean)}",
                field="image",
                remedy="convert the images to the same number of channels",
            )
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (resize(image, self.size) - mean) / std

    def to_plain(self) -> dict[str, Any]:
        """Plain data."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """What `to_plain` gave."""
        return cls(*(tuple(plain[name]) for name in ("size", "mean", "std")))


class Labeled:
    """A source of `image` (scaled) and, if known, `target` (class number).

    Parameters
    ----------
    source : gives `image` per item.
    target : (n,) class numbers, or None.
    """

    def __init__(self, source: Source, pixels: Pixels, target: Tensor | None = None) -> None:
        self.source, self.pixels, self.target = source, pixels, target

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Sequence[int]) -> Batch:
        found: Batch = {
            "image": self.pixels.scaled(as_pictures(self.source.batch(indices), self.pixels.size))
        }
        if self.target is not None:
            found["target"] = self.target[torch.as_tensor(indices, dtype=torch.long)]
        return found

    def subset(self, indices: Tensor) -> Labeled:
        """Some items as a source of their own."""
        subset = getattr(self.source, "subset", None)
        chosen = Subset(self.source, indices) if subset is None else subset(indices)
        return Labeled(chosen, self.pixels, None if self.target is None else self.target[indices])


def as_pictures(batch: Batch, image_size: Sequence[int] | None = None) -> Float[Tensor, "b c h w"]:
    """The field `image` of a batch as finite float pictures, resized if asked to."""
    if "image" not in batch:
        raise InputError("is absent", field="image", remedy="give pictures")
    image = batch["image"]
    if not isinstance(image, Tensor) or image.ndim != 4:
        shape = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(
            f"has shape {shape}, expected (n, c, h, w)", field="image", remedy="give flat pictures"
        )
    image = image.float()
    if not torch.isfinite(image).all():
        raise InputError("holds values that are not finite numbers", field="image", remedy="replace them")
    return image if image_size is None else resize(image, image_size)


def augment(image: Float[Tensor, "b c h w"], *, flip: bool, crop: int) -> Float[Tensor, "b c h w"]:
    """Mirror every second picture at random, and shift each by up to `crop` pixels (zeros come in).

    Draws from the global generator, which the engine seeds before every step.
    """
    if flip:
        mirrored = (torch.rand(len(image)) < 0.5).to(image.device)
        image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
    if crop:
        height, width = image.shape[2:]
        padded = F.pad(image, (crop, crop, crop, crop))
        offsets = torch.randint(0, 2 * crop + 1, (len(image), 2)).tolist()
        image = torch.stack(
            [picture[:, y : y + height, x : x + width] for picture, (y, x) in zip(padded, offsets)]
        )
    return image


@torch.no_grad()
def class_scores(net: nn.Module, source: Source, device: torch.device) -> Float[Tensor, "n k"]:
    """Outputs of the network in evaluation mode for all items, on the CPU; modes are put back."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    found = [net(batch["image"].to(device)).float().cpu() for batch in iterate(source, READ_AT_ONCE)]
    for module, mode in modes:
        module.training = mode
    return torch.cat(found)


def share_right(scores: Float[Tensor, "n k"], target: Tensor) -> float:
    """Accuracy; 0 when a score is not finite, for such a network knows nothing."""
    if not torch.isfinite(scores).all():
        return 0.0
    return (scores.argmax(1) == target).double().mean().item()


def targets_of(data: Source) -> list[str]:
    """The class names of all items, without reading pictures where that is possible."""
    fields = getattr(data, "fields", {})
    if hasattr(data, "targets"):
        given = data.targets  # type: ignore[attr-defined]
    elif "target" in fields:
        given = fields["target"]
    else:
        batches = list(iterate(data, READ_AT_ONCE))
        if "target" not in batches[0]:
            raise InputError("is absent", field="target", remedy="give a class for every item")
        given = [name for batch in batches for name in batch["target"]]
    given = given.tolist() if isinstance(given, Tensor) else given
    return [_named(name) for name in given]


def _named(value: Any) -> str:
    """A class's name; 1, 1.0 and "1" are one class."""
    value = value.item() if isinstance(value, Tensor) else value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def in_order(name: str) -> tuple[int, float, str]:
    """Sorts class names: numbers by value, then words by alphabet."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)

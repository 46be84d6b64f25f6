"""Reading, preparing and training: what passes between a table of images and a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.image_table import resize
from visus.errors import InputError
from visus.methods.hyperfusion.config import HyperFusionConfig
from visus.protocols import Batch, Logs, Source, Turn

EVALUATION_BATCH = 128


class Items:
    """A source of `image`, `table` (numbers) and, if known, `target` (class number or value).

    Parameters
    ----------
    source : gives `image` per item.
    table : prepared rows, (n, m).
    target : (n,) numbers, or None.
    image_size : resize images to this.
    images : False leaves images out, for networks that read the table alone.
    """

    def __init__(
        self,
        source: Source,
        table: Float[np.ndarray, "n m"],
        *,
        target: np.ndarray | None = None,
        image_size: Sequence[int] | None = None,
        images: bool = True,
    ) -> None:
        self.source, self.image_size, self.images = source, image_size, images
        self.table = torch.from_numpy(np.ascontiguousarray(table, dtype=np.float32))
        self.target = None if target is None else torch.from_numpy(np.asarray(target))

    def __len__(self) -> int:
        return len(self.table)

    def batch(self, indices: Sequence[int]) -> Batch:
        index = torch.as_tensor(indices, dtype=torch.long)
        found: Batch = {"table": self.table[index]}
        if self.images:
            image = self.source.batch(index.tolist())["image"]
            found["image"] = image if self.image_size is None else resize(image, self.image_size)
        if self.target is not None:
            found["target"] = self.target[index]
        return found


def read_through(items: Items) -> None:
    """Read every item once: what cannot be read, or has another shape than the first, is found before training.

    Raises `InputError`, from the source where it can name the line.
    """
    first: tuple[int, ...] | None = None
    for start in range(0, len(items) if items.images else 0, EVALUATION_BATCH):
        image = items.batch(range(start, min(start + EVALUATION_BATCH, len(items))))["image"]
        shape = tuple(image.shape[1:])
        first = shape if first is None else first
        if shape != first:
            raise InputError(
                f"some have shape {shape}, others {first}",
                field=f"images, after item {start}",
                remedy="give image_size to resize all, and one number of channels",
            )


def normalize(image: Float[Tensor, "b c *space"], mode: str) -> Float[Tensor, "b c *space"]:
    """Per image zero mean and unit deviation over all pixels (`image`) or the nonzero ones (`nonzero`).

    With `nonzero` zeros stay zeros. A constant image becomes zeros.

    Paper: 2403.13319 normalizes each crop over its nonzero voxels.
    """
    if mode == "none":
        return image
    mask = (image != 0).to(image.dtype) if mode == "nonzero" else torch.ones_like(image)
    axes = tuple(range(1, image.ndim))
    count = mask.sum(axes, keepdim=True).clamp(min=1)
    centered = (image - (image * mask).sum(axes, keepdim=True) / count) * mask
    deviation = (centered.square().sum(axes, keepdim=True) / count).sqrt()
    return torch.where(deviation > 1e-6, centered / deviation.clamp(min=1e-6), torch.zeros_like(image))


def check_axis(image: Float[Tensor, "b c *space"], axis: int, *, field: str) -> None:
    """Refuse an axis that is none of the image's spatial ones, counted from 0."""
    count = image.ndim - 2
    if not 0 <= axis < count:
        raise InputError(
            f"{axis} is not one of {count} spatial axes",
            field=field,
            remedy=f"give a spatial axis, 0 to {count - 1}",
        )


def halves(image: Float[Tensor, "b c *space"], axis: int) -> tuple[Tensor, Tensor]:
    """The two halves along a spatial axis, seen from the same side: the far one, and the near one mirrored.

    An odd middle slice belongs to neither.
    """
    check_axis(image, axis, field="hemispheres")
    place = axis + 2
    size = image.shape[place]
    return image.narrow(place, size - size // 2, size // 2), image.flip(place).narrow(
        place, size - size // 2, size // 2
    )


class FusionTraining:
    """Trains one network on `Items` batches (a `Trainable`).

    Loss: cross-entropy weighted by class, its mean divided by the sum of the weights in the batch; or
    squared error.

    Paper: 2403.13319 (losses, Adam with weight decay, flips and hemispheres at random).
    """

    def __init__(
        self,
        net: nn.Module,
        config: HyperFusionConfig,
        *,
        weights: Float[Tensor, " k"] | None,
        regression: bool,
    ) -> None:
        self.net, self.config, self.weights, self.regression = net, config, weights, regression

    def parts(self) -> Mapping[str, nn.Module]:
        return {"net": self.net}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.config.optimizer]
        return {
            "net": kind(
                self.net.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
            )
        }

    def step(self, batch: Batch, turn: Turn) -> Logs:
        output = self.net(self._augmented(batch.get("image")), batch["table"])
        losses, weight = item_losses(
            output, batch["target"], weights=self.weights, regression=self.regression
        )
        loss = turn.mean(losses, weight)
        turn.update("net", loss)
        return {"loss": loss.detach()}

    def _augmented(self, image: Tensor | None) -> Tensor | None:
        if image is None:
            return None
        for axis in self.config.flips:
            image = _flip_some(image, axis + 2)
        if self.config.hemispheres is not None:
            image = halves(_flip_some(image, self.config.hemispheres + 2), self.config.hemispheres)[0]
        return normalize(image, self.config.normalize)


def _flip_some(image: Tensor, axis: int) -> Tensor:
    chosen = (torch.rand(len(image)) < 0.5).to(image.device)
    return torch.where(chosen.view(-1, *[1] * (image.ndim - 1)), image.flip(axis), image)


def item_losses(
    output: Float[Tensor, "b k"], target: Tensor, *, weights: Float[Tensor, " k"] | None, regression: bool
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"] | None]:
    """(loss, weight) per item: squared error, or cross-entropy with the weight of the item's class."""
    if regression:
        return (output[:, 0] - target.to(output.dtype)).square(), None
    losses = F.cross_entropy(output, target.long(), reduction="none")
    return losses, None if weights is None else weights.to(output)[target.long()]


@torch.no_grad()
def run_network(
    apply: Callable[[Tensor | None, Tensor], Tensor],
    items: Items,
    config: HyperFusionConfig,
    device: torch.device,
) -> Float[Tensor, "n k"]:
    """Outputs for all items, on the CPU; the mean over both hemispheres if images hold two.

    Differs: the paper averages probabilities while validating and outputs while testing; here always outputs.
    """
    outputs = []
    for first in range(0, len(items), EVALUATION_BATCH):
        batch = items.batch(range(first, min(first + EVALUATION_BATCH, len(items))))
        table = batch["table"].to(device)
        if "image" not in batch:
            outputs.append(apply(None, table).cpu())
            continue
        image = batch["image"].to(device)
        views = [image] if config.hemispheres is None else halves(image, config.hemispheres)
        views = [apply(normalize(view, config.normalize), table) for view in views]
        outputs.append(torch.stack(views).mean(0).cpu())
    return torch.cat(outputs)


def class_weights(setting: Any, target: np.ndarray, classes: Sequence[str]) -> Float[Tensor, " k"] | None:
    """Weight per class: none, n / (classes * n_class) for `balanced`, or as given by name."""
    if setting == "none":
        return None
    if setting == "balanced":
        counts = np.bincount(target, minlength=len(classes))
        return torch.tensor(len(target) / (len(classes) * np.maximum(counts, 1)), dtype=torch.float32)
    absent = [name for name in classes if name not in setting]
    if absent:
        raise InputError(
            f"no weight for class {absent[0]!r}", field="class_weights", remedy="name every class"
        )
    return torch.tensor([float(setting[name]) for name in classes])

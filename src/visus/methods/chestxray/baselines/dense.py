"""Classifiers without a decoder: the dense backbone alone, and with gaze features as auxiliary labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from visus.methods.chestxray.model import Backbone, Reading
from visus.methods.chestxray.model.padding import covered_mean, pad_to_multiple

GRID = (4, 4)
USUAL_COUNT, USUAL_SECONDS = 30.0, 10.0
"""Fixations and seconds of an ordinary reading: auxiliary labels are logarithms of ratios to these."""


class DenseClassifier(nn.Module):
    """The dense backbone, the mean of its last feature map, one linear layer; no map.

    Paper: 2403.16970 compares with DenseNet-201; its own stage 1b is this network. A map for it comes from
    Grad-CAM.

    Parameters
    ----------
    backbone : image (b, 1, h, w) -> feature map after its ReLU.
    classes : number of classes.
    """

    def __init__(self, backbone: Backbone, *, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.channels, classes)
        self.multiple = backbone.stride

    def embed(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c"]:
        """Mean of the last feature map over the image, padding left out."""
        size = (image.shape[-2], image.shape[-1])
        padded = pad_to_multiple(image, self.multiple)
        return covered_mean(self.backbone(padded), size, self.multiple)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Reading:
        embedding = self.embed(image)
        return Reading(logits=self.head(embedding), log_density=None, embedding=embedding)

    def groups(self) -> dict[str, list[nn.Module]]:
        """Stages' parts: `dense` and `dense_head`."""
        return {"dense": [self.backbone], "dense_head": [self.head]}


class GazeFeatures(NamedTuple):
    """What a reading's gaze says in a few numbers."""

    share: Float[Tensor, "b cells"]
    """Share of the density in every cell of a coarse grid; zeros without gaze."""
    amounts: Float[Tensor, "b 2"]
    """log(fixations / usual fixations), log(seconds / usual seconds)."""
    has_amounts: Bool[Tensor, " b"]
    """Whether fixations are known."""


def gaze_features(
    gaze: Float[Tensor, "b h w"], fixations: Sequence[Tensor] | None = None, *, grid: tuple[int, int] = GRID
) -> GazeFeatures:
    """Coarse dwell shares from density maps; number and total duration from fixations (n, 3), where given.

    >>> found = gaze_features(torch.full((1, 8, 8), 1 / 64), [torch.tensor([[1.0, 2.0, 1.0]] * 30)])
    >>> found.share[0, :2].tolist(), found.amounts[0].tolist()[0]
    ([0.0625, 0.0625], 0.0)
    """
    size = gaze.shape[-2:]
    share = F.adaptive_avg_pool2d(gaze[:, None], grid).flatten(1) * (math.prod(size) / math.prod(grid))
    total = share.sum(1, keepdim=True)
    share = torch.where(total > 0, share / total.clamp(min=1e-12), torch.zeros_like(share))
    amounts, known = share.new_zeros(len(share), 2), torch.zeros(len(share), dtype=torch.bool)
    for i, rows in enumerate(fixations or ()):
        if len(rows):
            ratios = (len(rows) / USUAL_COUNT, max(float(rows[:, 2].sum()), 1e-3) / USUAL_SECONDS)
            amounts[i], known[i] = amounts.new_tensor([math.log(ratio) for ratio in ratios]), True
    return GazeFeatures(share, amounts, known.to(share.device))


class GazeMTL(DenseClassifier):
    """The classifier that also foretells features of the reader's gaze, which regularizes its features.

    L = CE(class) + weight * (KL(share, predicted share) + smooth L1 of the amounts, where fixations are known)

    Paper: Saab et al. 2021, observational supervision (GazeMTL): gaze features as auxiliary labels of the
    same network, not needed for predicting. Differs: the features are dwell shares on a coarse grid, number
    and duration of fixations; they are computed from the training images' gaze alone.
    """

    def __init__(self, backbone: Backbone, *, classes: int, grid: tuple[int, int] = GRID) -> None:
        super().__init__(backbone, classes=classes)
        self.grid = grid
        self.share_head = nn.Linear(backbone.channels, math.prod(grid))
        self.amount_head = nn.Linear(backbone.channels, 2)

    def auxiliary_loss(self, reading: Reading, batch: Mapping[str, Any]) -> Float[Tensor, " b"]:
        """Loss of the gaze features per item, exactly 0 for items without gaze.

        Parameters
        ----------
        reading : what `forward` gave for the batch.
        batch : `gaze` (b, h, w), `has_gaze` (b,) and, if known, `fixations`, a list of (n, 3).
        """
        embedding = reading.embedding
        seen = gaze_features(batch["gaze"].to(embedding), batch.get("fixations"), grid=self.grid)
        logs = F.log_softmax(self.share_head(embedding), dim=1)
        shares = (torch.xlogy(seen.share, seen.share) - seen.share * logs).sum(1)
        amounts = F.smooth_l1_loss(self.amount_head(embedding), seen.amounts, reduction="none").mean(1)
        loss = shares + torch.where(seen.has_amounts, amounts, torch.zeros_like(amounts))
        return torch.where(batch["has_gaze"].to(loss.device), loss, torch.zeros_like(loss))

    def groups(self) -> dict[str, list[nn.Module]]:
        """Stages' parts: `dense` and `dense_head`, to which the auxiliary heads belong."""
        return {"dense": [self.backbone], "dense_head": [self.head, self.share_head, self.amount_head]}

"""Small convolutional networks for the comparison of objectives, and how each learns."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from visus.engine.seeds import derive_seed
from visus.protocols import Batch, Logs, Turn

PROJECTED, TEMPERATURE = 32, 0.2


class SmallNet(nn.Module):
    """Three 3x3 convolutions of stride 2 with batch normalization, then the mean over places.

    `width` are the first layer's channels; each further layer has twice as many. `outputs` are the sizes of the
    heads, which only training uses.
    """

    def __init__(self, width: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = (3, width, 2 * width, 4 * width)
        for inputs, made in itertools.pairwise(channels):
            layers += [nn.Conv2d(inputs, made, 3, 2, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(channels[-1], count) for count in outputs)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b f"]:
        return self.layers(pictures * 2 - 1).mean((2, 3))


class Lesson:
    """Satisfies `visus.protocols.Trainable`: cross-entropy of labels, or SimCLR's contrastive loss of two views."""

    def __init__(self, net: SmallNet, *, contrastive: bool, learning_rate: float, seed: int) -> None:
        self.net, self.contrastive, self.seed = net, contrastive, seed
        self.optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The network with its heads."""
        return {"net": self.net}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The one optimizer."""
        return {"net": self.optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"image" (b, 3, h, w) in 0..1, "label" (b, heads)}."""
        pictures: Any = batch["image"]
        if self.contrastive:
            draw = torch.Generator().manual_seed(derive_seed(self.seed, turn.phase, turn.step))
            views = torch.cat([augmented(pictures, draw), augmented(pictures, draw)])
            loss = nt_xent(self.net.heads[0](self.net(views)), temperature=TEMPERATURE)
        else:
            features, label = self.net(pictures), batch["label"]
            losses = [F.cross_entropy(head(features), label[:, i]) for i, head in enumerate(self.net.heads)]
            loss = torch.stack(losses).sum()
        turn.update("net", loss)
        return {"loss": loss.detach()}


def nt_xent(z: Float[Tensor, "b e"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean of -log softmax of the cosine / temperature of each view with its partner, among all other views.

    Row i and row i + b/2 are views of one picture.

    Paper: SimCLR, 2002.05709, eq. 1.
    """
    unit, half = F.normalize(z, dim=1), len(z) // 2
    logits = (unit @ unit.T / temperature).fill_diagonal_(-math.inf)
    partner = torch.arange(len(z), device=z.device).roll(half)
    return F.cross_entropy(logits, partner)


def augmented(pictures: Float[Tensor, "b 3 h w"], draw: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Crops of 40 to 100 % of the area, mirrored half of the time, with other brightness, contrast and hue; a fifth
    in gray. Values stay in 0..1.

    Paper: SimCLR, 2002.05709, sec. 3 (crop and color). Differs: gain per channel in the place of hue, no blur.
    """
    count, device = len(pictures), pictures.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(count, *shape, generator=draw)).to(device)

    side = uniform(0.4, 1.0).sqrt()
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    shift = uniform(-1, 1, 2) * (1 - side)[:, None]
    zero = torch.zeros_like(side)
    rows = (torch.stack([side * mirror, zero, shift[:, 0]], 1), torch.stack([zero, side, shift[:, 1]], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    found = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    found = found * uniform(0.7, 1.3, 3, 1, 1)
    level = found.mean((1, 2, 3), keepdim=True)
    found = level + (found - level) * uniform(0.6, 1.4, 1, 1, 1)
    gray = found.mean(1, keepdim=True).expand_as(found)
    return torch.where(uniform(0, 1, 1, 1, 1) < 0.2, gray, found).clamp(0, 1)


def labels_of(objects: list[Any], kinds: tuple[tuple[str, tuple[str, ...]], ...]) -> Int64[Tensor, "n k"]:
    """Number of every attribute's value, for scenes of one object."""
    return torch.tensor([[names.index(thing[0][kind]) for kind, names in kinds] for thing in objects])

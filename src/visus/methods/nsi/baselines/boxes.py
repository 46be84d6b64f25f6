"""Features inside the true boxes in place of slots: what grounding by boxes would give."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from visus.methods.nsi.baselines.contender import Corners, Images, Slotless
from visus.methods.nsi.model.scores import bilevel_scores
from visus.methods.nsi.model.tensors import Programs


class Boxed(Slotless):
    """Mean token of every box against the primitives, under the same score.

    It is told the boxes of the pictures it searches, too: an advantage that no slot arm has.
    """

    def embed(self, inputs: Images, boxes: Corners) -> Float[Tensor, "b m e"]:
        grid = self.images.tokens.grid(*inputs.shape[-2:])  # type: ignore[operator]
        return self.head(box_means(self.images.tokens(inputs), boxes, grid))

    def score(self, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
        return bilevel_scores(pictures, self.programs(programs), programs.length)


def box_means(
    tokens: Float[Tensor, "b n c"], boxes: Float[Tensor, "b m 4"], grid: tuple[int, int]
) -> Float[Tensor, "b m c"]:
    """Mean token of every box, tokens weighted by the share of their cell that the box covers.

    A box without area is absent and repeats the first one, so that it can win nothing of its own; a picture
    without any box gives the mean of all tokens.

    >>> tokens = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    >>> round(box_means(tokens, torch.tensor([[[0.0, 0.0, 1.0, 0.75]]]), (2, 2)).item(), 4)
    2.3333
    """
    rows, columns = grid
    down = _covered(boxes[..., 0], boxes[..., 2], rows)
    across = _covered(boxes[..., 1], boxes[..., 3], columns)
    weight = (down[..., :, None] * across[..., None, :]).flatten(-2)
    total = weight.sum(-1, keepdim=True)
    first = torch.where(total[:, :1] > 0, weight[:, :1], 1.0)
    weight = torch.where(total > 0, weight, first)
    return (weight / weight.sum(-1, keepdim=True)) @ tokens


def _covered(low: Float[Tensor, "b m"], high: Float[Tensor, "b m"], cells: int) -> Float[Tensor, "b m cells"]:
    """Share of each of `cells` equal parts of 0..1 that low..high covers."""
    edges = torch.linspace(0, 1, cells + 1, device=low.device, dtype=low.dtype)
    end, begin = torch.minimum(high[..., None], edges[1:]), torch.maximum(low[..., None], edges[:-1])
    return (end - begin).clamp(min=0) * cells

"""The one equation that is trained with: contrastive language-image pre-training."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visus.errors import InputError


def contrastive(
    images: Float[Tensor, "b e"],
    texts: Float[Tensor, "b e"],
    scale: Float[Tensor, ""] | float,
    same: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric cross-entropy between pictures and captions of a batch.

    With cosines S = s I T^t of unit rows and targets P = same / rows' sums:
    L = -(mean_i sum_j P_ij log softmax_j S_ij + mean_j sum_i P_ij log softmax_i S_ij) / 2.

    Parameters
    ----------
    scale : s, the inverse temperature.
    same : which pictures share their caption word for word; None: no two do.

    Raises
    ------
    InputError : another number of captions than pictures.

    Source: Radford et al. 2021 (CLIP), where P is the identity.
    Differs: with `same`, a picture's target is spread evenly over all equal captions. Of two equal captions
    neither can be told from the other: as negatives they would be a part of the loss that nothing lowers.

    >>> rows = torch.eye(4)
    >>> round(contrastive(rows, torch.ones(4, 4) / 2, 1.0).item(), 4)  # captions that say nothing: log 4
    1.3863
    """
    if images.shape != texts.shape:
        problem = f"have the shapes {tuple(images.shape)} and {tuple(texts.shape)}"
        raise InputError(problem, field="images, texts", remedy="give one caption per picture")
    cosines = scale * _unit(images) @ _unit(texts).T
    if same is None:
        target = torch.eye(len(images), dtype=cosines.dtype, device=cosines.device)
    else:
        target = same.to(cosines.dtype)
        target = target / target.sum(1, keepdim=True)
    rows = (target * cosines.log_softmax(1)).sum(1).mean()
    columns = (target * cosines.log_softmax(0)).sum(0).mean()
    return -(rows + columns) / 2


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)

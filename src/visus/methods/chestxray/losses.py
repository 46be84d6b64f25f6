"""The equations the network trains with."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError

Mining = Literal["all", "hard", "semi_hard"]
MININGS = ("all", "hard", "semi_hard")
REDUCTIONS = ("mean", "sum")


def saliency_kl(
    log_density: Float[Tensor, "b h w"],
    gaze: Float[Tensor, "b h w"],
    has_gaze: Bool[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """KL divergence of the predicted density from the gaze, of each image: sum_px p (log p - log q).

    p = gaze / sum(gaze), log q = `log_density`. Images without gaze (or with an all-zero map) give exactly 0
    and no gradient, whatever their maps hold. Computed in float32 at least.

    Paper: 2403.16970, L_sal; the mean over images with gaze (see `mean_over`) is its batch mean.
    """
    q, target = _wide(log_density), _wide(gaze)
    mass = target.sum((1, 2))
    counted = has_gaze & (mass > 0)
    p = (target / mass[:, None, None]).where(counted[:, None, None], 0.0)
    # not a product with the mask: 0 times an undefined value is undefined
    q = q.where(counted[:, None, None], 0.0)
    return (torch.xlogy(p, p) - p * q).sum((1, 2))


def mean_over(values: Float[Tensor, " b"], mask: Bool[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean of the values that the mask names; 0 if it names none.

    >>> mean_over(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False]))
    tensor(1.5000)
    """
    return values.where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def triplet(
    embedding: Float[Tensor, "b c"],
    labels: Int[Tensor, " b"],
    *,
    margin: float = 1.0,
    mining: Mining = "all",
    normalize: bool = False,
    reduce: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """Triplet margin loss: max(0, d(anchor, positive) - d(anchor, negative) + margin), d Euclidean.

    Positives are other items of the anchor's class, negatives those of other classes. Without any triplet
    the loss is 0 with a gradient of 0.

    Paper: 2403.16970 sums over all triplets of a batch, margin 1. Differs: the mean by default, so that the
    loss does not grow with the cube of the batch; the released code hands a 4-D map to a loss that measures
    along its last axis, the width; here the pooled embedding is compared.

    Parameters
    ----------
    mining : "all" triplets; "hard": per anchor its farthest positive and nearest negative (1703.07737);
        "semi_hard": per pair the nearest negative that is farther than the positive, or where there is none
        the farthest negative (1503.03832).
    normalize : scale embeddings to length 1 first.
    reduce : "mean" or "sum" over the triplets that exist, those at 0 included.
    """
    _known("mining", mining, MININGS)
    _known("reduce", reduce, REDUCTIONS)
    points = _wide(embedding)
    if len(points) == 0:
        return points.sum()
    if normalize:
        points = F.normalize(points, dim=1)
    # without matrix products: exact for near points, and its gradient at distance 0 is 0
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    positive, negative = _pairs(labels)
    if mining == "all":
        near, far = distance[:, :, None], distance[:, None, :]
        valid = positive[:, :, None] & negative[:, None, :]
    elif mining == "hard":
        near = distance.masked_fill(~positive, -torch.inf).amax(1)
        far = distance.masked_fill(~negative, torch.inf).amin(1)
        valid = positive.any(1) & negative.any(1)
    else:
        near, far = distance, _semi_hard(distance, negative)
        valid = positive & negative.any(1, keepdim=True)
    total = (near - far + margin).relu().where(valid, 0.0).sum()
    return total if reduce == "sum" else total / valid.sum().clamp(min=1)


def supcon(
    embedding: Float[Tensor, "b c"], labels: Int[Tensor, " b"], *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Supervised contrastive loss, mean over the anchors that have a positive; 0 if none has.

    L_i = -1/|P(i)| sum_{p in P(i)} log( exp(z_i z_p / tau) / sum_{a != i} exp(z_i z_a / tau) ),  |z| = 1

    Source: 2004.11362, eq. 2.
    """
    if temperature <= 0:
        raise InputError(f"is {temperature}", field="temperature", remedy="give a positive number")
    points = F.normalize(_wide(embedding), dim=1)
    with torch.autocast(points.device.type, enabled=False):
        scores = points @ points.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=scores.device)
    # finite, so that an anchor on its own has a defined gradient
    logits = scores.masked_fill(itself, torch.finfo(scores.dtype).min)
    likelihood = scores - logits.logsumexp(1, keepdim=True)
    positive, _ = _pairs(labels)
    count = positive.sum(1)
    each = -likelihood.where(positive, 0.0).sum(1) / count.clamp(min=1)
    return mean_over(each, count > 0)


class UncertaintyWeighting(nn.Module):
    """Weigh the two tasks by learned uncertainties.

    L = CE / s_c^2 + ln(s_c + 1) + KL / (2 s_i^2) + ln(s_i + 1),   s = exp(log_sigma)

    ln(s + 1) in the place of ln s keeps the loss from falling below 0.

    Paper: 2403.16970, from MT-UNet (2202.07118). log_sigma_class is learned from 0, log_sigma_saliency stays
    at 0 (the weight of KL is 1/2) unless `learn_saliency`.

    >>> round(UncertaintyWeighting()(torch.tensor(1.0), torch.tensor(2.0)).item(), 4)  # 1 + ln 2 + 2/2 + ln 2
    3.3863
    """

    log_sigma_saliency: Tensor

    def __init__(self, *, learn_saliency: bool = False) -> None:
        super().__init__()
        self.log_sigma_class = nn.Parameter(torch.zeros(()))
        if learn_saliency:
            self.log_sigma_saliency = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("log_sigma_saliency", torch.zeros(()))

    def forward(self, classification: Float[Tensor, ""], saliency: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The weighted sum of the cross-entropy and the KL divergence."""
        s_c, s_i = self.log_sigma_class, self.log_sigma_saliency
        weighted = classification * (-2 * s_c).exp() + saliency * (-2 * s_i).exp() / 2
        return weighted + F.softplus(s_c) + F.softplus(s_i)  # ln(exp(x) + 1)


def _semi_hard(distance: Tensor, negative: Tensor) -> Float[Tensor, "b b"]:
    """Distance of the semi-hard negative of each anchor (rows) and positive (columns)."""
    farther = negative[:, None, :] & (distance[:, None, :] > distance[:, :, None])
    nearest = distance[:, None, :].masked_fill(~farther, torch.inf).amin(2)
    farthest = distance.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    return nearest.where(farther.any(2), farthest)


def _pairs(labels: Int[Tensor, " b"]) -> tuple[Bool[Tensor, "b b"], Bool[Tensor, "b b"]]:
    """Which pairs are of one class (an item with itself is not), and which of two."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def _wide(value: Tensor) -> Tensor:
    return value if value.dtype == torch.float64 else value.float()


def _known(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"is {value!r}", field=field, remedy=f"give one of {', '.join(known)}")

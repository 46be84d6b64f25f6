"""Every term of the losses that a linear aligner is trained with."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.methods.alignment.config import Penalty


def pair_dots(z: Float[Tensor, "m q"], triplets: Int64[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    """Dot products of the pairs (a, b), (a, odd), (b, odd) of rows of `z`."""
    a, b, odd = (z[triplets[:, column]] for column in range(3))
    return torch.stack([(a * b).sum(1), (a * odd).sum(1), (b * odd).sum(1)], dim=1)


def triplet_losses(similarities: Float[Tensor, "b 3"]) -> Float[Tensor, " b"]:
    """-log softmax(s)[0]: how surprising it is that the pair (a, b) was judged the most alike.

    `similarities` are those of the pairs (a, b), (a, odd), (b, odd); equal ones give log 3.

    Paper: 2211.01201, sec. 2 (probability of the odd one out, softmax over dot products).

    >>> triplet_losses(torch.zeros(1, 3)).exp()
    tensor([3.])
    """
    target = torch.zeros(len(similarities), dtype=torch.long, device=similarities.device)
    return F.cross_entropy(similarities, target, reduction="none")


def penalty(weights: Float[Tensor, "p q"], kind: Penalty) -> Float[Tensor, ""]:
    """R(W): `fro` = ||W||_F, `fro2` = ||W||_F^2, `identity` = ||W - mean(diag W) I||_F^2, `none` = 0.

    The gradient of `fro` at W = 0 is taken as 0.

    Paper: 2211.01201 (fro2 as printed, fro as in the public code); 2306.04507 (identity).

    >>> penalty(3 * torch.eye(4), "identity"), penalty(3 * torch.eye(4), "fro2")
    (tensor(0.), tensor(36.))
    """
    if kind == "fro":
        return torch.linalg.matrix_norm(weights)
    if kind == "fro2":
        return weights.square().sum()
    if kind == "identity":
        eye = torch.eye(*weights.shape, dtype=weights.dtype, device=weights.device)
        # not ||W||^2 - k mean(diag W)^2, which cancels
        return (weights - weights.diagonal().mean() * eye).square().sum()
    return weights.new_zeros(())


def contrastive_losses(
    original: Float[Tensor, "u p"], transformed: Float[Tensor, "u q"], *, temperature: float
) -> Float[Tensor, " u"]:
    """Cross-entropy of the similarities after the transform with those before, one value per image.

    Teacher t_ij = softmax_j(cos(x_i, x_j) / tau) over j != i; student s_ij the same with z; loss_i =
    -sum_j t_ij log s_ij. It is least, the teacher's entropy, where both have the same similarities.

    Paper: 2306.04507 (gLocal), contrastive term.

    Parameters
    ----------
    original, transformed : the same images before and after the transform; at least two.
    temperature : tau.
    """
    teacher = _off_diagonal(_cosines(original)) / temperature
    student = _off_diagonal(_cosines(transformed)) / temperature
    return -(teacher.softmax(1).detach() * student.log_softmax(1)).sum(1)


def _cosines(x: Float[Tensor, "u e"]) -> Float[Tensor, "u u"]:
    unit = F.normalize(x, dim=1)
    return unit @ unit.T


def _off_diagonal(square: Float[Tensor, "u u"]) -> Float[Tensor, "u v"]:
    """The rows without their diagonal elements, v = u - 1."""
    u = len(square)
    return square.flatten()[1:].view(u - 1, u + 1)[:, :-1].reshape(u, u - 1)

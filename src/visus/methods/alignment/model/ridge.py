"""Ridge regression from features to a reference embedding, with its own penalty for every dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from visus.data.loader import sample_order
from visus.errors import InputError


@dataclass(frozen=True)
class RidgeFit:
    """y = x W + b with what chose it."""

    weights: Float[Tensor, "p d"]
    bias: Float[Tensor, " d"]
    alphas: Float[Tensor, " d"]
    """The penalty chosen for every dimension."""
    errors: Float[Tensor, "a d"]
    """Held-out mean squared error of every penalty and dimension."""


def ridge(
    x: Float[Tensor, "n p"],
    y: Float[Tensor, "n d"],
    alphas: Sequence[float],
    *,
    folds: int = 0,
    seed: int = 0,
) -> RidgeFit:
    """Minimize ||y - x W - b||^2 + alpha ||W||^2 per dimension of y, alpha chosen by held-out squared error.

    One singular value decomposition x - mean(x) = U S V' serves all penalties and dimensions. Leave-one-out
    errors follow from it in closed form, (y_i - f(x_i)) / (1 - h_ii) with h_ii = 1/n + sum_k U_ik^2 S_k^2 /
    (S_k^2 + alpha). Of equally good penalties the first is taken. Constant columns of x get weight zero.

    Paper: 2211.01201, per-concept regression (public code: penalties 0.1 to 1e6, five folds). Method: Golub, Heath
    and Wahba, Technometrics 21, 1979.

    Parameters
    ----------
    x, y : features and reference of the same objects; computed in float64 whatever their type.
    alphas : penalties to choose from.
    folds : parts of the objects, each held out in turn; 0: leave-one-out.
    seed : of the parts.

    Raises
    ------
    InputError : fewer objects than parts, or than two.
    """
    x, y = x.double(), y.double()
    if len(x) < max(2, folds):
        raise InputError(
            f"{len(x)} objects are too few for ridge regression in {folds or len(x)} parts",
            field="objects",
            remedy="give features and reference of more objects",
        )
    grid = torch.tensor(list(alphas), dtype=torch.float64, device=x.device)
    solved = _Decomposed(x, y)
    errors = _fold_errors(x, y, grid, parts(len(x), folds, seed)) if folds else solved.leave_one_out(grid)
    best = grid[errors.argmin(0)]
    weights = solved.weights(best)
    return RidgeFit(weights, solved.y_mean - solved.x_mean @ weights, best, errors)


def parts(count: int, folds: int, seed: int) -> Int64[Tensor, " n"]:
    """The part 0..folds-1 of every object; sizes differ by at most one.

    >>> parts(5, 2, seed=0).bincount().tolist()
    [3, 2]
    """
    part = torch.empty(count, dtype=torch.long)
    part[sample_order(count, seed=seed, epoch=0)] = torch.arange(count) % folds
    return part


def held_out_predictions(
    x: Float[Tensor, "n p"],
    y: Float[Tensor, "n d"],
    alphas: Sequence[float],
    part: Int64[Tensor, " n"],
    *,
    folds: int = 5,
    seed: int = 0,
) -> Float[Tensor, "n d"]:
    """y of every object by regressions that saw neither it nor the others of its `part`.

    The penalty is chosen anew within each training side (`folds`, `seed` as in `ridge`). Standardization by one
    mean and deviation is left to the caller: of one part's training side, it only rescales the penalties.

    Paper: 2211.01201 (the public code's regression on concept dimensions, predicted out of fold).
    """
    found = torch.zeros(len(x), y.shape[1], dtype=torch.float64, device=x.device)
    for held in _held(part):
        fit = ridge(x[~held], y[~held], alphas, folds=folds, seed=seed)
        found[held] = x[held].double() @ fit.weights + fit.bias
    return found


class _Decomposed:
    """Centered features and reference, and the decomposition of the former."""

    def __init__(self, x: Float[Tensor, "n p"], y: Float[Tensor, "n d"]) -> None:
        self.x_mean, self.y_mean = x.mean(0), y.mean(0)
        self.y = y - self.y_mean
        self.u, s, self.vt = torch.linalg.svd(x - self.x_mean, full_matrices=False)
        # what is left of zero singular values must not be divided by
        small = s[:1] * max(x.shape) * torch.finfo(s.dtype).eps
        self.s = torch.where(s > small, s, torch.zeros_like(s))
        self.uy = self.u.T @ self.y

    def shrinkage(self, alpha: Float[Tensor, " a"]) -> Float[Tensor, "k a"]:
        """S / (S^2 + alpha)."""
        return self.s[:, None] / (self.s.square()[:, None] + alpha)

    def weights(self, alpha: Float[Tensor, " d"]) -> Float[Tensor, "p d"]:
        """One penalty per dimension."""
        return self.vt.T @ (self.shrinkage(alpha) * self.uy)

    def leave_one_out(self, grid: Float[Tensor, " a"]) -> Float[Tensor, "a d"]:
        """Mean squared leave-one-out error of every penalty and dimension."""
        kept = self.shrinkage(grid) * self.s[:, None]
        own = 1 / len(self.u) + self.u.square() @ kept
        rows = []
        for column, share in enumerate(kept.T):
            residual = self.y - self.u @ (share[:, None] * self.uy)
            rows.append((residual / (1 - own[:, column : column + 1])).square().mean(0))
        return torch.stack(rows)


def _fold_errors(
    x: Float[Tensor, "n p"], y: Float[Tensor, "n d"], grid: Float[Tensor, " a"], part: Int64[Tensor, " n"]
) -> Float[Tensor, "a d"]:
    """Mean over the parts of the mean squared error on a part, for every penalty and dimension."""
    total = torch.zeros(len(grid), y.shape[1], dtype=x.dtype, device=x.device)
    count = 0
    for held in _held(part):
        solved = _Decomposed(x[~held], y[~held])
        turned = (x[held] - solved.x_mean) @ solved.vt.T
        wanted = y[held] - solved.y_mean
        for row, shrunk in enumerate(solved.shrinkage(grid).T):
            total[row] += (wanted - turned @ (shrunk[:, None] * solved.uy)).square().mean(0)
        count += 1
    return total / count


def _held(part: Int64[Tensor, " n"]) -> Iterator[Tensor]:
    """For every part, which objects are in it."""
    for number in part.unique():
        yield part == number

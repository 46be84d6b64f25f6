"""Which classes are easily confused: those worth a text that tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from visus.errors import InputError

Pairs = frozenset[tuple[int, int]]
"""Unordered pairs as (smaller, larger)."""


class ConfusionFinder:
    """Neighbors N(i) = {j != i : S_ij >= t}, the `k` most similar of them; the pairs are their union.

    t is the `quantile` of all S_ij with i < j, or `threshold`. With thresholds alone the relation is symmetric;
    the cap of `k` makes it one-sided, so a pair counts when either side names it. There are at most C k pairs,
    whatever C.

    Parameters
    ----------
    k : most neighbors that a class names.
    quantile : share of pairs that are not similar enough.
    threshold : least similarity, instead of the quantile.

    Source: 2306.06077 writes texts for similar classes; neither threshold nor cap could be confirmed.

    >>> finder = ConfusionFinder(k=1, quantile=0.0)
    >>> sorted(finder.pairs(torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.1], [0.0, 0.1, 1.0]])))
    [(0, 1), (1, 2)]
    """

    def __init__(self, k: int = 5, quantile: float = 0.95, *, threshold: float | None = None) -> None:
        if k < 1:
            raise InputError(f"is {k}", field="k", remedy="choose a number from 1")
        if not 0 <= quantile <= 1:
            raise InputError(f"is {quantile}", field="quantile", remedy="choose a share from 0 to 1")
        self.k, self.quantile, self.threshold = k, quantile, threshold

    def pairs(self, similarity: Float[Tensor, "c c"]) -> Pairs:
        """Pairs from a symmetric matrix of similarities, such as W W^t or one from a taxonomy.

        Raises
        ------
        InputError : the matrix is not square, not symmetric or not finite.
        """
        values = _square(similarity, "similarity")
        if not torch.allclose(values, values.T, rtol=1e-4, atol=1e-5):
            remedy = "give a symmetric one; for counts of confusions use from_confusion"
            raise InputError("is not symmetric", field="similarity", remedy=remedy)
        return self._named((values + values.T) / 2)

    def from_weights(self, weights: Float[Tensor, "c e"]) -> Pairs:
        """Pairs by the cosines of classifier rows."""
        rows = torch.nn.functional.normalize(weights.double(), dim=-1)
        return self.pairs(rows @ rows.T)

    def from_confusion(self, counts: Float[Tensor, "c c"] | Int[Tensor, "c c"]) -> Pairs:
        """Pairs from a confusion matrix (rows: truth): the share of either class that is taken for the other.

        Classes that are never confused are no pair, whatever the quantile.
        """
        values = _square(counts, "confusion matrix")
        if bool((values < 0).any()):
            raise InputError("has negative entries", field="confusion matrix", remedy="give counts or shares")
        rates = values / values.sum(1, keepdim=True).clamp(min=1e-12)
        return self._named(rates + rates.T, floor=torch.finfo(torch.float64).tiny)

    def from_relation(self, items: Sequence[Any], relation: Callable[[Any, Any], float]) -> Pairs:
        """Pairs by any symmetric relation of two classes, such as the Wu-Palmer similarity of their concepts.

        Asks once per unordered pair.
        """
        values = torch.zeros(len(items), len(items), dtype=torch.float64)
        for i, one in enumerate(items):
            for j in range(i):
                values[i, j] = values[j, i] = float(relation(one, items[j]))
        return self.pairs(values)

    def _named(self, values: Float[Tensor, "c c"], floor: float | None = None) -> Pairs:
        count = len(values)
        if count < 2:
            return frozenset()
        upper = values[tuple(torch.triu_indices(count, count, 1))]
        least = float(np.quantile(upper.numpy(), self.quantile)) if self.threshold is None else self.threshold
        least = least if floor is None else max(least, floor)
        others = values.clone()
        others.fill_diagonal_(-torch.inf)
        best, index = others.topk(min(self.k, count - 1), dim=1)
        found = set()
        for i, j in (best >= least).nonzero().tolist():
            other = int(index[i, j])
            found.add((min(i, other), max(i, other)))
        return frozenset(found)


def _square(matrix: Tensor, field: str) -> Float[Tensor, "c c"]:
    values = torch.as_tensor(matrix).detach().to("cpu", torch.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise InputError(
            f"has the shape {tuple(values.shape)}", field=field, remedy="give one row and column per class"
        )
    if not bool(torch.isfinite(values).all()):
        raise InputError("has values that are not finite", field=field, remedy="repair or remove them")
    return values

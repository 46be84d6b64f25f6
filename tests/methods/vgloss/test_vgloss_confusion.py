"""Confusable classes: a slow transcription, symmetry, bounds, and the three sources of similarity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.methods.vgloss.model.confusion import ConfusionFinder


def random_similarity(count: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = rows / rows.norm(dim=1, keepdim=True)
    return rows @ rows.T


def slow(matrix: list[list[float]], k: int, least: float) -> set[tuple[int, int]]:
    found = set()
    for i, row in enumerate(matrix):
        others = sorted((j for j in range(len(row)) if j != i), key=lambda j: -row[j])
        for j in others[:k]:
            if row[j] >= least:
                found.add((min(i, j), max(i, j)))
    return found


@pytest.mark.parametrize(("k", "quantile"), [(1, 0.0), (2, 0.5), (5, 0.95), (30, 0.9), (3, 1.0)])
def test_pairs_are_those_of_a_slow_transcription(k, quantile):
    matrix = random_similarity(30)
    above = [float(matrix[i, j]) for i in range(30) for j in range(i + 1, 30)]
    wanted = slow(matrix.tolist(), k, float(np.quantile(above, quantile)))
    found = ConfusionFinder(k, quantile).pairs(matrix)
    assert found == wanted
    assert len(found) <= 30 * k
    assert all(i < j for i, j in found)


def test_the_cap_is_one_sided_and_the_union_is_not():
    """Both 0 and 1 are nearest to 2, which is nearest to 1 alone: the pair (0, 2) stays."""
    matrix = torch.tensor([[1.0, 0.1, 0.8], [0.1, 1.0, 0.9], [0.8, 0.9, 1.0]])
    assert ConfusionFinder(1, 0.0).pairs(matrix) == {(0, 2), (1, 2)}


def test_a_threshold_above_one_leaves_no_pair():
    assert ConfusionFinder(5, threshold=1.01).pairs(random_similarity(20)) == frozenset()
    assert ConfusionFinder(5).pairs(torch.ones(1, 1)) == frozenset()


def test_from_a_confusion_matrix():
    counts = torch.tensor([[90, 10, 0, 0], [0, 100, 0, 0], [0, 0, 50, 0], [0, 0, 0, 0]])
    assert ConfusionFinder(5, 0.0).from_confusion(counts) == {(0, 1)}
    assert ConfusionFinder(5, 0.0).from_confusion(torch.eye(4)) == frozenset()
    with pytest.raises(InputError, match="negative"):
        ConfusionFinder().from_confusion(torch.tensor([[1.0, -1.0], [0.0, 1.0]]))


def test_from_rows_of_any_length():
    rows = torch.tensor([[5.0, 0.0], [0.1, 0.01], [0.0, 3.0]])
    assert ConfusionFinder(1, 0.9).from_weights(rows) == {(0, 1)}


def test_from_a_relation_asks_once_per_pair():
    asked = []

    def relation(one: int, other: int) -> float:
        asked.append((one, other))
        return 1 / (1 + abs(one - other))

    assert ConfusionFinder(1, 0.5).from_relation([1, 2, 10, 11], relation) == {(0, 1), (2, 3)}
    assert len(asked) == len({frozenset(pair) for pair in asked}) == 6


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (torch.ones(2, 3), "(2, 3)"),
        (torch.tensor([[1.0, 0.5], [0.2, 1.0]]), "not symmetric"),
        (torch.full((2, 2), torch.nan), "not finite"),
    ],
)
def test_refusals(matrix, says):
    with pytest.raises(InputError, match=says.replace("(", r"\(").replace(")", r"\)")):
        ConfusionFinder().pairs(matrix)
    with pytest.raises(InputError, match="k: is 0"):
        ConfusionFinder(0)

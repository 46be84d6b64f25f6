"""Rankings against scikit-learn where nothing ties, and against all orders of ties by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from visus.errors import InputError
from visus.metrics import mean_average_precision, precision_at_k, recall_at_k, two_way_recall


def orders(scores: list[float]):
    """All rankings of the candidates that the scores allow."""
    levels = [[i for i, s in enumerate(scores) if s == level] for level in sorted(set(scores), reverse=True)]
    for choice in itertools.product(*(itertools.permutations(level) for level in levels)):
        yield [i for group in choice for i in group]


def slow_precision(order: list[int], relevant: list[bool]) -> float:
    right, total = 0, 0.0
    for place, i in enumerate(order, 1):
        if relevant[i]:
            right += 1
            total += right / place
    return total / sum(relevant)


def draw(seed: int, n: int = 6, m: int = 6, levels: int = 3):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.integers(0, levels, (n, m)).astype(float)), torch.tensor(rng.random((n, m)) < 0.4)


@pytest.mark.parametrize("seed", range(6))
def test_ties_equal_all_orders(seed):
    scores, relevant = draw(seed)
    relevant[:, 0] |= ~relevant.any(1)
    cuts = (1, 2, 4, 6)
    means: dict[str, list[list[float]]] = {"expected": [], "pessimistic": []}
    for i, (row, marks) in enumerate(zip(scores.tolist(), relevant.tolist(), strict=True)):
        found = []
        for order in orders(row):
            recall = [float(order.index(i) < cut) for cut in cuts]
            precision = [sum(marks[j] for j in order[:cut]) / cut for cut in cuts]
            found.append([slow_precision(order, marks), *recall, *precision])
        means["expected"].append(np.mean(found, axis=0).tolist())
        means["pessimistic"].append(np.min(found, axis=0).tolist())
    for ties, rows in means.items():
        expected = np.mean(rows, axis=0)
        assert mean_average_precision(scores, relevant, ties=ties) == pytest.approx(expected[0])
        assert list(recall_at_k(scores, k=cuts, ties=ties).values()) == pytest.approx(list(expected[1:5]))
        ours = precision_at_k(scores, relevant, k=cuts, ties=ties)
        assert list(ours.values()) == pytest.approx(list(expected[5:]))


@pytest.mark.parametrize("seed", range(4))
def test_without_ties_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, relevant = rng.normal(size=(20, 30)), rng.random((20, 30)) < 0.2
    relevant[3] = False
    rows = [i for i in range(20) if relevant[i].any()]
    expected = np.mean([sk.average_precision_score(relevant[i], scores[i]) for i in rows])
    for ties in ("expected", "pessimistic"):
        ours = mean_average_precision(torch.tensor(scores), torch.tensor(relevant), ties=ties)
        assert ours == pytest.approx(expected)
    target = rng.integers(0, 30, 20)
    ours = recall_at_k(torch.tensor(scores), k=(1, 7), target=torch.tensor(target))
    for cut, share in ours.items():
        theirs = sk.top_k_accuracy_score(target, scores, k=cut, labels=np.arange(30))
        assert share == pytest.approx(theirs)


def test_constant_scores_are_chance():
    flat = torch.zeros(50, 50)
    assert recall_at_k(flat, k=(1, 5, 50, 80)) == pytest.approx({1: 0.02, 5: 0.1, 50: 1.0, 80: 1.0})
    assert recall_at_k(flat, k=(49, 50), ties="pessimistic") == {49: 0.0, 50: 1.0}
    relevant = torch.zeros(4, 50, dtype=torch.bool)
    relevant[:, :10] = True
    assert precision_at_k(flat[:4], relevant, k=(1, 20)) == pytest.approx({1: 0.2, 20: 0.2})
    assert precision_at_k(flat[:4], relevant, k=(40,), ties="pessimistic") == {40: 0.0}


def test_two_ways_differ():
    scores = torch.tensor([[0.9, 0.8], [0.95, 0.1]])
    ours = two_way_recall(scores, k=(1, 2))
    assert ours == {"forward@1": 0.5, "forward@2": 1.0, "backward@1": 0.0, "backward@2": 1.0}


def test_queries_without_an_answer_are_left_out():
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    relevant = torch.tensor([[True, False, False], [False, False, False]])
    assert mean_average_precision(scores, relevant) == 1.0
    assert precision_at_k(scores, relevant, k=(1, 4)) == {1: 1.0, 4: 0.25}
    assert math.isnan(mean_average_precision(scores, torch.zeros_like(relevant)))


def test_bad_input():
    scores = torch.zeros(2, 3)
    with pytest.raises(InputError, match="target"):
        recall_at_k(scores)
    with pytest.raises(InputError, match="not empty"):
        recall_at_k(scores[:0])
    with pytest.raises(InputError, match="query 1"):
        recall_at_k(torch.tensor([[1.0, 2.0], [1.0, math.nan]]))
    with pytest.raises(InputError, match="booleans"):
        mean_average_precision(scores, torch.zeros(2, 3))
    with pytest.raises(InputError, match="from 1"):
        precision_at_k(scores, torch.zeros(2, 3, dtype=torch.bool), k=(0,))
    with pytest.raises(InputError, match="ties"):
        recall_at_k(torch.eye(2), ties="best")  # type: ignore[arg-type]

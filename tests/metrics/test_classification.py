"""Classification scores against scikit-learn, and against plain counting where libraries disagree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm

from visus.errors import InputError
from visus.metrics import (
    accuracy,
    auc,
    auc_micro,
    auc_per_class,
    balanced_accuracy,
    bootstrap_interval,
    f1_per_class,
    macro_f1,
    precision_per_class,
    recall_per_class,
)


def draw(seed: int, n: int = 60, k: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(k), rng.choice(k, size=n - k, p=rng.dirichlet(np.ones(k)))])
    scores = rng.dirichlet(np.ones(k), size=n).round(2) + 0.3 * np.eye(k)[target]  # rounding makes ties
    scores = scores / scores.sum(axis=1, keepdims=True)
    return target, scores.argmax(axis=1), scores


@pytest.mark.parametrize("seed", range(8))
def test_equals_scikit_learn_when_every_class_occurs(seed):
    target, predicted, scores = draw(seed)
    weight = np.random.default_rng(seed).integers(1, 4, size=len(target))
    for w in (None, weight):
        assert accuracy(target, predicted, weight=w) == pytest.approx(
            sk.accuracy_score(target, predicted, sample_weight=w)
        )
        expected = sk.balanced_accuracy_score(target, predicted, sample_weight=w)
        assert balanced_accuracy(target, predicted, weight=w) == pytest.approx(expected)
        expected = sk.f1_score(target, predicted, average="macro", sample_weight=w)
        assert macro_f1(target, predicted, weight=w) == pytest.approx(expected)
        recalls = sk.recall_score(target, predicted, average=None, sample_weight=w)
        assert list(recall_per_class(target, predicted, weight=w).values()) == pytest.approx(list(recalls))
        per_class = [sk.roc_auc_score(target == i, scores[:, i], sample_weight=w) for i in range(4)]
        assert auc(target, scores, weight=w) == pytest.approx(np.mean(per_class))
    assert auc(target, scores) == pytest.approx(sk.roc_auc_score(target, scores, multi_class="ovr"))
    theirs = tm.multiclass_auroc(torch.tensor(scores), torch.tensor(target), num_classes=4, average="macro")
    assert auc(target, scores) == pytest.approx(theirs.item(), abs=1e-6)
    theirs = tm.multiclass_accuracy(
        torch.tensor(predicted), torch.tensor(target), num_classes=4, average="macro"
    )
    assert balanced_accuracy(target, predicted) == pytest.approx(theirs.item(), abs=1e-6)


def test_a_class_that_is_predicted_but_never_true():
    target, predicted = [0, 0, 0, 1], [0, 0, 2, 1]
    assert balanced_accuracy(target, predicted) == pytest.approx((2 / 3 + 1) / 2)
    with pytest.warns(UserWarning, match="classes not in y_true"):
        assert balanced_accuracy(target, predicted) == pytest.approx(
            sk.balanced_accuracy_score(target, predicted)
        )
    theirs = tm.multiclass_accuracy(
        torch.tensor(predicted), torch.tensor(target), num_classes=3, average="macro"
    )
    assert theirs.item() == pytest.approx((2 / 3 + 1 + 0) / 3), "torchmetrics counts it as recall 0"
    assert macro_f1(target, predicted) == pytest.approx((0.8 + 1) / 2)
    assert macro_f1(target, predicted) == pytest.approx(
        sk.f1_score(target, predicted, labels=[0, 1], average="macro")
    )
    assert sk.f1_score(target, predicted, average="macro") == pytest.approx((0.8 + 1 + 0) / 3)
    assert recall_per_class(target, predicted) == pytest.approx({0: 2 / 3, 1: 1.0})


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_auc_with_an_absent_class():
    target = np.array([0, 0, 1, 1, 1])
    scores = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    by_hand = np.mean([sk.roc_auc_score(target == i, scores[:, i]) for i in (0, 1)])
    assert auc(target, scores) == pytest.approx(by_hand)
    theirs = tm.multiclass_auroc(torch.tensor(scores), torch.tensor(target), num_classes=3, average="macro")
    assert theirs.item() == pytest.approx(by_hand * 2 / 3), "torchmetrics counts it as area 0"
    with pytest.raises(ValueError, match="Number of classes"):
        sk.roc_auc_score(target, scores, multi_class="ovr")
    assert math.isnan(sk.roc_auc_score(target, scores, multi_class="ovr", labels=[0, 1, 2]))
    assert math.isnan(auc([1, 1, 1], [[0.1, 0.2, 0.7]] * 3))
    assert math.isnan(auc([1], [0.3]))


def test_auc_by_counting_pairs():
    rng = np.random.default_rng(0)
    target, score = rng.integers(0, 2, size=40), rng.integers(0, 6, size=40)
    pairs = [(a, b) for a, b in itertools.product(score[target == 1], score[target == 0])]
    counted = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    assert auc(target, score) == pytest.approx(counted)
    assert auc(target, np.stack([-score, score], axis=1)) == pytest.approx(counted)
    assert auc(target.astype(bool), torch.tensor(score)) == pytest.approx(counted)
    assert auc(target, np.zeros(40)) == 0.5
    weight = rng.integers(0, 4, size=40)
    index = np.repeat(np.arange(40), weight)
    assert auc(target, score, weight=weight) == pytest.approx(auc(target[index], score[index]))


def test_scores_in_any_unit():
    target, _, scores = draw(3)
    assert auc(target, scipy.stats.rankdata(scores, axis=0)) == pytest.approx(auc(target, scores))


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1, auc])
def test_many_weights_at_once_and_weights_as_repetitions(metric):
    target, predicted, scores = draw(5)
    other = scores if metric is auc else predicted
    weights = np.random.default_rng(1).multinomial(60, [1 / 60] * 60, size=9)
    together = metric(target, other, weight=weights)
    assert together.shape == (9,)
    for row, value in zip(weights, together):
        assert metric(target, other, weight=row) == pytest.approx(value)
        index = np.repeat(np.arange(60), row)
        assert metric(target[index], other[index]) == pytest.approx(value)


def test_text_labels_tensors_and_one_item():
    assert recall_per_class(["CN", "AD", "AD"], ["CN", "AD", "CN"]) == {"AD": 0.5, "CN": 1.0}
    assert balanced_accuracy(["CN", "AD", "AD"], ["CN", "AD", "CN"]) == 0.75
    assert accuracy(torch.tensor([1, 0]), torch.tensor([1, 1])) == 0.5
    assert auc(torch.tensor([0, 1]), torch.tensor([0.25, 0.5], dtype=torch.bfloat16)) == 1
    for metric in (accuracy, balanced_accuracy, macro_f1):
        assert metric([2], [2]) == 1
        assert metric([2], [1]) == 0
        assert metric([1, 1, 1], [1, 1, 1]) == 1
        assert isinstance(metric([2], [1]), float)


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1, auc, recall_per_class])
def test_bad_input(metric):
    with pytest.raises(InputError, match="no items"):
        metric([], [])
    with pytest.raises(InputError, match="for 2 targets"):
        metric([0, 1], [0, 1, 1])
    with pytest.raises(InputError, match="weight"):
        metric([0, 1], [0, 1], weight=[1.0])
    with pytest.raises(InputError, match="weight"):
        metric([0, 1], [0, 1], weight=[0.0, 0.0])
    with pytest.raises(InputError, match="item 1 is not a finite number"):
        metric([0, 1], [0.0, float("nan")])
    with pytest.raises(InputError, match="target"):
        metric([[0, 1]], [[0, 1]])


def test_bad_classes():
    with pytest.raises(InputError, match="same kind of label"):
        accuracy(["0", "1"], [0, 1])
    with pytest.raises(InputError, match="not scores"):
        accuracy([0, 1], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(InputError, match=r"other than 0\.\.2"):
        auc([0, 3], [[0.5, 0.5, 0], [0.5, 0.5, 0]])
    with pytest.raises(InputError, match="scores"):
        auc([0, 1], [[0.5], [0.5]])


@pytest.mark.parametrize("seed", range(6))
def test_scores_per_class_and_micro_area_equal_scikit_learn(seed):
    target, predicted, scores = draw(seed)
    for w in (None, np.random.default_rng(seed).integers(1, 4, size=len(target))):
        precision = sk.precision_score(target, predicted, average=None, sample_weight=w, zero_division=np.nan)
        assert list(precision_per_class(target, predicted, weight=w).values()) == pytest.approx(
            list(precision), nan_ok=True
        )
        f1 = sk.f1_score(target, predicted, average=None, sample_weight=w)
        assert list(f1_per_class(target, predicted, weight=w).values()) == pytest.approx(list(f1))
        areas = auc_per_class(target, scores, classes="abcd", weight=w)
        expected = [sk.roc_auc_score(target == i, scores[:, i], sample_weight=w) for i in range(4)]
        assert list(areas) == list("abcd")
        assert list(areas.values()) == pytest.approx(expected)
        assert auc(target, scores, weight=w) == pytest.approx(np.mean(expected))
        expected = sk.roc_auc_score(np.eye(4)[target], scores, average="micro", sample_weight=w)
        assert auc_micro(target, scores, weight=w) == pytest.approx(expected)


def test_micro_area_counts_pairs_of_cells():
    target, _, scores = draw(3, n=12, k=3)
    cells = [(scores[i, j], target[i] == j) for i in range(12) for j in range(3)]
    plus, minus = [s for s, own in cells if own], [s for s, own in cells if not own]
    won = [(p > m) + 0.5 * (p == m) for p in plus for m in minus]
    assert auc_micro(target, scores) == pytest.approx(np.mean(won))
    low, high = bootstrap_interval(auc_micro, target, scores, n=200)
    assert low <= auc_micro(target, scores) <= high


def test_scores_per_class_where_a_class_is_absent_or_never_predicted():
    assert precision_per_class([0, 0, 1], [0, 0, 0]) == pytest.approx({0: 2 / 3, 1: math.nan}, nan_ok=True)
    assert f1_per_class(["a", "b"], ["a", "a"]) == pytest.approx({"a": 2 / 3, "b": 0.0})
    assert list(f1_per_class([0, 0], [0, 2])) == [0], "a class that is never true has no score"
    areas = auc_per_class([0, 1], [[0.6, 0.2, 0.2], [0.3, 0.5, 0.2]])
    assert areas == pytest.approx({0: 1.0, 1: 1.0, 2: math.nan}, nan_ok=True)
    two = auc_per_class([0, 1, 1], [[0.7, 0.3], [0.2, 0.8], [0.8, 0.2]])
    assert two[0] == two[1] == 0.5
    for call, words in (
        (lambda: auc_per_class([0, 1], [0.2, 0.3]), "k >= 2"),
        (lambda: auc_micro([0, 3], [[0.1, 0.9], [0.2, 0.8]]), "number the classes"),
        (lambda: auc_per_class([0, 1], [[0.1, 0.9], [0.2, 0.8]], classes="abc"), "3 names"),
    ):
        with pytest.raises(InputError, match=words):
            call()

"""How good predicted classes and scores are when classes are rare, absent or tied."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.metrics.arrays import items, mean, result, weights


def accuracy(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Share of items whose class is right. `target`, `predicted`: (n,) of any comparable type.

    >>> accuracy([0, 1, 1, 2], [0, 1, 0, 2])
    0.75
    """
    target, predicted = _classes(target, predicted)
    return result(mean(target == predicted, weights(weight, len(target))))


def recall_per_class(target: Any, predicted: Any, *, weight: Any = None) -> dict[Any, Any]:
    """Class -> share of its items that were predicted as it; only classes that occur in `target`, sorted.

    >>> recall_per_class(["a", "a", "b"], ["a", "b", "c"])
    {'a': 0.5, 'b': 0.0}
    """
    target, predicted = _classes(target, predicted)
    present, recalls = _recalls(target, predicted, weights(weight, len(target)))
    return {label: result(recalls[..., i]) for i, label in enumerate(present.tolist())}


def balanced_accuracy(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Mean recall over the classes that occur in `target`.

    A class that is predicted but never true costs the items it took from other classes and nothing else. So
    does scikit-learn, with a warning. Differs: `torchmetrics.Accuracy(average="macro")` takes such a class
    into the mean as recall 0, so its score falls with every class that a small test set happens to lack but a
    model may predict. A class without weight in a resample does not count in that resample.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 2, 1])
    0.8333333333333333
    """
    target, predicted = _classes(target, predicted)
    _, recalls = _recalls(target, predicted, weights(weight, len(target)))
    return result(_mean_of_defined(recalls))


def macro_f1(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Mean over the classes that occur in `target` of F1 = 2 tp / (2 tp + fp + fn).

    Differs: scikit-learn and torchmetrics also average over classes that are predicted but never true; their
    F1 is 0 however good the rest is. Their false alarms are counted here once, as misses of the true classes.
    Equals `sklearn.metrics.f1_score(..., labels=numpy.unique(target), average="macro")`.

    >>> macro_f1([0, 0, 1, 1], [0, 0, 1, 2])
    0.8333333333333333
    """
    target, predicted = _classes(target, predicted)
    weight = weights(weight, len(target))
    present = np.unique(target)
    truly, said = target[:, None] == present, predicted[:, None] == present
    hits = weight @ (truly & said).astype(np.float64)
    sizes = weight @ truly.astype(np.float64)
    both = sizes + weight @ said.astype(np.float64)
    f1 = np.divide(2 * hits, both, out=np.full_like(hits, np.nan), where=sizes > 0)
    return result(_mean_of_defined(f1))


def auc(target: Any, scores: Any, *, weight: Any = None) -> Any:
    """Area under the ROC curve, ties counting half; for k > 2 the mean of each class against the rest.

    Parameters
    ----------
    target : (n,) class numbers 0..k-1 (0 and 1, or booleans, for `scores` of one column).
    scores : (n,) score of class 1, or (n, k) scores in any units. With k = 2 column 1 counts.
    weight : see `visus.metrics`.

    Classes that have no item in `target`, or all of them, are left out of the mean; nan if none remains (one
    class only). Differs: where a class is absent scikit-learn raises or returns nan for the whole mean, and
    it needs rows that sum to 1; torchmetrics takes the absent class into the mean as 0.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    target, scores = items(target, scores, name="scores")
    if scores.ndim > 2 or (scores.ndim == 2 and scores.shape[1] < 2):
        raise InputError(
            f"has shape {scores.shape}", field="scores", remedy="give (n,) or (n, k) with k >= 2"
        )
    columns = scores[:, 1:] if scores.ndim == 2 and scores.shape[1] == 2 else scores.reshape(len(scores), -1)
    k = 2 if columns.shape[1] == 1 else columns.shape[1]
    if not np.isin(target, np.arange(k)).all():
        raise InputError(f"holds values other than 0..{k - 1}", field="target", remedy="number the classes")
    weight = weights(weight, len(target))
    numbers = [1] if k == 2 else range(k)
    areas = [_area(target == number, columns[:, i], weight) for i, number in enumerate(numbers)]
    return result(_mean_of_defined(np.stack(areas, axis=-1)))


def _area(positive: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Chance that a positive item scores above a negative one; nan without either."""
    order = np.argsort(score, kind="stable")
    weight, positive, score = weight[..., order], positive[order], score[order]
    tied = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])  # where runs of equal scores begin
    plus = np.add.reduceat(weight * positive, tied, axis=-1)
    minus = np.add.reduceat(weight * ~positive, tied, axis=-1)
    below = np.cumsum(minus, axis=-1) - 0.5 * minus
    pairs = plus.sum(axis=-1) * minus.sum(axis=-1)
    won = (plus * below).sum(axis=-1)
    return np.divide(won, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def _classes(target: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    target, predicted = items(target, predicted, name="predicted")
    if predicted.ndim != 1:
        raise InputError(f"has shape {predicted.shape}", field="predicted", remedy="give classes, not scores")
    if (target.dtype.kind in "OUS") != (predicted.dtype.kind in "OUS"):
        raise InputError(
            f"are {predicted.dtype}, targets are {target.dtype}",
            field="predicted",
            remedy="use the same kind of label",
        )
    return target, predicted


def _recalls(
    target: np.ndarray, predicted: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, Float[np.ndarray, "... k"]]:
    present = np.unique(target)
    members = (target[:, None] == present).astype(np.float64)
    sizes = weight @ members
    hits = weight @ (members * (target == predicted)[:, None])
    return present, np.divide(hits, sizes, out=np.full_like(sizes, np.nan), where=sizes > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without nan; nan if nothing else is there."""
    defined = ~np.isnan(values)
    count = np.asarray(defined.sum(axis=-1), dtype=np.float64)
    total = np.asarray(np.where(defined, values, 0.0).sum(axis=-1))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

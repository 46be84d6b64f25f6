"""How good predicted classes and scores are when classes are rare, absent or tied."""

from __future__ import annotations

from collections.abc import Sequence
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
    return result(_mean_of_defined(_f1(target, predicted, weight)[1]))


def precision_per_class(target: Any, predicted: Any, *, weight: Any = None) -> dict[Any, Any]:
    """Class -> share of the items predicted as it that are; only classes that occur in `target`, sorted.

    nan for a class that is never predicted. Differs: scikit-learn gives 0 there, with a warning.

    >>> precision_per_class(["a", "a", "b"], ["a", "b", "b"])
    {'a': 1.0, 'b': 0.5}
    """
    present, hits, _, said = _counts(target, predicted, weight)
    values = np.divide(hits, said, out=np.full_like(hits, np.nan), where=said > 0)
    return {label: result(values[..., i]) for i, label in enumerate(present.tolist())}


def f1_per_class(target: Any, predicted: Any, *, weight: Any = None) -> dict[Any, Any]:
    """Class -> 2 tp / (2 tp + fp + fn); only classes that occur in `target`, sorted. See `macro_f1`.

    >>> f1_per_class([0, 0, 1, 1], [0, 0, 1, 2])
    {0: 1.0, 1: 0.6666666666666666}
    """
    present, values = _f1(target, predicted, weight)
    return {label: result(values[..., i]) for i, label in enumerate(present.tolist())}


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
    target, scores = _scored(target, scores)
    columns = scores[:, 1:] if scores.ndim == 2 and scores.shape[1] == 2 else scores.reshape(len(scores), -1)
    k = 2 if columns.shape[1] == 1 else columns.shape[1]
    weight = weights(weight, len(target))
    numbers = [1] if k == 2 else range(k)
    areas = [_area(target == number, columns[:, i], weight) for i, number in enumerate(numbers)]
    return result(_mean_of_defined(np.stack(areas, axis=-1)))


def auc_per_class(
    target: Any, scores: Any, *, classes: Sequence[str] | None = None, weight: Any = None
) -> dict[Any, Any]:
    """Class -> area under the ROC curve of its column against the rest; nan where one side is empty.

    `target`, `scores` (n, k) as for `auc`; `classes` are the k names, the numbers 0..k-1 where None. Here every
    column counts, also with k = 2.

    >>> auc_per_class([0, 1, 2], [[0.8, 0.1, 0.1], [0.3, 0.2, 0.5], [0.1, 0.3, 0.6]], classes="abc")
    {'a': 1.0, 'b': 0.5, 'c': 1.0}
    """
    target, scores = _scored(target, scores, columns=True)
    names = range(scores.shape[1]) if classes is None else classes
    if len(names) != scores.shape[1]:
        raise InputError(f"has {len(names)} names for {scores.shape[1]} columns", field="classes")
    weight = weights(weight, len(target))
    return {name: result(_area(target == i, scores[:, i], weight)) for i, name in enumerate(names)}


def auc_micro(target: Any, scores: Any, *, weight: Any = None) -> Any:
    """Area under the ROC curve of all (item, class) pairs at once, the scores of all columns on one scale.

    `target`, `scores` (n, k) as for `auc`; with probabilities it says whether they are comparable between
    classes. Equals `sklearn.metrics.roc_auc_score` of the one-hot targets with `average="micro"`.

    >>> auc_micro([0, 1], [[0.9, 0.1], [0.6, 0.4]])
    0.75
    """
    target, scores = _scored(target, scores, columns=True)
    k = scores.shape[1]
    weight = np.repeat(weights(weight, len(target)), k, axis=-1)
    return result(_area((target[:, None] == np.arange(k)).ravel(), scores.ravel(), weight))


def roc_area(
    score: Float[np.ndarray, " n"], plus: Float[np.ndarray, "*r n"], minus: Float[np.ndarray, "*r n"]
) -> Float[np.ndarray, "*r"]:
    """Chance that a positive scores above a negative, ties counting half; nan without either.

    `plus` and `minus` are the weights of every score as a positive and as a negative; it may be both.
    """
    order = np.argsort(score, kind="stable")
    score = score[order]
    tied = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])  # where runs of equal scores begin
    plus = np.add.reduceat(plus[..., order], tied, axis=-1)
    minus = np.add.reduceat(minus[..., order], tied, axis=-1)
    below = np.cumsum(minus, axis=-1) - 0.5 * minus
    pairs = np.asarray(plus.sum(axis=-1) * minus.sum(axis=-1))
    won = (plus * below).sum(axis=-1)
    return np.divide(won, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def _area(positive: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return roc_area(score, weight * positive, weight * ~positive)


def _scored(target: Any, scores: Any, *, columns: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers (n,) and scores (n,) or (n, k), checked; (n, k) only where `columns`."""
    target, scores = items(target, scores, name="scores")
    if scores.ndim > 2 or (scores.ndim == 2 and scores.shape[1] < 2) or (columns and scores.ndim == 1):
        wanted = "(n, k) with k >= 2" if columns else "(n,) or (n, k) with k >= 2"
        raise InputError(f"has shape {scores.shape}", field="scores", remedy=f"give {wanted}")
    k = 2 if scores.ndim == 1 else scores.shape[1]
    if not np.isin(target, np.arange(k)).all():
        raise InputError(f"holds values other than 0..{k - 1}", field="target", remedy="number the classes")
    return target, scores


def _counts(
    target: Any, predicted: Any, weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classes that occur in `target`; per class the weight of hits, of its items and of what was said."""
    target, predicted = _classes(target, predicted)
    weight = weights(weight, len(target))
    present = np.unique(target)
    truly, said = target[:, None] == present, predicted[:, None] == present
    return present, *(weight @ which.astype(np.float64) for which in (truly & said, truly, said))


def _f1(target: Any, predicted: Any, weight: Any) -> tuple[np.ndarray, np.ndarray]:
    present, hits, sizes, said = _counts(target, predicted, weight)
    both = sizes + said
    return present, np.divide(2 * hits, both, out=np.full_like(hits, np.nan), where=sizes > 0)


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

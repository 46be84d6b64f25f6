"""Parts and folds in which no group (a patient, a speaker) appears twice and classes keep their shares."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from visus.data.loader import sample_order
from visus.errors import InputError


def strata(labels: Any, *, bins: int | None = None) -> np.ndarray:
    """Class numbers to stratify by: classes as they are, real-valued targets in bins of equal counts.

    Parameters
    ----------
    labels : one class (any hashable) or number per item.
    bins : number of bins for a real-valued target; None decides: floating-point labels with more than 20
        different values go into 10 bins, everything else is taken as classes.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    values = labels if isinstance(labels, np.ndarray) else _array(labels)
    real = values.dtype.kind == "f"
    if real and not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"item {where} is not a finite number", field="labels", remedy="drop items without a target"
        )
    if bins is None and real and len(np.unique(values)) > 20:
        bins = 10
    if bins is not None:
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        first = dict(zip(values[::-1].tolist(), ranks[::-1].tolist()))
        ranks = np.array([first[value] for value in values.tolist()])  # equal targets share a bin
        return ranks * bins // max(len(values), 1)
    names = sorted({str(value) for value in values.tolist()})
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[str(value)] for value in values.tolist()], dtype=np.int64)


def _array(labels: Any) -> np.ndarray:
    if hasattr(labels, "to_numpy"):
        labels = labels.to_numpy()
    array = np.asarray(labels)
    return array if array.ndim == 1 else np.fromiter((str(x) for x in labels), dtype=object)


def grouped_stratified_split(
    labels: Any,
    groups: Sequence[Hashable] | np.ndarray | None,
    fractions: Mapping[str, float],
    seed: int,
    *,
    bins: int | None = None,
) -> dict[str, Int64[Tensor, " p"]]:
    """Cut a data set into named parts.

    Groups are visited from the largest to the smallest (shuffled by `seed` within a size). Each goes where
    it keeps class counts and sizes of the parts closest, in squared error, to their shares of what was
    visited so far; whatever the order of items, errors stay of the size of a group. No part stays empty.

    Parameters
    ----------
    labels : class or real-valued target per item (see `strata`).
    groups : group per item; None when every item stands alone.
    fractions : part name -> share; shares are positive and sum to one.

    Returns
    -------
    part name -> item indices in ascending order.

    Raises
    ------
    InputError : no items, lengths differ, shares do not sum to one, or fewer groups than parts.

    >>> parts = grouped_stratified_split([0, 1] * 10, None, {"train": 0.8, "test": 0.2}, seed=0)
    >>> len(parts["train"]), len(parts["test"])
    (16, 4)
    """
    shares = np.array(list(fractions.values()), dtype=float)
    if len(shares) == 0 or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"shares must be positive and sum to 1, got {dict(fractions)}", field="fractions")
    part = _assign(strata(labels, bins=bins), groups, shares, seed)
    return {name: torch.from_numpy(np.flatnonzero(part == i)) for i, name in enumerate(fractions)}


def assign_folds(
    labels: Any,
    groups: Sequence[Hashable] | np.ndarray | None,
    count: int,
    seed: int,
    *,
    bins: int | None = None,
) -> Int64[Tensor, " n"]:
    """Fold number 0..count-1 of every item, by the rule of `grouped_stratified_split`."""
    if count < 2:
        raise InputError(f"must be at least 2, got {count}", field="count")
    return torch.from_numpy(_assign(strata(labels, bins=bins), groups, np.full(count, 1 / count), seed))


def folds(
    labels: Any,
    groups: Sequence[Hashable] | np.ndarray | None,
    count: int,
    seed: int,
    *,
    bins: int | None = None,
) -> list[tuple[Int64[Tensor, " train"], Int64[Tensor, " test"]]]:
    """Cross-validation: per fold (training items, held-out items); every item is held out once."""
    fold = assign_folds(labels, groups, count, seed, bins=bins)
    return [(torch.nonzero(fold != i).flatten(), torch.nonzero(fold == i).flatten()) for i in range(count)]


def _assign(
    classes: np.ndarray, groups: Sequence[Hashable] | np.ndarray | None, shares: np.ndarray, seed: int
) -> np.ndarray:
    n = len(classes)
    if n == 0:
        raise InputError("has no items", field="labels", remedy="give at least one item")
    group = _group_numbers(groups, n)
    group_count = int(group.max()) + 1
    if group_count < len(shares):
        raise InputError(
            f"{group_count} groups cannot fill {len(shares)} parts",
            field="groups",
            remedy="use fewer parts, or give more groups",
        )
    # One column per class, and one for the size of a part, so that rare classes and sizes are both kept.
    counts = np.zeros((group_count, int(classes.max()) + 2))
    np.add.at(counts, (group, classes), 1)
    counts[:, -1] = counts.sum(axis=1)
    seen, held = np.zeros(counts.shape[1]), np.zeros((len(shares), counts.shape[1]))
    shuffled = sample_order(group_count, seed=seed, epoch=0).numpy()
    order = shuffled[np.argsort(-counts[shuffled, -1], kind="stable")]
    part_of = np.empty(group_count, dtype=np.int64)
    for g in order:
        seen += counts[g]
        gain = ((np.outer(shares, seen) - held) * counts[g]).sum(axis=1)
        part_of[g] = int(np.argmax(np.round(gain, 9)))
        held[part_of[g]] += counts[g]
    _fill_empty(part_of, counts[:, -1], len(shares))
    return part_of[group]


def _group_numbers(groups: Sequence[Hashable] | np.ndarray | None, n: int) -> np.ndarray:
    if groups is None:
        return np.arange(n)
    listed = groups.tolist() if hasattr(groups, "tolist") else list(groups)  # type: ignore[attr-defined]
    if len(listed) != n:
        raise InputError(f"{len(listed)} groups for {n} labels", field="groups")
    missing = [i for i, value in enumerate(listed) if value is None or value != value]
    if missing:
        raise InputError(f"item {missing[0]} has no group", field="groups", remedy="give every item a group")
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(value, len(number)) for value in listed], dtype=np.int64)


def _fill_empty(part_of: np.ndarray, sizes: np.ndarray, parts: int) -> None:
    for part in range(parts):
        if (part_of == part).any():
            continue
        held = np.bincount(part_of, minlength=parts)
        candidates = np.flatnonzero(held[part_of] > 1)
        part_of[candidates[np.argmin(sizes[candidates])]] = part


def adni_folds(
    sex: Sequence[Any],
    label: Sequence[Any],
    age: Sequence[float] | np.ndarray,
    *,
    seed: int,
    count: int = 5,
    age_bins: int = 20,
) -> Int64[Tensor, " n"]:
    """Fold of every subject by the rule used for the Alzheimer's data of HyperFusion.

    Subjects are shuffled by `seed`, ages cut into `age_bins` bins of equal width, and inside each cell of
    sex x label x age bin dealt to the folds in turn. One item per subject is assumed.

    Paper: 2403.13319 (five folds; the last is the test set, each other serves once for validation).
    Differs: dealing goes on from the fold where the cell before stopped instead of starting at fold 0 again,
    so that the many cells of one or two subjects do not all fill the first folds.

    Raises
    ------
    InputError : lengths differ, no subjects, or an age is missing.
    """
    years = np.asarray(age, dtype=float)
    if not len(years) or len(sex) != len(years) or len(label) != len(years):
        raise InputError(f"{len(sex)} sexes, {len(label)} labels and {len(years)} ages", field="adni_folds")
    if not np.isfinite(years).all():
        where = int(np.flatnonzero(~np.isfinite(years))[0])
        raise InputError(
            f"item {where} has no age", field="age", remedy="fill in or drop subjects without age"
        )
    low, span = years.min(), max(float(np.ptp(years)), 1e-9)
    bins = np.minimum(((years - low) / span * age_bins).astype(int), age_bins - 1)
    cells: dict[tuple[str, str, int], list[int]] = {}
    for i in sample_order(len(years), seed=seed, epoch=0).tolist():
        cells.setdefault((str(sex[i]), str(label[i]), int(bins[i])), []).append(i)
    fold = torch.empty(len(years), dtype=torch.long)
    dealt = 0
    for cell in sorted(cells):
        for i in cells[cell]:
            fold[i] = dealt % count
            dealt += 1
    return fold

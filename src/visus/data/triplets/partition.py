"""Parts of a triplet set that share no object: by a table lookup, since a set may hold millions of rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int64

from visus.data.loader import sample_order
from visus.data.triplets.record import CHUNK, Objects, Triplets, as_rows, plain_array
from visus.errors import InputError


def object_mask(objects: Objects, count: int) -> Bool[np.ndarray, " m"]:
    """Some of `count` objects, given as a mask or as numbers, as a mask.

    >>> object_mask([0, 2], 4).tolist()
    [True, False, True, False]
    """
    given = plain_array(objects)
    if given.dtype == bool:
        if given.shape != (count,):
            raise InputError(f"a mask of shape {given.shape} for {count} objects", field="objects")
        return given
    numbers = given.astype(np.int64).reshape(-1)
    outside = numbers[(numbers < 0) | (numbers >= count)]
    if len(outside):
        raise InputError(f"object {int(outside[0])} is outside 0..{count - 1}", field="objects")
    mask = np.zeros(count, dtype=bool)
    mask[numbers] = True
    return mask


def within(triplets: Triplets | Int64[np.ndarray, "n 3"], objects: Objects) -> Bool[np.ndarray, " n"]:
    """Rows whose three objects are all among `objects` (a mask over all objects, or numbers).

    >>> within(np.array([[0, 1, 2], [0, 1, 3]]), np.array([True, True, True, False])).tolist()
    [True, False]
    """
    rows = triplets.rows if isinstance(triplets, Triplets) else as_rows(triplets)
    count = triplets.objects if isinstance(triplets, Triplets) else int(rows.max(initial=-1)) + 1
    given = plain_array(objects)
    mask = object_mask(given, max(count, len(given)) if given.dtype == bool else _reach(given, count))
    inside = np.empty(len(rows), dtype=bool)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        inside[start : start + CHUNK] = mask[part[:, 0]] & mask[part[:, 1]] & mask[part[:, 2]]
    return inside


def _reach(numbers: np.ndarray, count: int) -> int:
    return max(count, int(numbers.max(initial=-1)) + 1)


def object_folds(
    count: int, folds: int, seed: int
) -> list[tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]]:
    """Cross-validation over objects: per fold (mask of training objects, mask of held-out objects).

    Every object is held out once; folds differ in size by one at most. Use `within` with both masks: triplets
    that mix training and held-out objects are in neither part.

    >>> [held.sum() for _, held in object_folds(10, 3, seed=0)]
    [np.int64(4), np.int64(3), np.int64(3)]
    """
    if not 2 <= folds <= count // 3:
        problem = f"{folds} folds of {count} objects"
        raise InputError(problem, field="folds", remedy="give 2 or more folds of at least 3 objects each")
    order = sample_order(count, seed=seed, epoch=0).numpy()
    held = [object_mask(part, count) for part in np.array_split(order, folds)]
    return [(~mask, mask) for mask in held]


def split_objects(count: int, shares: Mapping[str, float], seed: int) -> dict[str, Bool[np.ndarray, " m"]]:
    """Named parts of the objects as masks: every object is in one of them; shares sum to one.

    >>> {name: int(mask.sum()) for name, mask in split_objects(20, {"train": 0.8, "test": 0.2}, 0).items()}
    {'train': 16, 'test': 4}
    """
    sizes = np.array(list(shares.values()), dtype=float)
    if not len(sizes) or (sizes <= 0).any() or abs(sizes.sum() - 1) > 1e-6:
        raise InputError(f"must be positive and sum to 1, got {dict(shares)}", field="shares")
    ends = np.rint(np.cumsum(sizes) * count).astype(int)
    parts = np.split(sample_order(count, seed=seed, epoch=0).numpy(), ends[:-1])
    small = [name for name, part in zip(shares, parts) if len(part) < 3]
    if small:
        problem = f"{count} objects leave {small[0]} fewer than 3"
        raise InputError(problem, field="shares", remedy="give more objects or a larger share")
    return {name: object_mask(part, count) for name, part in zip(shares, parts)}

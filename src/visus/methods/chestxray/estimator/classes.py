"""Class names and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from visus.errors import InputError


def learn(values: Sequence[Any], wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes in their order: as `wanted`, else sorted.

    Raises
    ------
    InputError : a value that is not wanted, or fewer than two classes.

    >>> learn(["ill", "well", "ill"], ())
    ('ill', 'well')
    """
    found = sorted({name(value) for value in values})
    strange = [label for label in found if wanted and label not in wanted]
    if strange:
        remedy = f"add it: {found}"
        raise InputError(f"{strange[0]!r} is not among the classes", field="classes", remedy=remedy)
    if len(found) < 2:
        problem = f"all images have the same class ({found[0]})"
        raise InputError(problem, field="target", remedy="give images of at least two classes")
    return tuple(wanted) or tuple(found)


def encode(values: Sequence[Any], classes: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """Class numbers.

    Raises
    ------
    InputError : a value that is none of the classes.
    """
    place = {label: i for i, label in enumerate(classes)}
    for row, value in enumerate(values):
        if name(value) not in place:
            remedy = "known classes: " + ", ".join(classes)
            raise InputError(
                f"{value!r} is not a class of this model", field=f"target, item {row + 1}", remedy=remedy
            )
    return np.array([place[name(value)] for value in values], dtype=np.int64)


def name(value: Any) -> str:
    """A class's name; 1, 1.0 and "1" are one class."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def class_weights(
    setting: Literal["none", "balanced"] | dict[str, float | int],
    labels: Int64[np.ndarray, " n"],
    classes: Sequence[str],
) -> Float[Tensor, " k"] | None:
    """Weight per class: none, n / (k n_class) for `balanced`, or as given by name.

    Raises
    ------
    InputError : a class without a weight, or a weight of no class.
    """
    if setting == "none" or not classes:
        return None
    if setting == "balanced":
        counts = np.bincount(labels, minlength=len(classes))
        return torch.tensor(len(labels) / (len(classes) * np.maximum(counts, 1)), dtype=torch.float32)
    for label in (*classes, *setting):
        if label not in setting or label not in classes:
            problem = f"no weight for class {label!r}" if label in classes else f"{label!r} is no class"
            raise InputError(problem, field="class_weights", remedy=f"name every class: {', '.join(classes)}")
    return torch.tensor([float(setting[label]) for label in classes])

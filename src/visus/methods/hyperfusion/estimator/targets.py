"""Targets: from what a table says to what a network learns, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visus.errors import InputError
from visus.methods.hyperfusion.config import HyperFusionConfig

MANY = 20


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Class names in order, or the mean and scale of a number."""

    classes: tuple[str, ...] | None
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def learn(cls, values: Sequence[Any], train: Sequence[int], config: HyperFusionConfig) -> Targets:
        """Decide what kind of target this is; the scale is that of the training rows."""
        if is_regression(values, config.task):
            numbers = np.array([number(value, row) for row, value in enumerate(values)])[list(train)]
            if not config.standardize_target:
                return cls(classes=None)
            return cls(classes=None, mean=float(numbers.mean()), scale=float(numbers.std()) or 1.0)
        found = sorted({name(value) for value in values}, key=_order)
        if config.classes:
            unknown = [label for label in found if label not in config.classes]
            if unknown:
                raise InputError(
                    f"{unknown[0]!r} is not among the classes", field="classes", remedy=f"add it: {found}"
                )
            found = list(config.classes)
        if len(found) < 2:
            raise InputError(
                "all items have the same class", field="target", remedy="give at least two classes"
            )
        return cls(classes=tuple(found))

    @property
    def regression(self) -> bool:
        """True for a number, False for classes."""
        return self.classes is None

    @property
    def outputs(self) -> int:
        """Numbers that a network gives per item."""
        return 1 if self.classes is None else len(self.classes)

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Class numbers (n,) or standardized numbers (n,)."""
        if self.classes is None:
            numbers = np.array([number(value, row) for row, value in enumerate(values)])
            return ((numbers - self.mean) / self.scale).astype(np.float32)
        place = {label: i for i, label in enumerate(self.classes)}
        for row, value in enumerate(values):
            if name(value) not in place:
                raise InputError(
                    f"{value!r} is not a class of this model",
                    field=f"target, item {row + 1}",
                    remedy="known classes: " + ", ".join(self.classes),
                )
        return np.array([place[name(value)] for value in values], dtype=np.int64)

    def decode(self, outputs: Tensor) -> Tensor:
        """Probabilities (n, k) or values (n,) from a network's outputs."""
        return outputs[:, 0] * self.scale + self.mean if self.classes is None else outputs.softmax(dim=1)

    def to_state(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"classes": list(self.classes) if self.classes else None}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Targets:
        """What `to_state` gave."""
        classes = tuple(state["classes"]) if state["classes"] else None
        return cls(classes=classes, mean=state["mean"], scale=state["scale"])


def is_regression(values: Sequence[Any], task: str) -> bool:
    """`task` decides; `auto`: numbers with a fraction, or of more than 20 values, are quantities."""
    if task != "auto":
        return task == "regression"
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numeric and (any(value != int(value) for value in values) or len(set(values)) > MANY)


def number(value: Any, row: int) -> float:
    """The value as a finite number."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise InputError(
            f"{value!r} is not a number", field=f"target, item {row + 1}", remedy="task=classification"
        )
    return found


def name(value: Any) -> str:
    """A class's name; 1, 1.0 and "1" are one class."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _order(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def as_prediction(targets: Targets, decoded: Tensor) -> dict[str, Any]:
    """The prediction record: `value`, or `probabilities`, `label` (class number) and `name`."""
    if targets.classes is None:
        return {"value": decoded}
    label = decoded.argmax(dim=1)
    return {"probabilities": decoded, "label": label, "name": [targets.classes[i] for i in label.tolist()]}


def from_prediction(targets: Targets, prediction: dict[str, Any]) -> Tensor:
    """`value` or `probabilities` of a prediction record."""
    return torch.as_tensor(prediction["value" if targets.regression else "probabilities"])

"""What a model says of images whose truth is known: a row per image, and scores with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.methods.chestxray.estimator import ItemScores, interval_scores

if TYPE_CHECKING:
    from visus.data.gaze.table import GazeTable
    from visus.methods.chestxray.estimator import ChestXrayReader

AT_ONCE = 32


def score_items(
    made: ChestXrayReader, source: GazeTable, *, done: Callable[[], None] = lambda: None
) -> ItemScores:
    """What `ChestXrayReader.scores_of` says, some images at a time; `done` is called after each image.

    Raises
    ------
    InputError : a diagnosis that the model does not know.
    """
    _check_classes(source, made.classes_)
    parts: list[ItemScores] = []
    for start in range(0, len(source), AT_ONCE):
        parts.append(made.scores_of(source.subset(range(start, min(start + AT_ONCE, len(source))))))
        for _ in range(len(parts[-1])):
            done()
    return ItemScores(
        name=[name for part in parts for name in part.name],
        patient=[person for part in parts for person in part.patient],
        classes=parts[0].classes,
        target=_joined([part.target for part in parts]),
        probabilities=_joined([part.probabilities for part in parts]),
        maps={name: np.concatenate([part.maps[name] for part in parts]) for name in parts[0].maps},
    )


def all_scores(items: ItemScores, *, temperature: float, seed: int = 0) -> dict[str, float]:
    """Score -> value, with its 95 % interval over patients as <score>_low and <score>_high.

    `interval_scores`, and the calibration error that the probabilities had before the temperature.
    """
    from visus.metrics import bootstrap_interval, expected_calibration_error

    found = interval_scores(items, seed=seed)
    if "ece" in found and items.probabilities is not None:
        arrays = items.target, uncalibrated(items.probabilities, temperature)
        low, high = bootstrap_interval(expected_calibration_error, *arrays, groups=items.patient, seed=seed)
        value = float(expected_calibration_error(*arrays))
        more = {"ece_before": value, "ece_before_low": low, "ece_before_high": high}
        place = list(found).index("ece_high") + 1
        found = dict([*list(found.items())[:place], *more.items(), *list(found.items())[place:]])
    return found


def uncalibrated(probabilities: Float[np.ndarray, "n k"], temperature: float) -> Float[np.ndarray, "n k"]:
    """The softmax of the logits themselves, from that of the logits divided by the temperature.

    >>> uncalibrated(np.array([[0.6, 0.4]]), 1.0).round(3).tolist()
    [[0.6, 0.4]]
    """
    from scipy.special import softmax

    return softmax(temperature * np.log(np.maximum(probabilities.astype(np.float64), 1e-30)), axis=1)


def frame_of(items: ItemScores) -> Any:
    """A row per image: image, patient, truth, label, p_<class>, correct, and the measures of the map.

    Patients are numbers from 1 in the order of the images, so that no id leaves the table it is in.
    """
    import pandas as pd

    numbers = {person: number for number, person in enumerate(dict.fromkeys(items.patient), 1)}
    columns: dict[str, Any] = {"image": items.name, "patient": [numbers[person] for person in items.patient]}
    names = np.array(items.classes, dtype=object)
    if items.target is not None:
        columns["truth"] = names[items.target]
    if items.probabilities is not None:
        columns["label"] = names[items.label]
        columns |= {f"p_{name}": items.probabilities[:, i] for i, name in enumerate(items.classes)}
    if items.right is not None:
        columns["correct"] = items.right
    return pd.DataFrame({**columns, **items.maps})


def _joined(parts: Sequence[np.ndarray | None]) -> Any:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _check_classes(source: GazeTable, classes: Sequence[str]) -> None:
    if source.target is None or not classes:
        return
    unknown = sorted({str(label) for label in source.targets} - {*classes})
    if unknown:
        raise InputError(
            f"the model does not know {', '.join(unknown)}",
            file=source.file,
            field=source.target,
            remedy=f"it knows {', '.join(classes)}; rename or leave out the others",
        )

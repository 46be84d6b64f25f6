"""The page that `evaluate` writes: scores, drawings, and the best and worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from visus.data.gaze.table import GazeTable
    from visus.methods.chestxray.estimator import ChestXrayReader, ItemScores

SHOWN = 3
"""Best and worst cases on the page, each."""
SIDE = 480
"""Longest side of their pictures in pixels."""


def write_page(
    file: Path,
    made: ChestXrayReader,
    source: GazeTable,
    items: ItemScores,
    told: Sequence[Sequence[str]],
    *,
    title: str,
) -> None:
    """One HTML file with everything in it; `told` are the scores in words."""
    from visus.methods.chestxray.figures.charts import draw_confusion, draw_reliability, draw_roc
    from visus.methods.chestxray.verbs.scoring import uncalibrated
    from visus.webpage import Page

    page = Page(f"Chest X-ray reader on {title}")
    people = len(set(items.patient))
    page.add_text(f"{len(items)} images of {people} patients. Intervals: bootstrap over patients, 95 %.")
    page.add_text("For research. Not a medical device: no diagnosis may rest on it.", note=True)
    rows = [(label, value, interval.replace(" ", "\u00a0")) for label, value, interval in told]
    page.add_table(["score", "value", "95 % interval"], rows)  # an interval stays on one line on a phone
    if items.target is not None and items.probabilities is not None:
        page.add_heading("Diagnosis")
        if curves := _roc(items):
            page.add_drawing(draw_roc(curves), "ROC curves, one class against the others.")
        counts = np.zeros((len(items.classes),) * 2, dtype=np.int64)
        np.add.at(counts, (items.target, items.probabilities.argmax(1)), 1)
        page.add_drawing(draw_confusion(counts, items.classes), "Images by truth and prediction.")
        page.add_heading("Calibration")
        before = uncalibrated(items.probabilities, made.temperature_)
        caption = (
            "Whether probabilities can be taken at their word. The temperature "
            f"({made.temperature_:.2f}) was found on validation images of the training."
        )
        page.add_drawing(draw_reliability(items.target, before, items.probabilities), caption)
    if gallery := _cases(items):
        colors = "Colors go from little (purple) to much (pale yellow), each map by itself."
        page.add_text(f"{colors} The line surrounds half of a map.")
    for heading, cases in gallery.items():
        page.add_heading(heading)
        for case in cases:
            page.add_pictures(_pictures(made, source, items, case))
    page.write(file)


def _roc(items: ItemScores) -> dict[str, tuple[list[float], list[float], float]]:
    from sklearn.metrics import roc_curve

    from visus.metrics import auc

    curves = {}
    assert items.probabilities is not None
    for number, name in enumerate(items.classes):
        positive, shares = items.target == number, items.probabilities[:, number]
        if positive.any() and not positive.all():
            fall_out, recall, _ = roc_curve(positive, shares)
            curves[name] = fall_out.tolist(), recall.tolist(), float(auc(positive.astype(int), shares))
    return curves


def _cases(items: ItemScores) -> dict[str, list[int]]:
    """Heading -> the images under it: by how well gaze was foretold, else by the probability of the truth."""
    if "cc" in items.maps and not np.isnan(items.maps["cc"]).all():
        quality, words = items.maps["cc"], "gaze"
    elif items.target is not None and items.probabilities is not None:
        quality, words = items.probabilities[np.arange(len(items)), items.target], "diagnosis"
    else:
        return {}
    order = [int(i) for i in np.argsort(quality, kind="stable") if not np.isnan(quality[i])]
    count = min(SHOWN, (len(order) + 1) // 2)
    best, worst = order[::-1][:count], order[: min(count, len(order) - count)]
    found = {f"Best cases by {words}": best, f"Worst cases by {words}": worst}
    return {heading: cases for heading, cases in found.items() if cases}


def _pictures(
    made: ChestXrayReader, source: GazeTable, items: ItemScores, case: int
) -> list[tuple[bytes, str]]:
    """Radiograph, recorded gaze, predicted gaze and Grad-CAM of one image, with captions."""
    from visus.methods.chestxray.figures.overlay import overlay, png
    from visus.methods.chestxray.verbs.reading import has_evidence, picture_of

    batch = source.batch([case])
    image, cut = picture_of(source, case, batch)
    found = made.predict(batch)
    truth = "" if items.target is None else f" ({items.classes[items.target[case]]})"
    shown: list[tuple[Any, str, str]] = [(None, "radiograph", items.name[case] + truth)]
    if bool(batch["has_gaze"][0]):
        shown.append((cut(batch["gaze"][0]), "recorded gaze", "where the radiologist looked"))
    if "density" in found:
        values = {name: float(items.maps[name][case]) for name in ("kl", "cc") if name in items.maps}
        numbers = ", ".join(
            f"{name.upper()} {value + 0.0:.2f}" for name, value in values.items() if value == value
        )
        shown.append((cut(found["density"][0]), "predicted gaze", numbers or "where the model expects looks"))
    if has_evidence(made) and items.probabilities is not None:
        best = int(items.probabilities[case].argmax())
        name = items.classes[best]
        said = f"the predicted class, probability {items.probabilities[case, best]:.2f}"
        shown.append((cut(made.grad_cam(batch)[0]), f"Grad-CAM of {name}", said))
    return [
        (png(overlay(image, map, line="gaze" in words, most=SIDE)), f"{words}: {caption}")
        for map, words, caption in shown
    ]

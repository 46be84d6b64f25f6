"""`visus chestxray compare`: whether one model is better than another on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visus.errors import InputError
from visus.methods.chestxray.verbs.outputs import check_file


def compare(
    first: Path,
    second: Path,
    /,
    *,
    out: Path | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Test two models on the same images: differences with intervals, and p-values of several tests.

    Per measure of an image: Student's t, Wilcoxon's signed ranks and random signs on the differences, patients taken
    as a whole. Per class: the areas under the ROC curve with DeLong's test, or, where patients have several images,
    with an interval over patients alone. The last column is Holm's correction over all rows: of the random signs'
    p-values and DeLong's.

    Args:
        first: what evaluate --out wrote for a model (the folder, or its images.csv).
        second: the same for another model.
        out: also write the table to this file (.csv).
        seed: of the bootstrap and of the random signs.
    """
    import pandas as pd

    from visus.data.formats import write_table
    from visus.methods.chestxray.verbs.pairs import areas, measures, paired, read_items, table_of
    from visus.metrics.paired import holm

    check_file(out, "--out", example="comparison.csv", inputs=[table_of(first), table_of(second)])
    left, right = paired(read_items(first), read_items(second), first, second)
    rows = [*measures(left, right, seed), *areas(left, right, seed)]
    if not rows:
        raise InputError("have no measure in common", file=second, remedy="evaluate both on the same data")
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    frame = pd.DataFrame(rows)
    people = left["patient"].nunique()
    print(
        f"{len(left)} images of {people} patients; differences are {first} less {second} (kl: less is better)"
    )
    shown = frame.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="–")
    print(shown)
    if out is not None:
        write_table(out, frame.round(6))
    return rows

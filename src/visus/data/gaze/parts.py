"""Parts of a gaze table by somebody else's rule: the reference code's draw, or a published list."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

from visus.data.gaze.columns import header_of, read_columns
from visus.data.gaze.table import GazeTable
from visus.errors import InputError

IMAGE_COLUMNS = ("image_id", "dicom_id", "image", "name", "id")
PART_COLUMNS = ("phase", "split", "part", "set", "subset")


def egd_parts(table: GazeTable, *, seed: int = 42) -> dict[str, GazeTable]:
    """Train, valid and test (80, 10, 10 %) as the EGD-CXR reference code draws them.

    The patients in order of first appearance are shuffled by Python's generator; the first round(0.8 n) train,
    round of half of the rest validates. The table must hold the whole master sheet in its order for the same
    parts as there.

    Source: cxr-eye-gaze/eye-gaze-dataset, `split_dataset` (called with seed 42).
    """
    patients = list(dict.fromkeys(table.patients))
    random.Random(seed).shuffle(patients)
    trained = round(len(patients) * 0.8)
    checked = trained + round((len(patients) - trained) * 0.5)
    groups = {"train": patients[:trained], "valid": patients[trained:checked], "test": patients[checked:]}
    empty = [name for name, members in groups.items() if not members]
    if empty:
        raise InputError(
            f"{len(patients)} patients leave part {empty[0]} empty",
            file=table.file,
            remedy="give more patients",
        )
    members = {name: set(group) for name, group in groups.items()}
    return {
        name: table.subset([i for i, patient in enumerate(table.patients) if patient in inside])
        for name, inside in members.items()
    }


def listed_parts(
    table: GazeTable, path: str | Path, *, shared: Literal["refuse", "keep"] = "refuse"
) -> dict[str, GazeTable]:
    """Parts by a table of image ids (with or without a file's ending) and the name of each image's part.

    Columns: one of `image_id`, `dicom_id`, `image`, `name`, `id`, and one of `phase`, `split`, `part`, `set`,
    `subset`. Images the list does not name are left out.

    Parameters
    ----------
    shared : published lists of images may put a patient into two parts; `refuse` says so, `keep` follows them.

    Raises
    ------
    InputError : a column is absent, an image twice, none of the images in the table, or a shared patient.
    """
    header = header_of(path)
    image, part = (
        next((name for name in names if name in header), None) for names in (IMAGE_COLUMNS, PART_COLUMNS)
    )
    for found, names in ((image, IMAGE_COLUMNS), (part, PART_COLUMNS)):
        if found is None:
            remedy = f"name a column one of: {', '.join(names)}"
            raise InputError("has no such column", file=path, field=f"column {names[0]}", remedy=remedy)
    assert image is not None
    assert part is not None
    rows = read_columns(path, texts=(image, part))
    place: dict[str, str] = {}
    for line, given, name in zip(rows.index, rows[image], rows[part]):
        if not isinstance(given, str) or not isinstance(name, str):
            raise InputError("names no image or no part", file=path, field=f"line {line}")
        stem = Path(given.replace("\\", "/")).name
        stem = stem.rsplit(".", 1)[0] if Path(stem).suffix.lower() in _ENDINGS else stem
        if place.setdefault(stem, name) != name:
            raise InputError(f"{given} is in two parts", file=path, field=f"line {line}")
    found = [place.get(name) for name in table.names]
    parts = {
        name: [i for i, own in enumerate(found) if own == name] for name in dict.fromkeys(place.values())
    }
    empty = [name for name, members in parts.items() if not members]
    if empty:
        problem = f"no image of part {empty[0]} is in the data"
        raise InputError(problem, file=path, field=f"column {image}", remedy="check the ids")
    made = {name: table.subset(members) for name, members in parts.items()}
    if shared == "refuse":
        _refuse_shared(made, path)
    return made


_ENDINGS = {".dcm", ".png", ".jpg", ".jpeg", ".npy"}


def _refuse_shared(parts: dict[str, GazeTable], path: str | Path) -> None:
    home: dict[object, str] = {}
    both = {
        patient
        for name, part in parts.items()
        for patient in part.patients
        if home.setdefault(patient, name) != name
    }
    if both:
        problem = f"puts {len(both)} patients into two parts"
        raise InputError(problem, file=path, remedy='make parts by patient, or read it with shared="keep"')

"""REFLACX 1.0.0: 3,032 readings of 2,616 radiographs of MIMIC-CXR by five radiologists with an eye tracker.

Data: Bigolin Lanfredi et al. 2022, PhysioNet, `reflacx-xray-localization/1.0.0`; layout as written by the
published code (repository ricbl/eyetracking): `main_data/metadata_phase_<n>.csv` (a row per reading) and
`main_data/<reading>/{fixations, chest_bounding_box, anomaly_location_ellipses}.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from visus.data.corpora.egd_cxr import NO_PICTURE, beside, find_pictures
from visus.data.formats.table import write_table
from visus.data.gaze.columns import as_numbers, header_of, read_columns
from visus.data.gaze.fixations import DropReport, Fixations
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError

PHASES = (1, 2, 3)
KNOWN = (
    *("id", "split", "eye_tracking_data_discarded", "image", "dicom_id", "subject_id"),
    *("image_size_x", "image_size_y", "Other"),
)
"""Columns of the metadata that are no labels."""
SIDES = ("xmin", "ymin", "xmax", "ymax")
CHEST_BOX, ELLIPSES, FIXATIONS = "chest_bounding_box.csv", "anomaly_location_ellipses.csv", "fixations.csv"
DISCARDED = "readings without eye tracking (discarded by the authors)"
OUTSIDE_WINDOW = "outside the part of the image that was on the screen (kept)"


def is_reflacx(folder: str | Path) -> bool:
    """Whether a folder holds the metadata of REFLACX, itself or where PhysioNet's download puts it."""
    return _main_folder(Path(folder)) is not None


def load_reflacx(
    folder: str | Path,
    *,
    images: str | Path | None = None,
    target: str | None = None,
    certainty: int = 3,
    phases: Sequence[int] = PHASES,
    readers: Literal["merge", "separate"] = "merge",
    missing: Literal["refuse", "drop"] = "refuse",
    view: View | None = None,
) -> GazeTable:
    """Read images with the gaze of one to five readers; group `subject_id`.

    Fixations are given in pixels of the image (rounded), whatever part of it was on the screen. A fixation
    lasts from
    timestamp_start_fixation to timestamp_end_fixation. Rows whose position lies off the image (the readers
    looked at buttons too) are dropped and counted. Boxes are each reading's chest box (`chest`) and the
    rectangles around its ellipses (by label).

    The frame holds the finding columns as the certainties the readers gave, 0 (absent) to 5, (`Support devices`
    and `Quality issue` are 0 or 1), averaged over the readings of an image; `split`, MIMIC-CXR's part; and
    `readings`.

    Parameters
    ----------
    folder : holds `main_data`, or is it, or PhysioNet's download above it.
    images : the MIMIC-CXR (or MIMIC-CXR-JPG) folder; None looks into `folder` and beside it.
    target : finding to predict; becomes `yes` where its (mean) certainty is at least `certainty`, else `no`.
    certainty : 1 to 5; 3 is "possibly", the published code's limit for positive findings.
    phases : which of the three phases to read (their findings differ; absent ones are missing values).
    readers : `merge` gives one item per image with all fixations; `separate` one item per reading.
    missing : what to do with images whose picture is not there.

    Raises
    ------
    InputError : names the file and the column or line of what is wrong.
    """
    if readers not in ("merge", "separate"):
        raise InputError(f"must be merge or separate, got {readers}", field="readers")
    main = _main_folder(Path(folder))
    if main is None:
        remedy = "give the folder that holds main_data"
        raise InputError("holds no metadata_phase_1.csv, _2 or _3", file=folder, remedy=remedy)
    metadata, file = _metadata(main, phases)
    metadata, paths, notes = _with_pictures(metadata, file, Path(folder), main, images, missing)
    labels = [name for name in metadata if name not in (*KNOWN, "line", "file")]
    looked, report = _gaze(main, metadata)
    if readers == "merge":
        groups = [list(rows) for rows in metadata.groupby("dicom_id", sort=False).indices.values()]
    else:
        groups = [[i] for i in range(len(metadata))]
    frame = _frame(metadata, groups, labels, readers)
    if target is not None:
        frame = _with_target(frame, target, certainty, labels, file)
    boxes = [_boxes(main / name) for name in metadata["id"]]
    first = [rows[0] for rows in groups]
    sizes = metadata[["image_size_y", "image_size_x"]].to_numpy(dtype=np.int64)
    table = GazeTable(
        frame,
        images=[paths[i] for i in first],
        fixations=[np.concatenate([looked[metadata["id"].iloc[i]] for i in rows]) for rows in groups],
        target=target,
        group="subject_id",
        file=file,
        view=view,
        native=[(int(h), int(w)) for h, w in sizes[first]],
    )
    joined = [[box for i in rows for box in boxes[i]] for rows in groups]
    return table.with_regions(boxes=joined).reported(report + DropReport(notes=notes))


def write_reflacx(folder: str | Path, metadata: pd.DataFrame, readings: Mapping[str, pd.DataFrame]) -> Path:
    """Write `main_data` with one phase: the metadata and per reading id its `fixations.csv`; returns its folder."""
    main = Path(folder) / "main_data"
    for name, frame in readings.items():
        write_table(main / name / FIXATIONS, frame)
    write_table(main / "metadata_phase_3.csv", metadata)
    return main


def _main_folder(folder: Path) -> Path | None:
    below = (
        "",
        "reflacx-xray-localization/1.0.0",
        "physionet.org/files/reflacx-xray-localization/1.0.0",
        "1.0.0",
    )
    places = [folder / part / last for part in below for last in ("main_data", "")]
    return next((p for p in places if any((p / f"metadata_phase_{n}.csv").is_file() for n in PHASES)), None)


def _metadata(main: Path, phases: Sequence[int]) -> tuple[pd.DataFrame, Path]:
    parts, file = [], main
    for phase in phases:
        path = main / f"metadata_phase_{phase}.csv"
        if not path.is_file():
            continue
        header = header_of(path)
        labels = [name for name in header if name not in KNOWN]
        texts = ("id", "image", "dicom_id", "subject_id", "split", "eye_tracking_data_discarded", *labels)
        part = read_columns(
            path, texts=texts, numbers=("image_size_x", "image_size_y"), optional=("split", *labels)
        )
        for name in labels:
            given = pd.Series(part[name])
            flags = given.str.strip().str.lower().map({"true": "1", "false": "0"})
            part[name] = as_numbers(flags.fillna(given).rename(name), file=path)
        _check(part, path)
        parts.append(part.reset_index().assign(file=path.name))
        file = path
    if not parts:
        raise InputError(f"holds no metadata of phases {list(phases)}", file=main, remedy="name other phases")
    return pd.concat(parts, ignore_index=True), file


def _check(part: pd.DataFrame, path: Path) -> None:
    for column in ("id", "dicom_id", "subject_id", "image"):
        empty = np.flatnonzero(part[column].isna())
        if len(empty):
            where = f"column {column}, line {part.index[empty[0]]}"
            raise InputError("is empty", file=path, field=where, remedy="fill it in or delete the row")
    again = np.flatnonzero(part["id"].duplicated())
    if len(again):
        raise InputError("the same reading again", file=path, field=f"column id, line {part.index[again[0]]}")
    small = np.flatnonzero(~(part[["image_size_x", "image_size_y"]].to_numpy() >= 1).all(axis=1))
    if len(small):
        where = f"columns image_size_x, image_size_y, line {part.index[small[0]]}"
        raise InputError("is no size in pixels", file=path, field=where, remedy="correct it")


def _with_pictures(
    metadata: pd.DataFrame,
    file: Path,
    folder: Path,
    main: Path,
    images: str | Path | None,
    missing: str,
) -> tuple[pd.DataFrame, list[Path], dict[str, int]]:
    roots = [Path(images)] if images is not None else [main.parent, folder, *beside(main.parent)]
    found, lost = find_pictures(metadata["image"].tolist(), metadata["dicom_id"].tolist(), roots)
    if lost and (missing == "refuse" or len(lost) == len(found)):
        raise InputError(
            f"{metadata['image'].iloc[lost[0]]} is not there ({len(lost)} of {len(found)} are missing)",
            file=file.parent / str(metadata["file"].iloc[lost[0]]),
            field=f"column image, line {metadata['line'].iloc[lost[0]]}",
            remedy="give the folder of MIMIC-CXR as images, or leave missing pictures out",
        )
    kept = [i for i, path in enumerate(found) if path is not None]
    notes = {NO_PICTURE: metadata["dicom_id"].iloc[lost].nunique()} if lost else {}
    paths = [path for path in found if path is not None]
    return metadata.iloc[kept].reset_index(drop=True), paths, notes


def _gaze(main: Path, metadata: pd.DataFrame) -> tuple[dict[str, np.ndarray], DropReport]:
    """Fixations per reading id; readings the authors discarded have none."""
    discarded = metadata["eye_tracking_data_discarded"].str.strip().str.lower().isin(("true", "1"))
    sizes = {
        str(name): (int(h), int(w))
        for name, h, w in zip(metadata["id"], metadata["image_size_y"], metadata["image_size_x"])
    }
    names, x, y, seconds, start = [], [], [], [], []
    outside = 0
    for name in metadata["id"][~discarded]:
        rows = _reading(main / str(name) / FIXATIONS)
        names += [str(name)] * len(rows)
        x.append(rows["x_position"].to_numpy())
        y.append(rows["y_position"].to_numpy())
        start.append(rows["timestamp_start_fixation"].to_numpy())
        seconds.append(rows["timestamp_end_fixation"].to_numpy() - start[-1])
        outside += _outside(rows)
    empty = [np.zeros(0)]
    fixations = Fixations(
        image=names,
        x=np.concatenate([*empty, *x]),
        y=np.concatenate([*empty, *y]),
        seconds=np.concatenate([*empty, *seconds]),
        time=np.concatenate([*empty, *start]),
    )
    parts, report = fixations.by_image(sizes)
    notes = {DISCARDED: int(discarded.sum()), OUTSIDE_WINDOW: outside}
    return parts, report + DropReport(notes={what: count for what, count in notes.items() if count})


def _reading(path: Path) -> pd.DataFrame:
    shown = [f"{side}_shown_from_image" for side in SIDES]
    needed = ("x_position", "y_position", "timestamp_start_fixation", "timestamp_end_fixation")
    return read_columns(path, numbers=(*needed, *shown), optional=shown, rows_needed=False)


def _outside(rows: pd.DataFrame) -> int:
    """Fixations beyond the zoom window by more than a pixel (the tracker's error at its edge)."""
    if "xmin_shown_from_image" not in rows or not len(rows):
        return 0
    left, top, right, bottom = (rows[f"{side}_shown_from_image"].to_numpy() for side in SIDES)
    x, y = rows["x_position"].to_numpy(), rows["y_position"].to_numpy()
    return int(((x < left - 1) | (x > right + 1) | (y < top - 1) | (y > bottom + 1)).sum())


def _frame(metadata: pd.DataFrame, groups: list[list[int]], labels: list[str], readers: str) -> pd.DataFrame:
    first = metadata.iloc[[rows[0] for rows in groups]].reset_index(drop=True)
    frame = first[[name for name in ("dicom_id", "subject_id", "split") if name in first]].copy()
    if readers == "separate":
        frame.insert(0, "name", first["id"])
    values = metadata[labels].to_numpy(dtype=np.float64)
    held = np.isfinite(values)
    for k, name in enumerate(labels):
        frame[name] = [_mean(values[rows, k][held[rows, k]]) for rows in groups]
    frame["readings"] = [len(rows) for rows in groups]
    return frame


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _with_target(
    frame: pd.DataFrame, target: str, certainty: int, labels: list[str], file: Path
) -> pd.DataFrame:
    if target not in labels:
        remedy = "findings: " + ", ".join(labels)
        raise InputError("no such finding", file=file, field=f"column {target}", remedy=remedy)
    least = 1 if target in ("Support devices", "Quality issue") else certainty
    positive = np.where(frame[target] >= least, "yes", "no")
    return frame.assign(**{target: np.where(frame[target].isna(), "no", positive)})


def _boxes(folder: Path) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = []
    if (folder / CHEST_BOX).is_file():
        rows = read_columns(folder / CHEST_BOX, numbers=SIDES, rows_needed=False)
        boxes += [{"name": "chest", "box": row} for row in rows[list(SIDES)].to_numpy().tolist()]
    path = folder / ELLIPSES
    if path.is_file():
        labels = [name for name in header_of(path) if name not in (*SIDES, "certainty")]
        optional = ("certainty",)
        rows = read_columns(
            path, texts=labels, numbers=(*SIDES, "certainty"), optional=optional, rows_needed=False
        )
        sides = rows[list(SIDES)].to_numpy(dtype=np.float64).tolist()
        drawn = rows[labels].fillna("").to_numpy(dtype=str)
        sure = rows["certainty"].tolist() if "certainty" in rows else [None] * len(rows)
        for box, marks, certainty in zip(sides, drawn, sure):
            named = [
                name for name, mark in zip(labels, marks) if mark.strip().lower() in ("true", "1", "1.0")
            ]
            known = {} if certainty is None else {"certainty": certainty}
            boxes.append({"name": "|".join(named), "box": box, **known})
    return [box for box in boxes if np.isfinite(box["box"]).all()]

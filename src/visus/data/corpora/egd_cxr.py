"""EGD-CXR 1.0.0: 1,083 chest radiographs of MIMIC-CXR read by a radiologist whose gaze was tracked.

Data: Eye Gaze Data for Chest X-rays (Karargyris et al. 2021), PhysioNet, `egd-cxr/1.0.0`, beside MIMIC-CXR 2.0.0.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from visus.data.formats.images import read_labels
from visus.data.gaze.columns import header_of, read_columns
from visus.data.gaze.fixations import DropReport, Fixations, numbers_of, screen_to_image
from visus.data.gaze.radiograph import native_size
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError

CLASSES = ("Normal", "CHF", "pneumonia")
SCREEN = (1080, 1920)
"""(height, width) of the reading screen in pixels."""
RATE_HZ = 60.0
"""Samples of the eye tracker per second."""
ID_LENGTH, CALIBRATION_LENGTH = 44, 39
"""Calibration frames carry an image's id without its last five characters."""
SHEET, FIXATIONS, SAMPLES, BOXES = "master_sheet.csv", "fixations.csv", "eye_gaze.csv", "bounding_boxes.csv"
MASKS = "audio_segmentation_transcripts"
REGIONS = {"right_lung.png": 1, "left_lung.png": 2, "mediastanum.png": 3}
"""Mask files (the third is spelled so in the data) and their values in `segmentation`; later ones lie on top."""
SIDES = ("top", "bottom", "left", "right")
MIMIC, MIMIC_JPG = "mimic-cxr/2.0.0", "mimic-cxr-jpg/2.0.0"
ENDINGS = (".dcm", ".png", ".jpg", ".jpeg")
DISAGREE = "X_ORIGINAL, Y_ORIGINAL more than 1 px from the screen position (X_ORIGINAL, Y_ORIGINAL kept)"
SCALED = "pictures that are scaled copies (their original size follows from the gaze)"
NO_CLASS = "images left out: not exactly one of " + ", ".join(CLASSES)
NO_PICTURE = "images left out: no picture file"
ODD_BOXES = "boxes left out: unknown image, or turned over"


def is_egd_cxr(folder: str | Path) -> bool:
    """Whether a folder holds the master sheet of EGD-CXR, itself or where PhysioNet's download puts it."""
    return _sheet_folder(Path(folder)) is not None


def load_egd_cxr(
    folder: str | Path,
    *,
    images: str | Path | None = None,
    gaze: Literal["fixations", "samples"] = "fixations",
    several: Literal["refuse", "drop"] = "refuse",
    missing: Literal["refuse", "drop"] = "refuse",
    view: View | None = None,
) -> GazeTable:
    """Read images, classes, gaze, boxes and masks; target `diagnosis`, group `patient_id`.

    A position on the screen becomes a position on the image through the bars of the master sheet
    (`visus.data.gaze.fixations.screen_to_image`). Where the table states X_ORIGINAL and Y_ORIGINAL too, the two
    are compared: within 1 px they are one position (stated as whole pixels there), else the stated one is kept
    and counted in the report. Calibration frames, rows of unknown images, rows marked invalid, positions that
    are not finite or lie off the image, durations that are not positive and repeated rows are dropped and
    counted.

    Parameters
    ----------
    folder : holds `master_sheet.csv`, or PhysioNet's download above it.
    images : the MIMIC-CXR folder; None looks into `folder` and beside it. Each image is looked up by the
        sheet's `path` with any of its leading folders left out, as .dcm, .png, .jpg or .jpeg.
    gaze : `fixations` reads `fixations.csv` (or, where that is absent, the samples); `samples` reads
        `eye_gaze.csv`, every row 1/60 s, as the paper's maps do.
    several : what to do with images that have none or several of the classes.
    missing : what to do with images whose picture is not there.

    Raises
    ------
    InputError : names the file and the column or line of what is wrong.
    """
    for field, given, known in (
        ("several", several, ("refuse", "drop")),
        ("missing", missing, ("refuse", "drop")),
        ("gaze", gaze, ("fixations", "samples")),
    ):
        if given not in known:
            raise InputError(f"must be {known[0]} or {known[1]}, got {given}", field=field)
    root = _sheet_folder(Path(folder))
    if root is None:
        remedy = f"give the folder that holds {SHEET}"
        raise InputError(f"holds no {SHEET}", file=folder, remedy=remedy)
    master, notes = _master(root / SHEET, several)
    places = [Path(images)] if images is not None else [root, Path(folder), *beside(root)]
    paths, lost = find_pictures(master["path"].tolist(), master["dicom_id"].tolist(), places)
    if lost and (missing == "refuse" or len(lost) == len(paths)):
        raise InputError(
            f"{master['path'].iloc[lost[0]]} is not there ({len(lost)} of {len(paths)} pictures are missing)",
            file=root / SHEET,
            field=f"column path, line {master.index[lost[0]]}",
            remedy="give the folder of MIMIC-CXR as images, or leave missing pictures out",
        )
    if lost:
        notes[NO_PICTURE] = len(lost)
        kept = [i for i, path in enumerate(paths) if path is not None]
        master, paths = master.iloc[kept], [paths[i] for i in kept]
    found = [path for path in paths if path is not None]
    reader = _Reader(master, found)
    looked, report = reader.gaze(root, gaze)
    boxes, odd = _boxes(root / BOXES, master["dicom_id"].tolist())
    if odd:
        notes[ODD_BOXES] = odd
    columns = [c for c in ("dicom_id", "patient_id", "gender", "anchor_age", "diagnosis") if c in master]
    table = GazeTable(
        pd.DataFrame(master[columns]),
        images=found,
        fixations=[looked[name] for name in master["dicom_id"]],
        target="diagnosis",
        group="patient_id",
        file=root / SHEET,
        view=view,
        native=reader.native if reader.scaled else None,
    )
    masks = [_mask_reader(root / MASKS / name) for name in master["dicom_id"]]
    return table.with_regions(
        segmentation=masks if any(mask is not None for mask in masks) else None, boxes=boxes
    ).reported(report + DropReport(notes=notes))


def beside(root: Path) -> list[Path]:
    """Where PhysioNet's download puts MIMIC-CXR when `root` is the folder of another set's version."""
    return [root.parent.parent / name for name in (MIMIC, MIMIC_JPG)]


def find_pictures(
    paths: Sequence[str], names: Sequence[str], roots: Sequence[Path]
) -> tuple[list[Path | None], list[int]]:
    """The file of every image by its path in a table, with leading folders left out as needed, or by its name.

    Either separator is understood and any of the usual endings is taken. Also gives the numbers of those
    that were not found.
    """
    above = ("", "files/", "physionet.org/files/")
    below = ["", *(f"{first}{last}" for last in (MIMIC, MIMIC_JPG) for first in above)]
    bases = list(dict.fromkeys(root / part for root in roots for part in below if (root / part).is_dir()))
    ways: list[tuple[Path, int, str]] = []  # where earlier images were found is tried first
    found = [_find(path, name, bases, ways) for path, name in zip(paths, names)]
    return found, [i for i, path in enumerate(found) if path is None]


def _find(path: str, name: str, bases: list[Path], ways: list[tuple[Path, int, str]]) -> Path | None:
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    parts = parts or [name]
    stem = parts[-1].rsplit(".", 1)[0] if parts[-1].lower().endswith(ENDINGS) else parts[-1]
    options = [(base, skip, end) for base in bases for skip in range(len(parts)) for end in ENDINGS]
    for way in [*ways, *options]:
        base, skip, end = way
        if skip < len(parts):
            candidate = base.joinpath(*parts[skip:-1], stem + end)
            if candidate.is_file():
                if way not in ways:
                    ways.insert(0, way)
                return candidate
    return None


class _Reader:
    """Rows of a gaze file, placed on the images of the master sheet."""

    def __init__(self, master: pd.DataFrame, paths: list[Path]) -> None:
        self.names = master["dicom_id"].tolist()
        self.pads = master[list(SIDES)].to_numpy(dtype=np.float64) if "top" in master else None
        self.native = [native_size(path) for path in paths]
        self.exact = [path.suffix.lower() == ".dcm" for path in paths]
        self.scaled = 0

    def gaze(self, root: Path, kind: str) -> tuple[dict[str, np.ndarray], DropReport]:
        path = root / (FIXATIONS if kind == "fixations" and (root / FIXATIONS).exists() else SAMPLES)
        fixed = path.name == FIXATIONS
        rows, time = self._rows(path)
        image = rows["DICOM_ID"].fillna("").str.strip().to_numpy()
        number = numbers_of(image, self.names)
        known = number >= 0
        calibration = ~known & self._calibration(image)
        where, notes = self._positions(rows, number)
        if fixed:
            seconds = rows["FPOGD"].to_numpy() if "FPOGD" in rows else np.full(len(rows), np.nan)
        else:
            seconds = np.full(len(rows), 1 / RATE_HZ)
        valid = rows["FPOGV"].to_numpy() != 0 if "FPOGV" in rows else None
        looked = Fixations(
            image=image,
            x=where[:, 0],
            y=where[:, 1],
            seconds=seconds,
            valid=valid,
            time=None if time is None else rows[time].to_numpy(),
        )
        parts, report = looked.by_image(dict(zip(self.names, self.native)), calibration=calibration)
        return parts, report + DropReport(notes=notes)

    def _rows(self, path: Path) -> tuple[pd.DataFrame, str | None]:
        header = header_of(path)
        time = next((name for name in header if name.lower().startswith("time (")), None)
        screen = ("FPOGX", "FPOGY") if self.pads is not None else ()
        stated = "X_ORIGINAL" in header and "Y_ORIGINAL" in header
        if not stated and self.pads is None:
            remedy = "the master sheet states no bars, so the table must state X_ORIGINAL and Y_ORIGINAL"
            raise InputError("no such column", file=path, field="column X_ORIGINAL", remedy=remedy)
        optional = ("FPOGV", "X_ORIGINAL", "Y_ORIGINAL", *(("FPOGX", "FPOGY") if stated else ()))
        length = ("FPOGD",) if path.name == FIXATIONS else ()
        numbers = (*screen, *length, *optional[:3], *([time] if time else []))
        return read_columns(path, texts=("DICOM_ID",), numbers=numbers, optional=optional), time

    def _calibration(self, image: np.ndarray) -> Bool[np.ndarray, " n"]:
        cut = {name[: CALIBRATION_LENGTH - ID_LENGTH] for name in self.names}
        names, codes = np.unique(image.astype(str), return_inverse=True)
        return np.array([len(name) == CALIBRATION_LENGTH or name in cut for name in names])[codes]

    def _positions(self, rows: pd.DataFrame, number: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """x, y in native pixels (meaningless for unknown images), and what is remarkable."""
        stated = rows[["X_ORIGINAL", "Y_ORIGINAL"]].to_numpy() if "X_ORIGINAL" in rows else None
        if self.pads is None or "FPOGX" not in rows:
            assert stated is not None
            return _centered(stated), {}
        fractions = rows[["FPOGX", "FPOGY"]].to_numpy()
        shown = self._shown(fractions, number)
        if stated is None:
            return shown, {}
        known, notes = number >= 0, {}
        differ = known & ~self._agree(shown, stated, number)
        self._find_scaled(differ, stated, fractions, number)
        if self.scaled:
            notes[SCALED] = self.scaled
            shown = self._shown(fractions, number)
            differ = known & ~self._agree(shown, stated, number)
        if differ.any():
            notes[DISAGREE] = int(differ.sum())
        keep = (differ | ~np.isfinite(shown).all(1)) & np.isfinite(stated).all(1)
        return np.where(keep[:, None], _centered(stated), shown), notes

    def _shown(self, fractions: np.ndarray, number: np.ndarray) -> Float[np.ndarray, "n 2"]:
        assert self.pads is not None
        sizes = np.array(self.native, dtype=np.float64)
        return screen_to_image(fractions, screen=SCREEN, pads=self.pads[number], native=sizes[number])

    def _agree(self, shown: np.ndarray, stated: np.ndarray, number: np.ndarray) -> Bool[np.ndarray, " n"]:
        wide_high = np.array(self.native, dtype=np.float64)[number][:, ::-1]
        off = ((shown < 0) | (shown >= wide_high)).any(1)
        near = (np.abs(shown - stated) <= 1).all(1)
        unknown = ~np.isfinite(shown).all(1) | ~np.isfinite(stated).all(1)
        return np.where((stated < 0).any(1), off, near) | unknown

    def _find_scaled(
        self, differ: np.ndarray, stated: np.ndarray, fractions: np.ndarray, number: np.ndarray
    ) -> None:
        """Original sizes of PNG and JPEG copies: X_ORIGINAL over the share of the width that was looked at."""
        assert self.pads is not None
        unit = np.ones((len(fractions), 2))
        share = screen_to_image(fractions, screen=SCREEN, pads=self.pads[number], native=unit)
        usable = (number >= 0) & (stated >= 0).all(1) & (share > 0.05).all(1) & (share < 1).all(1)
        for i in np.unique(number[usable & differ]).tolist():
            mine = np.logical_and(usable, number == i)
            if not self.exact[i] and np.mean(differ, where=mine) > 0.5:
                wide, high = np.median((stated[mine] + 0.5) / share[mine], axis=0)
                self.native[i] = (max(round(float(high)), 1), max(round(float(wide)), 1))
                self.scaled += 1


def _centered(stated: np.ndarray) -> Float[np.ndarray, "n 2"]:
    """Whole pixel numbers as positions of pixel centers; negative ones (off the image) stay."""
    return np.where((stated >= 0).all(axis=1, keepdims=True), stated + 0.5, stated)


def _sheet_folder(folder: Path) -> Path | None:
    below = ("", "egd-cxr/1.0.0", "physionet.org/files/egd-cxr/1.0.0", "files/egd-cxr/1.0.0", "1.0.0")
    return next((folder / part for part in below if (folder / part / SHEET).is_file()), None)


def _master(path: Path, several: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """The sheet with columns top, bottom, left, right (where stated) and diagnosis; index: lines."""
    header = header_of(path)
    styles = [[f"image_{side}_pad" for side in SIDES], [f"image_{side}" for side in SIDES]]
    pads = next((style for style in styles if all(name in header for name in style)), [])
    texts = ("dicom_id", "path", "patient_id", "gender", "anchor_age")
    master = read_columns(
        path, texts=texts, numbers=(*CLASSES, *pads), optional=("path", "gender", "anchor_age")
    )
    if "path" not in master:
        master["path"] = master["dicom_id"]
    for column in ("dicom_id", "patient_id"):
        master[column] = master[column].str.strip()
        empty = np.flatnonzero(master[column].isna() | (master[column] == ""))
        if len(empty):
            where = f"column {column}, line {master.index[empty[0]]}"
            raise InputError("is empty", file=path, field=where, remedy="fill it in or delete the row")
    master["path"] = master["path"].fillna(master["dicom_id"])
    again = np.flatnonzero(master["dicom_id"].duplicated())
    if len(again):
        where = f"column dicom_id, line {master.index[again[0]]}"
        raise InputError("names the same image again", file=path, field=where, remedy="delete the row")
    _check_pads(master, pads, path)
    master = master.rename(columns=dict(zip(pads, SIDES)))
    return _with_diagnosis(master, path, several)


def _check_pads(master: pd.DataFrame, pads: list[str], path: Path) -> None:
    if not pads:
        return
    values = master[pads].to_numpy()
    left = np.stack([SCREEN[0] - values[:, :2].sum(1), SCREEN[1] - values[:, 2:].sum(1)], axis=1)
    wrong = np.flatnonzero(~(np.isfinite(values).all(1) & (values >= 0).all(1) & (left > 0).all(1)))
    if len(wrong):
        raise InputError(
            f"bars {values[wrong[0]].tolist()} leave no image on a screen of {SCREEN[1]} x {SCREEN[0]} pixels",
            file=path,
            field=f"columns {pads[0]} to {pads[3]}, line {master.index[wrong[0]]}",
            remedy="correct them or delete the row",
        )


def _with_diagnosis(master: pd.DataFrame, path: Path, several: str) -> tuple[pd.DataFrame, dict[str, int]]:
    flags = master[list(CLASSES)].to_numpy()
    odd = np.argwhere(~np.isin(flags, (0.0, 1.0)) & ~np.isnan(flags))
    if len(odd):
        where = f"column {CLASSES[odd[0][1]]}, line {master.index[odd[0][0]]}"
        raise InputError(f"{flags[tuple(odd[0])]:g} is neither 0 nor 1", file=path, field=where)
    single = np.nan_to_num(flags).sum(1) == 1
    wrong = np.flatnonzero(~single)
    if len(wrong) and (several == "refuse" or len(wrong) == len(master)):
        count = int(np.nan_to_num(flags[wrong[0]]).sum())
        raise InputError(
            f"has {count} of the classes {', '.join(CLASSES)}, not one ({len(wrong)} images)",
            file=path,
            field=f"line {master.index[wrong[0]]}",
            remedy='correct the row, or leave such images out with several="drop"',
        )
    names = np.array(CLASSES)[np.nan_to_num(flags).argmax(1)]
    master = master.assign(diagnosis=names).loc[single].copy()
    return master, {NO_CLASS: len(wrong)} if len(wrong) else {}


def _boxes(path: Path, names: list[str]) -> tuple[list[list[dict]] | None, int]:
    if not path.exists():
        return None, 0
    rows = read_columns(
        path, texts=("dicom_id", "bbox_name"), numbers=("x1", "x2", "y1", "y2"), rows_needed=False
    )
    boxes: dict[str, list[dict]] = {name: [] for name in names}
    odd = 0
    columns = (rows[name] for name in ("dicom_id", "bbox_name", "x1", "y1", "x2", "y2"))
    for image, name, x1, y1, x2, y2 in zip(*columns):
        if image in boxes and x1 < x2 and y1 < y2:
            boxes[image].append({"name": str(name), "box": [x1, y1, x2, y2]})
        else:
            odd += 1
    return [boxes[name] for name in names], odd


def _mask_reader(folder: Path) -> functools.partial[np.ndarray | None] | None:
    return functools.partial(_read_masks, folder) if any((folder / n).is_file() for n in REGIONS) else None


def _read_masks(folder: Path) -> np.ndarray | None:
    labels: np.ndarray | None = None
    for name, value in REGIONS.items():
        if (folder / name).is_file():
            drawn = read_labels(folder / name) > 0
            labels = np.zeros(drawn.shape, dtype=np.uint8) if labels is None else labels
            if drawn.shape != labels.shape:
                problem = f"is {drawn.shape[1]} x {drawn.shape[0]} pixels, unlike the other masks"
                raise InputError(problem, file=folder / name, remedy="copy the masks again")
            labels[drawn] = value
    return labels

"""One's own images with gaze: a folder of pictures, a table of fixations, a table of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from visus.data.corpora.egd_cxr import is_egd_cxr, load_egd_cxr
from visus.data.corpora.reflacx import is_reflacx, load_reflacx
from visus.data.formats import EXTENSIONS
from visus.data.formats.table import write_table
from visus.data.gaze.columns import header_of, read_columns
from visus.data.gaze.fixations import DropReport, Fixations
from visus.data.gaze.radiograph import native_size
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError

Unit = Literal["pixels", "fractions"]

SYNONYMS = {
    "image": ("image", "image_id", "name", "file", "filename", "dicom_id", "img", "stimulus", "path"),
    "x": ("x", "x_position", "fix_x", "x_px", "x_original", "cx", "col", "column"),
    "y": ("y", "y_position", "fix_y", "y_px", "y_original", "cy", "row"),
    "seconds": ("duration", "seconds", "duration_s", "dur", "fpogd"),
    "milliseconds": ("duration_ms", "milliseconds", "dur_ms"),
    "time": ("time", "start", "timestamp", "start_s", "t", "time_s", "start_ms", "start_time_ms"),
    "label": ("label", "diagnosis", "class", "class_name", "finding", "target"),
    "patient": ("patient", "patient_id", "subject", "subject_id", "case"),
}
"""What a column may be called (any case), first match first."""
FIXATION_FILES = ("fixations.csv", "gaze.csv", "eye_gaze.csv", "fixations.tsv")
LABEL_FILES = ("labels.csv", "labels.tsv", "data.csv")
IMAGE_FOLDERS = ("images", "img", "png", "dicom", "")
_LAYOUTS = (
    "EGD-CXR: master_sheet.csv",
    "REFLACX: main_data/metadata_phase_3.csv",
    f"files: pictures in images/, {FIXATION_FILES[0]} (image, x, y, duration), {LABEL_FILES[0]} (image, label)",
)


def read_gaze(path: str | Path, *, view: View | None = None, **options: Any) -> GazeTable:
    """Images with gaze in whatever layout is there: EGD-CXR, REFLACX, or one's own files.

    `options` are those of the layout's own reader: `visus.data.corpora.egd_cxr.load_egd_cxr`,
    `visus.data.corpora.reflacx.load_reflacx`, `visus.data.corpora.gaze_files.load_gaze_files`. A table
    (a file) is read as labels that name the pictures, with the fixations beside it.

    Raises
    ------
    InputError : nothing there that can be read (lists what was looked for), an option the layout's reader
        does not have, or damaged data.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="check the path")
    reader = load_gaze_files
    if path.is_dir():
        if is_egd_cxr(path):
            reader = load_egd_cxr
        elif is_reflacx(path):
            reader = load_reflacx
    elif path.name == "master_sheet.csv":
        path, reader = path.parent, load_egd_cxr
    known = set(reader.__kwdefaults__ or ())
    unknown = sorted(set(options) - known)
    if unknown:
        remedy = "options: " + ", ".join(sorted(known - {"view"}))
        raise InputError(f"{reader.__name__} has no such option", field=unknown[0], remedy=remedy)
    return reader(path, view=view, **options)


def load_gaze_files(
    path: str | Path,
    *,
    images: str | Path | None = None,
    fixations: str | Path | None = None,
    labels: str | Path | None = None,
    unit: Unit = "pixels",
    unknown: Literal["refuse", "drop"] = "refuse",
    view: View | None = None,
) -> GazeTable:
    """Read pictures with a table of fixations and a table of labels.

    Columns go by the names of `SYNONYMS`: fixations need image, x and y; without a duration every row counts
    the same (one second). Labels need an image; label and patient become target and group where they are.
    Without labels every picture of the folder is an item. Pictures without fixations stay, without gaze.

    Parameters
    ----------
    path : a folder, or a table of labels whose paths are looked up beside it.
    images, fixations, labels : where these are not in `path` under their usual names (`images/`,
        `fixations.csv`, `labels.csv`).
    unit : `pixels` of the picture (centers at +0.5), or `fractions` 0..1 of its width and height.
    unknown : what to do with fixations on images that are not there.

    Raises
    ------
    InputError : names the file and the column or line; no pictures; fixations on unknown images; positions
        that contradict `unit`.
    """
    path = Path(path)
    if unit not in ("pixels", "fractions"):
        raise InputError(f"must be pixels or fractions, got {unit}", field="unit")
    folder = path if path.is_dir() else path.parent
    table = Path(labels) if labels else (_first(folder, LABEL_FILES) if path.is_dir() else path)
    gaze = Path(fixations) if fixations else _first(folder, FIXATION_FILES)
    roots = (
        [Path(images)] if images else [folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    )
    if table is not None:
        frame, paths, target, group = _labeled(table, roots)
    else:
        paths = next((found for root in roots if (found := _pictures(root))), [])
        frame, target, group = pd.DataFrame({"name": _names(paths)}), None, None
    if not paths:
        looked = "looked for: " + "; ".join(_LAYOUTS)
        raise InputError("holds no pictures in a known layout", file=path, remedy=looked)
    seen: list[np.ndarray | None] = [None] * len(paths)
    report = DropReport()
    if gaze is not None:
        seen, report = _gaze(gaze, paths, unit, unknown)
    made = GazeTable(
        frame, images=paths, fixations=seen, target=target, group=group, file=table or gaze, view=view
    )
    return made.reported(report)


def write_gaze_files(folder: str | Path, table: GazeTable) -> None:
    """Write 16-bit PNG files as `images/<name>.png`, `fixations.csv` in pixels, and `labels.csv`."""
    from visus.data.formats.images import write_picture

    native, folder = table.viewed(View()), Path(folder)
    rows, labels = [], []
    for i in range(len(native)):
        item = native.batch([i])
        name = f"{item['name'][0]}.png"
        write_picture(folder / "images" / name, item["image"][0].numpy(), bits=16)
        rows += [(name, *values) for values in item["fixations"][0].tolist()]
        labels.append((name, *item.get("target", [""]), item["patient"][0]))
    columns = ["image", "x", "y", "duration"]
    write_table(folder / FIXATION_FILES[0], pd.DataFrame(rows, columns=pd.Index(columns)))
    written = pd.DataFrame(labels, columns=pd.Index(["image", "label", "patient"]))
    write_table(folder / LABEL_FILES[0], written if table.target else written.drop(columns="label"))


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.lower().endswith(EXTENSIONS))


def _names(paths: list[Path]) -> list[str]:
    stems = [_stem(path.name) for path in paths]
    return stems if len(set(stems)) == len(stems) else [path.name for path in paths]


def _stem(name: str) -> str:
    plain = name.replace("\\", "/").rsplit("/", 1)[-1]
    end = next((end for end in sorted(EXTENSIONS, key=len, reverse=True) if plain.lower().endswith(end)), "")
    return plain[: len(plain) - len(end)]


def _column(header: list[str], role: str) -> str | None:
    lowered = {name.lower(): name for name in reversed(header)}
    return next((lowered[name] for name in SYNONYMS[role] if name in lowered), None)


def _needed(header: list[str], role: str, file: Path) -> str:
    found = _column(header, role)
    if found is None:
        remedy = f"name one of the columns {', '.join(header[:20])}: {', '.join(SYNONYMS[role][:5])}"
        raise InputError("no such column", file=file, field=f"column {role}", remedy=remedy)
    return found


def _labeled(table: Path, roots: list[Path]) -> tuple[pd.DataFrame, list[Path], str | None, str | None]:
    """Frame (name, label, patient), a path per row, and the names of target and group."""
    header = header_of(table)
    image = _needed(header, "image", table)
    label, patient = _column(header, "label"), _column(header, "patient")
    rows = read_columns(table, texts=[name for name in (image, label, patient) if name is not None])
    paths, bases = [], [*roots, table.parent]
    for line, given in zip(rows.index, rows[image]):
        where = f"column {image}, line {line}"
        if not isinstance(given, str) or not given.strip():
            raise InputError("names no image", file=table, field=where, remedy="write the image's file name")
        found = _located(given.strip(), bases)
        if found is None:
            remedy = f"pictures are looked up in {', '.join(str(base) for base in bases)}"
            raise InputError(f"{given} is not there", file=table, field=where, remedy=remedy)
        paths.append(found)
    again = pd.Series([str(path) for path in paths]).duplicated().to_numpy()
    if again.any():
        where = f"column {image}, line {rows.index[int(again.argmax())]}"
        raise InputError(
            "names the same image again", file=table, field=where, remedy="keep one row per image"
        )
    for column in (label, patient):
        empty = np.flatnonzero(rows[column].isna()) if column is not None else np.zeros(0)
        if len(empty):
            where = f"column {column}, line {rows.index[empty[0]]}"
            raise InputError("is empty", file=table, field=where, remedy="fill it in or delete the row")
    frame = pd.DataFrame({"name": _names(paths)})
    for name in (label, patient):
        if name is not None:
            frame[name if name != "name" else f"{name}_"] = rows[name].to_numpy()
    return frame, paths, label, patient


def _located(given: str, bases: list[Path]) -> Path | None:
    plain = given.replace("\\", "/")
    for base in bases:
        for name in dict.fromkeys((plain, plain.rsplit("/", 1)[-1])):
            found = base / name
            if found.is_file():
                return found
            if not name.lower().endswith(EXTENSIONS):
                for end in EXTENSIONS:
                    if (base / f"{name}{end}").is_file():
                        return base / f"{name}{end}"
    return None


def _gaze(
    file: Path, paths: list[Path], unit: Unit, unknown: str
) -> tuple[list[np.ndarray | None], DropReport]:
    header = header_of(file)
    image, x, y = (_needed(header, role, file) for role in ("image", "x", "y"))
    seconds, milliseconds, time = (_column(header, role) for role in ("seconds", "milliseconds", "time"))
    length = seconds or milliseconds
    rows = read_columns(
        file, texts=(image,), numbers=[name for name in (x, y, length, time) if name is not None]
    )
    names = _names(paths)
    number = {_stem(path.name): i for i, path in enumerate(paths)} | {p.name: i for i, p in enumerate(paths)}
    stems = rows[image].fillna("").str.strip().str.replace("\\", "/").str.rsplit("/", n=1).str[-1]
    found = {given: number.get(given, number.get(_stem(given))) for given in stems.unique()}
    strange = [given for given, i in found.items() if i is None]
    if strange and unknown == "refuse":
        line = rows.index[int((stems == strange[0]).to_numpy().argmax())]
        raise InputError(
            f"{strange[0] or 'an empty name'} is none of the {len(paths)} images "
            f"({len(strange)} unknown names: {', '.join(strange[:5])})",
            file=file,
            field=f"column {image}, line {line}",
            remedy='correct the names, or leave such rows out with unknown="drop"',
        )
    sizes = {str(i): native_size(path) for i, path in enumerate(paths)}
    index = [str(found[given]) for given in stems]
    where = _in_pixels(rows, (x, y), index, sizes, unit, file)
    span = rows[length].to_numpy() if length is not None else np.ones(len(rows))
    parts, report = Fixations(
        image=index,
        x=where[:, 0],
        y=where[:, 1],
        seconds=span / 1000 if seconds is None and milliseconds is not None else span,
        time=rows[time].to_numpy() if time is not None else None,
    ).by_image(sizes)
    return [parts[str(i)] for i in range(len(names))], report


def _in_pixels(
    rows: pd.DataFrame,
    axes: tuple[str, str],
    index: list[str],
    sizes: dict[str, tuple[int, int]],
    unit: Unit,
    file: Path,
) -> np.ndarray:
    where = rows[list(axes)].to_numpy(dtype=np.float64)
    finite = where[np.isfinite(where)]
    if not len(finite):
        return where
    if unit == "fractions":
        wide_high = np.array([sizes.get(name, (1, 1))[::-1] for name in index], dtype=np.float64)
        if np.median(np.abs(finite)) > 2:
            problem = f"values up to {finite.max():g} are no fractions of 0..1"
            raise InputError(
                problem, file=file, field=f"columns {axes[0]}, {axes[1]}", remedy='use unit="pixels"'
            )
        return where * wide_high
    if finite.max() <= 1 and len(finite) > 2 and min(min(size) for size in sizes.values()) > 8:
        problem = f"all values lie in {finite.min():g}..{finite.max():g}: no pixels"
        raise InputError(
            problem, file=file, field=f"columns {axes[0]}, {axes[1]}", remedy='use unit="fractions"'
        )
    return where

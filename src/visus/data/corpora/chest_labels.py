"""Label tables of public chest radiograph collections, brought to one form.

The tables as their publishers ship them, plain or packed (.gz, .zip, .tgz); none holds pictures.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from visus.data.gaze.columns import header_of, read_columns
from visus.errors import InputError

Uncertain = Literal["missing", "positive", "negative"]
Kind = Literal["nih", "nih_google", "nih_boxes", "chexpert", "padchest", "rsna", "vinbigdata", "siim", "nlm"]
BOX_COLUMNS = ("image", "name", "x1", "y1", "x2", "y2")


@dataclass(frozen=True, kw_only=True, eq=False)
class ChestLabels:
    """Labels of radiographs.

    `frame` has `image`, `patient`, `view` (missing where the table does not tell) and per finding of
    `findings` a float32 column of 1, 0 and NaN (not known); one row per image. `boxes`, where the table has
    any, has image, name, x1, y1, x2, y2 in pixels of the published image.
    """

    kind: str
    frame: pd.DataFrame
    findings: tuple[str, ...]
    boxes: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    columns: tuple[str, ...]
    read: Callable[[Path, _Choice], ChestLabels]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    uncertain: Uncertain
    agree: int


def read_chest_labels(
    path: str | Path,
    kind: Kind | None = None,
    *,
    uncertain: Uncertain = "missing",
    agree: int = 1,
) -> ChestLabels:
    """Read the label table of NIH ChestX-ray14, CheXpert, PadChest, RSNA, VinBigData, SIIM or NLM (Open-i).

    Finding names are the tables' own. A finding an image's row does not list is 0 where the table lists all
    positive findings (NIH, PadChest, RSNA, VinBigData, SIIM, NLM) and missing where it is left blank
    (CheXpert: not mentioned in the report). PadChest rows without labels are missing throughout.

    Parameters
    ----------
    kind : which table it is; None tells by the columns.
    uncertain : what CheXpert's -1 becomes.
    agree : readers who must have marked a finding of VinBigData (each image has three).

    Raises
    ------
    InputError : no table known here (lists them), or a broken row; names file, column and line.
    """
    path = Path(path)
    values = ("missing", "positive", "negative")
    if uncertain not in values:
        raise InputError(f"must be one of {', '.join(values)}, got {uncertain}", field="uncertain")
    if agree < 1:
        raise InputError(f"must be at least 1, got {agree}", field="agree")
    choice = _Choice(uncertain=uncertain, agree=agree)
    if kind is None:
        kind = _recognized(path)
    if kind == "nlm":
        return _nlm(path)
    if kind not in _LAYOUTS:
        raise InputError(f"no such kind of table: {kind}", field="kind", remedy=f"known: {_told()}")
    return _LAYOUTS[kind].read(path, choice)


def _recognized(path: Path) -> Kind:
    if path.name.lower().endswith((".tgz", ".tar.gz", ".tar")):
        return "nlm"
    header = set(header_of(path))
    found = [kind for kind, layout in _LAYOUTS.items() if header.issuperset(layout.columns)]
    if not found:
        raise InputError("is no label table known here", file=path, remedy=f"known, by columns: {_told()}")
    return max(found, key=lambda kind: len(_LAYOUTS[kind].columns))  # pyright: ignore[reportReturnType]


def _told() -> str:
    tables = [f"{kind} ({', '.join(layout.columns[:4])})" for kind, layout in _LAYOUTS.items()]
    return "; ".join([*tables, "nlm (a .tgz of report XML files)"])


def _assembled(
    kind: str,
    base: pd.DataFrame,
    values: Float32[np.ndarray, "n k"],
    findings: Sequence[str],
    boxes: pd.DataFrame | None = None,
) -> ChestLabels:
    frame = pd.DataFrame({name: base.get(name) for name in ("image", "patient", "view")})
    clash = [name for name in findings if name in frame]
    if clash:
        raise InputError("is a finding and a column of every table", field=f"column {clash[0]}")
    columns = pd.DataFrame(values, columns=pd.Index(findings))
    frame = pd.concat([frame.reset_index(drop=True), columns], axis=1)
    return ChestLabels(kind=kind, frame=frame, findings=tuple(findings), boxes=boxes)


def _listed(
    lists: Sequence[Sequence[str] | None], *, known: Sequence[str] = ()
) -> tuple[Float32[np.ndarray, "n k"], list[str]]:
    """One column per name that any list holds, sorted; rows of None are missing throughout."""
    number: dict[str, int] = dict.fromkeys(known, 0)
    for names in lists:
        if names:
            number.update(dict.fromkeys(names, 0))
    findings = sorted(number)
    number = {name: k for k, name in enumerate(findings)}
    values = np.zeros((len(lists), len(findings)), dtype=np.float32)
    pairs = [(i, number[name]) for i, names in enumerate(lists) if names for name in names]
    if pairs:
        values[tuple(np.array(pairs).T)] = 1
    values[[i for i, names in enumerate(lists) if names is None]] = np.nan
    return values, findings


def _required(rows: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    for column in columns:
        empty = np.flatnonzero(rows[column].isna())
        if len(empty):
            where = f"column {column}, line {rows.index[empty[0]]}"
            raise InputError("is empty", file=path, field=where, remedy="fill it in or delete the row")


def _once(rows: pd.DataFrame, column: str, path: Path) -> None:
    again = np.flatnonzero(rows[column].duplicated())
    if len(again):
        where = f"column {column}, line {rows.index[again[0]]}"
        raise InputError(
            "names the same image again", file=path, field=where, remedy="keep one row per image"
        )


def _nih(path: Path, _: _Choice) -> ChestLabels:
    names = {"Image Index": "image", "Patient ID": "patient", "View Position": "view"}
    rows = read_columns(path, texts=(*names, "Finding Labels"))
    _required(rows, ("Image Index", "Finding Labels", "Patient ID"), path)
    _once(rows, "Image Index", path)
    values, findings = _listed([text.split("|") for text in rows["Finding Labels"]])
    return _assembled("nih", rows.rename(columns=names), values, findings)


_ADJUDICATED = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")


def _nih_google(path: Path, _: _Choice) -> ChestLabels:
    names = {"Image Index": "image", "Patient ID": "patient", "View Position": "view"}
    rows = read_columns(path, texts=(*names, *_ADJUDICATED))
    _required(rows, ("Image Index", "Patient ID"), path)
    _once(rows, "Image Index", path)
    values = np.stack([_yes_no(pd.Series(rows[name]), path) for name in _ADJUDICATED], axis=1)
    return _assembled("nih_google", rows.rename(columns=names), values, _ADJUDICATED)


def _yes_no(column: pd.Series, path: Path) -> Float32[np.ndarray, " n"]:
    values = column.str.strip().str.upper().map({"YES": 1.0, "NO": 0.0})
    wrong = np.flatnonzero(values.isna() & column.notna())
    if len(wrong):
        where = f"column {column.name}, line {column.index[wrong[0]]}"
        raise InputError(f"{column.iloc[wrong[0]]!r} is neither YES nor NO", file=path, field=where)
    return values.to_numpy(dtype=np.float32)


def _nih_boxes(path: Path, _: _Choice) -> ChestLabels:
    sides = ("Bbox [x", "y", "w", "h]")  # the header's own commas split its last name in four
    rows = read_columns(path, texts=("Image Index", "Finding Label"), numbers=sides)
    images, names = pd.Series(rows["Image Index"]), pd.Series(rows["Finding Label"])
    boxes = _boxes(images, names, _corners(rows, sides), path)
    lists = names.groupby(images, sort=False).agg(list)
    values, findings = _listed(lists.tolist())
    return _assembled("nih_boxes", pd.DataFrame({"image": lists.index}), values, findings, boxes)


_CHEXPERT = ("Path", "Sex", "Frontal/Lateral", "AP/PA")


def _chexpert(path: Path, choice: _Choice) -> ChestLabels:
    findings = [name for name in header_of(path) if name not in (*_CHEXPERT, "Age") and name]
    rows = read_columns(path, texts=("Path", "Frontal/Lateral", "AP/PA"), numbers=findings)
    _required(rows, ("Path",), path)
    _once(rows, "Path", path)
    patient = rows["Path"].str.replace("\\", "/").str.extract(r"(?:^|/)(patient\d+)/", expand=False)
    if patient.isna().any():
        where = f"column Path, line {rows.index[int(patient.isna().to_numpy().argmax())]}"
        raise InputError(
            "names no patient folder", file=path, field=where, remedy="give .../patient<number>/..."
        )
    values = rows[findings].to_numpy(dtype=np.float32)
    odd = np.argwhere(~np.isin(values, (-1, 0, 1)) & ~np.isnan(values))
    if len(odd):
        where = f"column {findings[odd[0][1]]}, line {rows.index[odd[0][0]]}"
        raise InputError(f"{values[tuple(odd[0])]:g} is none of 1, 0, -1", file=path, field=where)
    values[values == -1] = {"missing": np.nan, "positive": 1, "negative": 0}[choice.uncertain]
    view = rows["AP/PA"].fillna(rows["Frontal/Lateral"])
    return _assembled(
        "chexpert", pd.DataFrame({"image": rows["Path"], "patient": patient, "view": view}), values, findings
    )


_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def _padchest(path: Path, _: _Choice) -> ChestLabels:
    names = {"ImageID": "image", "PatientID": "patient", "Projection": "view"}
    rows = read_columns(path, texts=(*names, "Labels"))
    _required(rows, ("ImageID", "PatientID"), path)
    _once(rows, "ImageID", path)
    known: dict[str, list[str]] = {}  # few different lists occur, many times each
    lists: list[list[str] | None] = []
    for text in rows["Labels"].tolist():
        if not isinstance(text, str):
            lists.append(None)
            continue
        if text not in known:
            found = (single or double for single, double in _QUOTED.findall(text))
            known[text] = [name for name in (part.strip() for part in found) if name]
        lists.append(known[text])
    values, findings = _listed(lists)
    return _assembled("padchest", rows.rename(columns=names), values, findings)


def _rsna(path: Path, _: _Choice) -> ChestLabels:
    rows = read_columns(path, texts=("patientId",), numbers=("x", "y", "width", "height", "Target"))
    _required(rows, ("patientId", "Target"), path)
    positive = rows["Target"].to_numpy() > 0
    marked = pd.DataFrame(rows[positive])
    boxes = _boxes(
        pd.Series(marked["patientId"]), "Pneumonia", _corners(marked, ("x", "y", "width", "height")), path
    )
    held = pd.Series(positive).groupby(rows["patientId"].to_numpy(), sort=False).any()
    base = pd.DataFrame({"image": held.index, "patient": held.index})
    return _assembled("rsna", base, held.to_numpy(dtype="float32")[:, None], ["Pneumonia"], boxes)


def _vinbigdata(path: Path, choice: _Choice) -> ChestLabels:
    sides = ("x_min", "y_min", "x_max", "y_max")
    rows = read_columns(path, texts=("image_id", "class_name", "rad_id"), numbers=sides)
    _required(rows, ("image_id", "class_name", "rad_id"), path)
    marked = pd.DataFrame(rows[rows["x_min"].notna().to_numpy()])
    boxes = _boxes(
        pd.Series(marked["image_id"]),
        pd.Series(marked["class_name"]),
        marked[list(sides)].to_numpy(dtype=np.float64),
        path,
    )
    votes = rows.drop_duplicates(["image_id", "class_name", "rad_id"])
    votes = votes.groupby(["image_id", "class_name"]).agg(readers=("rad_id", "size")).reset_index()
    images = rows["image_id"].drop_duplicates().tolist()
    lists: dict[str, list[str]] = {image: [] for image in images}
    for image, name, readers in zip(votes["image_id"], votes["class_name"], votes["readers"]):
        if readers >= choice.agree:
            lists[image].append(name)
    values, findings = _listed(list(lists.values()), known=rows["class_name"].unique().tolist())
    return _assembled("vinbigdata", pd.DataFrame({"image": images}), values, findings, boxes)


def _siim(path: Path, _: _Choice) -> ChestLabels:
    rows = read_columns(path, texts=("ImageId", "EncodedPixels"))
    _required(rows, ("ImageId", "EncodedPixels"), path)
    held = (rows["EncodedPixels"].str.strip() != "-1").groupby(rows["ImageId"], sort=False).any()
    base = pd.DataFrame({"image": held.index})
    return _assembled("siim", base, held.to_numpy(dtype="float32")[:, None], ["Pneumothorax"])


def _nlm(path: Path) -> ChestLabels:
    """Reports with MeSH terms: one row per image, the report as patient; terms without their qualifiers."""
    images, reports, lists = [], [], []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.lower().endswith(".xml") else None
                if stream is None:
                    continue
                root = _parsed(stream.read(), member.name, path)
                terms = [(term.text or "").split("/")[0].strip() for term in root.iter("major")]
                report = root.find("uId")
                named = report.get("id") if report is not None else None
                for image in root.iter("parentImage"):
                    images.append(image.get("id"))
                    reports.append(named or Path(member.name).stem)
                    lists.append([term for term in terms if term])
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError("does not exist", file=path, remedy="check the path") from None
        problem = f"is cut off or damaged ({type(error).__name__})"
        raise InputError(problem, file=path, remedy="copy or download the file again") from None
    if not images:
        raise InputError("holds no reports with images", file=path, remedy="give the archive of XML reports")
    values, findings = _listed(lists)
    return _assembled("nlm", pd.DataFrame({"image": images, "patient": reports}), values, findings)


def _parsed(content: bytes, name: str, path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise InputError(f"{name} is no valid XML ({error})", file=path, remedy="unpack it again") from None


def _corners(rows: pd.DataFrame, sides: Sequence[str]) -> Float64[np.ndarray, "n 4"]:
    """Left, top, width, height as x1, y1, x2, y2."""
    values = rows[list(sides)].to_numpy(dtype=np.float64)
    return np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)


def _boxes(
    images: pd.Series, names: pd.Series | str, sides: Float64[np.ndarray, "n 4"], path: Path
) -> pd.DataFrame:
    wrong = np.flatnonzero(~(np.isfinite(sides).all(1) & (sides[:, 2:] > sides[:, :2]).all(1)))
    if len(wrong):
        problem = f"the box {sides[wrong[0]].tolist()} is empty, turned over or incomplete"
        raise InputError(problem, file=path, field=f"line {images.index[wrong[0]]}", remedy="correct it")
    frame = pd.DataFrame(sides, columns=pd.Index(BOX_COLUMNS[2:]))
    frame.insert(0, "image", images.to_numpy())
    frame.insert(1, "name", names if isinstance(names, str) else names.to_numpy())
    return frame


_LAYOUTS: dict[str, _Layout] = {
    "nih": _Layout(columns=("Image Index", "Finding Labels", "Patient ID", "View Position"), read=_nih),
    "nih_google": _Layout(
        columns=("Image Index", "Finding Labels", "Patient ID", "View Position", *_ADJUDICATED),
        read=_nih_google,
    ),
    "nih_boxes": _Layout(columns=("Image Index", "Finding Label", "Bbox [x"), read=_nih_boxes),
    "chexpert": _Layout(columns=_CHEXPERT, read=_chexpert),
    "padchest": _Layout(columns=("ImageID", "PatientID", "Labels", "Projection"), read=_padchest),
    "rsna": _Layout(columns=("patientId", "x", "y", "width", "height", "Target"), read=_rsna),
    "vinbigdata": _Layout(columns=("image_id", "class_name", "rad_id", "x_min", "y_max"), read=_vinbigdata),
    "siim": _Layout(columns=("ImageId", "EncodedPixels"), read=_siim),
}

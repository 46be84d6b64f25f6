"""Writing images with gaze in the layout of EGD-CXR 1.0.0 beside MIMIC-CXR, for examples and tests.

What the real files are awkward about is written too: calibration frames every 20 images, samples off the image,
DICOM files of 12 and 16 bits, some with inverted gray (MONOCHROME1). Ids are made up from the seed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from visus.data.corpora import egd_cxr as egd
from visus.data.formats.images import write_picture
from visus.data.formats.table import write_table
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError
from visus.extras import need
from visus.records import write_atomically

CALIBRATE_EVERY = 20
OFF_IMAGE = 0.05
"""Chance that a glance off the image follows a fixation."""
JITTER = 2e-4
"""Standard deviation of a sample around its fixation, as a fraction of the screen."""
_REGIONS = {value: name for name, value in egd.REGIONS.items()}


def write_egd_cxr(
    folder: str | Path,
    table: GazeTable,
    *,
    seed: int = 0,
    pictures: Literal["dicom", "png"] = "dicom",
    pads: Literal["image_top_pad", "image_top"] = "image_top_pad",
) -> Path:
    """Write a table whose targets are Normal, CHF and pneumonia; returns the folder of the master sheet.

    The tree: `egd-cxr/1.0.0/` with `master_sheet.csv`, `fixations.csv`, `eye_gaze.csv` (60 Hz), and where the
    table knows them `bounding_boxes.csv` and `audio_segmentation_transcripts/<id>/*.png`; the images as
    `mimic-cxr/2.0.0/files/pNN/p<patient>/s<study>/<id>.dcm`.

    Parameters
    ----------
    pictures : `dicom` writes MONOCHROME2 and, every third, MONOCHROME1, of 12 and 16 bits in turn; `png`
        16-bit gray.
    pads : the naming style of the columns with the bars beside the image on the screen.

    Raises
    ------
    InputError : the table has no target, or other classes.
    MissingExtra : pydicom is not installed and `dicom` is asked for.
    """
    classes = sorted({str(name) for name in table.targets} - set(egd.CLASSES))
    if classes:
        remedy = f"the layout knows {', '.join(egd.CLASSES)}"
        raise InputError(f"{classes[0]} is no class of EGD-CXR", field="target", remedy=remedy)
    folder, rng = Path(folder), np.random.default_rng(seed)
    base = folder / "egd-cxr" / "1.0.0"
    native = table.viewed(View())
    people = {patient: 10_000_000 + i for i, patient in enumerate(dict.fromkeys(table.patients))}
    sheet: list[dict[str, Any]] = []
    rows: list[pd.DataFrame] = []
    boxes: list[dict[str, Any]] = []
    for i in range(len(table)):
        item = native.batch([i])
        image, name = item["image"][0].numpy(), made_up_id(rng)
        study = 50_000_000 + i
        person = people[item["patient"][0]]
        path = f"files/p{str(person)[:2]}/p{person}/s{study}/{name}.dcm"
        _write_picture(folder / egd.MIMIC / path, image, i, pictures)
        bars = bars_for(image.shape[1:])
        sheet.append(
            {"dicom_id": name, "path": path, "study_id": study, "patient_id": person}
            | dict(zip(_pad_names(pads), bars))
            | {label: int(label == item["target"][0]) for label in egd.CLASSES}
        )
        rows.append(_fixations(rng, name, item["fixations"][0].numpy(), image.shape[1:], bars, i))
        if i % CALIBRATE_EVERY == CALIBRATE_EVERY - 1 or i == 0:
            rows.append(_calibration(name, i))
        for box in item.get("boxes", [[]])[0]:
            x1, y1, x2, y2 = box["box"]
            sides = {"x1": x1, "x2": x2, "y1": y1, "y2": y2}
            boxes.append({"dicom_id": name, "bbox_name": box["name"], **sides})
        if "segmentation" in item:
            _write_masks(base / egd.MASKS / name, item["segmentation"][0].numpy())
    write_table(base / egd.SHEET, pd.DataFrame(sheet))
    fixed = pd.concat(rows, ignore_index=True)
    fixed.insert(0, "SESSION_ID", 1)
    write_table(base / egd.FIXATIONS, fixed)
    write_table(base / egd.SAMPLES, _samples(rng, fixed))
    if boxes:
        write_table(base / egd.BOXES, pd.DataFrame(boxes))
    return base


def bars_for(size: Sequence[int]) -> tuple[int, int, int, int]:
    """Bars (top, bottom, left, right) of an image of (height, width) shown as large as the screen allows.

    >>> bars_for((3056, 2544))
    (0, 0, 510, 511)
    """
    (high, wide), (screen_high, screen_wide) = size, egd.SCREEN
    scale = min(screen_high / high, screen_wide / wide)
    below, beside = screen_high - round(high * scale), screen_wide - round(wide * scale)
    return below // 2, below - below // 2, beside // 2, beside - beside // 2


def made_up_id(rng: np.random.Generator) -> str:
    """An id of the form MIMIC-CXR uses: five groups of eight hexadecimal digits."""
    digits = rng.integers(0, 16, size=(5, 8))
    return "-".join("".join(f"{digit:x}" for digit in group) for group in digits.tolist())


def _pad_names(style: str) -> list[str]:
    return [f"image_{side}_pad" if style == "image_top_pad" else f"image_{side}" for side in egd.SIDES]


def _fixations(
    rng: np.random.Generator,
    name: str,
    looked: Float[np.ndarray, "n 3"],
    size: Sequence[int],
    bars: tuple[int, int, int, int],
    media: int,
) -> pd.DataFrame:
    """Rows of one image: its fixations in order, some followed by a glance off the image."""
    top, bottom, left, right = bars
    shown = np.array([egd.SCREEN[1] - left - right, egd.SCREEN[0] - top - bottom], dtype=np.float64)
    seen = looked.astype(np.float64)
    screen = (seen[:, :2] * shown / np.array(size[::-1]) + [left, top]) / np.array(egd.SCREEN[::-1])
    stated = np.floor(seen[:, :2]).astype(np.int64)
    rows, clock = [], 0.2
    for (u, v), (x, y), seconds in zip(screen.tolist(), stated.tolist(), seen[:, 2].tolist()):
        rows.append((clock, u, v, seconds, x, y))
        clock += seconds + 0.03
        if rng.random() < OFF_IMAGE:
            rows.append((clock, *_beside(bars), 0.1, -1, -1))
            clock += 0.13
    return _frame(name, rows, media)


def _beside(bars: tuple[int, int, int, int]) -> tuple[float, float]:
    """A point of the screen off the image: on a bar, or past the screen's edge where there is none."""
    if bars[2] > 1:
        return bars[2] / 2 / egd.SCREEN[1], 0.5
    return (0.5, bars[0] / 2 / egd.SCREEN[0]) if bars[0] > 1 else (-0.01, 0.5)


def _calibration(name: str, media: int) -> pd.DataFrame:
    """The white dot in the middle of the screen; its frame carries a shortened id."""
    frame = _frame(
        name[: egd.CALIBRATION_LENGTH - egd.ID_LENGTH], [(0.2, 0.5, 0.5, 1.0, 960, 540)] * 3, media
    )
    frame["Time (in secs)"] += np.arange(len(frame)) * 1.1
    return frame


def _frame(name: str, rows: list[tuple], media: int) -> pd.DataFrame:
    values = np.array(rows, dtype=np.float64).reshape(-1, 6)
    count = len(values)
    ends = values[:, 0] + values[:, 3]
    return pd.DataFrame(
        {
            "MEDIA_ID": media,
            "DICOM_ID": name,
            "CNT": np.rint(ends * egd.RATE_HZ).astype(np.int64),
            "Time (in secs)": ends.round(5),
            "TIMETICK(f=10000000)": np.rint(ends * 1e7).astype(np.int64),
            "FPOGX": values[:, 1].round(5),
            "FPOGY": values[:, 2].round(5),
            "FPOGS": values[:, 0].round(5),
            "FPOGD": values[:, 3].round(5),
            "FPOGID": np.arange(1, count + 1),
            "FPOGV": 1,
            "X_ORIGINAL": values[:, 4].astype(np.int64),
            "Y_ORIGINAL": values[:, 5].astype(np.int64),
        }
    )


def _samples(rng: np.random.Generator, fixed: pd.DataFrame) -> pd.DataFrame:
    """60 Hz rows: every fixation as often as it lasts, its duration growing, the best guess (BPOG) jittering."""
    times = np.maximum(np.rint(fixed["FPOGD"].to_numpy() * egd.RATE_HZ).astype(np.int64), 1)
    rows = fixed.loc[np.repeat(fixed.index.to_numpy(), times)].reset_index(drop=True)
    age = (np.arange(times.sum()) - np.repeat(times.cumsum() - times, times) + 1) / egd.RATE_HZ
    rows["FPOGD"] = age.round(5)
    rows["Time (in secs)"] = (rows["FPOGS"] + age).round(5)
    rows["CNT"] = np.rint(rows["Time (in secs)"] * egd.RATE_HZ).astype(np.int64)
    rows["TIMETICK(f=10000000)"] = np.rint(rows["Time (in secs)"] * 1e7).astype(np.int64)
    for axis in "XY":
        noise = rng.normal(0, JITTER, size=len(rows))
        rows.insert(rows.columns.get_loc("X_ORIGINAL"), f"BPOG{axis}", (rows[f"FPOG{axis}"] + noise).round(5))
    return rows


def _write_picture(path: Path, image: Float[np.ndarray, "1 h w"], number: int, kind: str) -> None:
    if kind == "png":
        write_picture(path.with_suffix(".png"), image, bits=16)
    else:
        _write_dicom(path, image, bits=12 if number % 2 else 16, inverted=number % 3 == 2)


def _write_dicom(path: Path, image: Float[np.ndarray, "1 h w"], *, bits: int, inverted: bool) -> None:
    """A digital radiograph of `bits` stored bits without any patient data."""
    need("pydicom", extra="medical", purpose="writing DICOM files")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    shown = np.clip(image[0].astype(np.float64), 0, 1)
    stored = np.rint((1 - shown if inverted else shown) * (2**bits - 1)).astype("<u2")
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    uid = generate_uid(entropy_srcs=[path.stem])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "PA"
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelData = stored.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _write_masks(folder: Path, labels: np.ndarray) -> None:
    for value, name in _REGIONS.items():
        write_picture(folder / name, (labels == value)[None].astype(np.float32))

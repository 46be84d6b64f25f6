"""Small made-up radiographs with gaze, as a table and as files; quick to make, unlike the torso world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from visus.data.gaze.table import GazeTable
from visus.methods.chestxray.config import SMOKE
from visus.records import override

CLASSES = ("Normal", "CHF", "pneumonia")
QUICK = ["contrastive_epochs=0", "classify_epochs=1", "saliency_epochs=1", "final_epochs=1"]


def chest(rng: np.random.Generator, kind: str, size: tuple[int, int] = (72, 60)) -> tuple[Any, Any]:
    """A picture with dark lungs beside a bright middle, and fixations on what is special about it."""
    high, wide = size
    y, x = np.mgrid[0:high, 0:wide].astype(float)
    y, x = y / high, x / wide

    def spot(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)

    picture = 0.75 - 0.55 * (spot(0.28, 0.48, 0.15, 0.3) + spot(0.72, 0.48, 0.15, 0.3))
    center = (0.5, 0.5)
    if kind == "CHF":
        center = (0.55, 0.62)
        picture += 0.3 * spot(*center, 0.22, 0.15)
    if kind == "pneumonia":
        center = (float(rng.choice([0.28, 0.72])), float(rng.uniform(0.35, 0.65)))
        picture += 0.4 * spot(*center, 0.08, 0.08)
    picture += rng.normal(0, 0.02, size)
    count = int(rng.integers(6, 14))
    places = np.stack([rng.normal(center[0], 0.1, count) * wide, rng.normal(center[1], 0.1, count) * high], 1)
    places = places.clip(0.5, [wide - 0.5, high - 0.5])
    return picture.clip(0, 1), np.column_stack([places, rng.uniform(0.1, 0.6, count)]).astype(np.float32)


def chests(count: int, *, seed: int = 0, size: tuple[int, int] = (72, 60)) -> GazeTable:
    """A table of them, two images per patient."""
    rng = np.random.default_rng(seed)
    kinds = [CLASSES[i % 3] for i in range(count)]
    made = [chest(rng, kind, size) for kind in kinds]
    frame = pd.DataFrame(
        {
            "image_id": [f"image-{i:03d}" for i in range(count)],
            "patient": [f"person-{i // 2:03d}" for i in range(count)],
            "diagnosis": kinds,
        }
    )
    pictures = torch.tensor(np.stack([picture for picture, _ in made]), dtype=torch.float32)[:, None]
    looked = [fixations for _, fixations in made]
    return GazeTable(frame, images=pictures, fixations=looked, target="diagnosis", group="patient")


def quick_model(folder: Path, *settings: str, count: int = 24) -> Path:
    """A run's folder with a model of one short epoch per stage, saved; it knows next to nothing."""
    from visus.engine import Run
    from visus.methods.chestxray.estimator import ChestXrayReader

    config = override(SMOKE, [*QUICK, "classes=[Normal,CHF,pneumonia]", *settings])
    run = Run(progress=False, device="cpu")
    ChestXrayReader(config).fit(chests(count), run).save(folder / "model")
    return folder


def write_files(folder: Path) -> Path:
    """`egd`: 18 images laid out like EGD-CXR; `own`: the same as PNG files with tables; `run`: a quick model."""
    from visus.data.corpora.egd_cxr_writing import write_egd_cxr
    from visus.data.corpora.gaze_files import write_gaze_files

    write_egd_cxr(folder / "egd", chests(18, seed=1))
    write_gaze_files(folder / "own", chests(18, seed=1))
    quick_model(folder / "run")
    return folder


def write_chest_dicom(path: Path, picture: np.ndarray, *, inverted: bool = False, **changes: Any) -> Path:
    """A picture (h, w) of 0..1, or several (frames, h, w), as an uncompressed 12-bit radiograph."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.SamplesPerPixel = "DX", 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = picture.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    if picture.ndim == 3:
        dataset.NumberOfFrames = len(picture)
    stored = np.rint((1 - picture if inverted else picture) * 4095).astype("<u2")
    dataset.PixelData = stored.tobytes()
    for name, value in changes.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path

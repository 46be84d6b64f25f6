"""The Alzheimer's disease layout of HyperFusion: a folder per subject beside a table like ADNIMERGE.

The data set itself is given out under an agreement and is not part of this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from visus.data.formats.nifti import read_nifti, write_nifti
from visus.data.formats.picture import Picture
from visus.data.formats.table import line_of, read_table, require_column, write_table
from visus.data.image_table import ImageTable
from visus.errors import InputError

SCAN, MASK = "brain_scan_simple.nii.gz", "brain_mask.nii.gz"
CROP = ((25, 89), (55, 151), (21, 149))
"""Voxels kept of the registered scan; the last axis (128 wide) runs across both hemispheres."""
FEATURES = ("AGE", "PTGENDER", "PTEDUCAT", "APOE4", "ABETA", "PTAU", "TAU", "FDG", "AV45")
"""The columns the paper conditions on. Cognitive scores and scan volumes stay out: they tell the answer."""
CLASSES = ("CN", "MCI", "AD")
MERGED = {"EMCI": "MCI", "LMCI": "MCI"}


def load_adni(
    folder: str | Path,
    table: str | Path,
    *,
    columns: Sequence[str] = FEATURES,
    crop: Sequence[tuple[int, int]] | None = CROP,
) -> ImageTable:
    """Masked and cropped scans (n, 1, 64, 96, 128), features `columns`, target `Group`, group `Subject`.

    Reads `<folder>/<Subject>/brain_scan_simple.nii.gz` times `brain_mask.nii.gz`, in stored axis order, when
    a batch asks for it. Early and late MCI become MCI. Values at a measuring limit (`<200`, `>1700`) become
    the limit. Missing values stay missing: filling them in belongs after the split.

    Paper: 2403.13319, section on data. Volumes are neither normalized nor cut into hemispheres here: see
    `hemisphere` and `standardize`.

    Raises
    ------
    InputError : a column is absent, a subject appears twice, a group is unknown, a value is no number, or a
        subject's files are missing, unreadable or smaller than the crop.
    """
    folder, table = Path(folder), Path(table)
    frame = read_table(table, text_columns=("Subject", "Group"))
    for column in ("Subject", "Group", *columns):
        require_column(frame, column, file=table)
    frame = frame.loc[:, ["Subject", "Group", *columns]].copy()
    doubled = np.flatnonzero(frame["Subject"].duplicated())
    if len(doubled):
        where = f"column Subject, line {line_of(doubled[0])}"
        raise InputError("subject appears twice", file=table, field=where, remedy="keep one scan per subject")
    frame["Group"] = frame["Group"].str.strip().replace(MERGED)
    unknown = np.flatnonzero(~frame["Group"].isin(CLASSES))
    if len(unknown):
        where = f"column Group, line {line_of(unknown[0])}"
        problem = f"{frame['Group'].iloc[unknown[0]]} is no group"
        raise InputError(problem, file=table, field=where, remedy="known: CN, MCI, EMCI, LMCI, AD")
    for column in columns:
        if column != "PTGENDER":
            frame[column] = limits_to_numbers(frame[column], file=table)
    paths = [folder / str(subject).strip() for subject in frame["Subject"]]
    for i, path in enumerate(paths):
        for name in (SCAN, MASK):
            if not (path / name).exists():
                where = f"column Subject, line {line_of(i)}"
                raise InputError(f"{path / name} does not exist", file=table, field=where)
    read = _Reader(tuple(crop) if crop is not None else None)
    return ImageTable(frame, images=paths, target="Group", group="Subject", file=table, read=read)


def limits_to_numbers(column: pd.Series, *, file: str | Path | None = None) -> pd.Series:
    """A column as numbers; `<200` and `>1700` become 200 and 1700, empty cells stay missing."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    plain = column.astype("object").map(
        lambda text: str(text).strip().lstrip("<>").strip(), na_action="ignore"
    )
    numbers = pd.Series(pd.to_numeric(plain.where(plain != "", None), errors="coerce"), dtype=float)
    wrong = np.flatnonzero(numbers.isna() & plain.notna() & (plain != ""))
    if len(wrong):
        where = f"column {column.name}, line {line_of(wrong[0])}"
        problem = f"{column.iloc[wrong[0]]} is not a number"
        raise InputError(problem, file=file, field=where, remedy="write a number or leave it empty")
    return numbers


class _Reader:
    """A subject's folder -> masked, cropped scan. A class, so that sources travel between processes."""

    def __init__(self, crop: tuple[tuple[int, int], ...] | None) -> None:
        self.crop = crop

    def __call__(self, folder: Path) -> Float[Tensor, "1 h w d"]:
        scan, mask = (read_nifti(folder / name, canonical=False).array for name in (SCAN, MASK))
        if scan.shape != mask.shape:
            raise InputError(f"mask {mask.shape} does not fit scan {scan.shape}", file=folder / MASK)
        volume = scan * mask
        if self.crop is not None:
            if any(end > size for (_, end), size in zip(self.crop, volume.shape[1:])):
                problem = f"scan of {volume.shape[1:]} is smaller than the crop {self.crop}"
                raise InputError(
                    problem, file=folder / SCAN, remedy="register the scan first, or give crop=None"
                )
            volume = volume[(slice(None), *(slice(start, end) for start, end in self.crop))]
        return torch.from_numpy(np.ascontiguousarray(volume))


def hemisphere(images: Float[Tensor, "b c h w d"], *, mirrored: bool) -> Float[Tensor, "b c h w half"]:
    """One half of two-sided scans: the upper half of the last axis, or the lower one mirrored onto it.

    Paper: 2403.13319 (training takes either half at random, testing averages both).

    >>> hemisphere(torch.arange(4.0).reshape(1, 1, 1, 1, 4), mirrored=True).flatten().tolist()
    [1.0, 0.0]
    """
    width = images.shape[-1]
    if width % 2:
        raise InputError(
            f"the last axis has odd length {width}", field="image", remedy="crop it to an even length"
        )
    return (images.flip(-1) if mirrored else images)[..., width // 2 :]


def standardize(images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """Mean 0 and deviation 1 over the voxels that are not 0, which stay 0; each image and channel for itself.

    An image of a single value becomes 0 everywhere.
    """
    flat = rearrange(images, "b c ... -> b c (...)")
    inside = flat != 0
    count = inside.sum(dim=-1, keepdim=True).clamp_min(1)
    mean = flat.sum(dim=-1, keepdim=True) / count
    centered = torch.where(inside, flat - mean, 0)
    deviation = (centered.square().sum(dim=-1, keepdim=True) / count).sqrt()
    scaled = torch.where(deviation > 0, centered / deviation.clamp_min(1e-12), 0)
    return scaled.reshape(images.shape)


def write_adni(folder: str | Path, frame: pd.DataFrame, scans: np.ndarray, masks: np.ndarray) -> Path:
    """Write scans and masks (n, x, y, z) and the table `adnimerge.csv`; returns the table's path."""
    folder = Path(folder)
    for subject, scan, mask in zip(frame["Subject"], scans, masks):
        for name, values in ((SCAN, scan), (MASK, mask)):
            picture = Picture(array=np.asarray(values, np.float32)[None], kind="nifti", affine=np.eye(4))
            write_nifti(folder / str(subject) / name, picture)
    write_table(folder / "adnimerge.csv", frame)
    return folder / "adnimerge.csv"

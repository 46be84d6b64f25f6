"""A torso as files: NIfTI volumes with affine in mm, names of labels, the person.

hu.nii.gz        CT numbers, int16 (rounded to 1 HU)
labels.nii.gz    tissues, uint8; findings.nii.gz: findings, uint8
labels.json      {"labels": {number: name}, "findings": {number: name}}
person.json      the person and the findings asked for, with the center and volume of each
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.worlds.torso.findings import Finding, Lesion
from visus.data.worlds.torso.labels import FINDINGS, LABELS
from visus.data.worlds.torso.people import Person
from visus.data.worlds.torso.volume import Torso
from visus.errors import InputError
from visus.extras import need
from visus.records import from_plain, read_json, to_plain, write_atomically, write_json

_VOLUMES = {"hu": np.int16, "labels": np.uint8, "findings": np.uint8}


def write_torso(folder: str | Path, torso: Torso) -> Path:
    """Write the files above into a folder, which is made if need be."""
    folder = Path(folder)
    for name, kind in _VOLUMES.items():
        values = getattr(torso, name)
        values = np.rint(values) if name == "hu" else values
        _write_volume(folder / f"{name}.nii.gz", values.astype(kind), torso.affine)
    names = {"labels": LABELS, "findings": FINDINGS}
    write_json(
        folder / "labels.json",
        {kind: {str(number): name for name, number in table.items()} for kind, table in names.items()},
    )
    lesions = [
        {**to_plain(lesion.finding), "center_mm": lesion.center_mm, "volume_ml": lesion.volume_ml}
        for lesion in torso.lesions
    ]
    write_json(folder / "person.json", {"person": to_plain(torso.person), "findings": lesions})
    return folder


def read_torso(folder: str | Path) -> Torso:
    """Read what `write_torso` wrote; axes are brought to RAS.

    Raises
    ------
    InputError : a file is absent or broken, volumes differ in shape or place, labels have other numbers.
    MissingExtra : nibabel is not installed.
    """
    folder = Path(folder)
    read = {name: _read_volume(folder / f"{name}.nii.gz") for name in _VOLUMES}
    hu, affine = read["hu"]
    for name, (values, other) in read.items():
        if values.shape != hu.shape or not np.allclose(other, affine, atol=1e-3):
            raise InputError("differs in shape or place from hu.nii.gz", file=folder / f"{name}.nii.gz")
    names = read_json(folder / "labels.json")
    wanted = {str(number): name for name, number in LABELS.items()}
    if not isinstance(names, dict) or names.get("labels") != wanted:
        raise InputError("names other labels than this version", file=folder / "labels.json", field="labels")
    told = read_json(folder / "person.json")
    if not isinstance(told, dict) or "person" not in told:
        raise InputError("holds no person", file=folder / "person.json", field="person")
    person = from_plain(Person, told["person"], file=folder / "person.json")
    found = read["findings"][0]
    lesions = tuple(_lesion(row, found, folder / "person.json") for row in told.get("findings", []))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return Torso(
        hu=hu.astype(np.float32),
        labels=read["labels"][0].astype(np.uint8),
        findings=read["findings"][0].astype(np.uint8),
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        affine=affine,
        person=person,
        lesions=lesions,
    )


def _lesion(row: Any, found: np.ndarray, file: Path) -> Lesion:
    """A finding with the voxels of its kind; kinds that overlap or repeat are not told apart in the file."""
    plain = dict(row)
    try:
        x, y, z = (float(value) for value in plain.pop("center_mm"))
        volume = float(plain.pop("volume_ml"))
    except (KeyError, TypeError, ValueError):
        raise InputError("has no center_mm and volume_ml", file=file, field="findings") from None
    finding = from_plain(Finding, plain, file=file)
    mask = found == FINDINGS[finding.kind]
    return Lesion(finding=finding, mask=mask, center_mm=(x, y, z), volume_ml=volume)


def _write_volume(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    nibabel = need("nibabel", extra="medical", purpose="writing NIfTI volumes")
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    write_atomically(path, gzip.compress(image.to_bytes(), 5, mtime=0))


def _read_volume(path: Path) -> tuple[np.ndarray, np.ndarray]:
    nibabel = need("nibabel", extra="medical", purpose="reading NIfTI volumes")
    if not path.is_file():
        raise InputError("does not exist", file=path, remedy="give a folder written by write_torso")
    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        values = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"is not a NIfTI volume ({type(error).__name__})", file=path) from None
    if values.ndim != 3:
        raise InputError(f"has {values.ndim} axes", file=path, remedy="give a volume of three axes")
    return values, np.asarray(image.affine, dtype=np.float64)

"""Images that a command is given: which they are, and each opened for the model and for the eye."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from visus.data.gaze.placement import Placement
    from visus.data.gaze.table import View

Invert = Literal["auto", "yes", "no"]
LEAST_SIDE = 16
"""Of pictures that can be judged by their brightness."""
INVERTED = "looked inverted (dense dark) and was turned over"
SUSPECT = "looks inverted (dense dark); --invert auto turns it over"
OTHERS = ("CT", "MR", "US", "PT", "NM", "MG", "XA", "IO", "PX", "ES", "SM", "OP", "XC")
"""DICOM modalities that are no radiographs of the chest; anything else in that field is not repeated."""
MASKS = "audio_segmentation_transcripts"
"""Folder of EGD-CXR with pictures that are no radiographs."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An image by the name under which it is told, and a name for files made of it that no other image has."""

    name: str
    path: Path
    stem: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A radiograph in its own size, as the model sees it, and where in the model's view it lies."""

    picture: np.ndarray
    """(h, w) in 0..1, bright for dense."""
    seen: Tensor
    """(1, high, wide)."""
    placement: Placement
    notes: list[str] = field(default_factory=list)
    burned_in: bool = False
    """The file says that its pixels show text that identifies the patient."""

    def cut(self, map: Any) -> np.ndarray:
        """A map (high, wide) on the model's view without what lies beside the image."""
        placed = self.placement
        rows = slice(placed.top, placed.top + placed.content[0])
        columns = slice(placed.left, placed.left + placed.content[1])
        return map.detach().cpu().double().numpy()[rows, columns]


def list_images(
    data: Path, *, image_column: str | None = None, besides: Sequence[Path | None] = ()
) -> list[Listed]:
    """The images of a folder (with its sub-folders), of a table, or one file.

    Parameters
    ----------
    besides : folders that hold outputs, passed over.

    Raises
    ------
    InputError : absent, or without any image.
    """
    if not data.exists():
        raise InputError("does not exist", file=data, remedy="give an image, a folder of images, or a table")
    if data.is_file():
        pairs = list(_of_table(data, image_column)) if is_table(data) else [(data.name, data)]
    else:
        left_out = {path.resolve() for path in besides if path is not None}
        pairs = [(path.relative_to(data).as_posix(), path) for path in _walk(data, left_out)]
    if not pairs:
        raise InputError("holds no image", file=data, remedy="give DICOM, PNG, JPEG, TIFF or NumPy files")
    stems = _different([_stem(path) for _, path in pairs])
    return [Listed(name=name, path=path, stem=stem) for (name, path), stem in zip(pairs, stems, strict=True)]


def is_table(path: Path) -> bool:
    """Whether a file is a table by its ending."""
    return path.suffix.lower() in (".csv", ".tsv", ".txt")


def open_image(path: Path, view: View, *, invert: Invert = "no") -> Opened:
    """Read a radiograph and bring it to the model's view.

    Raises
    ------
    InputError : the file cannot be read, or is not one flat picture.
    """
    from visus.data.formats.dicom import looks_inverted
    from visus.data.gaze.placement import Placement
    from visus.data.gaze.radiograph import read_radiograph

    image, notes = read_radiograph(path), []
    suspect = invert != "yes" and min(image.shape[-2:]) >= LEAST_SIDE and looks_inverted(image)
    if invert == "yes" or (invert == "auto" and suspect):
        image = 1 - image
    if suspect:
        notes.append(INVERTED if invert == "auto" else SUSPECT)
    if float(image.max()) == float(image.min()):
        notes.append("every pixel has the same value")
    modality, burned = _told(path)
    if modality in OTHERS:
        notes.append(f"says modality {modality}: is this a chest radiograph?")
    if burned:
        notes.append("says that text is burned into its pixels; so it is in pictures of it")
    size = (int(image.shape[-2]), int(image.shape[-1]))
    placement = Placement.of(size, view.image_size, view.fit)
    seen = placement.picture(image[None])[0]
    return Opened(picture=image[0].numpy(), seen=seen, placement=placement, notes=notes, burned_in=burned)


def _walk(folder: Path, left_out: set[Path]) -> Iterator[Path]:
    from visus.data.formats import EXTENSIONS

    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == MASKS or path.resolve() in left_out:
            continue
        if path.is_dir():
            yield from _walk(path, left_out)
        elif path.name.lower().endswith(EXTENSIONS) or (not path.suffix and _is_dicom(path)):
            yield path


def _told(path: Path) -> tuple[str, bool]:
    """What a DICOM file says of itself: its modality, and whether text is burned into its pixels."""
    if not _is_dicom(path):
        return "", False
    import pydicom

    tags = ["Modality", "BurnedInAnnotation"]
    dataset = pydicom.dcmread(path, specific_tags=tags, stop_before_pixels=True)
    return str(dataset.get(tags[0]) or ""), dataset.get(tags[1]) == "YES"


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _of_table(table: Path, image_column: str | None) -> Iterator[tuple[str, Path]]:
    from visus.data.corpora.image_folder import load_image_csv

    source = load_image_csv(table, image_column=image_column, require_target=False)
    for path in source.paths or ():
        inside = path.is_relative_to(table.parent)
        yield (path.relative_to(table.parent).as_posix() if inside else str(path)), path


def _stem(path: Path) -> str:
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem if path.suffix else name


def _different(stems: Sequence[str]) -> list[str]:
    """Names made different by numbers where they are not, whatever the case of their letters."""
    taken: dict[str, str] = {}
    for stem in stems:
        candidates = (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1))
        chosen = next(word for word in candidates if word.casefold() not in taken)
        taken[chosen.casefold()] = chosen
    return list(taken.values())

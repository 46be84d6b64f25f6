"""Images through the model: a row of numbers for each, and what is drawn of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.methods.chestxray.verbs.images import Invert, Listed, Opened, open_image
from visus.protocols import Batch
from visus.records import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from visus.data.gaze.table import GazeTable
    from visus.methods.chestxray.estimator import ChestXrayReader


class Reader:
    """Reads images, asks the model, writes pictures.

    Parameters
    ----------
    made : the fitted model.
    pictures, dicom : folders to draw into; None draws nothing there.
    invert : see `open_image`.
    """

    def __init__(
        self,
        made: ChestXrayReader,
        *,
        pictures: Path | None = None,
        dicom: Path | None = None,
        invert: Invert = "no",
    ) -> None:
        self.made, self.pictures, self.dicom = made, pictures, dicom
        self.invert: Invert = invert
        self.view = made.view

    def rows(self, listed: Sequence[Listed], *, forgiving: bool = True) -> list[dict[str, Any]]:
        """A row per image, in order; pictures are written on the way.

        Raises
        ------
        InputError : a file cannot be read, unless `forgiving`: then its row says why.
        """
        opened: dict[int, Opened] = {}
        problems: dict[int, str] = {}
        for place, item in enumerate(listed):
            try:
                opened[place] = self.open(item)
            except InputError as error:
                if not forgiving:
                    raise
                problems[place] = (
                    error.problem if error.remedy is None else f"{error.problem}; {error.remedy}"
                )
        rows = {
            place: {"image": listed[place].name, "note": "", "problem": why}
            for place, why in problems.items()
        }
        if opened:
            found = self.ask(list(opened.values()))
            for number, (place, image) in enumerate(opened.items()):
                one = {name: values[number] for name, values in found.items() if name != "name"}
                rows[place] = self._row(listed[place], image, one)
                self._draw(listed[place], image, one)
        return [rows[place] for place in range(len(listed))]

    def open(self, item: Listed) -> Opened:
        """One image, as the model will see it."""
        return open_image(item.path, self.view, invert=self.invert)

    def ask(self, opened: Sequence[Opened]) -> dict[str, Any]:
        """What the model says of images, with Grad-CAM of the predicted class as `evidence` where it is drawn."""
        import torch

        batch = {"image": torch.stack([image.seen for image in opened])}
        found = self.made.predict(batch)
        if self.pictures is not None and has_evidence(self.made):
            found["evidence"] = self.made.grad_cam(batch)
        return found

    def _row(self, item: Listed, image: Opened, one: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {"image": item.name}
        if "probabilities" in one:
            shares = [float(share) for share in one["probabilities"]]
            classes = self.made.classes_
            best = int(np.argmax(shares))
            row |= {"label": classes[best], "probability": shares[best]}
            row |= {f"p_{name}": share for name, share in zip(classes, shares, strict=True)}
        if "density" in one:
            row |= where(normalized(image.cut(one["density"])))
        return {**row, "note": "; ".join(image.notes), "problem": ""}

    def _draw(self, item: Listed, image: Opened, one: dict[str, Any]) -> None:
        from visus.methods.chestxray.figures.overlay import overlay, png

        if self.pictures is None and self.dicom is None:
            return
        density = normalized(image.cut(one["density"])) if "density" in one else None
        said = self._said(one)
        if density is not None:
            drawn = overlay(image.picture, density, words="predicted gaze")
        elif "evidence" in one:
            drawn = overlay(
                image.picture, image.cut(one["evidence"]), words=f"Grad-CAM of {said}", line=False
            )
        else:
            drawn = overlay(image.picture, None, words=said)
        if self.dicom is not None:
            _write_capture(self.dicom / f"{item.stem}.dcm", drawn, burned_in=image.burned_in)
        if self.pictures is None:
            return
        start = self.pictures / item.stem
        if density is not None:
            write_atomically(_ended(start, "-gaze.png"), png(drawn))
            write_atomically(_ended(start, "-density.npy"), npy(density))
            gray = np.rint(255 * density / max(density.max(), 1e-30)).astype(np.uint8)
            write_atomically(_ended(start, "-density.png"), png(gray))
        if "evidence" in one:
            map = image.cut(one["evidence"])
            words = f"Grad-CAM of {said}"
            write_atomically(
                _ended(start, "-gradcam.png"), png(overlay(image.picture, map, words=words, line=False))
            )

    def _said(self, one: dict[str, Any]) -> str:
        if "probabilities" not in one:
            return "radiograph"
        best = int(one["probabilities"].argmax())
        return f"{self.made.classes_[best]} ({float(one['probabilities'][best]):.2f})"


def _write_capture(path: Path, drawn: np.ndarray, *, burned_in: bool) -> None:
    """A drawing as a DICOM secondary capture that says nothing of the patient."""
    from visus.data.formats.dicom import write_dicom
    from visus.data.formats.picture import Picture

    rgb = np.moveaxis(drawn, -1, 0).astype(np.float32) / 255
    meta = {"BurnedInAnnotation": "YES"} if burned_in else {}
    picture = Picture(array=rgb, kind="dicom", meta=meta)
    derivation = "Map drawn over a radiograph by visus chestxray; for research, not for diagnosis"
    write_dicom(path, picture, bits=8, series="Predicted gaze", derivation=derivation)


def has_evidence(made: ChestXrayReader) -> bool:
    """Whether there is a dense encoder for Grad-CAM to look at, and a diagnosis to explain."""
    return made.abilities_.diagnosis is not None and hasattr(made.net_, "backbone")


def picture_of(
    source: GazeTable, item: int, batch: Batch
) -> tuple[Float[np.ndarray, "h w"], Callable[[Tensor], Float[np.ndarray, "y x"]]]:
    """An item's radiograph in its own size, and what cuts a map on the view down to it.

    `batch` holds that one item; its picture is shown where the source keeps no files.
    """
    if source.paths is not None:
        opened = open_image(source.paths[item], source.view)
        return opened.picture, opened.cut
    return batch["image"][0, 0].double().numpy(), lambda map: map.detach().cpu().double().numpy()


def normalized(density: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """A map whose pixels sum to 1; an even one where it is zero."""
    total = float(density.sum())
    return density / total if total > 0 else np.full(density.shape, 1 / density.size)


def where(density: Float[np.ndarray, "h w"]) -> dict[str, float]:
    """Where a map peaks, as shares of width and height, and what lies in the picture's halves.

    A column in the middle counts half for either.

    >>> where(np.array([[0.0, 0.0, 0.0, 1.0]]))
    {'gaze_x': 0.875, 'gaze_y': 0.5, 'gaze_left': 0.0, 'gaze_right': 1.0}
    """
    high, wide = density.shape
    row, column = np.unravel_index(int(density.argmax()), density.shape)
    left = np.clip(wide / 2 - np.arange(wide), 0, 1)
    share = float((density.sum(0) * left).sum() / density.sum())
    return {
        "gaze_x": (float(column) + 0.5) / wide,
        "gaze_y": (float(row) + 0.5) / high,
        "gaze_left": share,
        "gaze_right": 1 - share,
    }


def npy(values: np.ndarray) -> bytes:
    """An array as float32 in a NumPy file."""
    buffer = io.BytesIO()
    np.save(buffer, values.astype(np.float32), allow_pickle=False)
    return buffer.getvalue()


def _ended(start: Path, ending: str) -> Path:
    return start.with_name(start.name + ending)

"""Shapes of real lungs in frontal radiographs: a mean outline and its main modes of variation.

Origin: lung masks of the COVID-19 X-ray data set of V7 (github.com/v7labs/covid-19-xray-dataset; annotations
under CC BY 4.0), as packaged in torchxrayvision 1.5.7 (`data/semantic_masks_v7labs_lungs.zip`; library under
Apache 2.0). Annotators drew both lungs including what lies behind the heart, down to the diaphragm. The
package holds no image and no mask, only the statistics in `lung_shapes.yaml`; `fit_lung_shapes` recomputes
them.

Method: point distribution model (Cootes et al., "Active shape models", CVIU 1995): outlines sampled between
three landmarks (apex, lateral and medial corner of the base), generalized Procrustes alignment of both lungs
together, principal components. Unit of length: the mean height of a lung.
"""

from __future__ import annotations

import functools
import importlib.metadata
import io
import zipfile
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from visus.errors import InputError
from visus.records import record, write_atomically

POINTS = (16, 10, 14)
"""Points on the lateral edge, the base and the medial edge of one lung."""
MODES = 8
LIMIT_SD = 2.5
_PIXELS = 320  # longer side at which outlines are traced
_SPECK = 0.01  # of the larger lung
_DIGITS = 1e-4


@record
class LungShapes:
    """Statistics of outlines: right lung first; x grows to the person's right, z upward; mean height is 1.

    `mean` is (2 * points, 2) flattened, `modes` one row per mode, scaled to one standard deviation.
    """

    mean: tuple[float, ...]
    modes: tuple[tuple[float, ...], ...]
    explained: float
    """Share of the variance that the modes hold."""
    masks: int
    """Masks that the statistics rest on."""

    def outline(self, scores: tuple[float, ...]) -> Float[np.ndarray, "2 n 2"]:
        """Right and left lung as closed polygons (x, z) for scores in standard deviations, cut at +-2.5."""
        if len(scores) != len(self.modes):
            raise InputError(f"has {len(scores)} scores", field="scores", remedy=f"give {len(self.modes)}")
        cut = np.clip(np.asarray(scores, dtype=np.float64), -LIMIT_SD, LIMIT_SD)
        return (np.asarray(self.mean) + cut @ np.asarray(self.modes)).reshape(2, -1, 2)


@dataclass(frozen=True, kw_only=True)
class LungMasks:
    """Masks read: outlines of right and left lung in pixels (x to the person's right, z up), and what was not used."""

    outlines: Float[np.ndarray, "m 2 n 2"]
    rejected: Counter[str]


@functools.cache
def lung_shapes() -> LungShapes:
    """The statistics that come with the library."""
    import yaml

    plain = yaml.safe_load(
        resources.files("visus.data.worlds.torso").joinpath("lung_shapes.yaml").read_text("utf-8")
    )
    rows = [np.array(text.split(), dtype=np.float64) * _DIGITS for text in (plain["mean"], *plain["modes"])]
    mean, *modes = (tuple(row.round(4).tolist()) for row in rows)
    return LungShapes(mean=mean, modes=tuple(modes), explained=plain["explained"], masks=plain["masks"])


def write_lung_shapes(path: str | Path, shapes: LungShapes) -> None:
    """Write the statistics in units of 1/10,000 of a lung's height, with their origin."""

    def numbers(row: tuple[float, ...]) -> str:
        return '"' + " ".join(str(round(value / _DIGITS)) for value in row) + '"'

    lines = [
        "# Mean and modes (one standard deviation) of lung outlines in frontal radiographs, x and z in turn.",
        "# Computed by visus.data.worlds.torso.lungs.fit_lung_shapes from the lung masks of the V7 COVID-19 X-ray",
        "# data set (annotations CC BY 4.0) as packaged in torchxrayvision 1.5.7 (Apache 2.0).",
        f"masks: {shapes.masks}",
        f"explained: {shapes.explained:.4f}",
        f"mean: {numbers(shapes.mean)}",
        "modes:",
        *(f"  - {numbers(mode)}" for mode in shapes.modes),
    ]
    write_atomically(Path(path), "\n".join(lines) + "\n")


def packaged_masks() -> Path | None:
    """Where torchxrayvision keeps the masks, without importing it; None when it is not installed."""
    try:
        files = importlib.metadata.distribution("torchxrayvision").files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(f.locate())) for f in files if f.name == "semantic_masks_v7labs_lungs.zip")
    return next((path for path in found if path.is_file()), None)


def fit_lung_shapes(archive: str | Path, *, modes: int = MODES) -> LungShapes:
    """Statistics of the lung masks in a zip archive of images (255 lung, 127 ignored, 0 other).

    Raises
    ------
    InputError : no zip archive, or fewer than 3 masks per mode in it.
    """
    read = read_lung_masks(archive)
    if len(read.outlines) < 3 * modes:
        problem = f"holds {len(read.outlines)} usable lung masks, too few for {modes} modes"
        raise InputError(problem, file=archive, remedy="give an archive of frontal lung masks")
    shapes = _aligned(read.outlines.reshape(len(read.outlines), -1, 2))
    rows = shapes.reshape(len(shapes), -1)
    mean = rows.mean(0)
    _, scale, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    scaled = axes[:modes] * (scale[:modes, None] / np.sqrt(len(rows) - 1))
    return LungShapes(
        mean=tuple(mean.tolist()),
        modes=tuple(tuple(row) for row in scaled.tolist()),
        explained=float((scale[:modes] ** 2).sum() / (scale**2).sum()),
        masks=len(rows),
    )


def read_lung_masks(archive: str | Path) -> LungMasks:
    """Outlines of all masks that show two whole lungs; the others are counted by reason."""
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"is not a zip archive ({type(error).__name__})", file=archive) from None
    outlines, rejected = [], Counter()
    with opened:
        for name in sorted(opened.namelist()):
            if name.endswith("/"):
                continue
            found = _two_lungs(_mask(opened.read(name), f"{archive}: {name}"))
            if isinstance(found, str):
                rejected[found] += 1
            else:
                outlines.append([_resampled(_outline(lung), side) for lung, side in zip(found, (1, -1))])
    return LungMasks(outlines=np.array(outlines).reshape(len(outlines), 2, sum(POINTS), 2), rejected=rejected)


def _mask(content: bytes, name: str) -> UInt8[np.ndarray, "h w"]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            values = np.asarray(image.convert("L"))
    except OSError as error:
        raise InputError(f"cannot be read as an image ({type(error).__name__})", file=name) from None
    step = max(1, round(max(values.shape) / _PIXELS))
    return values[::step, ::step]


def _two_lungs(values: UInt8[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray] | str:
    """Masks of the right and the left lung, or why there are none. The right lung is at the image's left."""
    inside = values == 255
    if not inside.any():
        return "no lungs"
    if (values == 127).any():
        return "ignored areas"
    codes = np.asarray(ndimage.label(inside)[0])  # type: ignore[index]
    areas = np.bincount(codes.ravel())[1:]
    whole = np.flatnonzero(areas > _SPECK * areas.max()) + 1
    if len(whole) != 2:
        return "not two components"
    lungs = sorted((codes == code for code in whole), key=lambda lung: np.nonzero(lung)[1].mean())
    right, left = lungs
    height = [np.ptp(np.nonzero(lung)[0]) + 1 for lung in lungs]
    width = np.ptp(np.nonzero(inside)[1]) + 1
    if not 0.6 < right.sum() / left.sum() < 1.5 or not 0.75 < height[0] / height[1] < 1.25:
        return "unequal lungs"
    if not 0.85 < width / max(height) < 1.75:
        return "odd proportions"
    if max(row.mean() for row in (inside[0], inside[-1])) > 0.05:
        return "cut off"
    return right, left


def _outline(lung: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Corners of the border pixels in order as (x, z): a walk along pixel edges, the lung at its right hand."""
    padded = np.pad(lung, 1)
    row, column = divmod(int(padded.argmax()), padded.shape[1])
    pixels, start, down, along = padded.tolist(), (row, column), 0, 1
    corners = [start]
    while True:
        row, column = row + down, column + along
        if (row, column) == start:
            break
        corners.append((row, column))
        if not pixels[row + (down + along - 1) // 2][column + (along - down - 1) // 2]:
            down, along = along, -down  # nothing ahead at the right hand: turn right
        elif pixels[row + (down - along - 1) // 2][column + (along + down - 1) // 2]:
            down, along = -along, down
    return -np.array(corners, dtype=np.float64)[:, ::-1]


def _resampled(outline: Float[np.ndarray, "n 2"], side: int) -> Float[np.ndarray, "m 2"]:
    """`POINTS` at equal distances between the landmarks; `side` is 1 for the right lung, -1 for the left."""
    x, z = outline[:, 0] * side, outline[:, 1]
    apex, lateral, medial = (int(np.argmax(way)) for way in (z, 0.6 * x - z, -x - z))
    n = len(outline)
    turned = np.roll(outline, -apex, axis=0)
    lateral, medial = (lateral - apex) % n, (medial - apex) % n
    if lateral > medial:
        turned, lateral, medial = np.roll(turned[::-1], 1, axis=0), n - lateral, n - medial
    closed = np.concatenate([turned, turned[:1]])
    pieces = []
    for (first, last), count in zip(((0, lateral), (lateral, medial), (medial, n)), POINTS):
        piece = closed[first : last + 1]
        way = np.concatenate([[0.0], np.linalg.norm(np.diff(piece, axis=0), axis=1).cumsum()])
        at = np.linspace(0, way[-1], count, endpoint=False)
        pieces.append(np.stack([np.interp(at, way, piece[:, axis]) for axis in (0, 1)], axis=1))
    return np.concatenate(pieces)


def _aligned(shapes: Float[np.ndarray, "m n 2"], rounds: int = 5) -> Float[np.ndarray, "m n 2"]:
    """Shapes without place, size and rotation (generalized Procrustes); mean height of the mean's lungs is 1.

    The mean is turned so that its two lungs' centers lie level.
    """
    shapes = shapes - shapes.mean(1, keepdims=True)
    shapes = shapes / np.linalg.norm(shapes, axis=(1, 2), keepdims=True)
    mean = shapes[0]
    for _ in range(rounds):
        mean = _level(mean)
        u, _, v = np.linalg.svd(np.swapaxes(shapes, 1, 2) @ mean)
        sign = np.sign(np.linalg.det(u @ v))
        u[:, :, 1] *= sign[:, None]  # rotations only, no reflections
        shapes = shapes @ (u @ v)
        mean = shapes.mean(0)
        mean /= np.linalg.norm(mean)
    height = np.ptp(shapes.mean(0).reshape(2, -1, 2)[:, :, 1], axis=1).mean()
    return shapes / height


def _level(shape: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    right, left = shape.reshape(2, -1, 2).mean(1)
    x, z = (right - left) / np.linalg.norm(right - left)
    return shape @ np.array([[x, -z], [z, x]])

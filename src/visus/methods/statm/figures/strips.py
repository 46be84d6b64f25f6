"""Videos frame by frame with the segments that slots make of them, and who held which object when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from visus.drawing import FAINT, QUIET, SERIES, drawing, headline, svg
from visus.errors import InputError
from visus.metrics import overlaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = len(SERIES)
"""Objects told apart by color; later ones repeat the colors."""
GAP = 3
"""White pixels between frames."""
Maps = Integer[Tensor, "t h w"]


def draw_strip(
    video: UInt8[Tensor, "t 3 h w"],
    maps: Mapping[str, Maps],
    *,
    frames: Sequence[int] | None = None,
    title: str = "",
) -> str:
    """Some frames of a video, and below them the same frames under each map of segments, as SVG text.

    Object i (id i + 1) has the same color in every row; the background keeps its picture, faded.

    Parameters
    ----------
    video : the frames.
    maps : name of a row -> ids, for example the truth and the predictions of several models.
    frames : which to draw; up to eight at equal distances where None.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : a map of another shape, or a frame that the video does not have.
    """
    count = len(video)
    chosen = list(frames) if frames is not None else _spread(count, 8)
    if not chosen or not all(0 <= frame < count for frame in chosen):
        raise InputError(f"{chosen} are not within its {count} frames", field="frames")
    _check(video, maps)
    picture = video[chosen].permute(0, 2, 3, 1).numpy().astype(float) / 255
    rows = {"video": picture}
    for name, ids in maps.items():
        rows[name] = _painted(picture, ids[chosen].numpy())
    height, width = picture.shape[1:3]
    side = 5.4 / len(chosen)
    with drawing((side * height / width + 0.1) * len(rows) + 0.45 + (0.25 if title else 0)) as figure:
        axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axis, (name, shown) in zip(axes, rows.items(), strict=True):
            axis.imshow(_beside(shown), interpolation="none")
            axis.set(yticks=[], xticks=[])
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.spines[:].set_visible(False)
        middles = [(width + GAP) * place + width / 2 for place in range(len(chosen))]
        axes[-1].set_xticks(middles, [str(frame) for frame in chosen])
        axes[-1].tick_params(length=0)
        axes[-1].set_xlabel("frame")
        headline(figure, title)
        return svg(figure)


def draw_timeline(truth: Maps, maps: Mapping[str, Maps], *, title: str = "") -> str:
    """Which slot covers each object best, frame by frame, as SVG text.

    One band per object; in it one line per map. A cell has the color of the object that the slot stands for,
    so a band of one color kept its identity; gray is the background's slot, white a frame that hides the
    object.

    Parameters
    ----------
    truth : ids of the objects.
    maps : name -> ids that models gave; slot i + 1 stands for object i.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : a map of another shape, or no object.
    """
    _check(truth, maps)
    objects = int(truth.max())
    if objects == 0 or not maps:
        raise InputError("shows no object" if maps else "is empty", field="truth, maps")
    tables = {name: overlaps(truth[None], ids[None], objects=objects)[0, :, 1:] for name, ids in maps.items()}
    with drawing(0.75 + (0.2 * len(maps) + 0.12) * objects + (0.25 if title else 0)) as figure:
        axes = figure.subplots()
        ticks = []
        for i in range(objects):
            for line, (name, table) in enumerate(tables.items()):
                row = i * (len(maps) + 0.6) + line
                ticks.append((row, f"object {i + 1}, {name}" if line == 0 else name))
                _cells(axes, row, table[:, i], i)
        axes.set_yticks([row for row, _ in ticks], [label for _, label in ticks])
        axes.set(xlim=(-0.5, len(truth) - 0.5), ylim=(ticks[-1][0] + 0.6, -0.6), xlabel="frame")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        headline(figure, title)
        return svg(figure)


def _cells(axes: Axes, row: float, shares: Integer[Tensor, "t k"], i: int) -> None:
    """One line: the best slot of every frame that shows the object."""
    for frame, share in enumerate(shares):
        seen = int(share.sum()) > 0
        slot = int(share.argmax())
        color = "white" if not seen else FAINT if slot == 0 else SERIES[(slot - 1) % MOST]
        axes.barh(row, 1, left=frame - 0.5, height=0.86, color=color, edgecolor="white", linewidth=0.6)
        if not seen:
            axes.plot([frame - 0.25, frame + 0.25], [row, row], color=QUIET, linewidth=0.7)


def _painted(picture: Float[np.ndarray, "t h w 3"], ids: Integer[np.ndarray, "t h w"]) -> np.ndarray:
    from matplotlib.colors import to_rgb

    shown = 0.35 * picture + 0.65
    for i in np.unique(ids[ids > 0]):
        color = np.array(to_rgb(SERIES[(int(i) - 1) % MOST]))
        shown[ids == i] = 0.3 * picture[ids == i] + 0.7 * color
    return shown


def _beside(shown: Float[np.ndarray, "t h w 3"]) -> Float[np.ndarray, "h x 3"]:
    wide = np.pad(shown, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=1.0)
    return np.concatenate(list(wide), axis=1)[:, :-GAP]


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _check(like: Tensor, maps: Mapping[str, Maps]) -> None:
    shape = (len(like), *like.shape[-2:])
    for name, ids in maps.items():
        if tuple(ids.shape) != shape:
            raise InputError(f"has shape {tuple(ids.shape)}, expected {shape}", field=f"maps, {name}")

"""Scenes: slots over pictures beside the lines of the program, and what a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from visus.drawing import GRAY, GREEN, INK, QUIET, SERIES, VERMILION, drawing, headline, svg
from visus.errors import InputError

TINT = 0.55
LINE = 0.155
"""Inches per line of a program."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture with its program.

    image : (3, h, w), 0..1.
    slots : slot of every pixel.
    objects : the program.
    carried : slot of each object, -1 for none.
    """

    image: Float[np.ndarray, "3 h w"]
    slots: Int[np.ndarray, "h w"]
    objects: Sequence[Mapping[str, Any]]
    carried: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Found:
    """One search for pictures.

    query : the program searched for.
    images : the pictures found, best first.
    right : place of the right one among them, from 0; None if it is not there.
    rank : its place in the whole gallery, from 1.
    """

    query: Sequence[Mapping[str, Any]]
    images: Sequence[Float[np.ndarray, "3 h w"]]
    right: int | None
    rank: int


def draw_grounding(scenes: Sequence[Scene], *, title: str = "") -> str:
    """A row per scene: the picture, its slots in colors, and the program, each line marked by its slot.

    Slots that no object chose stay gray.

    Raises
    ------
    InputError : no scene.
    """
    if not scenes:
        raise InputError("has no scene", field="scenes", remedy="give at least one")
    heights = [max(1.35, LINE * (len(scene.objects) + 1.5)) for scene in scenes]
    with drawing(sum(heights) + 0.35) as figure:
        panels = figure.subplots(
            len(scenes), 3, squeeze=False, width_ratios=(1, 1, 2.6), height_ratios=heights
        )
        for (left, middle, right), scene, height in zip(panels, scenes, heights):
            colors = _colors(scene)
            for panel in (left, middle, right):
                panel.axis("off")
            _show(left, np.moveaxis(scene.image, 0, -1).clip(0, 1))
            _show(middle, _tinted(scene, colors))
            _program(right, scene, colors, height)
        headline(figure, title)
        return svg(figure)


def draw_retrieval(searches: Sequence[Found], *, title: str = "") -> str:
    """A row per search: the program, and the pictures found, the right one framed green and wrong ones red.

    Raises
    ------
    InputError : no search.
    """
    if not searches:
        raise InputError("has no search", field="searches", remedy="give at least one")
    most = max(len(search.images) for search in searches)
    heights = [max(1.15, LINE * (len(search.query) + 2)) for search in searches]
    with drawing(sum(heights) + 0.4, width=7.2) as figure:
        ratios = (2.4, *[1.0] * most)
        panels = figure.subplots(
            len(searches), most + 1, squeeze=False, width_ratios=ratios, height_ratios=heights
        )
        for row, search, height in zip(panels, searches, heights):
            row[0].axis("off")
            lines = [told(thing) for thing in search.query]
            _lines(
                row[0],
                [*lines, f"right picture: place {search.rank:,}"],
                [INK] * len(lines) + [QUIET],
                height,
            )
            for place, panel in enumerate(row[1:]):
                panel.set(xticks=[], yticks=[])
                if place >= len(search.images):
                    panel.axis("off")
                    continue
                _show(panel, np.moveaxis(search.images[place], 0, -1).clip(0, 1))
                panel.spines[:].set(visible=True, color=GREEN if place == search.right else VERMILION)
                panel.spines[:].set_linewidth(2.5 if place == search.right else 1.0)
        headline(figure, title)
        return svg(figure)


def told(thing: Mapping[str, Any]) -> str:
    """An object in one line, as its XML element holds it.

    >>> told({"shape": "cube", "color": "red", "position": (0.5, 1.0, 0.0)})
    'cube red (0.5, 1.0, 0.0)'
    """
    words = []
    for value in thing.values():
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, tuple | list):
            words.append("(" + ", ".join(f"{number:.1f}" for number in value) + ")")
        else:
            words.append(f"{value:.1f}")
    return " ".join(words)


def _show(panel: Any, picture: Float[np.ndarray, "h w 3"]) -> None:
    # a clip is named after its exact place, whose last digits vary with the layout's solver
    panel.imshow(picture, interpolation="nearest").set_clip_on(False)


def _colors(scene: Scene) -> dict[int, str]:
    chosen = sorted({slot for slot in scene.carried if slot >= 0})
    return {slot: SERIES[place % (len(SERIES) - 1)] for place, slot in enumerate(chosen)}


def _tinted(scene: Scene, colors: Mapping[int, str]) -> Float[np.ndarray, "h w 3"]:
    from matplotlib.colors import to_rgb

    picture = np.moveaxis(scene.image, 0, -1).clip(0, 1)
    gray = picture.mean(-1, keepdims=True)
    slots = np.unique(scene.slots)
    tints = {int(slot): np.array(to_rgb(colors.get(int(slot), GRAY))) for slot in slots}
    paint = np.stack([tints[int(slot)] for slot in slots])[np.searchsorted(slots, scene.slots)]
    return gray * (1 - TINT) + paint * TINT


def _program(panel: Any, scene: Scene, colors: Mapping[int, str], height: float) -> None:
    order = sorted(range(len(scene.objects)), key=lambda i: (scene.carried[i], i))
    lines, inks = [], []
    for i in order:
        slot = scene.carried[i]
        name = f"slot {slot + 1}" if slot >= 0 else "no slot"
        lines.append(f"{name}: {told(scene.objects[i])}")
        inks.append(colors.get(slot, QUIET))
    _lines(panel, lines, inks, height)


def _lines(panel: Any, lines: Sequence[str], inks: Sequence[str], height: float) -> None:
    panel.set(xlim=(0, 1), ylim=(height, 0))
    start = (height - LINE * len(lines)) / 2 + LINE / 2
    for place, (line, ink) in enumerate(zip(lines, inks)):
        panel.text(0, start + place * LINE, line, color=ink, fontsize=7.5, va="center", ha="left")

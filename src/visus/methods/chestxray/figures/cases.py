"""Single images: radiograph, where it was looked, where the model expects it, and what its diagnosis rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from visus.drawing import drawing, headline, svg
from visus.errors import InputError
from visus.methods.chestxray.figures.overlay import overlay

ACROSS, SIDE, GAP = 3, 640, 10
"""An explanation's panels in a row, the longest side of each and the space between them in pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One image with its maps, all of the same field of view.

    image : 0..1, bright for dense.
    maps : what a map shows -> the map.
    title : a line about the image.
    """

    image: Float[np.ndarray, "h w"]
    maps: Mapping[str, Float[np.ndarray, "y x"]] = field(default_factory=dict)
    title: str = ""


def draw_cases(cases: Sequence[Case], *, title: str = "", side: float = 1.55, dpi: int = 110) -> str:
    """A row per case: the radiograph, then each of its maps laid over it, as SVG text.

    Parameters
    ----------
    side : width of a panel in inches.
    dpi : pixels per inch of the panels, which make up nearly all of the text.

    Raises
    ------
    visus.errors.InputError : no case, or cases with different maps.
    """
    if not cases:
        raise InputError("has no case", field="cases", remedy="give at least one")
    kinds = list(cases[0].maps)
    if any(list(case.maps) != kinds for case in cases):
        raise InputError("have different maps", field="cases", remedy="give the same maps for all")
    across = 1 + len(kinds)
    tall = max(case.image.shape[0] / case.image.shape[1] for case in cases)
    height = len(cases) * (side * tall + 0.28) + 0.35
    with drawing(height, width=side * across + 0.5) as figure:
        panels = figure.subplots(len(cases), across, squeeze=False)
        for row, (line, case) in enumerate(zip(panels, cases, strict=True)):
            shown = {"radiograph": None, **case.maps}
            for panel, (kind, map) in zip(line, shown.items(), strict=True):
                panel.axis("off")
                # a clip is named after its exact place, whose last digits vary with the layout's solver
                panel.imshow(overlay(case.image, map), interpolation="antialiased").set_clip_on(False)
                if row == 0:
                    panel.set_title(kind, fontsize=9, loc="center")
            said = line[0].text(0.0, -0.03, case.title, transform=line[0].transAxes, fontsize=8, va="top")
            said.set_in_layout(False)  # it runs on below the panels to its right
        headline(figure, title)
        return svg(figure, dpi=dpi)


def draw_explained(
    image: Float[np.ndarray, "h w"],
    density: Float[np.ndarray, "y x"] | None,
    evidence: Mapping[str, Float[np.ndarray, "y x"]],
    *,
    probabilities: Mapping[str, float],
) -> np.ndarray:
    """Radiograph, predicted gaze and the Grad-CAM of every class in rows of `ACROSS` panels: uint8 (h, w, 3).

    Parameters
    ----------
    evidence : class -> its map.
    probabilities : class -> its probability.
    """
    panels = [overlay(image, None, words="radiograph", most=SIDE)]
    if density is not None:
        panels.append(overlay(image, density, words="predicted gaze", most=SIDE))
    for name, map in evidence.items():
        words = f"Grad-CAM of {name}, probability {probabilities[name]:.2f}"
        panels.append(overlay(image, map, words=words, line=False, most=SIDE))
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    high, wide = max(panel.shape[0] for panel in panels) + GAP, panels[0].shape[1] + GAP
    sheet = np.full((down * high - GAP, across * wide - GAP, 3), 255, dtype=np.uint8)
    for place, panel in enumerate(panels):
        row, column = divmod(place, across)
        top, left = row * high, column * wide
        sheet[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    return sheet

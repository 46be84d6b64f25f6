"""The 92 object pictures of Kriegeskorte et al. 2008, to which the judgments of `92_behavRDMs.mat` belong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from visus.data.formats.mat import read_mat, variable, word
from visus.errors import InputError

STIMULI = "stimuli_92objs"


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects92:
    """Cut-out objects on gray, in the order of the judgments.

    `categories` has one of six kinds such as `human face` per picture; `flags` tells what is true of each:
    `human`, `face`, `animal`, `natural`.
    """

    pictures: UInt8[np.ndarray, "n h w 3"]
    categories: tuple[str, ...]
    flags: dict[str, Bool[np.ndarray, " n"]]

    @property
    def names(self) -> tuple[str, ...]:
        """Category and number within it, such as `human face 3`."""
        seen: Counter[str] = Counter()
        named = []
        for kind in self.categories:
            seen[kind] += 1
            named.append(f"{kind} {seen[kind]}")
        return tuple(named)

    def images(self) -> list[Image.Image]:
        """The pictures as an encoder takes them."""
        return [Image.fromarray(picture) for picture in self.pictures]


def read_objects_92(path: str | Path) -> Objects92:
    """Read `Kriegeskorte_Neuron2008_supplementalData.mat`: struct array `stimuli_92objs`, one struct per picture
    with `image` (uint8, h x w x 3), `category` and flags.

    Raises
    ------
    InputError : the struct or one of its fields is absent, or pictures are not uint8 RGB of one size.
    """
    stimuli = variable(read_mat(path), STIMULI, path).ravel()
    fields = stimuli.dtype.names or ()
    for name in ("image", "category"):
        if name not in fields or not len(stimuli):
            raise InputError(
                f"has no field {name}", file=path, field=STIMULI, remedy="use the published file"
            )
    pictures = [np.asarray(stimulus["image"]) for stimulus in stimuli]
    shapes = sorted({(picture.shape, str(picture.dtype)) for picture in pictures})
    shape, kind = shapes[0]
    if len(shapes) != 1 or len(shape) != 3 or shape[2] != 3 or kind != "uint8":
        problem = f"pictures are not uint8 RGB of one size: {shapes[:3]}"
        raise InputError(problem, file=path, field=f"{STIMULI}.image", remedy="use the published file")
    told = [name for name in fields if name not in ("image", "category")]
    return Objects92(
        pictures=np.stack(pictures),
        categories=tuple(word(stimulus["category"]) for stimulus in stimuli),
        flags={name: np.array([bool(np.any(one[name])) for one in stimuli]) for name in told},
    )

"""One door to pictures of scenes with their ground truth: CLEVR, CLEVR-Hans, CLEVRTex and COCO folders."""

from __future__ import annotations

from pathlib import Path

from visus.data.corpora.clevr import read_clevr
from visus.data.corpora.clevrtex import STANDARD_VIEW, clevrtex_folder, read_clevrtex
from visus.data.corpora.coco import read_coco
from visus.data.corpora.stills import Bad, Part, Stills, View
from visus.errors import InputError

LAYOUTS = {
    "CLEVR": ("scenes/CLEVR_*_scenes.json",),
    "CLEVR-Hans": ("*/CLEVR_HANS_scenes_*.json",),
    "COCO": ("annotations/instances_*2017.json",),
    "CLEVRTex": ("clevrtex*_*/", "*/CLEVRTEX*"),
}
"""Layout -> what tells it, relative to the folder given."""


def layout_of(path: str | Path) -> str | None:
    """The name of the layout in a folder (a key of `LAYOUTS`), None if it is none of them."""
    path = Path(path)
    if path.is_dir():
        for name, patterns in LAYOUTS.items():
            if any(next(path.glob(pattern), None) is not None for pattern in patterns):
                return name
    return None


def read_scenes(
    path: str | Path,
    *,
    part: Part = "train",
    size: int | tuple[int, int] | None = 128,
    max_objects: int = 10,
    crop: float | None = None,
    bad: Bad = "refuse",
) -> Stills:
    """The pictures of one part with objects, masks and boxes, whichever known layout `path` holds.

    Parameters
    ----------
    path : a folder of CLEVR, CLEVR-Hans, CLEVRTex (version 1 or 2) or COCO 2017.
    part : `train`, `validation` or `test`.
    size, crop, max_objects, bad : see `visus.data.corpora.stills.View`; without `crop`, CLEVRTex pictures are
        cut as usual, to a centered square of 0.8 of the height.

    Raises
    ------
    InputError : no such folder or part, none of the layouts, or damaged files; says what was looked for.
    """
    path = Path(path)
    if part not in ("train", "validation", "test"):
        raise InputError(f"must be train, validation or test, got {part}", field="part")
    view = View(size=size, crop=crop, max_objects=max_objects, bad=bad)
    layout = layout_of(path)
    if layout in ("CLEVR", "CLEVR-Hans"):
        return read_clevr(path, part, view=view)
    if layout == "COCO":
        return read_coco(path, part, view=view)
    if layout == "CLEVRTex":
        crop = STANDARD_VIEW.crop if crop is None else crop
        view = View(size=size, crop=crop, max_objects=max_objects, bad=bad)
        return read_clevrtex(clevrtex_folder(path), part, view=view)
    if not path.is_dir():
        raise InputError("is not a folder", file=path, remedy="give the folder of a corpus of scenes")
    told = "; ".join(f"{name}: {' or '.join(patterns)}" for name, patterns in LAYOUTS.items())
    raise InputError(
        "holds no known corpus of scenes", file=path, remedy=f"give a folder with one of: {told}"
    )

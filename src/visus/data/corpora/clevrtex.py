"""CLEVRTex: scenes with 60 materials on objects and grounds, in both releases.

Version 1: `clevrtex_<variant>/<chunk>/CLEVRTEX_<variant>_000000.png`, the mask `..._flat.png` (the palette's index
is the object's number, 0 the ground) and `....json`. Version 2: `clevrtexv2_<variant>/<number // 1000>/` with a
folder `CLEVRTEXv2_<variant>_000000/` per picture that holds `....json`, the picture `..._0003.png` and the mask
that the JSON's `mask_filename` names, with or without the ending `_0003.png`. Pictures have 320 x 240 pixels; the usual
view keeps a centered square of 0.8 of the height and resizes it to 128 pixels.

Sources: Karazija et al., 2111.10265; the split of 37,500, 2,500 and 10,000 by number: Dedhia and Jha, 2403.07887.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from visus.data.corpora.stills import Object, Part, Stills, View, entry, numbers
from visus.data.formats.images import read_labels, write_picture
from visus.data.loader import iterate
from visus.errors import InputError
from visus.protocols import Source
from visus.records import read_json, write_atomically, write_json

WORDS = ("size", "shape", "material")
Split = Literal["slots", "release"]
SHARES: dict[Split, dict[Part, tuple[float, float]]] = {
    "slots": {"train": (0.0, 0.75), "validation": (0.75, 0.8), "test": (0.8, 1.0)},
    "release": {"test": (0.0, 0.1), "validation": (0.1, 0.2), "train": (0.2, 1.0)},
}
"""Split -> part -> from which to which share of the pictures in the order of their numbers."""
STANDARD_VIEW = View(size=128, crop=0.8)
_FOLDER = re.compile(r"clevrtex(v2)?_[a-z]+")
_SCENE = re.compile(r"(CLEVRTEX(?:v2)?_([a-z]+)_(\d{6}))\.json")
_HUES = (0, 0, 0, 255, 0, 0, 0, 128, 0, 0, 0, 255, 255, 255, 0, 141, 211, 199, 255, 255, 179, 190, 186, 218)


class ClevrTex(Stills):
    """Pictures of CLEVRTex. Scene files are read when needed.

    Objects have `size`, `shape`, `material` and `position` (x, y, z in -3..3, in the scene's own axes); in the
    variant `vbg`, the only one with colored objects, also `color`.
    """

    def __init__(self, scenes: Sequence[Path], *, view: View, folder: Path) -> None:
        self.scenes = list(scenes)
        super().__init__(
            [_beside(path, "") for path in scenes], [path.stem for path in scenes], view=view, folder=folder
        )

    def objects(self, index: int) -> list[Object]:
        file = self.scenes[self.entries[index]]
        listed = entry(_scene(file), "objects", list, file=file, field="(top)")[: self.view.max_objects]
        return [self._object(item, file, f"objects[{i}]") for i, item in enumerate(listed)]

    def whole_segmentation(self, index: int, height: int, width: int) -> Int[np.ndarray, "h w"]:
        file = self.scenes[self.entries[index]]
        scene = _scene(file)
        mask = _mask_file(file, scene)
        labels = read_labels(mask)
        if labels.shape != (height, width):
            problem = f"has {labels.shape} pixels, its picture {(height, width)}"
            raise InputError(problem, file=mask, remedy="download picture and mask again")
        listed = entry(scene, "objects", list, file=file, field="(top)")
        # Objects say their number in the mask; without it the order of the list counts from 1.
        order = [_number(item, i, file) for i, item in enumerate(listed)]
        table = np.zeros(max([int(labels.max()), *order]) + 1, dtype=np.int64)
        table[order] = np.arange(1, len(order) + 1)
        return table[labels]

    def _object(self, item: Any, file: Path, where: str) -> Object:
        words = (*WORDS, "color") if "_vbg_" in file.name else WORDS
        made: Object = {name: entry(item, name, str, file=file, field=where) for name in words}
        return {**made, "position": numbers(item.get("3d_coords"), 3, file=file, field=f"{where}.3d_coords")}


def read_clevrtex(
    folder: str | Path, part: Part = "train", *, split: Split = "slots", view: View | None = None
) -> ClevrTex:
    """A part of CLEVRTex, version 1 or 2.

    Parameters
    ----------
    folder : `clevrtex_<variant>`, `clevrtexv2_<variant>`, or the folder that holds one of them.
    split : `slots` takes the first 75 % of the pictures for training, 5 % for validation and 20 % for testing;
        `release` takes 10 % for testing, 10 % for validation and the rest for training.
    view : None is the standard view.

    Raises
    ------
    InputError : there are no scene files, two variants, two scenes of one number, or the part is empty.
    """
    folder = clevrtex_folder(Path(folder))
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob("CLEVRTEX*.json")):
        matched = _SCENE.fullmatch(path.name)
        if not matched:
            continue
        number = int(matched[3])
        if number in found:
            raise InputError("is there twice", file=path, field=f"also {found[number]}", remedy="delete one")
        found[number] = path
    scenes = [found[number] for number in sorted(found)]
    first, last = (round(share * len(scenes)) for share in SHARES[split][part])
    if first == last:
        problem = f"{len(scenes)} scenes leave none for this part"
        raise InputError(problem, file=folder, field=f"part {part}", remedy="unpack more of the archive")
    return ClevrTex(scenes[first:last], view=view or STANDARD_VIEW, folder=folder)._settle()


def clevrtex_folder(path: Path) -> Path:
    """The folder of one variant at or right below `path`."""
    if _FOLDER.fullmatch(path.name) and path.is_dir():
        return path
    inside = [item for item in sorted(path.iterdir()) if item.is_dir()] if path.is_dir() else []
    named = [item for item in inside if _FOLDER.fullmatch(item.name)]
    if len(named) == 1:
        return named[0]
    if named:
        there = ", ".join(item.name for item in named)
        raise InputError(f"holds several variants: {there}", file=path, remedy="give the folder of one")
    if any(next(item.glob("CLEVRTEX*"), None) for item in inside):
        return path
    problem = "holds no clevrtex_<variant> or clevrtexv2_<variant> and no folders of CLEVRTEX_* files"
    raise InputError(problem, file=path, remedy="give the unpacked folder")


def write_clevrtex(
    folder: str | Path, source: Source, *, version: Literal[1, 2] = 1, variant: str = "full"
) -> Path:
    """Write stills with objects and segmentation in CLEVRTex's layout; returns the variant's folder.

    A picture's scene file comes after its picture and mask. Objects need `size`, `shape`, `material` and
    `position`.
    """
    mark = "" if version == 1 else "v2"
    root, number = Path(folder) / f"clevrtex{mark}_{variant}", 0
    for batch in iterate(source, 16):
        for i in range(len(batch["objects"])):
            stem = f"CLEVRTEX{mark}_{variant}_{number:06d}"
            place = root / str(number // 1000)
            place = place if version == 1 else place / stem
            mask = f"{stem}_flat"
            scene = _as_scene(batch["objects"][i], number)
            scene["split"] = variant
            scene["image_filename"] = f"{stem}.png" if version == 1 else f"{stem}_"
            scene["mask_filename"] = f"{mask}.png" if version == 1 else mask
            ending = ".png" if version == 1 else "_0003.png"
            write_picture(place / f"{stem}{ending}", batch["image"][i].numpy())
            _write_palette(place / f"{mask}{ending}", batch["segmentation"][i].numpy())
            write_json(place / f"{stem}.json", scene)
            number += 1
    return root


def _as_scene(objects: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    made = []
    for j, item in enumerate(objects):
        lacking = [name for name in (*WORDS, "position") if name not in item]
        if lacking:
            remedy = "CLEVRTex's objects have size, shape, material and position"
            raise InputError("is missing", field=f"picture {number}, object {j}, {lacking[0]}", remedy=remedy)
        words = {name: item[name] for name in (*WORDS, "color") if name in item}
        made.append({**words, "3d_coords": [float(part) for part in item["position"]], "index": j + 1})
    return {"num_objects": len(made), "image_index": number, "objects": made}


def _write_palette(path: Path, labels: np.ndarray) -> None:
    from PIL import Image

    image = Image.fromarray(labels.astype(np.uint8), mode=None).convert("L")
    image.putpalette([*_HUES, *(level for level in range(len(_HUES) // 3, 256) for _ in range(3))])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def _scene(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError("is not a scene", file=file, field="(top)", remedy="download the file again")
    return content


def _number(item: Any, place: int, file: Path) -> int:
    if isinstance(item, Mapping) and "index" not in item:
        return place + 1
    found = entry(item, "index", int, file=file, field=f"objects[{place}]")
    if not 1 <= found <= 255:
        problem = f"is {found}, not in 1..255"
        raise InputError(
            problem, file=file, field=f"objects[{place}].index", remedy="download the file again"
        )
    return found


def _beside(scene: Path, kind: str) -> Path:
    """The picture ("") or mask ("_flat") that belongs to a scene file by the release's rule."""
    ending = "_0003.png" if scene.name.startswith("CLEVRTEXv2") else ".png"
    return scene.with_name(f"{scene.stem}{kind}{ending}")


def _mask_file(file: Path, scene: Mapping[str, Any]) -> Path:
    named = scene.get("mask_filename")
    tried = [_beside(file, "_flat")]
    if isinstance(named, str) and named and Path(named).name == named:
        tried = [file.with_name(f"{named}{ending}") for ending in ("", "_0003.png", "0003.png")] + tried
    for path in tried:
        if path.is_file():
            return path
    raise InputError("the mask does not exist", file=tried[0], remedy="unpack the archive again")

"""CLEVR and CLEVR-Hans: rendered scenes of cubes, spheres and cylinders.

CLEVR: `images/<split>/CLEVR_<split>_000000.png` and `scenes/CLEVR_<split>_scenes.json`; splits train, val (of
the split test no scenes were published). CLEVR-Hans3 and CLEVR-Hans7: `<split>/images/<image_filename>` and
`<split>/CLEVR_HANS_scenes_<split>.json`, splits train, val, test; every scene has a `class_id` and every object
a mask as run lengths. In the training and validation split of CLEVR-Hans a class goes with a second cause
(say, large cubes are gray) that the test split lacks.

Sources: Johnson et al., 1612.06890; Stammer et al., 2011.12854.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from visus.data.corpora.stills import Object, Part, Stills, View, entry, numbers, paint
from visus.data.formats.images import write_picture
from visus.data.formats.rle import decode_mask, encode_mask
from visus.data.loader import iterate
from visus.errors import InputError
from visus.protocols import Source
from visus.records import read_json, write_json

SPLITS: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
WORDS = ("shape", "size", "material", "color")
_DIRECTIONS = {
    "right": [1.0, 0.0, 0.0],
    "left": [-1.0, 0.0, 0.0],
    "front": [0.0, -1.0, 0.0],
    "behind": [0.0, 1.0, 0.0],
    "above": [0.0, 0.0, 1.0],
    "below": [0.0, 0.0, -1.0],
}
_RELATION_MARGIN = 0.2


class Clevr(Stills):
    """One split of CLEVR or CLEVR-Hans.

    Objects have `shape`, `size`, `material`, `color` and `position`: how far to the right and to the front of
    the scene's center the object stands as the camera sees it, and its height (the scene's units; all three
    lie in -4..4). `target` is the class number as text. Plain CLEVR has neither masks nor classes: then
    `segmentation`, `boxes`, `visibility` and `target` are absent.
    """

    def __init__(self, scenes: Sequence[Mapping[str, Any]], file: Path, images: Path, *, view: View) -> None:
        self.file, self.scenes = file, scenes
        names = [
            entry(scene, "image_filename", str, file=file, field=f"scenes[{i}]")
            for i, scene in enumerate(scenes)
        ]
        super().__init__(
            [images / name for name in names], [Path(name).stem for name in names], view=view, folder=file
        )
        first = next((scene["objects"] for scene in scenes if scene.get("objects")), [])
        self.has_masks = bool(first) and "mask" in first[0]

    def objects(self, index: int) -> list[Object]:
        scene, where = self._scene(index)
        directions = entry(scene, "directions", dict, file=self.file, field=where)
        sides = [
            numbers(directions.get(name), 3, file=self.file, field=f"{where}.directions.{name}")
            for name in ("right", "front")
        ]
        return [
            self._object(item, f"{where}.objects[{i}]", np.asarray(sides))
            for i, item in enumerate(self._listed(scene, where))
        ]

    def whole_segmentation(self, index: int, height: int, width: int) -> Int[np.ndarray, "h w"]:
        scene, where = self._scene(index)
        masks = []
        for i, item in enumerate(self._listed(scene, where)):
            field = f"{where}.objects[{i}]"
            rle = entry(item, "mask", dict, file=self.file, field=field)
            masks.append(decode_mask(rle, file=self.file, field=f"{field}.mask"))
        return paint(masks, height, width, file=self.paths[index])

    def target(self, index: int) -> str | None:
        found = self._scene(index)[0].get("class_id")
        return None if found is None else str(found)

    def _scene(self, index: int) -> tuple[Mapping[str, Any], str]:
        number = self.entries[index]
        return self.scenes[number], f"scenes[{number}]"

    def _listed(self, scene: Mapping[str, Any], where: str) -> list[Any]:
        return entry(scene, "objects", list, file=self.file, field=where)[: self.view.max_objects]

    def _object(self, item: Any, where: str, sides: np.ndarray) -> Object:
        made: Object = {name: entry(item, name, str, file=self.file, field=where) for name in WORDS}
        place = numbers(item.get("3d_coords"), 3, file=self.file, field=f"{where}.3d_coords")
        right, front = (sides @ np.asarray(place)).tolist()
        return {**made, "position": (right, front, place[2])}


def read_clevr(folder: str | Path, part: Part = "train", *, view: View | None = None) -> Clevr:
    """A split of CLEVR or CLEVR-Hans, whichever the folder holds.

    Raises
    ------
    InputError : neither layout is there, the split has no scenes, or the scenes are damaged (file and place).
    """
    folder, split = Path(folder), SPLITS[part]
    plain = folder / "scenes" / f"CLEVR_{split}_scenes.json"
    hans = folder / split / f"CLEVR_HANS_scenes_{split}.json"
    if plain.exists():
        file, images = plain, folder / "images" / split
    elif hans.exists():
        file, images = hans, folder / split / "images"
    else:
        problem = f"holds neither scenes/{plain.name} nor {split}/{hans.name}"
        remedy = "give the folder above them; CLEVR has no scenes of its test part, use validation"
        raise InputError(problem, file=folder, field=f"part {part}", remedy=remedy)
    content = read_json(file)
    scenes = entry(content, "scenes", list, file=file, field="(top)")
    return Clevr(scenes, file, images, view=view or View())._settle()


def write_clevr(folder: str | Path, source: Source, *, part: Part = "train") -> Path:
    """Write stills with objects in CLEVR's layout; returns the scenes file, which is written last.

    Objects need `shape`, `size`, `material`, `color` and `position`. A segmentation is kept as the objects'
    `mask`, as CLEVR-Hans does. A source refused midway leaves pictures but no scenes file.
    """
    folder, split = Path(folder), SPLITS[part]
    file = folder / "scenes" / f"CLEVR_{split}_scenes.json"
    return _write(source, file, folder / "images" / split, f"CLEVR_{split}_{{:06d}}.png", split)


def write_clevr_hans(folder: str | Path, source: Source, *, part: Part = "train") -> Path:
    """Write stills with objects and `target` in CLEVR-Hans's layout; returns the scenes file, written last.

    A target that is not a number gets the number of its place among the sorted targets.
    """
    folder, split = Path(folder), SPLITS[part]
    file = folder / split / f"CLEVR_HANS_scenes_{split}.json"
    return _write(source, file, folder / split / "images", f"CLEVR_Hans_classid_{split}_{{:06d}}.png", split)


def _write(source: Source, file: Path, images: Path, pattern: str, split: str) -> Path:
    scenes: list[dict[str, Any]] = []
    for batch in iterate(source, 16):
        for i in range(len(batch["objects"])):
            name = pattern.format(len(scenes))
            scene = {"split": split, "image_index": len(scenes), "image_filename": name}
            scene |= _as_scene(batch, i, len(scenes))
            write_picture(images / name, batch["image"][i].numpy())
            scenes.append(scene)
    known = sorted({scene["class_id"] for scene in scenes if "class_id" in scene})
    if not all(word.isdigit() for word in known):
        numbered = {word: i for i, word in enumerate(known)}
    else:
        numbered = {word: int(word) for word in known}
    for scene in scenes:
        if "class_id" in scene:
            scene["class_id"] = numbered[scene["class_id"]]
    write_json(file, {"info": {"split": split, "version": "1.0"}, "scenes": scenes})
    return file


def _as_scene(batch: Mapping[str, Any], i: int, number: int) -> dict[str, Any]:
    objects = []
    for j, item in enumerate(batch["objects"][i]):
        lacking = [name for name in (*WORDS, "position") if name not in item]
        if lacking:
            remedy = "CLEVR's objects have shape, size, material, color and position"
            raise InputError("is missing", field=f"picture {number}, object {j}, {lacking[0]}", remedy=remedy)
        right, front, height = item["position"]
        made = {name: item[name] for name in WORDS}
        made["3d_coords"] = [float(right), -float(front), float(height)]
        if "segmentation" in batch:
            made["mask"] = encode_mask(batch["segmentation"][i].numpy() == j + 1)
        objects.append(made)
    scene = {"directions": _DIRECTIONS, "objects": objects, "relationships": _relationships(objects)}
    if "target" in batch:
        scene["class_id"] = str(batch["target"][i])
    return scene


def _relationships(objects: Sequence[Mapping[str, Any]]) -> dict[str, list[list[int]]]:
    """For every direction and object: the others that lie further in that direction, by more than a margin."""
    places = np.asarray([item["3d_coords"] for item in objects], dtype=np.float64).reshape(-1, 3)
    made = {}
    for name in ("right", "left", "front", "behind"):
        along = places @ np.asarray(_DIRECTIONS[name])
        further = along[None, :] - along[:, None] > _RELATION_MARGIN
        made[name] = [np.flatnonzero(row).tolist() for row in further]
    return made

"""Pictures with known classes: folders, published layouts, tables of paths, and files of features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError, MissingData

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from visus.data.image_table import ImageTable
    from visus.methods.vgloss.model.concept import Concept

Part = Literal["train", "test"]
_WNID = re.compile(r"n\d{8}")
NAME_ARRAYS = ("wnid", "wnids", "label", "labels", "class", "names")
REMEDY = "save `features` (n, e), `wnid` or `label` (n,), and `classifier` (c, e) if there is one"


@dataclass(frozen=True)
class Labeled:
    """Pictures, or features of pictures, with their classes.

    Parameters
    ----------
    keys : of the classes: WordNet 3.0 ids where they are known, names otherwise.
    names : of the classes in words.
    labels : class number of each picture.
    pictures : paths or PIL pictures; empty where there are features.
    features : of the pictures, by some encoder.
    prototypes : a direction of the features' space per class (a trained classifier's rows).
    origin : the label set, if it is a published one.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]
    pictures: tuple[Any, ...] = ()
    features: Float[Tensor, "n e"] | None = None
    prototypes: Float[Tensor, "c e"] | None = None
    origin: str = ""
    shown: tuple[str, ...] = field(default=())
    """Names of the pictures, for tables."""

    def __len__(self) -> int:
        return len(self.labels)


def read_labeled(path: Path, *, part: Part = "test") -> Labeled:
    """Read pictures with classes.

    Parameters
    ----------
    path : a folder laid out as ImageNet (one folder per id, or ids in the file names), STL-10, CIFAR, Flowers-102 or
        FGVC-Aircraft, or with one sub-folder per class; a table with the columns path and label; or a .npz with
        `features`, `wnid` or `label`, and optionally `classifier`.
    part : of a set that has parts.

    Raises
    ------
    InputError : nothing of these; see the readers.
    """
    if not path.exists():
        raise InputError("does not exist", file=path, field="--images", remedy="check the path")
    if path.suffix.lower() == ".npz":
        return _from_arrays(path)
    if path.is_file():
        from visus.data.corpora.image_folder import load_image_csv

        return _from_table(load_image_csv(path), "")
    table, origin = _opened(path, part)
    return _from_table(table, origin)


def concepts_of_set(data: Labeled) -> list[Concept] | None:
    """What WordNet knows of the classes; None where they have no ids or there is no WordNet 3.0."""
    from visus.data.wordnet import WordNet
    from visus.methods.vgloss.model.concepts import ConceptMapper

    if not all(map(_WNID.fullmatch, data.keys)):
        return None
    try:
        wordnet = WordNet.open()
    except MissingData:
        return None
    return ConceptMapper(wordnet).map(data.names, data.keys) if wordnet.version == "3.0" else None


def _opened(folder: Path, part: Part) -> tuple[ImageTable, str]:
    """The reader that knows the layout, and the name of the published set."""
    from visus.data.corpora.aircraft import load_aircraft
    from visus.data.corpora.cifar import load_cifar
    from visus.data.corpora.flowers102 import load_flowers102
    from visus.data.corpora.image_folder import load_image_folder
    from visus.data.corpora.imagenet import load_imagenet
    from visus.data.corpora.stl10 import load_stl10

    def has(*names: str) -> bool:
        return any((folder / name).exists() for name in names)

    if has("test_X.bin", "train_X.bin"):
        return load_stl10(folder, part), "stl10"
    if has("meta", "fine_label_names.txt"):
        return load_cifar(folder, part), "cifar100"
    if has("batches.meta", "batches.meta.txt"):
        return load_cifar(folder, part), "cifar10"
    if has("imagelabels.mat"):
        return load_flowers102(folder, part), "flowers102"
    if has("variants.txt", "data/variants.txt"):
        return load_aircraft(folder, part), "aircraft"
    inside = folder / "val" if has("val") and part == "test" else folder / part if has(part) else folder
    if any(_WNID.match(item.name) for item in inside.iterdir()):
        return load_imagenet(inside), "imagenet"
    return load_image_folder(inside), ""


def _from_table(table: ImageTable, origin: str) -> Labeled:
    told = [str(value) for value in table.frame[table.target]]
    keys, names = _classes(tuple(dict.fromkeys(told)), origin)
    place = {name: i for i, name in enumerate(names)} | {key: i for i, key in enumerate(keys)}
    pictures: Sequence[Any] = table.paths or _pictures(table)
    shown = tuple(str(path) for path in table.paths) if table.paths else tuple(map(str, range(len(told))))
    return Labeled(
        keys, names, tuple(place[name] for name in told), tuple(pictures), origin=origin, shown=shown
    )


def _classes(found: tuple[str, ...], origin: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys and names: all classes of a published set, whether pictures show them or not."""
    from visus.data.corpora.class_lists import class_list
    from visus.methods.vgloss.model.labels import label_set

    if origin == "imagenet":
        wnids = tuple(sorted(found))
        return wnids, label_set("imagenet", wnids=wnids).names
    if origin:
        known = class_list(origin)
        if set(found) <= set(known.names):
            keys = tuple(wnid or name for wnid, name in zip(known.wnids, known.names, strict=True))
            return keys, known.names
    ordered = tuple(sorted(found))
    return ordered, ordered


def _pictures(table: ImageTable) -> list[Any]:
    """Pictures in memory as PIL images."""
    from PIL import Image

    assert table.images is not None
    return [Image.fromarray(levels.permute(1, 2, 0).numpy()) for levels in table.images]


def _from_arrays(path: Path) -> Labeled:
    import numpy as np
    import torch

    arrays = _arrays(path)
    features = arrays.get("features")
    named = next((name for name in NAME_ARRAYS if name in arrays), None)
    if features is None or named is None:
        problem = f"holds {', '.join(sorted(arrays)) or 'nothing'}"
        raise InputError(problem, file=path, field="features, wnid", remedy=REMEDY)
    told = [str(value) for value in np.asarray(arrays[named]).reshape(-1)]
    if features.ndim != 2 or len(features) != len(told) or features.dtype.kind != "f":
        problem = f"is {features.dtype} {features.shape} for {len(told)} entries of {named}"
        raise InputError(problem, file=path, field="features", remedy=REMEDY)
    if not np.isfinite(features).all():
        raise InputError(
            "holds values that are not finite", file=path, field="features", remedy="repair them"
        )
    wnids = all(map(_WNID.fullmatch, told))
    found = tuple(dict.fromkeys(told))
    keys, names = _classes(found, "imagenet" if wnids else "")
    place = {key: i for i, key in enumerate(keys)}
    rows = arrays.get("classifier")
    prototypes = None
    if rows is not None:
        if rows.shape != (len(found), features.shape[1]):
            problem = f"is {rows.shape} for {len(found)} classes of {features.shape[1]} numbers"
            raise InputError(problem, file=path, field="classifier", remedy=REMEDY)
        # its rows are in the order in which the classes first appear
        prototypes = torch.from_numpy(rows.astype(np.float32))[[found.index(key) for key in keys]]
    shown = arrays.get("image")
    return Labeled(
        keys,
        names,
        tuple(place[key] for key in told),
        features=torch.from_numpy(features.astype(np.float32)),
        prototypes=prototypes,
        origin="imagenet" if wnids else "",
        shown=tuple(map(str, shown)) if shown is not None and len(shown) == len(told) else tuple(told),
    )


def _arrays(path: Path) -> dict[str, Any]:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"cannot be read ({error})", file=path, remedy="write it again") from None

"""What the commands share: opening models, and features where a model reads them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.methods.nsi.estimator import NSI
    from visus.methods.nsi.model.schema import Schema

Part = Literal["train", "validation", "test"]
PresetName = Literal["smoke", "demo", "gpu", "paper"]


def open_model(folder: Path, device: str) -> NSI:
    """The interpreter of a run's folder, or of a saved model's own."""
    from visus.methods.nsi.estimator import NSI

    return NSI.open(folder, device=device)


def estimator_in(folder: Path) -> str:
    """The name of the estimator that a folder holds; empty where that cannot be told."""
    from visus.records import read_json

    for file in (folder / "model" / "config.json", folder / "config.json"):
        if file.is_file():
            plain = read_json(file)
            return str(plain.get("estimator", "")) if isinstance(plain, dict) else ""
    return ""


def with_features(made: NSI, source: Any, *, backbone: Path | None, device: str) -> Any:
    """The source as the model reads it: with features of its frozen network, or as it is.

    Raises
    ------
    InputError : the network's folder is not there any more, or holds other weights.
    """
    if not made.inputs_.features:
        return source
    from visus.engine import Run
    from visus.methods.nsi.estimator import FrozenFeatures

    known = made.backbone_ or {}
    folder = backbone or known.get("folder")
    if folder is None:
        remedy = "give the folder of the frozen network with --backbone"
        raise InputError("the model reads features", field="backbone", remedy=remedy)
    made_device = Run(device=device, progress=False).device
    wrapped = FrozenFeatures(source, folder, size=known.get("size"), device=made_device)
    if known and wrapped.network.fingerprint() != known["fingerprint"]:
        remedy = "give the folder of the network that the model was trained with (--backbone)"
        raise InputError("holds another network than the model was trained with", file=folder, remedy=remedy)
    return wrapped


def remembered(wrapped: Any, folder: Path) -> dict[str, Any]:
    """What a saved model notes of its frozen network."""
    network = wrapped.network
    return {"folder": str(folder.resolve()), "size": network.size, "fingerprint": network.fingerprint()}


def read_schema(file: Path | None) -> Schema | None:
    """A schema from a JSON file."""
    from visus.methods.nsi.model.schema import Schema
    from visus.records import read_json

    return None if file is None else Schema.from_plain(read_json(file), file=file)


def item_names(source: Any) -> list[str]:
    """Paths of the pictures as they were given, or their names or numbers."""
    paths = getattr(source, "paths", None)
    if paths:
        return [str(path) for path in paths]
    return [str(number) for number in range(1, len(source) + 1)]


def stems(names: list[str]) -> list[str]:
    """File names without folder and ending, made different by numbers where they are not."""
    made: dict[str, None] = {}
    for name in names:
        stem = Path(name).stem
        different = (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1))
        made[next(word for word in different if word not in made)] = None
    return list(made)

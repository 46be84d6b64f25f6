"""Encoders and classifiers by the names a person gives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.data.features import FeatureCache
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.methods.vgloss.model.builder import TextClassifierBuilder
    from visus.methods.vgloss.model.classes import ClassTexts, SeenClasses

HELP = "give a CLIP or SigLIP folder, what `visus vgloss fit` or `build` wrote, or a hub id"


def place(device: str) -> str:
    """auto, cpu or cuda as a device that is there.

    Raises
    ------
    InputError : there is no such device.
    """
    from visus.engine import Run

    return str(Run(device=device, progress=False).device)


def named(model: str) -> str:
    """A folder's whole path, so that it is found from elsewhere; other names as they are."""
    path = Path(model)
    return str(path.resolve()) if path.is_dir() else model


def is_classifier(model: str | Path) -> bool:
    """Whether a folder holds a classifier of this method."""
    from visus.records import read_json

    for file in (Path(model) / "model" / "config.json", Path(model) / "config.json"):
        if file.is_file():
            plain = read_json(file)
            return isinstance(plain, dict) and plain.get("estimator") == "VGlossClassifier"
    return False


def text_encoder(model: str, device: str, cache: FeatureCache | None = None) -> TextClassifierBuilder:
    """The text tower of a model as a builder of class rows.

    Raises
    ------
    InputError : nothing there, or it reads no texts.
    """
    from visus.data.features import open_encoder
    from visus.methods.vgloss.model.builder import TextClassifierBuilder

    encoder: Any = open_encoder(named(model), device=device)
    if not hasattr(encoder, "texts"):
        raise InputError("reads no texts", file=model, field="--encoder", remedy=HELP)
    return TextClassifierBuilder(encoder, cache=cache)


def open_classifier(model: str | Path, device: str) -> VGlossClassifier:
    """A saved classifier.

    Raises
    ------
    InputError : the folder holds none.
    """
    from visus.methods.vgloss.estimator import VGlossClassifier

    return VGlossClassifier.open(model, device=device)


def classifier(
    model: str, classes: ClassTexts | None, device: str, *, use: str | None = None
) -> VGlossClassifier:
    """A saved classifier, with other descriptions if given; or one that is made now from an encoder of both.

    Raises
    ------
    InputError : neither, or an encoder without descriptions.
    """
    from visus.engine import Run
    from visus.methods.vgloss.config import VGlossConfig
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.records import override

    if is_classifier(model):
        made = open_classifier(model, device)
        if use is not None:
            made.config = override(made.settings, [f"use={use}"])
        return made if classes is None and use is None else made.rebuild(classes or made.classes_)
    if classes is None:
        problem = "is an encoder: it needs classes"
        raise InputError(problem, file=model, field="--model", remedy="add --descriptions FILE")
    config = VGlossConfig(model=named(model), use=use or "normal")  # pyright: ignore[reportArgumentType]
    return VGlossClassifier(config).fit(classes, Run(device=device, progress=False))


def seen_classes(file: Path, without: set[str]) -> SeenClasses:
    """Classes whose pictures are known, for a text encoder that must be bridged: a .npz with their prototypes.

    `classifier` (one row per class) or `features` of one picture or several per class, and `wnid` or `label`.
    Texts: what WordNet knows of an id (name, kind, definition), or the label alone.

    Parameters
    ----------
    without : keys of the classes that are to be told apart later; they are left out, so that none of them is seen.

    Raises
    ------
    InputError : see `read_labeled`; too few classes are left.
    """
    from visus.methods.vgloss.baselines import kinds_and_glosses
    from visus.methods.vgloss.model.bridge import FEWEST, prototypes_of
    from visus.methods.vgloss.model.classes import ClassTexts, SeenClasses
    from visus.methods.vgloss.verbs.labeled import concepts_of_set, read_labeled

    data = read_labeled(file)
    assert data.features is not None
    rows = data.prototypes
    if rows is None:
        rows = prototypes_of(data.features, data.labels, len(data.keys))
    kept = [i for i, key in enumerate(data.keys) if not {key, data.names[i]} & without]
    if len(kept) < FEWEST:
        problem = f"has {len(kept)} classes besides those to be told apart"
        raise InputError(problem, file=file, field="--seen", remedy=f"give {FEWEST} or more others")
    concepts = concepts_of_set(data)
    told = [[data.names[i]] for i in range(len(data.keys))]
    if concepts is not None:
        told = list(kinds_and_glosses(concepts).values())
    texts = ClassTexts(tuple(data.keys[i] for i in kept), tuple(tuple(told[i]) for i in kept))
    return SeenClasses(texts, rows[kept])

"""Schemas of known corpora, for vocabularies that do not depend on the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from visus.data.corpora.movi import NAMES
from visus.data.worlds.scenes.palette import COLORS, MATERIALS, SIZES
from visus.data.worlds.scenes.shapes import SHAPES
from visus.errors import InputError
from visus.methods.nsi.model.attributes import Attribute, Categorical, Continuous
from visus.methods.nsi.model.schema import Schema

MOVI_A_SHAPES = 3


def clevrtex(materials: Sequence[str], *, most: int = 10) -> Schema:
    """CLEVRTex: size, shape, material, and position scaled as (p + 3) / 6.

    Paper: 2403.07887, published code, with 60 materials.
    Differs: its materials come in the order of a folder listing, here sorted.

    Parameters
    ----------
    materials : the names in the training rows.
    """
    return Schema(
        (
            Categorical("size", ("small", "medium", "large")),
            Categorical("shape", ("cube", "cylinder", "sphere", "monkey")),
            Categorical("material", tuple(sorted(set(materials)))),
            Continuous("position", 3, (-3.0,) * 3, (3.0,) * 3),
        ),
        most,
    )


def clevr_hans(*, most: int = 10) -> Schema:
    """CLEVR and CLEVR-Hans: shape, size, material and color in the order of NeSyXIL, position as (p + 4) / 8."""
    return Schema(
        (
            Categorical("shape", ("sphere", "cube", "cylinder")),
            Categorical("size", ("large", "small")),
            Categorical("material", ("rubber", "metal")),
            Categorical("color", ("cyan", "blue", "yellow", "purple", "red", "green", "gray", "brown")),
            Continuous("position", 3, (-4.0,) * 3, (4.0,) * 3),
        ),
        most,
    )


def movi(kind: Literal["a", "b", "c", "d", "e"], *, most: int = 10) -> Schema:
    """MOVi: the classes of a set, scale where it varies, and the place in the picture (x, y in 0..1).

    Differs: which attributes the paper gives MOVi-C objects beside the category is not published. The place is
    optional, because records hold it by frame and not by object.
    """
    words: dict[str, Sequence[str]] = {"category": NAMES["category"]}
    if kind == "a":
        words = {name: NAMES[f"{name}_label"] for name in ("size", "shape", "color", "material")}
        words["shape"] = words["shape"][:MOVI_A_SHAPES]
    elif kind == "b":
        words = {name: NAMES[f"{name}_label"] for name in ("shape", "color", "material")}
    elif kind not in ("c", "d", "e"):
        raise InputError(f"is {kind!r}", field="kind", remedy="choose from a, b, c, d, e")
    attributes: list[Attribute] = [Categorical(name, tuple(values)) for name, values in words.items()]
    if kind != "a":
        attributes.append(Continuous("scale", 1, (0.0,), (3.0,)))
    attributes.append(Continuous("image_position", 2, (0.0,) * 2, (1.0,) * 2, optional=True))
    return Schema(tuple(attributes), most)


def coco(categories: Sequence[str], *, most: int = 10) -> Schema:
    """COCO: category and box (x, y, width, height in 0..1).

    Parameters
    ----------
    categories : the names in the annotations, sorted here (80 in COCO 2017).
    """
    vocabulary = Categorical("category", tuple(sorted(set(categories))))
    return Schema((vocabulary, Continuous("box", 4, (0.0,) * 4, (1.0,) * 4)), most)


def scenes(*, most: int = 8) -> Schema:
    """The world `scenes`: shape, size, color, material, position."""
    return Schema(
        (
            Categorical("shape", tuple(SHAPES)),
            Categorical("size", tuple(SIZES)),
            Categorical("color", tuple(COLORS)),
            Categorical("material", tuple(MATERIALS)),
            Continuous("position", 3, (-3.0, 0.0, 0.0), (3.0, 6.0, 1.5)),
        ),
        most,
    )

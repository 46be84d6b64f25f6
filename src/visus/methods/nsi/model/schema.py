"""What the objects of a corpus may be described by, and scenes as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from visus.errors import InputError
from visus.methods.nsi.model.attributes import (
    Attribute,
    Categorical,
    Continuous,
    Primitive,
    Scene,
    attribute_from_plain,
    infer_attribute,
    suggestion,
)
from visus.methods.nsi.model.tensors import Programs

Objects: TypeAlias = Sequence[Mapping[str, Any]]
Unknown: TypeAlias = Literal["refuse", "missing"]


@dataclass(frozen=True)
class Schema:
    """The attributes of a corpus' objects, and how lists of objects become tensors and come back.

    Parameters
    ----------
    attributes : in the order programs are written in.
    most : objects a scene may have (P_max).

    Paper: 2403.07887, the schema of nested primitives; two levels, scene and object.

    >>> schema = Schema((Categorical("color", ("blue", "red")), Continuous("x", 1, (0.0,), (4.0,))), most=2)
    >>> programs = schema.encode([[{"color": "red", "x": 1.0}]])
    >>> programs.categories.tolist(), programs.values.tolist(), programs.length.tolist()
    ([[[1], [0]]], [[[0.25], [0.0]]], [1])
    >>> schema.decode(programs)
    [({'color': 'red', 'x': 1.0},)]
    """

    attributes: tuple[Attribute, ...]
    most: int

    def __post_init__(self) -> None:
        if not self.attributes:
            remedy = "describe the objects by at least one"
            raise InputError("has no attribute", field="schema", remedy=remedy)
        if len(self.by_name) < len(self.attributes):
            raise InputError("names an attribute twice", field="schema", remedy="use each name once")
        if self.most < 1:
            raise InputError(f"is {self.most}", field="most", remedy="allow at least one object")

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        """Name -> attribute, in order."""
        return {attribute.name: attribute for attribute in self.attributes}

    @cached_property
    def categorical(self) -> tuple[Categorical, ...]:
        """The categorical attributes: the columns of `Programs.categories`."""
        return tuple(each for each in self.attributes if isinstance(each, Categorical))

    @cached_property
    def continuous(self) -> tuple[Continuous, ...]:
        """The continuous attributes: side by side, the columns of `Programs.values`."""
        return tuple(each for each in self.attributes if isinstance(each, Continuous))

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Continuous attribute -> its columns of `Programs.values`."""
        ends = np.cumsum([0, *(attribute.size for attribute in self.continuous)]).tolist()
        return {each.name: slice(*pair) for each, pair in zip(self.continuous, pairwise(ends))}

    @cached_property
    def places(self) -> dict[str, int]:
        """Attribute -> its column of `Programs.present`."""
        return {name: number for number, name in enumerate(self.by_name)}

    @property
    def width(self) -> int:
        """Numbers per object in `Programs.values`."""
        return sum(attribute.size for attribute in self.continuous)

    @classmethod
    def infer(
        cls, scenes: Iterable[Objects], *, attributes: Sequence[str] | None = None, most: int | None = None
    ) -> Schema:
        """The schema of training scenes: sorted vocabularies, ranges; what some objects lack is optional.

        Parameters
        ----------
        scenes : per scene its objects. Give the training rows only: a vocabulary that has seen the test rows
            knows too much.
        attributes : which ones, in which order; by default all, in order of first appearance.
        most : objects a scene may have; by default as many as the fullest scene has.

        Raises
        ------
        InputError : there is no object, or an attribute is text here and a number there.
        """
        seen: dict[str, list[Any]] = {}
        count = fullest = 0
        for objects in scenes:
            fullest, count = max(fullest, len(objects)), count + len(objects)
            for name, value in (pair for each in objects for pair in each.items()):
                if value is not None:
                    seen.setdefault(name, []).append(value)
        if not seen:
            raise InputError("no object is described", field="objects", remedy="give scenes with objects")
        for name in attributes or ():
            if name not in seen:
                raise InputError("no object has it", field=name, remedy=suggestion(name, seen, "attributes"))
        names = seen if attributes is None else attributes
        made = (infer_attribute(name, seen[name], optional=len(seen[name]) < count) for name in names)
        return cls(tuple(made), most=fullest if most is None else most)

    def attribute(self, name: str, *, file: str | Path | None = None, field: str = "schema") -> Attribute:
        """An attribute by name; `InputError` for an unknown one, with the nearest."""
        if name not in self.by_name:
            remedy = suggestion(name, self.by_name, "attributes")
            raise InputError(f"unknown attribute {name!r}", file=file, field=field, remedy=remedy)
        return self.by_name[name]

    def only(self, *names: str) -> Schema:
        """The schema with these attributes alone, in their old order."""
        kept = {self.attribute(name).name for name in names}
        return Schema(tuple(each for each in self.attributes if each.name in kept), self.most)

    def without(self, *names: str) -> Schema:
        """The schema lacking these attributes."""
        dropped = {self.attribute(name).name for name in names}
        return Schema(tuple(each for each in self.attributes if each.name not in dropped), self.most)

    def check(self, objects: Objects, *, partial: bool = False, file: str | Path | None = None) -> Scene:
        """The scene in its one form: attributes in order, numbers as floats and tuples of floats.

        Parameters
        ----------
        partial : attributes may be missing that are not optional: a query.

        Raises
        ------
        InputError : too many objects, an unknown attribute or value, a missing attribute, an empty object.
        """
        self._check_count(objects, file=file, field="scene")
        scene = []
        for number, given in enumerate(objects, 1):
            field = f"object {number}"
            for name in given:
                self.attribute(name, file=file, field=field)
            made = self._primitive(given, partial=partial, unknown="refuse", file=file, field=field)
            if not made:
                raise InputError("has no attribute", file=file, field=field, remedy="give at least one")
            scene.append(made)
        return tuple(scene)

    def encode(
        self,
        scenes: Sequence[Objects],
        *,
        partial: bool = False,
        unknown: Unknown = "refuse",
        file: str | Path | None = None,
        names: Sequence[str] | None = None,
    ) -> Programs:
        """Scenes as tensors, padded to `most` objects. Attributes the schema does not know are left out.

        Parameters
        ----------
        partial : attributes may be missing that are not optional: queries.
        unknown : what becomes of a value outside a vocabulary: an error, or a missing attribute.
        names : of the scenes, for errors; by default their numbers.

        Raises
        ------
        InputError : naming scene, object and attribute.
        """
        names = names or [f"scene {row}" for row in range(1, len(scenes) + 1)]
        shape = (len(scenes), self.most)
        categories = np.zeros((*shape, len(self.categorical)), np.int64)
        values = np.zeros((*shape, self.width))
        present = np.zeros((*shape, len(self.attributes)), bool)
        for row, objects in enumerate(scenes):
            self._check_count(objects, file=file, field=names[row])
            for place, given in enumerate(objects):
                field = f"{names[row]}, object {place + 1}"
                made = self._primitive(given, partial=partial, unknown=unknown, file=file, field=field)
                for column, each in enumerate(self.categorical):
                    if each.name in made:
                        categories[row, place, column] = each.index[made[each.name]]  # type: ignore[index]
                for each in self.continuous:
                    if each.name in made:
                        numbers = np.asarray(made[each.name])
                        values[row, place, self.columns[each.name]] = (numbers - each.low) / each.span
                present[row, place, [self.places[name] for name in made]] = True
        return Programs(
            torch.from_numpy(categories),
            torch.from_numpy(values).float(),
            torch.from_numpy(present),
            torch.tensor([len(objects) for objects in scenes], dtype=torch.int64),
        )

    def decode(self, programs: Programs) -> list[Scene]:
        """The scenes of a batch; missing attributes are absent, numbers have single precision."""
        categories, present = programs.categories.tolist(), programs.present.tolist()
        values, scenes = programs.values.double().cpu().numpy(), []
        for row, length in enumerate(programs.length.tolist()):
            scene: list[Primitive] = []
            for place in range(length):
                made: Primitive = {}
                numbers = iter(categories[row][place])
                for name, there in zip(self.by_name, present[row][place]):
                    each = self.by_name[name]
                    if isinstance(each, Categorical):
                        value: Any = each.values[next(numbers)]
                    else:
                        scaled = values[row, place, self.columns[name]]
                        value = each.check(np.asarray(each.low) + scaled * each.span)
                    if there:
                        made[name] = value
                scene.append(made)
            scenes.append(tuple(scene))
        return scenes

    def to_plain(self) -> dict[str, Any]:
        """The schema as dicts, lists, numbers and texts; `from_plain` reads them."""
        return {"most": self.most, "attributes": [attribute.to_plain() for attribute in self.attributes]}

    @classmethod
    def from_plain(cls, plain: Any, *, file: str | Path | None = None) -> Schema:
        """The schema that `to_plain` wrote; `InputError` names what does not fit."""
        if not isinstance(plain, dict) or set(plain) != {"most", "attributes"}:
            remedy = "give the keys most and attributes, as in the attributes.json that fit writes"
            raise InputError("is not a schema", file=file, field="schema", remedy=remedy)
        attributes = tuple(attribute_from_plain(each, file=file) for each in plain["attributes"])
        return cls(attributes, most=int(plain["most"]))

    def json_schema(self) -> dict[str, Any]:
        """JSON schema (draft 2020-12) of a scene in its JSON form, {"objects": [{attribute: value}]}."""
        primitive = {
            "type": "object",
            "properties": {each.name: each.json_schema() for each in self.attributes},
            "required": [each.name for each in self.attributes if not each.optional],
            "additionalProperties": False,
            "minProperties": 1,
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "scene",
            "type": "object",
            "properties": {"objects": {"type": "array", "items": primitive, "maxItems": self.most}},
            "required": ["objects"],
            "additionalProperties": False,
        }

    def _check_count(self, objects: Objects, *, file: str | Path | None, field: str) -> None:
        if len(objects) > self.most:
            problem = f"has {len(objects)} objects, the schema allows {self.most}"
            remedy = "drop some, or train with a schema that allows more"
            raise InputError(problem, file=file, field=field, remedy=remedy)

    def _primitive(
        self,
        given: Mapping[str, Any],
        *,
        partial: bool,
        unknown: Unknown,
        file: str | Path | None,
        field: str,
    ) -> Primitive:
        """One object in its one form; attributes the schema does not know are left out."""
        made: Primitive = {}
        for name, each in self.by_name.items():
            value = given.get(name)
            if value is None:
                if not (partial or each.optional):
                    remedy = f"give every object a {name}, or make it optional in the schema"
                    raise InputError(f"lacks the attribute {name!r}", file=file, field=field, remedy=remedy)
                continue
            if unknown == "missing" and isinstance(each, Categorical) and value not in each.values:
                continue
            made[name] = each.check(value, file=file, field=f"{field}, {name}")
        return made

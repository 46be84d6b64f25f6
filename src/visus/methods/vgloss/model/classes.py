"""Classes as texts: what a zero-shot classifier is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError

Sentences = tuple[str, ...]


@dataclass(frozen=True)
class ClassTexts:
    """Class names with their descriptions.

    names : one per class, all different (labels, or keys such as wnids).
    normal : descriptions of each class on its own; may be empty for some.
    contrastive : (class, other class) -> sentences on what sets the class apart from the other.
    spoken : the names as they stand in texts; the same as `names` where none are given.
    seen : classes whose pictures are known, for a text encoder that must be bridged to the pictures' space.

    Raises
    ------
    InputError : no classes, names twice, or texts that are not per class.
    """

    names: tuple[str, ...]
    normal: tuple[Sentences, ...]
    contrastive: Mapping[tuple[str, str], Sentences] = field(default_factory=dict)
    spoken: tuple[str, ...] = ()
    seen: SeenClasses | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("is empty", field="classes", remedy="give at least one class name")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            remedy = "give every class a name of its own"
            raise InputError(f"stands there twice: {', '.join(twice)}", field="classes", remedy=remedy)
        for named, values in (("normal", self.normal), ("spoken", self.spoken or self.names)):
            if len(values) != len(self.names):
                raise InputError(
                    f"has {len(values)} entries for {len(self.names)} classes",
                    field=named,
                    remedy="one per class",
                )
        for pair in self.contrastive:
            unknown = [name for name in pair if name not in set(self.names)]
            if unknown or pair[0] == pair[1]:
                problem = f"{unknown[0]!r} is no class" if unknown else f"{pair[0]!r} against itself"
                raise InputError(
                    problem, field="contrastive", remedy="name two different classes of the list"
                )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Names, name -> descriptions, a silver record, or class texts.

        >>> ClassTexts.of(["cat", "dog"]).normal
        ((), ())
        """
        if isinstance(given, cls):
            return given
        if isinstance(getattr(given, "classes", None), Mapping):
            return cls.from_silver(given)
        if isinstance(given, Mapping):
            return cls(tuple(map(str, given)), tuple(_sentences(value) for value in given.values()))
        if isinstance(given, str) or not isinstance(given, Sequence):
            remedy = "give a list of names, a mapping from names to descriptions, or a silver record"
            raise InputError(f"is of the type {type(given).__name__}", field="classes", remedy=remedy)
        return cls(tuple(map(str, given)), tuple(() for _ in given))

    @classmethod
    def from_silver(cls, silver: Any) -> Self:
        """The classes of a record whose `classes` holds name, normal and contrastive texts by key."""
        entries = {key: _entry(value) for key, value in silver.classes.items()}
        return cls(
            tuple(entries),
            tuple(_sentences(entry["normal"]) for entry in entries.values()),
            {
                (key, other): _sentences(told)
                for key, entry in entries.items()
                for other, told in entry["contrastive"].items()
                if told and other in entries
            },
            tuple(str(entry["name"]) for entry in entries.values()),
        )

    @property
    def called(self) -> tuple[str, ...]:
        """Names as they stand in texts."""
        return self.spoken or self.names

    def against(self, name: str) -> dict[str, Sentences]:
        """What sets a class apart, by the class it is set apart from."""
        return {other: told for (one, other), told in self.contrastive.items() if one == name}

    def with_texts(self, normal: Iterable[Sequence[str]]) -> Self:
        """The same classes with other descriptions."""
        return replace(self, normal=tuple(_sentences(told) for told in normal))

    def to_plain(self) -> dict[str, Any]:
        """Names and texts as plain data, without the seen classes."""
        return {
            "names": list(self.names),
            "spoken": list(self.called),
            "normal": [list(told) for told in self.normal],
            "contrastive": [[*pair, list(told)] for pair, told in sorted(self.contrastive.items())],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_plain` gave."""
        return cls(
            tuple(plain["names"]),
            tuple(_sentences(told) for told in plain["normal"]),
            {(one, other): _sentences(told) for one, other, told in plain["contrastive"]},
            tuple(plain["spoken"]),
        )

    def fingerprint(self) -> str:
        """Hash of names and texts."""
        return hashlib.sha256(json.dumps(self.to_plain(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SeenClasses:
    """Classes whose pictures are known.

    texts : of each class, at least one.
    prototypes : one direction of the pictures' space per class: the mean of its pictures' features, or its row of
        a trained classifier.
    """

    texts: ClassTexts
    prototypes: Float[Tensor, "n p"]

    def __post_init__(self) -> None:
        if self.prototypes.ndim != 2 or len(self.prototypes) != len(self.texts):
            problem = f"have the shape {tuple(self.prototypes.shape)} for {len(self.texts)} classes"
            raise InputError(problem, field="prototypes", remedy="give one row per seen class")


def _sentences(given: Any) -> Sentences:
    if isinstance(given, str):
        return (given,)
    return tuple(str(text) for text in given)


def _entry(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {
            "name": value["name"],
            "normal": value.get("normal", ()),
            "contrastive": value.get("contrastive", {}),
        }
    return {"name": value.name, "normal": value.normal, "contrastive": value.contrastive}

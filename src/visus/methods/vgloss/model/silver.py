"""The "silver" set: descriptions of every class with what they were made from, as one JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from visus.errors import InputError
from visus.records import read_json, write_atomically

Use: TypeAlias = Literal["normal", "contrastive", "both"]
REMEDY = "write the file with `visus vgloss describe`, or see the fields in docs/vgloss.md"


@dataclass(frozen=True, kw_only=True)
class SilverClass:
    """One class: what the dictionary says and how a photo of it looks."""

    name: str
    synset: str | None = None
    """WordNet's name of the concept, such as `crane.n.05`."""
    lemmas: tuple[str, ...] = ()
    gloss: str = ""
    normal: tuple[str, ...] = ()
    contrastive: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Key of a class this one is easily confused with -> sentences on this class, against that one."""

    def texts(self, use: Use = "normal") -> tuple[str, ...]:
        """The normal descriptions, the contrastive ones (normal if there are none), or all, each once."""
        against = tuple(text for texts in self.contrastive.values() for text in texts)
        if use == "normal":
            return self.normal
        if use == "contrastive":
            return tuple(dict.fromkeys(against)) or self.normal
        if use == "both":
            return tuple(dict.fromkeys((*self.normal, *against)))
        raise InputError(f"must be normal, contrastive or both, got {use!r}", field="use")


@dataclass(frozen=True, kw_only=True)
class Silver:
    """Descriptions of a label set, in the order of the classes.

    Paper: 2306.06077 names such a set for ImageNet. Differs: its form is not public; this one is ours.

    Parameters
    ----------
    classes : key (ImageNet's wnid, or the name) -> class.
    meta : what made it: `resource`, `lm`, `decoding`, `created` and more.
    """

    classes: Mapping[str, SilverClass]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def texts(self, use: Use = "normal") -> dict[str, list[str]]:
        """Class key -> its descriptions; without contrastive ones all uses are the same."""
        return {key: list(each.texts(use)) for key, each in self.classes.items()}

    def pairs(self) -> set[frozenset[str]]:
        """The unordered pairs of classes that have contrastive sentences on at least one side."""
        return {frozenset((key, other)) for key, each in self.classes.items() for other in each.contrastive}

    def restricted_to(self, keys: Sequence[str]) -> Self:
        """These classes only, in this order; contrastive sentences against the others go."""
        if missing := [key for key in keys if key not in self.classes]:
            raise InputError(f"{missing[0]!r} is not a class", field="keys")
        kept = {
            key: dataclasses.replace(
                self.classes[key],
                contrastive={
                    other: texts
                    for other, texts in self.classes[key].contrastive.items()
                    if other in set(keys)
                },
            )
            for key in keys
        }
        return dataclasses.replace(self, classes=kept)

    def to_json(self) -> str:
        """JSON text; equal sets give equal bytes, whatever order their settings and pairs were added in."""
        place = {key: i for i, key in enumerate(self.classes)}
        classes = {}
        for key, each in self.classes.items():
            against = sorted(each.contrastive.items(), key=lambda item: place.get(item[0], len(place)))
            classes[key] = {
                "name": each.name,
                "synset": each.synset,
                "lemmas": list(each.lemmas),
                "gloss": each.gloss,
                "normal": list(each.normal),
                "contrastive": {other: list(texts) for other, texts in against},
            }
        meta = json.loads(json.dumps(dict(self.meta), sort_keys=True, allow_nan=False))
        plain = {"meta": meta, "classes": classes}
        return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, file: str | Path | None = None) -> Self:
        """The set whose `to_json` this is.

        Raises
        ------
        InputError : not JSON, an unknown or missing field, a wrong type, or a contrast with a class that is not
            there; names the class and the field.
        """
        try:
            plain = json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise InputError(
                f"is not valid JSON ({error.msg})", file=file, field=f"line {error.lineno}", remedy=REMEDY
            ) from None
        except _Doubled as error:
            raise InputError(
                "appears twice", file=file, field=str(error), remedy="keep one of the two"
            ) from None
        return cls.from_plain(plain, file=file)

    @classmethod
    def from_plain(cls, plain: Any, *, file: str | Path | None = None) -> Self:
        """As `from_json`, from data that is already read."""
        _fields(plain, {"meta", "classes"}, {"classes"}, "file", file)
        meta = plain.get("meta", {})
        if not isinstance(meta, dict):
            raise InputError("is not an object", file=file, field="meta", remedy=REMEDY)
        if not isinstance(plain["classes"], dict) or not plain["classes"]:
            raise InputError("is not an object with classes", file=file, field="classes", remedy=REMEDY)
        classes = {key: _class(key, each, plain["classes"], file) for key, each in plain["classes"].items()}
        return cls(classes=classes, meta=meta)

    def write(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all."""
        write_atomically(Path(path), self.to_json())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a JSON file; see `from_json` for what is refused."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            read_json(path)  # says what is wrong with the file
            raise
        return cls.from_json(text, file=path)


def _class(key: str, plain: Any, keys: Collection[str], file: str | Path | None) -> SilverClass:
    where = f"class {key!r}"
    known = {each.name for each in dataclasses.fields(SilverClass)}
    _fields(plain, known, {"name", "normal"}, where, file)
    for name in ("name", "synset", "gloss"):
        optional = name == "synset" and plain.get(name) is None
        if name in plain and not optional and not isinstance(plain[name], str):
            raise InputError("is not text", file=file, field=f"{where}, {name}", remedy=REMEDY)
    against = plain.get("contrastive", {})
    if not isinstance(against, dict):
        raise InputError("is not an object", file=file, field=f"{where}, contrastive", remedy=REMEDY)
    for other in against:
        if other == key or other not in keys:
            problem = "is the class itself" if other == key else "is not a class of the file"
            raise InputError(problem, file=file, field=f"{where}, contrastive, {other!r}", remedy=REMEDY)
    return SilverClass(
        name=plain["name"],
        synset=plain.get("synset"),
        lemmas=_texts(plain.get("lemmas", []), f"{where}, lemmas", file),
        gloss=plain.get("gloss", ""),
        normal=_texts(plain["normal"], f"{where}, normal", file),
        contrastive={
            other: _texts(texts, f"{where}, contrastive, {other!r}", file) for other, texts in against.items()
        },
    )


def _fields(plain: Any, known: set[str], needed: set[str], where: str, file: str | Path | None) -> None:
    if not isinstance(plain, dict):
        raise InputError("is not an object", file=file, field=where, remedy=REMEDY)
    for name in sorted(plain.keys() - known):
        raise InputError(f"has an unknown field {name!r}", file=file, field=where, remedy=REMEDY)
    for name in sorted(needed - plain.keys()):
        raise InputError(f"has no field {name!r}", file=file, field=where, remedy=REMEDY)


def _texts(value: Any, where: str, file: str | Path | None) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError("is not a list of texts", file=file, field=where, remedy=REMEDY)
    for i, text in enumerate(value):
        if not isinstance(text, str) or not text.strip():
            raise InputError("is not a text", file=file, field=f"{where}, item {i}", remedy=REMEDY)
    return tuple(value)


class _Doubled(Exception):
    """A key that stands twice in one JSON object; Python's reader would keep the second in silence."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Doubled(repr(key))
            seen.add(key)
    return made

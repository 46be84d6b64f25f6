"""A concept as the dictionary entry that stands in a prompt: written by the prompter, read by the lexical model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import folded, plain

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concepts import Concept

Field: TypeAlias = Literal["synonyms", "kinds", "meaning", "example", "parts", "narrower"]
FIELDS: tuple[Field, ...] = ("synonyms", "kinds", "meaning", "example", "parts")
LABELS: dict[str, str] = {
    "name": "Name",
    "synonyms": "Also called",
    "kinds": "Kind of",
    "meaning": "Meaning",
    "example": "Used as in",
    "parts": "Parts",
    "narrower": "Such as",
}
"""Field -> how its line begins."""
FEW = 4
"""Most items of a list in an entry: a long list pushes the meaning out of a small model's sight."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a dictionary knows of a thing."""

    name: str
    synonyms: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """What it is a kind of, nearest first."""
    meaning: str = ""
    example: str = ""
    parts: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()

    def text(self) -> str:
        """One line for every field that holds something.

        >>> print(Entry(name="crane", kinds=("wading bird", "bird")).text())
        Name: crane
        Kind of: wading bird; bird
        """
        lines = []
        for field, label in LABELS.items():
            value = getattr(self, field)
            shown = "; ".join(value) if isinstance(value, tuple) else value
            if shown:
                lines.append(f"{label}: {shown}")
        return "\n".join(lines)


def entry_of(concept: Concept, fields: Sequence[str] = FIELDS, *, name: str | None = None) -> Entry:
    """The entry of a concept, with these fields only.

    Parameters
    ----------
    name : shown instead of the concept's label.
    """
    if unknown := [field for field in fields if field not in LABELS or field == "name"]:
        known = ", ".join(list(LABELS)[1:])
        raise InputError(f"{unknown[0]!r} is not a field", field="fields", remedy=f"fields: {known}")
    label = plain(name or concept.label)
    own = {folded(label), folded(concept.label)}
    found = Entry(
        name=label,
        synonyms=tuple(each for each in _names(concept.lemmas) if folded(each) not in own)[:FEW],
        kinds=_names(concept.hypernyms)[:FEW],
        meaning=" ".join((concept.gloss or "").split()),
        example=" ".join(concept.examples[0].split()).strip("\"'") if concept.examples else "",
        parts=_names(concept.parts)[:FEW],
        narrower=_names(concept.hyponyms)[:FEW],
    )
    return dataclasses.replace(
        found,
        **{
            field: "" if field in ("meaning", "example") else ()
            for field in LABELS
            if field not in (*fields, "name")
        },
    )


def read_entries(text: str) -> list[Entry]:
    """The entries of a prompt, in order; other lines are passed over."""
    found: list[dict[str, str | tuple[str, ...]]] = []
    for line in text.splitlines():
        label, colon, value = line.partition(": ")
        field = next((field for field, each in LABELS.items() if each == label), None)
        if not colon or field is None:
            continue
        if field == "name":
            found.append({})
        if found:
            lists = field not in ("name", "meaning", "example")
            found[-1][field] = tuple(value.split("; ")) if lists else value
    return [Entry(**fields) for fields in found]  # type: ignore[arg-type]


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Names in words, each once."""
    return tuple(dict.fromkeys(plain(name).replace(";", ",") for name in names if plain(name)))

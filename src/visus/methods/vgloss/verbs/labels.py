"""Class names as a person gives them: a list, a table with ids, meanings and glosses, or a published label set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visus.errors import InputError, MissingData

if TYPE_CHECKING:
    import pandas as pd

    from visus.methods.vgloss.model.concept import Concept, Given

NAME_COLUMNS = ("label", "class", "name", "classname", "category")
WNID_COLUMN, SYNSET_COLUMN, GLOSS_COLUMN, PARENT_COLUMN = "wnid", "synset", "gloss", "parent"
LISTS, TABLES = (".txt", ".names"), (".csv", ".tsv")
TOLD_APART = (
    "give a table with the columns label and synset (crane.n.05) or gloss as --classes, and fill one in"
)
UNSURE = 0.5
"""Meanings less sure than this are worth a look."""


@dataclass(frozen=True)
class Labels:
    """Class names with what is known of them; wnids, synsets, glosses and parents have one entry per name."""

    origin: str
    names: tuple[str, ...]
    wnids: tuple[str | None, ...]
    synsets: tuple[str | None, ...]
    glosses: tuple[str | None, ...]
    parents: tuple[str | None, ...]
    parent: str | None = None
    file: Path | None = None

    def given(self) -> dict[str, Given]:
        """What the person says, by label."""
        from visus.methods.vgloss.model.concept import Given

        rows = zip(self.names, self.synsets, self.glosses, self.parents, strict=True)
        return {name: Given(*told) for name, *told in rows if any(told)}


def read_labels(
    classes: str, *, wnids: str | None = None, glosses: str | None = None, parent: str | None = None
) -> Labels:
    """Read `--classes`.

    Parameters
    ----------
    classes : the name of a label set; a file with one name per line; or a table with a column for the names
        (`label`, `class`, `name`) and, if there are, `wnid`, `synset`, `gloss`, `parent`.
    wnids, glosses : columns of the table, where they have other names.
    parent : what all classes are kinds of.

    Raises
    ------
    InputError : neither a label set nor a file, no names, names twice, or columns that are not there.
    """
    from visus.data.corpora.class_lists import SETS

    path = Path(classes)
    if classes in SETS and not path.exists():
        if wnids or glosses:
            problem = "is for a table, and a label set was named"
            raise InputError(
                problem, field="--wnids" if wnids else "--glosses", remedy="leave the option out"
            )
        return _published(classes, parent)
    if not path.exists():
        remedy = f"name a file, or one of the label sets {', '.join(SETS)}"
        raise InputError("does not exist", file=path, field="--classes", remedy=remedy)
    if path.is_dir() or path.suffix.lower() not in (*LISTS, *TABLES):
        remedy = "give a .txt file with one name per line, or a .csv table"
        raise InputError("is no list of classes", file=path, field="--classes", remedy=remedy)
    if path.suffix.lower() in TABLES:
        made = _from_table(path, wnids=wnids, glosses=glosses, parent=parent)
    else:
        if wnids or glosses:
            problem = "is for a table, and a list was given"
            raise InputError(
                problem, file=path, field="--wnids" if wnids else "--glosses", remedy="give a .csv"
            )
        made = _from_list(path, parent)
    twice = [name for name, count in Counter(made.names).items() if count > 1]
    if not made.names or twice:
        problem = f"names {twice[0]!r} twice" if twice else "holds no names"
        raise InputError(problem, file=path, field="--classes", remedy="write each class once")
    return made


def concepts_of(labels: Labels) -> tuple[list[Concept], list[str]]:
    """The meaning of every label, and what a person should know of how they were found.

    Where every class has a gloss of the person's own and nobody names ids or synsets, no WordNet is needed.

    Raises
    ------
    InputError : see `ConceptMapper.map`.
    MissingData : WordNet is not on this machine; says how to get it.
    """
    from visus.data.wordnet import WordNet
    from visus.methods.vgloss.model.concept import concept_without_synset
    from visus.methods.vgloss.model.concepts import ConceptMapper

    named = any((*labels.wnids, *labels.synsets, *labels.parents)) or labels.parent
    try:
        wordnet = WordNet.open()
    except MissingData:
        if named or not all(labels.glosses):
            raise
        made = [
            concept_without_synset(name, None, gloss, how="given")
            for name, gloss in zip(labels.names, labels.glosses)
        ]
        return made, ["there is no WordNet on this machine: classes are known by their glosses alone"]
    notes: list[str] = []
    wnids, parent = labels.wnids, labels.parent
    if wordnet.version != "3.0" and labels.file is None:
        notes.append(f"WordNet {wordnet.version} has other ids than the label set: meanings go by name")
        wnids, parent = tuple(None for _ in wnids), None
    mapper = ConceptMapper(wordnet)
    try:
        return mapper.map(labels.names, wnids, labels.given(), parent=parent), notes
    except InputError as error:
        if error.file is None and labels.file is not None:
            remedy = TOLD_APART if "would both mean" in error.problem else error.remedy
            raise InputError(error.problem, file=labels.file, field=error.field, remedy=remedy) from None
        raise


def concept_table(concepts: Sequence[Concept]) -> pd.DataFrame:
    """The meanings as a table that a person corrects and gives back as `--classes`.

    `synset`, `gloss` and `parent` are read again; `confidence`, `how`, `meaning` and `alternatives` only inform.
    """
    import pandas as pd

    rows = [
        {
            "label": each.label,
            "synset": each.synset.name if each.synset else "",
            "gloss": "" if _from_wordnet(each) else each.gloss,
            "parent": each.parent.name if each.parent else "",
            "confidence": f"{each.confidence:.2f}",
            "how": each.how,
            "meaning": each.synset.definition if each.synset else "",
            "alternatives": " | ".join(
                f"{sense.synset.name} ({sense.share:.2f}): {sense.synset.definition}"
                for sense in each.alternatives
            ),
        }
        for each in concepts
    ]
    return pd.DataFrame(rows)


def doubtful(concepts: Sequence[Concept]) -> list[Concept]:
    """Meanings that a person should look at, the least sure first."""
    return sorted((each for each in concepts if each.confidence < UNSURE), key=lambda each: each.confidence)


def _from_wordnet(concept: Concept) -> bool:
    known = concept.synset or concept.parent
    return known is not None and concept.gloss == known.definition


def _published(name: str, parent: str | None) -> Labels:
    from visus.methods.vgloss.model.labels import label_set

    known = label_set(name)
    empty = tuple(None for _ in known.names)
    return Labels(name, known.names, known.wnids or empty, empty, empty, empty, parent or known.parent)


def _from_list(path: Path, parent: str | None) -> Labels:
    from visus.data.formats import read_text

    lines = (line.strip() for line in read_text(path).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    empty = tuple(None for _ in names)
    return Labels(str(path), names, empty, empty, empty, empty, parent, path)


def _from_table(path: Path, *, wnids: str | None, glosses: str | None, parent: str | None) -> Labels:
    from visus.data.formats import read_table
    from visus.data.formats.table import require_column

    columns = list(read_table(path).columns)
    frame = read_table(path, text_columns=tuple(columns))
    lowered = {column.lower(): column for column in reversed(columns)}
    name = next((lowered[each] for each in NAME_COLUMNS if each in lowered), None)
    if name is None:
        problem = f"has no column with the classes' names (there are {', '.join(columns)})"
        raise InputError(problem, file=path, field="--classes", remedy="call it label")
    for column in (wnids, glosses):
        if column is not None:
            require_column(frame, column, file=path)

    def cells(column: str | None) -> tuple[str | None, ...]:
        if column is None:
            return tuple(None for _ in range(len(frame)))
        return tuple(str(cell).strip() or None if isinstance(cell, str) else None for cell in frame[column])

    labels = cells(name)
    if missing := [i for i, label in enumerate(labels) if label is None]:
        raise InputError("is empty", file=path, field=f"column {name}, line {missing[0] + 2}")
    return Labels(
        str(path),
        tuple(label or "" for label in labels),
        cells(wnids or lowered.get(WNID_COLUMN)),
        cells(lowered.get(SYNSET_COLUMN)),
        cells(glosses or lowered.get(GLOSS_COLUMN)),
        cells(lowered.get(PARENT_COLUMN)),
        parent,
        path,
    )

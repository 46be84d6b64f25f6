"""THINGS: the table of its 1,854 concepts, the VICE embedding of them, its triplets and its photographs.

Layout: `<root>/things_concepts.tsv`, `<root>/triplets/train_90.npy` and `test_10.npy` (or `.txt`), `<root>/images/
<unique id>.jpg`. The row of a concept in the table is its number in the triplets and its row in embeddings.

Data: Hebart et al., PLoS ONE 14, 2019 (concepts); github.com/LukasMut/VICE (embedding, tables).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from visus.data.formats.arrays import read_array, write_npy
from visus.data.formats.picture import present
from visus.data.formats.table import read_rows
from visus.data.triplets.reading import read_triplets
from visus.data.triplets.record import Triplets
from visus.errors import InputError
from visus.records import write_atomically

COLUMNS = {
    "words": "word",
    "unique_ids": "uniqueid",
    "wnids": "wordnetid",
    "definitions": "definition",
    "synonyms": "wordnetsynonyms",
}
CATEGORIES = "category"
PARTS = {"train": "train_90", "test": "test_10"}
PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True, eq=False)
class Concepts:
    """One entry per concept, in the order of the table.

    `unique_ids` tell two concepts of one word apart (`bat1`, `bat2`) and name the pictures; `wnids` are WordNet 3.0
    offsets such as `n02082791`, None where the table has none; `categories` are all that any column of the table
    names, without repetition; `definitions` is None in tables without them.
    """

    words: tuple[str, ...]
    unique_ids: tuple[str, ...]
    wnids: tuple[str | None, ...]
    definitions: tuple[str, ...] | None = None
    categories: tuple[tuple[str, ...], ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.unique_ids)

    def index(self, unique_id: str) -> int:
        """Number of a concept.

        Raises
        ------
        InputError : no concept has this id.
        """
        if unique_id not in self.unique_ids:
            raise InputError(f"no concept {unique_id!r}", file=self.file, field="unique id")
        return self.unique_ids.index(unique_id)

    def of_category(self, name: str) -> np.ndarray:
        """(m,) bool: concepts of a category."""
        return np.array([name in own for own in self.categories], dtype=bool)


def things_concepts(path: str | Path) -> Concepts:
    """Read `things_concepts.tsv`, or `item_names.tsv` (which has no definitions and categories).

    The columns are found by their names, of which that of the definitions is in quotes and has commas; text in
    quotes is unquoted, and a concept without WordNet id keeps its place with None.

    Raises
    ------
    InputError : a column is absent, a line has another number of fields, a unique id is missing or comes twice, or a
        WordNet id is not of the form n00000000.
    """
    path = Path(path)
    (_, header), *rows = read_rows(path)
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    where = {
        field: next((i for i, name in enumerate(names) if _named(name, start)), None)
        for field, start in COLUMNS.items()
    }
    if where["synonyms"] is None and "wordnetsynset" in names:
        where["synonyms"] = names.index("wordnetsynset")
    for field in ("words", "unique_ids", "wnids"):
        if where[field] is None:
            remedy = "give things_concepts.tsv with the columns Word, uniqueID and WordNet ID"
            raise InputError(f"has no column of {field}", file=path, field="header", remedy=remedy)
    _check_rows(rows, len(header), where["unique_ids"], where["wnids"], path)
    kinds = [i for i, name in enumerate(names) if CATEGORIES in name or "categories" in name]

    def column(field: str) -> tuple[str, ...]:
        place = where[field]
        return () if place is None else tuple(cells[place].strip() for _, cells in rows)

    return Concepts(
        words=column("words"),
        unique_ids=column("unique_ids"),
        wnids=tuple(wnid or None for wnid in column("wnids")),
        definitions=column("definitions") or None,
        categories=tuple(_listed([cells[i] for i in kinds]) for _, cells in rows) if kinds else (),
        synonyms=tuple(_listed([text]) for text in column("synonyms")),
        file=path,
    )


def write_things_concepts(path: str | Path, concepts: Concepts) -> None:
    """Write a table that `things_concepts` reads back: the columns it needs, named as in the published one."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    quoted = "Definition (from WordNet, Google, or Wikipedia)"
    writer.writerow(
        ["Word", "uniqueID", "All Bottom-up Categories", "WordNet Synonyms", "WordNet ID", quoted]
    )
    empty = ((),) * len(concepts)
    for word, name, kinds, synonyms, wnid, text in zip(
        concepts.words,
        concepts.unique_ids,
        concepts.categories or empty,
        concepts.synonyms or empty,
        concepts.wnids,
        concepts.definitions or ("",) * len(concepts),
        strict=True,
    ):
        writer.writerow([word, name, ", ".join(kinds), ", ".join(synonyms), wnid or "", text])
    write_atomically(Path(path), out.getvalue())


def read_vice(path: str | Path, *, objects: int | None = None) -> Float32[np.ndarray, "m d"]:
    """An embedding learned from triplets, (objects, dimensions), non-negative, C order.

    Parameters
    ----------
    objects : how many rows it must have.

    Raises
    ------
    InputError : not a matrix of finite numbers from 0, more dimensions than objects (a transposed file), or
        another number of rows.
    """
    path = Path(path)
    values = read_array(path)
    if values.ndim != 2 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        problem = f"shape {values.shape} of {values.dtype}, expected finite (objects, dimensions)"
        raise InputError(problem, file=path, remedy="give VICE's final_embedding.npy")
    rows, columns = values.shape
    if rows < columns if objects is None else columns == objects != rows:
        remedy = "transpose it: one row per object"
        raise InputError(f"shape {values.shape} has dimensions in rows", file=path, remedy=remedy)
    if objects is not None and rows != objects:
        raise InputError(f"{rows} rows for {objects} objects", file=path, remedy="give one per object")
    if values.size and values.min() < 0:
        remedy = "give the non-negative embedding"
        raise InputError(f"holds {values.min():.3g}, below 0", file=path, remedy=remedy)
    return np.ascontiguousarray(values, dtype=np.float32)


def write_vice(path: str | Path, embedding: Float32[np.ndarray, "m d"]) -> None:
    """Write as published: float32, columns together (Fortran order)."""
    write_npy(path, np.asfortranarray(embedding, dtype=np.float32))


def things_triplets(root: str | Path, part: Literal["train", "test"] = "train") -> Triplets:
    """The triplets of one part of the published split, named by the concept table where it is there.

    Raises
    ------
    InputError : no file of this part, or a broken one.
    """
    root = Path(root)
    if part not in PARTS:
        raise InputError(f"unknown part {part!r}", field="part", remedy="choose train or test")
    files = [root / "triplets" / f"{PARTS[part]}{suffix}" for suffix in (".npy", ".txt")]
    path = next((file for file in files if file.exists()), files[0])
    table = root / "things_concepts.tsv"
    names = things_concepts(table).unique_ids if table.exists() else None
    return read_triplets(present(path), base=0, odd="last", names=names)


def things_pictures(root: str | Path, concepts: Concepts) -> list[Path]:
    """The photograph of every concept, in the table's order.

    Raises
    ------
    InputError : a concept has no photograph; names the first and how many there are.
    """
    folder, found, missing = Path(root) / "images", [], []
    for name in concepts.unique_ids:
        path = next((p for p in (folder / f"{name}{end}" for end in PICTURES) if p.exists()), None)
        found.append(path) if path else missing.append(name)
    if missing:
        problem = f"no picture of {missing[0]!r} (of {len(missing)} concepts)"
        raise InputError(problem, file=folder, remedy="name one picture per concept <unique id>.jpg")
    return found


def _named(name: str, start: str) -> bool:
    return name.startswith(start) if start == "definition" else name == start


def _listed(cells: Sequence[str]) -> tuple[str, ...]:
    parts = (part.strip() for cell in cells for part in cell.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _check_rows(
    rows: list[tuple[int, list[str]]], width: int, ids: int | None, wnids: int | None, path: Path
) -> None:
    assert ids is not None
    assert wnids is not None
    if not rows:
        raise InputError("has a header but no concepts", file=path, remedy="give one line per concept")
    seen: dict[str, int] = {}
    for line, cells in rows:
        where = f"line {line}"
        if len(cells) != width:
            problem = f"has {len(cells)} fields where the header has {width}"
            remedy = "put text that contains a tab in double quotes"
            raise InputError(problem, file=path, field=where, remedy=remedy)
        name, wnid = cells[ids].strip(), cells[wnids].strip()
        if not name or name in seen:
            problem = f"unique id {name!r} stands on line {seen[name]} too" if name else "has no unique id"
            raise InputError(problem, file=path, field=where, remedy="give every concept its own")
        if wnid and not re.fullmatch(r"n\d{8}", wnid):
            problem = f"WordNet id {wnid!r} is not of the form n02082791"
            raise InputError(problem, file=path, field=where, remedy="correct it, or leave it empty")
        seen[name] = line

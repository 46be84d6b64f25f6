"""What the commands read: an embedding, triplets about its objects, and a reference, all in one numbering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from visus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

    from visus.data.features import Embeddings
    from visus.data.triplets import OddOneOutData, Triplets
    from visus.metrics.odd_one_out import NoiseCeiling

Base = Literal["auto", "0", "1"]
Odd = Literal["auto", "last", "first", "choice"]
Kind = Literal["cosine", "dot", "euclidean"]
NAME_COLUMNS = ("uniqueID", "name", "object", "concept", "image", "file", "path")
TOLD = 3
_BASES: dict[str, Literal[0, 1]] = {"0": 0, "1": 1}
REPEATED, REPEATS = 20, 5
"""Triplets, and trials of each, that tell a noise ceiling."""
UNNAMED = "rows of the embedding have no names: row i is taken for object i"


@dataclass(frozen=True, kw_only=True)
class Study:
    """An embedding with judgments about its objects.

    `embeddings` and `reference` have one row per object, in the numbering of `triplets`.
    """

    embeddings: Embeddings
    triplets: Triplets
    reference: Float32[Tensor, "m d"] | None
    notes: tuple[str, ...]
    """What a person should know of how the files were read."""

    @property
    def data(self) -> OddOneOutData:
        """As an aligner learns from it."""
        from visus.data.triplets import OddOneOutData

        names = self.embeddings.names
        return OddOneOutData(self.embeddings.values, self.triplets, reference=self.reference, names=names)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Triplets as a person names them on the command line, before an embedding is joined to them."""

    triplets: Triplets
    names: tuple[str, ...] | None
    reference: Float32[Tensor, "m d"] | None
    notes: tuple[str, ...] = ()

    def with_embeddings(self, given: Embeddings, *, file: Path) -> Study:
        """Join an embedding: rows are found by the objects' names, or taken in the order of the numbers where either
        has no names.

        Parameters
        ----------
        file : what a message names.

        Raises
        ------
        InputError : another number of rows, or no triplet of whose objects all are there.
        """
        objects = self.triplets.objects
        if self.names is not None:
            numbered, given = given, with_names(given, self.names)
            unnamed = () if given is numbered else (UNNAMED,)
            found = rows_by_name(self.names, given, file=file)
            chosen = np.array([found[name] for name in self.names if name in found])
            places = np.array([place for place, name in enumerate(self.names) if name in found])
        elif len(given) == objects:
            return Study(embeddings=given, triplets=self.triplets, reference=self.reference, notes=self.notes)
        else:
            problem = f"has {len(given):,} rows; the triplets are about {objects:,} objects"
            remedy = "give one row per object in the triplets' order, or name the objects with --objects"
            raise InputError(problem, file=file, field="rows", remedy=remedy)
        reference = None if self.reference is None else self.reference[places]
        kept = given.subset(chosen)
        some, notes = self._among(places, kept.names)
        return Study(
            embeddings=kept, triplets=some, reference=reference, notes=(*self.notes, *unnamed, *notes)
        )

    def _among(self, places: np.ndarray, names: Sequence[str]) -> tuple[Triplets, list[str]]:
        """The triplets among the objects `places`, numbered anew."""
        from visus.data.triplets import Triplets, within

        triplets = self.triplets
        known = np.zeros(triplets.objects, dtype=bool)
        known[places] = True
        inside = within(triplets, known)
        notes = []
        if not known.all():
            notes.append(
                f"{int((~known).sum()):,} of {triplets.objects:,} objects have no embedding: "
                f"{int((~inside).sum()):,} of {len(triplets):,} triplets are left out"
            )
        if not inside.any():
            problem = "no triplet has all three objects in the embedding"
            remedy = "check that --objects names the objects in the order of the triplets' numbers"
            raise InputError(problem, file=triplets.file, field="--objects", remedy=remedy)
        some = triplets if inside.all() else triplets.subset(inside)
        number = np.cumsum(known) - 1
        people, file = some.participants, some.file
        rows = number[some.rows]
        made = Triplets(rows=rows, objects=len(places), names=tuple(names), participants=people, file=file)
        return made, notes


def read_judged(
    triplets: Path,
    *,
    objects: Path | None = None,
    reference: Path | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    count: int | None = None,
    option: str = "--triplets",
    ways: Sequence[str] = ("--base", "--reference"),
) -> Judged:
    """Triplets, the objects' names and a reference embedding, with mistakes in the numbering named.

    Parameters
    ----------
    triplets : see `visus.data.triplets.read_triplets`.
    objects : names of the objects in the order of their numbers (`read_names`).
    reference : an embedding of the same objects learned from people's choices, such as VICE.
    base, odd : how the file counts, and where the odd one stands, if that cannot be told.
    count : how many rows the embedding has, which tells the number of objects where no names are given.
    option : what a message calls the file.
    ways : options of the command that tell how the file counts.

    Raises
    ------
    InputError : a file is broken, or the reference shows that the triplets are counted from another number or
        hold the odd one elsewhere than they were read.
    """
    from visus.data.triplets import diagnose

    names = None if objects is None else read_names(objects)
    points = None if reference is None else read_reference(reference)
    known = len(names) if names is not None else count
    if points is not None and known is not None and len(points) != known:
        problem = (
            f"has {len(points):,} rows for {known:,} {'rows of the embedding' if names is None else 'names'}"
        )
        remedy = "give one row per object, or name the objects with --objects"
        raise InputError(problem, file=reference, field="--reference", remedy=remedy)
    try:
        read = read_rows(triplets, known, base, odd, ways=ways)
    except InputError as error:
        found = None if points is None or error.field != "base" else diagnose(triplets, points).fits
        if found is None:
            raise
        read = read_rows(triplets, known, "1" if found.base else "0", odd, ways=ways)
    if points is None:
        return Judged(triplets=read, names=names, reference=None)
    told = diagnose(read, points)
    if told.as_given is False and told.fits is not None:
        raise InputError(told.verdict, file=triplets, field=option, remedy=_reading(told.fits, ways))
    return Judged(triplets=read, names=names, reference=points, notes=(f"triplets: {told.verdict}",))


def read_rows(
    file: Path, objects: int | None, base: Base, odd: Odd = "auto", *, ways: Sequence[str] = ("--base",)
) -> Triplets:
    """`read_triplets` whose remedies are options of the command line."""
    from visus.data.triplets import read_triplets

    try:
        return read_triplets(file, objects=objects, base=base if base == "auto" else _BASES[base], odd=odd)
    except InputError as error:
        remedy = error.remedy
        if error.field == "base":
            told = {"--base": "state --base 0 or --base 1"}
            told["--reference"] = "give --reference, which shows which of them fits"
            remedy = ", or ".join(told[way] for way in ways)
        elif remedy is not None:
            remedy = remedy.replace("base=", "--base ").replace("odd=", "--odd ").replace('"', "")
        raise InputError(error.problem, file=error.file, field=error.field, remedy=remedy) from None


def read_names(file: Path) -> tuple[str, ...]:
    """Names of objects in the order of their numbers.

    A table with a header gives its column uniqueID (as THINGS' concept table), name, object, concept, image, file
    or path; any other file one name per line.

    Raises
    ------
    InputError : no name, or one that appears twice.
    """
    from visus.data.formats.picture import present
    from visus.data.formats.table import read_table
    from visus.data.formats.text import decode

    if file.suffix.lower() in (".tsv", ".csv"):
        frame = read_table(file, text_columns=NAME_COLUMNS)
        column = next((name for name in NAME_COLUMNS if name in frame.columns), None)
        if column is None:
            problem = f"has no column named like one of {', '.join(NAME_COLUMNS)}"
            raise InputError(problem, file=file, remedy="name the column of the objects' names `name`")
        names = [str(name).strip() for name in frame[column]]
    else:
        text = decode(present(file).read_bytes(), file=file)
        names = [line.strip() for line in text.splitlines() if line.strip()]
    doubled = (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )
    if not names or doubled is not None:
        problem = "has no names" if not names else f"names {doubled} twice"
        raise InputError(problem, file=file, field="--objects", remedy="give every object a name of its own")
    return tuple(names)


def read_reference(file: Path) -> Float32[Tensor, "m d"]:
    """An embedding learned from people's choices, one row per object, not negative."""
    import torch

    if file.suffix.lower() in (".npy", ".npz"):
        from visus.data.corpora.things import read_vice

        return torch.from_numpy(read_vice(file))
    from visus.data.features import read_embeddings

    values = read_embeddings(file).values
    if float(values.min()) < 0:
        problem = f"holds {float(values.min()):.3g}, below 0"
        raise InputError(
            problem, file=file, field="--reference", remedy="give a non-negative embedding, as VICE"
        )
    return values


def with_names(given: Embeddings, names: Sequence[str]) -> Embeddings:
    """Objects' names for rows that are merely numbered, as in a plain .npy file, if there are as many."""
    if given.names == tuple(map(str, range(len(names)))):
        return replace(given, names=tuple(names))
    return given


def rows_by_name(names: Sequence[str], given: Embeddings, *, file: Path) -> dict[str, int]:
    """The row of every name that the embedding has: by the name itself, or else by a picture file of that name.

    Raises
    ------
    InputError : none is there, or a name stands at several rows that differ.
    """
    exact, files = defaultdict(list), defaultdict(list)
    for row, name in enumerate(given.names):
        exact[name].append(row)
        files[plain_name(name)].append(row)
    found: dict[str, int] = {}
    for name in names:
        rows = exact.get(name) or files.get(name, [])
        if any(not given.values[row].equal(given.values[rows[0]]) for row in rows[1:]):
            told = ", ".join(given.names[row] for row in rows[:TOLD])
            problem = f"{name} may be any of {len(rows)} rows, which differ ({told})"
            raise InputError(problem, file=file, field="names", remedy="keep one row per object")
        if rows:
            found[name] = rows[0]
    if not found:
        some = ", ".join(given.names[:TOLD])
        problem = f"none of its {len(given):,} rows ({some}, ...) is named like an object ({names[0]}, ...)"
        remedy = "name the rows as in --objects: an array `names` in the file, or FILE.names.txt beside it"
        raise InputError(problem, file=file, field="names", remedy=remedy)
    return found


def plain_name(name: str) -> str:
    """What a picture file is called without folder and ending; other names as they are.

    >>> plain_name("images/cat.JPG"), plain_name("1.5 cm"), plain_name("and/or")
    ('cat', '1.5 cm', 'and/or')
    """
    from visus.data.formats import EXTENSIONS

    ending = next((end for end in EXTENSIONS if name.lower().endswith(end)), None)
    return name if ending is None else name[: -len(ending)].replace("\\", "/").rpartition("/")[2]


def _reading(fits: Any, ways: Sequence[str]) -> str:
    words = []
    if "--base" not in ways:
        return "write columns a, b, odd with numbers from 0"
    if fits.base != 0:
        words.append("--base 1" if fits.base == 1 else "--base 0")
    if fits.odd in ("first", "choice"):
        words.append(f"--odd {fits.odd}")
    if not words:
        return (
            "correct the column that names the odd one, or leave out --reference to score the file as it is"
        )
    return f"read it with {' '.join(words)}"


def ceiling_of(rows: Int64[np.ndarray, "n 3"], *, seed: int = 0) -> NoiseCeiling | None:
    """The noise ceiling of trials that were repeated on purpose; None where too few were.

    At least `REPEATED` triplets need `REPEATS` trials each: among trials drawn at random a few come twice by chance,
    and of two answers the majority is at least a half.
    """
    from visus.metrics.odd_one_out import noise_ceiling, unordered_triplets

    groups = unordered_triplets(rows)
    if int((np.bincount(groups) >= REPEATS).sum()) < REPEATED:
        return None
    return noise_ceiling(rows, groups, least_repeats=REPEATS, seed=seed)


def transformed(study: Study, transform: Any) -> Study:
    """The study with its embedding mapped by a transform."""
    values = transform.apply(study.embeddings.values)
    return replace(study, embeddings=replace(study.embeddings, values=values))

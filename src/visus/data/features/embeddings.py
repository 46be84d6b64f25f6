"""A matrix of embeddings with its rows' names, and the files it is kept in."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from visus.data.formats.arrays import read_array, read_arrays
from visus.data.formats.picture import present
from visus.data.formats.table import read_rows
from visus.data.formats.text import read_text
from visus.errors import InputError
from visus.records import write_atomically

NAMES = ("names", "wnid", "image")
"""Arrays of text in a file that name its rows; the first of them that is there counts."""
KEY = "visus.embeddings"
"""Entry of a safetensors header that holds names and origin, as JSON."""
ENDINGS = (".npy", ".npz", ".safetensors", ".csv", ".tsv")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One row per item.

    Raises
    ------
    InputError : not a matrix with rows and columns, another number of names, or values that are not finite.

    >>> made = Embeddings(torch.eye(3), ("cat", "dog", "pea"))
    >>> made.subset(["pea", "cat"]).values.tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    values: Float32[Tensor, "n e"]
    names: tuple[str, ...]
    origin: str = ""
    """What made them: an encoder's identity, or a file."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.numel():
            problem = f"have shape {tuple(self.values.shape)}"
            raise InputError(problem, field="values", remedy="give (items, width), not empty")
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) != len(self.values):
            problem = f"are {len(self.names)} for {len(self.values)} rows"
            raise InputError(problem, field="names", remedy="give one name per row")
        object.__setattr__(self, "values", self.values.float())
        finite = torch.isfinite(self.values).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            problem = f"row {row} ({self.names[row]}) holds values that are not finite numbers"
            raise InputError(problem, field="values", remedy="leave the row out, or make it again")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def width(self) -> int:
        """Numbers per row."""
        return self.values.shape[1]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(self.names):
            places[name].append(place)
        return dict(places)

    def where(self, name: str) -> int:
        """The row of a name; of a name that stands more than once the first row, if its rows are equal.

        Raises
        ------
        InputError : no such name, or several rows that differ.
        """
        places = self._places.get(name)
        if places is None:
            remedy = f"names are for example {', '.join(self.names[:4])}"
            raise InputError(f"{name!r} is not among them", field="names", remedy=remedy)
        if any(not torch.equal(self.values[places[0]], self.values[place]) for place in places[1:]):
            problem = f"{name!r} stands at rows {', '.join(map(str, places[:4]))}, which differ"
            raise InputError(problem, field="names", remedy="choose by row number")
        return places[0]

    def subset(self, items: Sequence[str] | Sequence[int] | Tensor | np.ndarray) -> Embeddings:
        """Rows by name or number, in the order asked for; booleans choose the rows where they are true."""
        given = items.tolist() if isinstance(items, Tensor | np.ndarray) else list(items)
        if given and all(isinstance(item, bool) for item in given):
            if len(given) != len(self):
                raise InputError(f"are {len(given)} for {len(self)} rows", field="items")
            given = [place for place, chosen in enumerate(given) if chosen]
        rows = [self.where(item) if isinstance(item, str) else int(item) for item in given]
        wrong = [row for row in rows if not 0 <= row < len(self)]
        if wrong:
            raise InputError(f"row {wrong[0]} is outside 0..{len(self) - 1}", field="items")
        return replace(self, values=self.values[rows], names=tuple(self.names[row] for row in rows))


def read_embeddings(
    path: str | Path, *, names: str | Path | Sequence[str] | None = None, key: str | None = None
) -> Embeddings:
    """Read a matrix of embeddings.

    .npy  the matrix.  .npz, .safetensors  the one matrix in it, or the one called `key`.
    .csv, .tsv  a row per item, its name first; a header line may precede.

    Parameters
    ----------
    names : a text file with one name per line, or the names. None: an array `names`, `wnid` or `image` of text in
        the file; else the file NAME.names.txt beside NAME.npy; else "0", "1", ...

    Raises
    ------
    InputError : absent, damaged, of another kind; no matrix or several; NaN; another number of names.
    """
    path = present(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        remedy = f"give a file ending in {' '.join(ENDINGS)}"
        raise InputError("has no known ending", file=path, remedy=remedy)
    matrix, own, origin = reader(path, key)
    beside = path.with_name(f"{path.stem}.names.txt")
    if isinstance(names, str | Path):
        chosen: Sequence[str] = _lines(Path(names))
    elif names is not None:
        chosen = list(names)
    elif own is not None:
        chosen = own
    else:
        chosen = _lines(beside) if beside.is_file() else [str(row) for row in range(len(matrix))]
    try:
        return Embeddings(matrix, tuple(chosen), origin=origin or path.name)
    except InputError as error:
        raise InputError(error.problem, file=path, field=error.field, remedy=error.remedy) from None


def write_embeddings(path: str | Path, embeddings: Embeddings) -> None:
    """Write values and names so that `read_embeddings` gives the same, whole or not at all.

    An .npy file gets its names in a file NAME.names.txt beside it, which allows no line breaks in them; there and
    in tables the origin is not kept.
    """
    path = Path(path)
    ending = path.suffix.lower()
    values = embeddings.values.detach().cpu().contiguous()
    buffer = io.BytesIO()
    if ending == ".safetensors":
        # one entry, because safetensors writes several in no fixed order
        notes = {"names": embeddings.names, "origin": embeddings.origin}
        write_atomically(
            path, save({"values": values}, metadata={KEY: json.dumps(notes, ensure_ascii=False)})
        )
    elif ending == ".npz":
        names, origin = np.array(embeddings.names, str), np.array(embeddings.origin)
        np.savez_compressed(buffer, values=values.numpy(), names=names, origin=origin)
        write_atomically(path, buffer.getvalue())
    elif ending == ".npy":
        broken = next((name for name in embeddings.names if len(name.splitlines()) > 1), None)
        if broken is not None:
            remedy = "write .npz or .safetensors"
            raise InputError(f"{broken!r} has a line break", file=path, field="names", remedy=remedy)
        np.save(buffer, values.numpy(), allow_pickle=False)
        write_atomically(path.with_name(f"{path.stem}.names.txt"), "\n".join(embeddings.names) + "\n")
        write_atomically(path, buffer.getvalue())
    elif ending in (".csv", ".tsv"):
        write_atomically(path, _as_table(values.numpy(), embeddings.names, "," if ending == ".csv" else "\t"))
    else:
        remedy = f"end it in {' '.join(ENDINGS)}"
        raise InputError("has no known ending", file=path, remedy=remedy)


def embeddings_in(
    folder: str | Path,
    *,
    names: str | Path | Sequence[str] | None = None,
    key: str | None = None,
    leaving_out: Collection[str] = ("attributes.csv",),
) -> dict[str, Embeddings]:
    """Every file of embeddings in a folder, by its name without ending, in alphabetical order.

    Parameters
    ----------
    names, key : as in `read_embeddings`, for all files.
    leaving_out : names of files that hold something else.

    Raises
    ------
    InputError : no such folder, none in it, two of one name, or one that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is not a folder", file=folder, remedy="give a folder with one file per model")
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.name not in leaving_out
    ]
    if not files:
        remedy = f"put one file per model there, ending in {' '.join(ENDINGS)}"
        raise InputError("holds no embeddings", file=folder, remedy=remedy)
    found: dict[str, Embeddings] = {}
    for file in files:
        if file.stem in found:
            raise InputError(f"there are two files called {file.stem}", file=file, remedy="rename one")
        found[file.stem] = read_embeddings(file, names=names, key=key)
    return found


Read = tuple[Tensor, list[str] | None, str]


def _npy(path: Path, key: str | None) -> Read:
    return _matrix({"the array": read_array(path)}, None, path), None, ""


def _npz(path: Path, key: str | None) -> Read:
    arrays = read_arrays(path)
    texts = {name: value for name, value in arrays.items() if value.dtype.kind in "US"}
    named = next((texts[name] for name in NAMES if name in texts and texts[name].ndim == 1), None)
    origin = str(texts["origin"]) if "origin" in texts and texts["origin"].ndim == 0 else ""
    return _matrix(arrays, key, path), None if named is None else named.astype(str).tolist(), origin


def _safetensors(path: Path, key: str | None) -> Read:
    try:
        with safe_open(path, framework="pt") as content:
            notes = json.loads((content.metadata() or {}).get(KEY, "{}"))
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        remedy = "copy or write it again"
        raise InputError(f"is not a complete safetensors file ({error})", file=path, remedy=remedy) from None
    return _matrix(arrays, key, path), notes.get("names"), notes.get("origin", "")


def _table(path: Path, key: str | None) -> Read:
    rows = read_rows(path)
    if len(rows) > 1 and not any(map(_is_number, rows[0][1][1:])):
        rows = rows[1:]
    width = len(rows[0][1])
    if width < 2:
        remedy = "give a name and numbers per line"
        raise InputError("has one column", file=path, field=f"line {rows[0][0]}", remedy=remedy)
    for line, cells in rows:
        wrong = next((cell for cell in cells[1:] if not _is_number(cell)), None)
        if wrong is not None or len(cells) != width:
            problem = (
                f"holds {wrong!r}, no number" if wrong is not None else f"has {len(cells)} of {width} cells"
            )
            raise InputError(
                problem, file=path, field=f"line {line}", remedy="give a name and numbers per line"
            )
    values = np.array([cells[1:] for _, cells in rows], dtype=np.float64)
    return torch.from_numpy(values).float(), [cells[0].strip() for _, cells in rows], ""


_READERS = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".csv": _table, ".tsv": _table}


def _matrix(arrays: Mapping[str, Any], key: str | None, path: Path) -> Tensor:
    """The matrix called `key`, or the only one."""
    told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in arrays.items()) or "nothing"
    if key is not None and key not in arrays:
        raise InputError(f"holds {told}", file=path, field=f"key {key}", remedy="name one of these")
    matrices = {name: value for name, value in arrays.items() if value.ndim == 2 and _is_numeric(value)}
    chosen = key if key is not None else next(iter(matrices), None)
    if chosen is None or chosen not in matrices:
        remedy = "give one (items, width) matrix of numbers"
        raise InputError(f"holds {told}, no matrix", file=path, field=key, remedy=remedy)
    if key is None and len(matrices) > 1:
        remedy = f"choose one by its key: {', '.join(matrices)}"
        raise InputError(f"holds several matrices ({told})", file=path, remedy=remedy)
    value = matrices[chosen]
    return (value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, np.float32))).float()


def _is_numeric(value: Tensor | np.ndarray) -> bool:
    if isinstance(value, Tensor):
        return not value.is_complex() and value.dtype != torch.bool
    return value.dtype.kind in "fiu"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _as_table(values: np.ndarray, names: Sequence[str], separator: str) -> str:
    import csv

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(["name", *(f"x{column}" for column in range(values.shape[1]))])
    writer.writerows([name, *map(str, row)] for name, row in zip(names, values))
    return text.getvalue()

"""Human similarity judgments of pictures: matrices of n x n per participant, from four published layouts.

| set | file | what it holds |
|---|---|---|
| Cichy et al. 2019, 118 pictures | `judgments_general.mat`, key `judgments` | distances, participants x 118 x 118 |
| King et al. 2019, 2 x 144 pictures | `BEHAVIOR.mat`, struct per set | distances, participants x 10296, condensed |
| Peterson et al. 2018, 6 x 120 pictures | `*sim*.mat`, or a pickle of ratings per pair | similarities 0 to 10 |
| Mur et al. 2013, 92 pictures | `92_behavRDMs.mat`, struct per participant | distances, 92 x 92 |

Pictures belong to the rows in the order of their file names. Whether numbers are distances or similarities is part
of the record, so that the two cannot be compared by mistake.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from visus.data.formats.mat import member, read_mat, variable, word
from visus.data.formats.plain_pickle import read_plain_pickle
from visus.errors import InputError
from visus.records import write_atomically

Kind = Literal["distance", "similarity"]
TOLERANCE = 1e-6
"""Largest difference of (i, j) and (j, i), as a share of the largest value, that is taken for rounding."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
TOP = 10.0
"""What Peterson's participants said of pictures that were as similar as can be."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgments:
    """How alike or unlike people find n pictures.

    Parameters
    ----------
    values : (s, n, n), one symmetric matrix per participant; (n, n) is one. NaN is a pair that this participant did
        not judge. The diagonal of distances must be 0 (or NaN, which becomes 0); that of similarities says nothing
        and becomes `top`.
    kind : `distance` (0 is the same) or `similarity` (higher is more alike).
    names : one per picture.
    participants : one per matrix.
    top : the similarity of a picture with itself; by default the largest value. None for distances.

    Raises
    ------
    InputError : another shape, an infinite or negative value, a matrix that is not symmetric, a diagonal of
        distances that is not 0, a participant without any judgment, or names of another number.

    >>> rated = Judgments(values=np.array([[0, 9, 1], [9, 0, 2], [1, 2, 0]]), kind="similarity", top=10.0)
    >>> rated.as_distances().mean().tolist()
    [[0.0, 1.0, 9.0], [1.0, 0.0, 8.0], [9.0, 8.0, 0.0]]
    """

    values: Float64[np.ndarray, "s n n"]
    kind: Kind
    names: tuple[str, ...] | None = None
    participants: tuple[str, ...] | None = None
    top: float | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[1] != values.shape[2] or values.shape[1] < 3 or not len(values):
            remedy = "give (participants, pictures, pictures)"
            raise InputError(f"shape {np.shape(self.values)}", file=self.file, field="values", remedy=remedy)
        _check_values(values, self.kind, self.file)
        top = self.top
        if self.kind == "similarity" and top is None:
            top = float(np.nanmax(_off_diagonal(values)))
        diagonal = np.arange(values.shape[1])
        values[:, diagonal, diagonal] = 0.0 if top is None else top
        if top is not None and np.nanmax(values) > top:
            problem = f"holds {np.nanmax(values):.4g}, above the top of {top:g}"
            raise InputError(problem, file=self.file, field="values", remedy="state the top of the scale")
        object.__setattr__(self, "values", (values + values.transpose(0, 2, 1)) / 2)
        object.__setattr__(self, "top", top)
        for name, length in (("names", values.shape[1]), ("participants", len(values))):
            given = getattr(self, name)
            if given is not None and len(given) != length:
                problem = f"{len(given)} {name} for {length}"
                raise InputError(problem, file=self.file, field=name, remedy="give as many")
            if given is not None:
                object.__setattr__(self, name, tuple(str(item) for item in given))

    def __len__(self) -> int:
        return self.values.shape[1]

    def as_distances(self) -> Judgments:
        """The same judgments as distances: similarities become `top` minus themselves."""
        if self.kind == "distance" or self.top is None:
            return self
        return dataclasses.replace(self, values=self.top - self.values, kind="distance", top=None)

    def mean(self) -> Float64[np.ndarray, "n n"]:
        """Mean over the participants who judged a pair; NaN where nobody did."""
        judged = np.isfinite(self.values).sum(axis=0)
        total = np.nansum(self.values, axis=0)
        return np.where(judged > 0, total / np.maximum(judged, 1), np.nan)

    def condensed(self) -> Float64[np.ndarray, "s p"]:
        """The pairs above the diagonal, row by row: p = n (n - 1) / 2, scipy's order."""
        row, column = np.triu_indices(len(self), 1)
        return self.values[:, row, column]

    def subset(self, pictures: Any) -> Judgments:
        """The judgments of some pictures, by number or by a mask, in that order."""
        chosen = np.asarray(pictures)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        names = None if self.names is None else tuple(self.names[i] for i in chosen.tolist())
        return dataclasses.replace(self, values=self.values[:, chosen][:, :, chosen], names=names)


def read_cichy(path: str | Path, *, names: Sequence[str] | None = None) -> Judgments:
    """Distances from `judgments_general.mat`: key `judgments`, participants x n x n."""
    return _judgments(variable(read_mat(path), "judgments", path), "distance", path, names)


def write_cichy(path: str | Path, judgments: Judgments) -> None:
    """Write distances as `read_cichy` reads them."""
    if judgments.kind != "distance":
        raise InputError("are similarities", field="judgments", remedy="take as_distances()")
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {"judgments": judgments.values}, do_compression=True)
    write_atomically(Path(path), buffer.getvalue())


def read_king(
    path: str | Path, *, part: Literal["set1", "set2"] = "set1", names: Sequence[str] | None = None
) -> Judgments:
    """Distances of one picture set from `BEHAVIOR.mat`: struct `BEHAVIOR.<set>.pairwisedistances`, participants x
    n (n - 1) / 2 in scipy's condensed order."""
    sets = variable(read_mat(path), "BEHAVIOR", path)
    found = member(member(sets, part, path), "pairwisedistances", path)
    return _judgments(_squares(np.atleast_2d(found), path), "distance", path, names)


def read_peterson(path: str | Path, *, names: Sequence[str] | None = None) -> Judgments:
    """Similarities 0 to 10, the mean over participants, of one category.

    Parameters
    ----------
    path : a `.mat` file with one square matrix, or a pickle `{"i,j": [ratings]}`, which is read without executing
        it. Pictures count from 0 or, where 0 is not used, from 1; (i, j) and (j, i) are one pair; ratings of a
        picture against itself are passed over.

    Raises
    ------
    InputError : no or several square matrices, a key or rating that cannot be read, or a number that no pair uses.
    """
    if Path(path).suffix.lower() == ".mat":
        content = read_mat(path).values()
        square = [v for v in content if v.ndim == 2 and v.shape[0] == v.shape[1] >= 3]
        if len(square) != 1:
            problem = f"holds {len(square)} square matrices, expected one"
            raise InputError(problem, file=path, remedy="keep the matrix of similarities alone")
        values = square[0]
    else:
        values = _rated(read_plain_pickle(path), path)
    return _judgments(np.asarray(values), "similarity", path, names, top=TOP)


def read_rdms_92(path: str | Path, *, names: Sequence[str] | None = None) -> Judgments:
    """Distances from `92_behavRDMs.mat`: a struct per participant with RDM (square or condensed) and name."""
    held = variable(read_mat(path), "rdms_behav_92", path)
    if "RDM" not in (held.dtype.names or ()) or held.size == 0:
        raise InputError("is no struct array with the field RDM", file=path, field="rdms_behav_92")
    people = held.ravel()
    rdms = [np.asarray(person["RDM"]) for person in people]
    if len({rdm.shape for rdm in rdms}) != 1:
        shapes = sorted({rdm.shape for rdm in rdms})
        raise InputError(f"matrices differ in shape: {shapes}", file=path, field="rdms_behav_92.RDM")
    values = np.stack(rdms)
    if 1 in values.shape[1:]:
        values = _squares(values.reshape(len(values), -1), path)
    found = _judgments(values, "distance", path, names)
    if "name" not in (held.dtype.names or ()):
        return found
    return dataclasses.replace(found, participants=tuple(word(person["name"]) for person in people))


def judged_pictures(folder: str | Path, count: int | None = None) -> list[Path]:
    """The picture files of a folder in the order of their names, which is that of the rows.

    Raises
    ------
    InputError : no folder, no pictures, or another number than `count`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, remedy="give the folder of the judged pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found or (count is not None and len(found) != count):
        wanted = "pictures" if count is None else f"{count} pictures"
        remedy = "keep the judged pictures, and nothing else, in this folder"
        raise InputError(f"holds {len(found)} pictures, expected {wanted}", file=folder, remedy=remedy)
    return found


def _judgments(
    values: np.ndarray,
    kind: Kind,
    path: str | Path,
    names: Sequence[str] | None,
    *,
    top: float | None = None,
) -> Judgments:
    if values.dtype.kind not in "iuf":
        raise InputError(f"holds {values.dtype} values, not numbers", file=path, field="values")
    told = None if names is None else tuple(names)
    return Judgments(values=values, kind=kind, names=told, top=top, file=Path(path))


def _squares(condensed: np.ndarray, path: str | Path) -> Float64[np.ndarray, "s n n"]:
    pairs = condensed.shape[1]
    n = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    if condensed.ndim != 2 or n * (n - 1) // 2 != pairs:
        remedy = "give participants x n (n - 1) / 2"
        raise InputError(f"{pairs} pairs belong to no number of pictures", file=path, remedy=remedy)
    row, column = np.triu_indices(n, 1)
    values = np.zeros((len(condensed), n, n))
    values[:, row, column] = values[:, column, row] = condensed
    return values


def _rated(ratings: dict[str, Any], path: str | Path) -> Float64[np.ndarray, "n n"]:
    remedy = 'give {"i,j": [ratings]} with two picture numbers per key'
    pairs: dict[tuple[int, int], list[float]] = {}
    for key, given in ratings.items():
        match = re.fullmatch(r"\D*(\d+)\s*,\s*(\d+)\D*", key)
        if match is None:
            raise InputError("names no pair of pictures", file=path, field=f"key {key!r}", remedy=remedy)
        try:
            listed = np.atleast_1d(np.asarray(given, dtype=np.float64)).ravel().tolist()
        except (TypeError, ValueError):
            raise InputError("holds no ratings", file=path, field=f"key {key!r}", remedy=remedy) from None
        i, j = sorted((int(match.group(1)), int(match.group(2))))
        if i != j:
            pairs.setdefault((i, j), []).extend(listed)
    used = sorted({number for pair in pairs for number in pair})
    if not used or used != list(range(used[0], used[0] + len(used))) or used[0] > 1:
        problem = f"{len(used)} picture numbers with gaps"
        raise InputError(problem, file=path, remedy="number the pictures from 0 or from 1, each in a pair")
    values = np.full((len(used), len(used)), np.nan)
    for (i, j), listed in pairs.items():
        if listed:
            values[i - used[0], j - used[0]] = values[j - used[0], i - used[0]] = np.mean(listed)
    return values


def _off_diagonal(values: np.ndarray) -> np.ndarray:
    return values[:, ~np.eye(values.shape[1], dtype=bool)]


def _check_values(values: np.ndarray, kind: str, file: Path | None) -> None:
    def refuse(problem: str, wrong: np.ndarray, remedy: str) -> None:
        if wrong.any():
            s, i, j = (int(number) for number in np.argwhere(wrong)[0])
            raise InputError(
                problem, file=file, field=f"participant {s}, pictures {i} and {j}", remedy=remedy
            )

    if kind not in ("distance", "similarity"):
        raise InputError(f"unknown kind {kind!r}", field="kind", remedy="choose distance or similarity")
    off = ~np.eye(values.shape[1], dtype=bool)
    other = values.transpose(0, 2, 1)
    largest = np.nanmax(np.abs(np.where(np.isfinite(values), values, 0)))
    refuse("is infinite", np.isinf(values), "leave a pair out as NaN")
    refuse("is below 0", values < 0, "give distances or similarities from 0")
    apart = np.isnan(values) != np.isnan(other)
    apart |= np.abs(values - other) > TOLERANCE * largest
    refuse("differs from the same pair the other way round", apart & off, "average the two halves")
    if kind == "distance":
        remedy = (
            'distances of a picture to itself are 0; are these similarities? Then state kind="similarity"'
        )
        refuse("the diagonal is not 0", (np.abs(np.nan_to_num(values)) > TOLERANCE * largest) & ~off, remedy)
    silent = ~np.isfinite(values[:, off]).any(axis=1)
    if silent.any():
        where = f"participant {int(np.flatnonzero(silent)[0])}"
        raise InputError("judged no pair", file=file, field=where, remedy="leave this participant out")

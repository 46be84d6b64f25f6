"""Odd-one-out triplets with the features of their objects: what an aligner learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from visus.data.loader import Indices, as_indices
from visus.data.triplets.partition import object_mask, within
from visus.data.triplets.record import Objects, Triplets
from visus.errors import InputError
from visus.protocols import Batch


class OddOneOutData:
    """A source of triplets. A batch holds `triplet` (b, 3) int64, columns (a, b, odd), and `features`
    (b, 3, p) float32, the features of those three objects.

    Parameters
    ----------
    features : (m, p), one row per object, finite.
    triplets : a `Triplets` record, or object numbers (n, 3).
    reference : (m, d) an embedding learned from people's choices (such as VICE), for ridge and concepts.
    names : one per object; by default the record's.
    participants : one per triplet; by default the record's.

    Attributes
    ----------
    features, reference : float32 tensors.
    triplets : (n, 3) int64 tensor.
    objects : m.
    origin : (m,) number of every object in the data this was restricted from; 0..m-1 if it was not.

    Raises
    ------
    InputError : not a finite matrix, fewer than 3 objects, no triplets, numbers out of range, or a reference,
        names or participants of another length.

    >>> data = OddOneOutData(torch.eye(4), np.array([[0, 1, 2], [3, 1, 0]]))
    >>> data.batch([1])["triplet"].tolist(), data.batch([1])["features"].shape
    ([[3, 1, 0]], torch.Size([1, 3, 4]))
    """

    def __init__(
        self,
        features: Any,
        triplets: Triplets | Any,
        *,
        reference: Any | None = None,
        names: Sequence[str] | None = None,
        participants: Any | None = None,
    ) -> None:
        self.features: Float32[Tensor, "m p"] = _matrix(features, "features")
        self.objects = len(self.features)
        if self.objects < 3:
            raise InputError(f"describe {self.objects} objects", field="features", remedy="give 3 or more")
        self.record = self._record(triplets, names, participants)
        if len(self.record) == 0:
            raise InputError("has no triplets", file=self.record.file, remedy="give at least one triplet")
        self.triplets: Int64[Tensor, "n 3"] = torch.as_tensor(_writable(self.record.rows))
        self.reference: Float32[Tensor, "m d"] | None = None
        if reference is not None:
            self.reference = _matrix(reference, "reference")
            if len(self.reference) != self.objects:
                problem = f"{len(self.reference)} rows for {self.objects} objects"
                raise InputError(problem, field="reference", remedy="give one row per object, in their order")
        self.origin: Int64[Tensor, " m"] = torch.arange(self.objects)

    def _record(self, given: Triplets | Any, names: Sequence[str] | None, people: Any | None) -> Triplets:
        if not isinstance(given, Triplets):
            given = Triplets(rows=given, objects=self.objects)
        elif given.objects != self.objects:
            problem = f"features of {self.objects} objects, triplets of {given.objects}"
            remedy = "give one row of features per object, in the order of the triplets' numbers"
            raise InputError(problem, file=given.file, field="features", remedy=remedy)
        return Triplets(
            rows=given.rows,
            objects=self.objects,
            names=given.names if names is None else tuple(names),
            participants=given.participants if people is None else people,
            file=given.file,
        )

    def __len__(self) -> int:
        return len(self.triplets)

    @property
    def names(self) -> tuple[str, ...] | None:
        """One per object."""
        return self.record.names

    @property
    def participants(self) -> Shaped[np.ndarray, " n"] | None:
        """One per triplet."""
        return self.record.participants

    @property
    def groups(self) -> Int64[Tensor, " n"]:
        """The same number for triplets about the same three objects."""
        return torch.from_numpy(self.record.groups())

    def batch(self, indices: Indices) -> Batch:
        triplet = self.triplets[as_indices(indices, len(self))]
        return {"triplet": triplet, "features": self.features[triplet]}

    def subset(self, indices: Indices) -> OddOneOutData:
        """Some triplets; the objects stay as they are."""
        record = self.record.subset(as_indices(indices, len(self)))
        part = OddOneOutData(self.features, record, reference=self.reference)
        part.origin = self.origin
        return part

    def restricted_to(self, objects: Objects) -> OddOneOutData:
        """Only these objects (a mask or numbers) and the triplets that lie among them.

        The objects are numbered anew, ascending, so that nothing of the others - features, reference, names -
        remains; `origin` tells their numbers before. To use the rows among some objects and keep all numbers,
        take `subset` of `within`.
        """
        mask = object_mask(objects, self.objects)
        rows = within(self.record, mask)
        if not rows.any():
            problem = f"no triplet lies among these {int(mask.sum())} objects"
            raise InputError(problem, file=self.record.file, field="objects", remedy="name more objects")
        kept, number = torch.from_numpy(np.flatnonzero(mask)), np.cumsum(mask) - 1
        some = self.record.subset(rows)
        record = Triplets(
            rows=number[some.rows],
            objects=len(kept),
            names=None if self.names is None else tuple(self.names[i] for i in kept.tolist()),
            participants=some.participants,
            file=some.file,
        )
        reference = None if self.reference is None else self.reference[kept]
        part = OddOneOutData(self.features[kept], record, reference=reference)
        part.origin = self.origin[kept]
        return part

    def fingerprint(self) -> str:
        """Hash of features, triplets and reference."""
        digest = hashlib.sha256()
        for name in ("features", "triplets", "reference"):
            values = getattr(self, name)
            if values is not None:
                digest.update(f"{name}:{tuple(values.shape)}".encode())
                digest.update(np.ascontiguousarray(values.numpy()).data)
        return digest.hexdigest()


def _matrix(values: Any, field: str) -> Float32[Tensor, "m p"]:
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(_writable(np.asarray(values)))
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        problem = f"shape {tuple(tensor.shape)}, expected (objects, width)"
        raise InputError(problem, field=field, remedy="give a matrix with one row per object")
    tensor = tensor.detach().to(device="cpu", dtype=torch.float32)
    finite = torch.isfinite(tensor).all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        problem = "is not a finite number"
        raise InputError(problem, field=f"{field}, object {row}", remedy="compute this object's row again")
    return tensor


def _writable(values: np.ndarray) -> np.ndarray:
    return values if values.flags.writeable else values.copy()

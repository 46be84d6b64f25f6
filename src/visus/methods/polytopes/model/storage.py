"""A complex in one safetensors file with a plain description in its header, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from visus.errors import InputError
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.slices import Slice

KIND, VERSION = "visus.polytopes.complex", "1"
REMEDY = "give a file that Complex.save wrote"


@dataclass(frozen=True)
class Stored:
    """What a file holds: the arguments of `Complex`."""

    lattice: Lattice
    outputs: Float[Tensor, "v k"]
    patterns: UInt8[Tensor, "n bytes"]
    num_signs: int
    slice: Slice | None
    notes: dict[str, Any]


def save(stored: Stored, path: Path | str) -> None:
    """Write a complex. The file appears under its name when it is complete.

    Raises
    ------
    InputError : the path is a folder, lies below a file, or may not be written; the notes are not plain.
    """
    lattice, slice = stored.lattice, stored.slice
    tensors = {"points": lattice.points, "edges": lattice.edges, "wall": lattice.wall}
    tensors |= {f"rows.{k}": rows for k, rows in enumerate(lattice.rows, start=2)}
    tensors |= {"outputs": stored.outputs, "patterns": stored.patterns}
    described: dict[str, Any] = {"num_signs": stored.num_signs, "f_vector": lattice.f_vector, "slice": None}
    if slice is not None:
        tensors |= {"slice.origin": slice.origin, "slice.basis": slice.basis, "slice.points": slice.points}
        described["slice"] = {"shape": slice.shape, "box": slice.box}
    try:
        text = json.dumps({**described, "notes": stored.notes}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"are not plain ({error})", field="notes", remedy="keep texts and numbers") from None
    _write(Path(path), tensors, {"kind": KIND, "version": VERSION, "description": text})


def _write(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    if path.is_dir():
        raise InputError("is a folder", file=path, remedy="name a file")
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        save_file({name: part.cpu().contiguous() for name, part in tensors.items()}, draft, metadata=header)
        with open(draft, "rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        problem = f"cannot be written ({error})"
        raise InputError(problem, file=path, remedy="name a file in a folder of yours") from None
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


def load(path: Path | str, *, device: torch.device | str = "cpu") -> Stored:
    """Read a complex.

    Raises
    ------
    InputError : there is no such file; it is truncated or damaged; it holds something else, or its parts do not
        fit together.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("is a folder" if path.is_dir() else "does not exist", file=path, remedy=REMEDY)
    try:
        with safe_open(path, framework="pt", device=str(device)) as stream:
            header = stream.metadata() or {}
            _check_header(header, path)
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        described = json.loads(header["description"])
        counts = [int(count) for count in described["f_vector"]]
        rows = [tensors[f"rows.{k}"] for k in range(2, len(counts))]
        lattice = Lattice(tensors["points"], tensors["edges"], rows, tensors["wall"])
        slice = _slice(tensors, described["slice"])
        stored = Stored(
            lattice,
            tensors["outputs"],
            tensors["patterns"],
            int(described["num_signs"]),
            slice,
            dict(described["notes"]),
        )
        _check_parts(stored, counts)
    except InputError:
        raise
    except KeyError as error:
        raise InputError("is missing", file=path, field=str(error.args[0]), remedy=REMEDY) from None
    except (SafetensorError, OSError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"is damaged ({error})", file=path, remedy=REMEDY) from None
    return stored


def _check_header(header: Mapping[str, str], path: Path) -> None:
    if header.get("kind") != KIND:
        raise InputError("holds no complex", file=path, field="header", remedy=REMEDY)
    if header.get("version") != VERSION:
        raise InputError(
            f"has version {header.get('version')}, this program reads {VERSION}",
            file=path,
            field="header",
            remedy="update visus, or take the census again",
        )


def _slice(tensors: Mapping[str, Tensor], described: Mapping[str, Any] | None) -> Slice | None:
    if described is None:
        return None
    origin, basis = tensors["slice.origin"], tensors["slice.basis"]
    shape = [int(size) for size in described["shape"]]
    slice = Slice.from_directions(
        origin.reshape(shape), basis.reshape(len(basis), *shape), box=tuple(described["box"])
    )
    # The very numbers: orthonormalizing once more may move the last digits.
    slice.basis, slice.points = basis, tensors["slice.points"]
    return slice


def _check_parts(stored: Stored, counts: list[int]) -> None:
    """Every number of a face names one that is there, and every array has the length its faces need."""
    lattice = stored.lattice
    sides = zip([lattice.edges.flatten(), *(rows[:, 1] for rows in lattice.rows)], counts)
    within = all(int(side.min()) >= 0 and int(side.max()) < count for side, count in sides)
    within &= all(int(rows.min()) >= 0 for rows in lattice.rows)
    lengths = (len(stored.outputs), len(lattice.wall), len(stored.patterns))
    if (
        not within
        or list(lattice.f_vector) != counts
        or len(counts) != lattice.dim + 1
        or lengths != (counts[0], counts[-2], counts[-1])
        or stored.patterns.shape[1] != -(-stored.num_signs // 8)
        or lattice.points.dtype != torch.float64
        or not bool(torch.isfinite(lattice.points).all())
    ):
        raise ValueError("its parts do not fit together")

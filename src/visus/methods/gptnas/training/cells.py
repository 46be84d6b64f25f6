"""Priors over the cells of a tabular benchmark: from which share of which table, and kept in a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from visus.errors import InputError
from visus.methods.gptnas.search.priors import TabulatedPrior
from visus.methods.gptnas.search.space import Space
from visus.methods.gptnas.search.sweep import selected
from visus.records import from_plain, read_json, to_plain, write_json

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable

KIND = "cells"
_SHARE = re.compile(r"([\w-]+):(top|bottom)(\d+(?:\.\d+)?)")
REMEDY = "write for example cifar10:top10, cifar10:bottom10, or give the folder of a saved prior"


@dataclass(frozen=True)
class Share:
    """Part of a table's architectures: the best or the worst `percent` by fitness.

    >>> Share.parse("cifar10:top10")
    Share(source='cifar10', best=True, percent=10.0)
    """

    source: str
    best: bool
    percent: float

    @classmethod
    def parse(cls, text: str, *, field: str = "--prior") -> Self:
        """Read `source:top10` or `source:bottom2.5`; anything else is an `InputError`."""
        found = _SHARE.fullmatch(text)
        if found is None or not 0 < float(found[3]) <= 100:
            raise InputError(f"{text!r} names no share of a table", field=field, remedy=REMEDY)
        return cls(found[1], found[2] == "top", float(found[3]))

    def of(self, table: ArchitectureTable) -> np.ndarray:
        """These architectures (count, length)."""
        return selected(table, self.percent / 100, best=self.best)

    def __str__(self) -> str:
        return f"{self.source}:{'top' if self.best else 'bottom'}{self.percent:g}"


def save_cells(prior: TabulatedPrior, folder: Path, facts: dict[str, Any]) -> None:
    """Write prior.json and model.safetensors; the JSON comes last."""
    from safetensors.numpy import save

    from visus.records import write_atomically

    levels = {f"level-{i}": np.ascontiguousarray(level) for i, level in enumerate(prior.levels)}
    write_atomically(folder / "model.safetensors", save(levels))
    record = {"kind": KIND, "space": to_plain(prior.space), "information": prior.information, **facts}
    write_json(folder / "prior.json", record)


def load_cells(folder: Path, space: Space) -> TabulatedPrior:
    """Read what `save_cells` wrote, for a search in `space`.

    Raises
    ------
    InputError : no such folder, a damaged one, or a prior of other architectures.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / "prior.json"
    if not file.is_file():
        raise InputError("is not a folder with a saved prior", file=folder, remedy=REMEDY)
    record = read_json(file)
    if not isinstance(record, dict) or record.get("kind") != KIND:
        found = record.get("kind") if isinstance(record, dict) else None
        raise InputError(f"holds a prior of {found}, not of {KIND}", file=file, field="kind", remedy=REMEDY)
    known = from_plain(Space, record.get("space"), file=file)
    if (known.symbols, known.most, known.least) != (space.symbols, space.most, space.least):
        raise InputError(
            f"knows architectures of {known.name}, not of {space.name}",
            file=file,
            field="space",
            remedy=REMEDY,
        )
    try:
        levels = load_file(folder / "model.safetensors")
        ordered = tuple(levels[f"level-{i}"] for i in range(space.most))
    except (OSError, SafetensorError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot be read ({reason})", file=folder / "model.safetensors", remedy="train the prior again"
        ) from None
    return TabulatedPrior(space, ordered, float(record["information"]))

"""A layer before it has a place in a network, and the table of readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor

from visus.methods.gptnas.model.records import Family, Setting


class Unreadable(Exception):
    """The call cannot be told exactly by a record."""


@dataclass
class Draft:
    """A layer before it has an id: `inputs` are the tensors it reads, `weights` those it learned or keeps."""

    family: Family
    inputs: Sequence[Any]
    out: Tensor
    fields: dict[str, Any] = field(default_factory=dict)
    value: dict[str, Setting] = field(default_factory=dict)
    weights: Sequence[Tensor | None] = ()


Reader: TypeAlias = "Callable[..., Draft | list[Draft]]"
Table: TypeAlias = "dict[Any, Reader]"


def other(name: str, inputs: Sequence[Any], out: Tensor, **value: Setting) -> Draft:
    """A draft of the family `other` that learns nothing."""
    return Draft("other", inputs, out, {"name": name}, value)


def reads(table: Table, *functions: Any) -> Callable[[Reader], Reader]:
    """Enter a reader for torch functions into a table."""

    def enter(reader: Reader) -> Reader:
        table.update(dict.fromkeys(functions, reader))
        return reader

    return enter

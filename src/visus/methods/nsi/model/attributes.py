"""The two kinds of attribute an object may have, and the values they take."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from visus.errors import InputError

Value: TypeAlias = str | float | tuple[float, ...]
Primitive: TypeAlias = dict[str, Value]
Scene: TypeAlias = tuple[Primitive, ...]

NAME = re.compile(r"(?![xX][mM][lL])[A-Za-z_][A-Za-z0-9_.-]*")
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LISTED = 40


@dataclass(frozen=True)
class Categorical:
    """An attribute with one of a few values.

    Parameters
    ----------
    name : also the tag in a program.
    values : the vocabulary; its order is the order of the class numbers.
    optional : an object may lack it.
    """

    name: str
    values: tuple[str, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.values or len(set(self.values)) < len(self.values):
            raise InputError("needs at least one value, and none twice", field=self.name)
        for value in self.values:
            if not isinstance(value, str) or not value or UNWRITABLE.search(value):
                remedy = "give texts that are not empty and hold no control characters"
                raise InputError(f"has the value {value!r}", field=self.name, remedy=remedy)

    @cached_property
    def index(self) -> dict[str, int]:
        """Value -> class number."""
        return {value: number for number, value in enumerate(self.values)}

    def check(self, value: Any, *, file: str | Path | None = None, field: str | None = None) -> str:
        """The value, when it is in the vocabulary; else `InputError` with the nearest ones."""
        if isinstance(value, str) and value in self.index:
            return value
        remedy = suggestion(value, self.values, "values")
        raise InputError(f"is {value!r}", file=file, field=field or self.name, remedy=remedy)

    def to_plain(self) -> dict[str, Any]:
        """Kind, name, values, optional."""
        plain = {"kind": "categorical", "name": self.name, "values": list(self.values)}
        return plain | {"optional": self.optional}

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of one value."""
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True)
class Continuous:
    """An attribute that is a number (`size` 1) or a vector of numbers.

    Parameters
    ----------
    name : also the tag in a program.
    size : how many numbers.
    low, high : per number, the values that become 0 and 1; equal ones make a constant that becomes 0. Values
        outside are allowed and lie outside 0..1.
    optional : an object may lack it.
    """

    name: str
    size: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.size < 1 or len(self.low) != self.size or len(self.high) != self.size:
            problem = f"has size {self.size}, {len(self.low)} low and {len(self.high)} high ends"
            raise InputError(problem, field=self.name, remedy="give one low and one high end per number")
        ends = zip(self.low, self.high)
        if not all(math.isfinite(low) and math.isfinite(high) and low <= high for low, high in ends):
            remedy = "give finite ends, low ones not above high ones"
            raise InputError(f"has the range {self.low} to {self.high}", field=self.name, remedy=remedy)

    @cached_property
    def span(self) -> tuple[float, ...]:
        """high - low, 1 where they are equal."""
        return tuple((high - low) or 1.0 for low, high in zip(self.low, self.high))

    def check(
        self, value: Any, *, file: str | Path | None = None, field: str | None = None
    ) -> float | tuple[float, ...]:
        """The value as a float or a tuple of `size` floats; else `InputError`."""
        numbers = _numbers(value)
        if numbers is None or len(numbers) != self.size:
            wanted = "one number" if self.size == 1 else f"{self.size} numbers"
            problem = f"is {value!r}, not {wanted}"
            raise InputError(problem, file=file, field=field or self.name, remedy=f"give {wanted}")
        if not all(map(math.isfinite, numbers)):
            problem = f"is {value!r}, which is not finite"
            raise InputError(problem, file=file, field=field or self.name, remedy="give finite numbers")
        return numbers[0] if self.size == 1 else numbers

    def to_plain(self) -> dict[str, Any]:
        """Kind, name, size, low, high, optional."""
        plain = {"kind": "continuous", "name": self.name, "size": self.size}
        return plain | {"low": list(self.low), "high": list(self.high), "optional": self.optional}

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of one value. The range is told, not enforced: values outside it are allowed."""
        if self.size == 1:
            return {"type": "number", "description": f"usually {self.low[0]} to {self.high[0]}"}
        return {
            "type": "array",
            "items": {"type": "number"},
            "minItems": self.size,
            "maxItems": self.size,
            "description": f"usually {list(self.low)} to {list(self.high)}",
        }


Attribute: TypeAlias = Categorical | Continuous


def attribute_from_plain(plain: Any, *, file: str | Path | None = None) -> Attribute:
    """An attribute from what `to_plain` gave; `InputError` names the field that does not fit."""
    kind = plain.get("kind") if isinstance(plain, dict) else None
    name = plain.get("name") if isinstance(plain, dict) else None
    try:
        if kind == "categorical":
            return Categorical(name, tuple(plain["values"]), bool(plain.get("optional", False)))  # type: ignore[arg-type]
        if kind == "continuous":
            low, high = (tuple(map(float, plain[end])) for end in ("low", "high"))
            return Continuous(name, int(plain["size"]), low, high, bool(plain.get("optional", False)))  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from None
    except (KeyError, TypeError, ValueError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise InputError(problem, file=file, field=f"attribute {name!r}") from None
    remedy = "the kinds are categorical and continuous"
    raise InputError(f"is of the kind {kind!r}", file=file, field=f"attribute {name!r}", remedy=remedy)


def infer_attribute(name: str, values: Sequence[Any], *, optional: bool) -> Attribute:
    """An attribute from its values: texts give a sorted vocabulary, numbers and vectors a range.

    Raises
    ------
    InputError : the values are of several kinds, or of none of the two.
    """
    if all(isinstance(value, str) for value in values):
        return Categorical(name, tuple(sorted(set(values))), optional)
    rows = [_numbers(value) for value in values]
    sizes = {None if row is None else len(row) for row in rows}
    size = sizes.pop() if len(sizes) == 1 else None
    if not size:
        shown = ", ".join(sorted({repr(value) for value in values}, key=lambda text: (len(text), text))[:4])
        remedy = "give texts everywhere, or numbers everywhere, or vectors of one length"
        raise InputError(f"mixes kinds of values: {shown}", field=name, remedy=remedy)
    columns = list(zip(*(row for row in rows if row is not None)))
    return Continuous(name, size, tuple(map(min, columns)), tuple(map(max, columns)), optional)


def suggestion(given: object, known: Iterable[str], what: str) -> str:
    """A remedy: the nearest known spelling, then the known ones.

    >>> suggestion("colour", ["color", "size"], "attributes")
    "did you mean 'color'? Known attributes: color, size"
    """
    names = list(known)
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    listed = ", ".join(names[:LISTED]) + (f", and {len(names) - LISTED} more" if len(names) > LISTED else "")
    return f"did you mean {near[0]!r}? Known {what}: {listed}" if near else f"known {what}: {listed}"


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        remedy = "use letters, digits, '_', '-' and '.', a letter or '_' first, and not xml"
        raise InputError(f"{name!r} cannot be a tag", field="attribute", remedy=remedy)


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Floats of a number or of a flat sequence or array of numbers; None for anything else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (int, float)):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        return None
    flat = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in value)
    try:
        return tuple(map(float, value)) if flat else None
    except OverflowError:
        return None

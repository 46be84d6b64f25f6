"""Class names of published picture sets, in label order, with WordNet 3.0 ids where the classes have them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from visus.errors import InputError

SETS = ("imagenet", "stl10", "cifar10", "cifar100", "flowers102", "aircraft")


@dataclass(frozen=True)
class ClassList:
    """Names in label order; `wnids` are their ids, None where a class has none."""

    names: tuple[str, ...]
    wnids: tuple[str | None, ...]


@functools.cache
def class_list(name: str) -> ClassList:
    """The classes of one of `SETS`.

    >>> class_list("stl10").names[:3], class_list("stl10").wnids[0]
    (('airplane', 'bird', 'car'), 'n02691156')
    """
    if name not in SETS:
        raise InputError(
            f"no label set is named {name!r}", field="name", remedy="choose from " + ", ".join(SETS)
        )
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
    found = yaml.safe_load(text)
    return ClassList(tuple(found), tuple(found.values()))


def check_order(names: Sequence[str], name: str, *, file: str | Path) -> None:
    """Refuse the published names of a set in another order: labels would then mean other classes.

    Names that are not those of the set (a selection, a person's own classes) pass.

    Raises
    ------
    InputError : names the first place that differs.
    """
    published = class_list(name).names
    if sorted(names) != sorted(published) or tuple(names) == published:
        return
    place = next(i for i, (one, other) in enumerate(zip(names, published)) if one != other)
    raise InputError(
        f"has {names[place]!r} where the published order has {published[place]!r}",
        file=file,
        field=f"line {place + 1}",
        remedy="restore the published file; labels are numbers that refer to it",
    )

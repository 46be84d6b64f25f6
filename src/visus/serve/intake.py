"""What a method's command `predict` asks for, read off its signature and docstring."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.catalogue import get
from visus.errors import InputError, MissingExtra, VisusError


@dataclass(frozen=True, kw_only=True)
class Intake:
    """How to call one method's `predict` with uploaded files.

    The command takes one required path (the data) besides `model` and `out`. A path that is called `table`
    must be a table, one that is called `videos` is a folder of video files, which a table of boxes may come
    with (parameter `boxes`); any other may be a folder of pictures, too. Optional texts called `..._column`
    name columns of the table. A command with an optional path called `pictures` draws PNG files into that folder,
    which are shown beside the table.
    """

    slug: str
    verb: Callable[..., Any]
    data: str
    positional: bool
    needs_table: bool
    videos: bool
    """Whether the files are videos, and a table tells of the boxes in them."""
    columns: Mapping[str, str]
    """Parameter -> what it means."""
    draws: bool = False
    """Whether the command can draw its predictions into a folder (`pictures`)."""

    def call(
        self,
        data: Path,
        *,
        model: Path,
        out: Path,
        columns: Mapping[str, str],
        boxes: Path | None = None,
        pictures: Path | None = None,
    ) -> None:
        """Run the command.

        `columns` may name some of `self.columns`, `boxes` goes with `videos` only, `pictures` with `draws` only.
        """
        named: dict[str, Any] = {"model": model, "out": out, **columns}
        if pictures is not None:
            named["pictures"] = pictures
        if boxes is not None:
            named["boxes"] = boxes
        if self.positional:
            self.verb(data, **named)
        else:
            self.verb(**{self.data: data}, **named)


def intake(slug: str) -> Intake:
    """Read the command `predict` of a method.

    Raises
    ------
    visus.errors.InputError : there is none, or it needs more than a web form can give.
    visus.errors.MissingExtra : the method needs a package that is not installed.
    """
    verb = commands(slug).get("predict")
    if verb is None:
        raise InputError("has no command predict", field=slug, remedy="use the method's other commands")
    return read_signature(verb, slug)


def commands(slug: str) -> Mapping[str, Callable[..., Any]]:
    """The commands of a method by name; errors as for `intake`."""
    try:
        return importlib.import_module(f"{get(slug).package}.verbs").VERBS
    except MissingExtra:
        raise
    except ImportError as error:
        raise InputError(f"cannot be loaded ({error})", field=slug, remedy="see `visus doctor`") from None


def first_lines(slug: str) -> dict[str, str]:
    """What each command of a method does; nothing where the method cannot be loaded."""
    try:
        return {name: (inspect.getdoc(verb) or "").split("\n")[0] for name, verb in commands(slug).items()}
    except VisusError:
        return {}


def read_signature(verb: Callable[..., Any], slug: str) -> Intake:
    """An `Intake` from a function; see there for what is understood."""
    hints, parameters = typing.get_type_hints(verb), inspect.signature(verb).parameters
    needed = [name for name, part in parameters.items() if part.default is part.empty]
    paths = [name for name in needed if name not in ("model", "out")]
    if not {"model", "out"} <= parameters.keys() or len(paths) != 1 or hints.get(paths[0]) is not Path:
        raise InputError(
            "its command predict cannot be used from a form",
            field=slug,
            remedy=f"use the command line: visus {slug} predict --help",
        )
    described = _described(verb)
    columns = {
        name: described.get(name, name.replace("_", " "))
        for name in parameters
        if name.endswith("_column") and name not in needed
    }
    return Intake(
        slug=slug,
        verb=verb,
        data=paths[0],
        positional=parameters[paths[0]].kind is inspect.Parameter.POSITIONAL_ONLY,
        needs_table=paths[0] == "table",
        videos=paths[0] == "videos" and "boxes" in parameters,
        columns=columns,
        draws="pictures" not in needed and hints.get("pictures") == (Path | None),
    )


def _described(verb: Callable[..., Any]) -> dict[str, str]:
    """Parameter -> its line in the docstring's `Args:`."""
    arguments = (inspect.getdoc(verb) or "").partition("Args:\n")[2]
    return dict(re.findall(r"^    (\w+): (.+)$", arguments, flags=re.MULTILINE))

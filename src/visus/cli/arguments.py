"""From words on the command line to a call of a plain function."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

_NAMES = {str: "STR", int: "INT", float: "FLOAT", Path: "PATH"}


def call(function: Callable[..., Any], words: Sequence[str], *, prog: str) -> Any:
    """Call `function` with arguments read from `words`; its signature and docstring make the help.

    An option of several values may also be given several times: `--set a=1 --set b=2` is `--set a=1 b=2`.
    Wrong arguments end with the parser's message and `SystemExit(2)`.
    """
    import tyro

    merged = merge_repeated(words, list_options(function))
    return tyro.cli(_readable(function), prog=prog, args=merged, config=(tyro.conf.FlagCreatePairsOff,))


def list_options(function: Callable[..., Any]) -> frozenset[str]:
    """Options of a function that take several values, with their dashes."""
    hints = typing.get_type_hints(function)
    return frozenset("--" + name.replace("_", "-") for name, hint in hints.items() if _is_list(hint))


def merge_repeated(words: Sequence[str], options: frozenset[str]) -> list[str]:
    """Words with the values of a repeated list option moved to its first occurrence.

    >>> merge_repeated(["--set", "a=1", "--seed", "3", "--set=b=2"], frozenset({"--set"}))
    ['--set', 'a=1', 'b=2', '--seed', '3']
    """
    groups: list[list[str]] = [[]]
    lists: dict[str, list[str]] = {}
    present = groups[0]
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if not word.startswith("--"):
            present.append(word)
        elif name not in options:
            present = [word]
            groups.append(present)
        else:
            if name not in lists:
                lists[name] = [name]
                groups.append(lists[name])
            present = lists[name]  # what follows belongs to the first occurrence
            present.extend([value] if equals else [])
    return [word for group in groups for word in group]


def _is_list(hint: Any) -> bool:
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:  # tuple[int, int] takes its values at once
        return Ellipsis in parts
    return typing.get_origin(hint) in (list, set, frozenset) or any(map(_is_list, parts))


def _readable(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with `--seeds INT` instead of `--seeds {None}|INT` in the help of what may be None."""
    import tyro

    hints = typing.get_type_hints(function, include_extras=True)
    for name, hint in hints.items():
        shown = _metavar(hint)
        if shown:
            hints[name] = Annotated[hint, tyro.conf.arg(metavar=shown)]
    signature = inspect.signature(function)
    parameters = [
        part.replace(annotation=hints.get(part.name, Any)) for part in signature.parameters.values()
    ]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    del wrapper.__wrapped__  # type: ignore[attr-defined]  # or the parser would look through
    wrapper.__annotations__ = hints
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


def _metavar(hint: Any) -> str | None:
    """How to show a plain type that may be None; None for every other type."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return None
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if len(parts) != 1 or len(typing.get_args(hint)) != 2:
        return None
    (inner,) = parts
    if typing.get_origin(inner) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(inner))) + "}"
    several = typing.get_origin(inner) is list
    inner = typing.get_args(inner)[0] if several else inner
    if inner not in _NAMES:
        return None
    name = _NAMES[inner]
    return f"{name} [{name} ...]" if several else name

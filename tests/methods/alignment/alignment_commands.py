"""Running the method's commands as the command line does, and a made-up study to run them on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from visus.cli.arguments import call
from visus.errors import InputError
from visus.methods.alignment.verbs import VERBS


def done(*words):
    """Run a command."""
    name, *rest = map(str, words)
    return call(VERBS[name], rest, prog=f"visus alignment {name}")


def refused(*words):
    """The message of a command that is refused; it must say what to do and leave its --out as it was."""
    words = [*map(str, words)]
    out = Path(words[words.index("--out") + 1]) if "--out" in words else None
    before = contents(out)
    with pytest.raises(InputError) as caught:
        done(*words)
    assert caught.value.exit_code == 2
    assert "What to do:" in str(caught.value)
    assert contents(out) == before, "something was left behind"
    return str(caught.value)


def contents(path):
    """What lies at a path: None, a file's bytes, or a folder's files with their bytes."""
    if path is None or not path.exists():
        return None
    if path.is_file():
        return path.read_bytes()
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def odd_positions(similar, rows):
    found = []
    for a, b, c in rows.tolist():
        pairs = [similar[b, c], similar[a, c], similar[a, b]]  # by the position that is left over
        best = max(pairs)
        found.append(pairs.index(best) if pairs.count(best) == 1 else -1)
    return np.array(found)


def page_of(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.(?!#|data:)|@import|<script", page)  # nothing is fetched, nothing runs
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    return page

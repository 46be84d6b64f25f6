"""SimLex-999 and WordSim-353: pairs of words with how alike people find them.

Both files come with the package gensim, which is only looked up, never imported. SimLex-999 rates similarity
proper (coast and shore, not clothes and closet), WordSim-353 also relatedness.

Data: Hill, Reichart and Korhonen, Computational Linguistics 41, 2015; Finkelstein et al., ACM TOIS 20, 2002.
"""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from visus.data.formats.text import read_text
from visus.errors import InputError, MissingData

PACKAGE = "gensim"


@dataclass(frozen=True, kw_only=True, eq=False)
class WordPairs:
    """`first[i]` and `second[i]` are as alike as `rating[i]` says, 0 to 10, the mean over people."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    rating: Float64[np.ndarray, " n"]
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word once, in order of appearance."""
        return tuple(dict.fromkeys(word for pair in zip(self.first, self.second) for word in pair))


def read_word_pairs(path: str | Path) -> WordPairs:
    """Read `word <tab> word <tab> rating` lines; lines that start with # and blank lines are passed over.

    Raises
    ------
    InputError : a line without two words and a finite number, or no pairs; names the line.
    """
    first, second, rating = [], [], []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        value = _number(cells[2]) if len(cells) == 3 and cells[0] and cells[1] else None
        if value is None:
            remedy = "give two words and a rating, separated by tabs"
            raise InputError(f"{line!r} is no rated pair", file=path, field=f"line {number}", remedy=remedy)
        first.append(cells[0])
        second.append(cells[1])
        rating.append(value)
    if not first:
        raise InputError("has no pairs", file=path, remedy="give lines of two words and a rating")
    return WordPairs(first=tuple(first), second=tuple(second), rating=np.array(rating), file=Path(path))


def simlex999() -> WordPairs:
    """The 999 pairs of SimLex-999, from the installed package gensim.

    Raises
    ------
    MissingData : gensim is not installed, or without its test data.
    """
    return read_word_pairs(_located("simlex999.txt"))


def wordsim353() -> WordPairs:
    """The 353 pairs of WordSim-353, from the installed package gensim.

    Raises
    ------
    MissingData : gensim is not installed, or without its test data.
    """
    return read_word_pairs(_located("wordsim353.tsv"))


def _located(name: str) -> Path:
    problem = f"{name} comes with the package {PACKAGE}, which need not be importable: pip install --no-deps {PACKAGE}"
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingData(problem) from None
    found = (Path(str(file.locate())) for file in files if file.name == name)
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise MissingData(f"{problem}; the one that is installed came without it")
    return path


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

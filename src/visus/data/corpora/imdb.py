"""The IMDB reviews of Maas et al. (2011): the aclImdb folder, or the table `review,sentiment`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from visus.data.corpora.text_csv import load_text_csv
from visus.data.formats.text import read_text
from visus.data.loader import Tensors
from visus.errors import InputError
from visus.records import write_atomically

CLASSES = ("neg", "pos")
_NAME = re.compile(r"(\d+)_(\d+)\.txt")
_WORDS = {"negative": "neg", "positive": "pos", "neg": "neg", "pos": "pos", "0": "neg", "1": "pos"}


def load_imdb(path: str | Path, part: Literal["train", "test"] = "train") -> Tensors:
    """Reviews as {"text": list[str], "target": list of "neg" or "pos"}.

    `path` is the aclImdb folder (`<part>/{neg,pos}/<id>_<rating>.txt`; other files and `unsup` are passed
    over; ordered by class and id) or a table `review,sentiment` with positive/negative, which has no parts:
    `part` is ignored. Texts are returned as stored, `<br />` tags included.

    Raises
    ------
    InputError : a folder is absent or has no reviews, a review is empty, or a sentiment is unknown.
    """
    path = Path(path)
    if path.is_file():
        return _from_table(path)
    texts: list[str] = []
    targets: list[str] = []
    for name in CLASSES:
        folder = path / part / name
        if not folder.is_dir():
            remedy = "give the folder aclImdb that holds train and test, or a table review,sentiment"
            raise InputError("does not exist", file=folder, remedy=remedy)
        files = sorted(
            (int(match[1]), int(match[2]), file)
            for file in folder.iterdir()
            if (match := _NAME.fullmatch(file.name))
        )
        if not files:
            raise InputError(
                "holds no reviews named <id>_<rating>.txt", file=folder, remedy="unpack it again"
            )
        texts += [read_text(file) for _, _, file in files]
        targets += [name] * len(files)
    return Tensors({"text": texts, "target": targets})


def write_imdb(
    folder: str | Path, texts: Sequence[str], targets: Sequence[str], *, part: str = "train"
) -> None:
    """Write reviews in the aclImdb layout; ratings are 9 for `pos` and 2 for `neg`."""
    for i, (text, target) in enumerate(zip(texts, targets)):
        if target not in CLASSES:
            raise InputError(f"target {target} is not neg or pos", field=f"review {i}")
        rating = 9 if target == "pos" else 2
        write_atomically(Path(folder) / part / target / f"{i}_{rating}.txt", text)


def _from_table(path: Path) -> Tensors:
    table = load_text_csv(path, text_columns=("review",), label_column="sentiment")
    targets = []
    for i, given in enumerate(table["target"]):
        if given.lower() not in _WORDS:
            problem = f"item {i + 1}: {given} is not positive or negative"
            raise InputError(problem, file=path, field="column sentiment")
        targets.append(_WORDS[given.lower()])
    return Tensors({"text": table["text"], "target": targets})

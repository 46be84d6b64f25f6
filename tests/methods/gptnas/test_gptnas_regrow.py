"""Elimination and regrowth (algorithm 1)."""

from __future__ import annotations

import numpy as np
import pytest

from visus.errors import InputError
from visus.methods.gptnas.search.regrow import Sampling, elimination_rate, grow, regrow
from visus.methods.gptnas.search.space import Space

SPACE = Space("fixed", tuple("abcde"), 6, 6)
DRAWS = 10_000


class Spy:
    """A prior that remembers what it was asked; it favors symbol = (sum of prefix) mod 5."""

    information = 1.0

    def __init__(self, count=5):
        self.asked, self.count = [], count

    def distribution(self, prefix):
        self.asked.append(prefix)
        p = np.full(self.count, 0.1 / (self.count - 1))
        p[sum(prefix) % self.count] = 0.9
        return p


class Tag(int):
    """An integer with an identity."""


def test_the_rate_falls_linearly_to_zero():
    assert [elimination_rate(0.4, t) for t in (0, 0.5, 1, 1.5)] == [0.4, 0.2, 0.0, 0.0]
    for t in range(21):
        assert elimination_rate(0.4, t / 20) == pytest.approx(0.4 - t / 20 * 0.4)


@pytest.mark.parametrize("rate", [0.4, 0.2, 0.03])
def test_the_regrown_share_is_the_rate(rate):
    rng, gone = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        individual = SPACE.random(rng)
        made, written = regrow(individual, Spy(), SPACE, rng, rate=rate)
        gone += sum(written)
        assert len(made) == len(written) == 6
    count = 6 * DRAWS
    assert abs(gone / count - rate) < 3 * np.sqrt(rate * (1 - rate) / count)


def test_by_layer_a_block_goes_if_any_of_its_layers_does():
    """Eliminated with probability 1 - (1 - r)^n: against drawing every layer on its own."""
    space = Space("blocks", ("one", "two", "seven"), 3, 3, layers=(1, 2, 7))
    rng, gone = np.random.default_rng(1), np.zeros(3)
    for _ in range(DRAWS):
        gone += regrow((0, 1, 2), Spy(3), space, rng, rate=0.2, unit="layer")[1]
    slow = np.random.default_rng(2)
    want = np.array([np.mean([(slow.random(n) < 0.2).any() for _ in range(DRAWS)]) for n in (1, 2, 7)])
    exact = 1 - 0.8 ** np.array([1, 2, 7])
    error = 3 * np.sqrt(exact * (1 - exact) / DRAWS)
    assert (np.abs(gone / DRAWS - exact) < error).all()
    assert (np.abs(want - exact) < error).all()


def test_what_is_kept_is_the_same_object():
    rng = np.random.default_rng(3)
    for _ in range(300):
        individual = tuple(Tag(symbol) for symbol in SPACE.random(rng))
        made, written = regrow(individual, Spy(), SPACE, rng, rate=0.5)
        for old, new, gone in zip(individual, made, written, strict=True):
            assert (new is old) is not gone


def test_the_prefix_is_what_was_placed_not_what_was_there():
    rng, met = np.random.default_rng(4), 0
    for _ in range(300):
        individual, spy = SPACE.random(rng), Spy()
        made, written = regrow(individual, spy, SPACE, rng, rate=0.5)
        places = [place for place, gone in enumerate(written) if gone]
        assert spy.asked == [made[:place] for place in places]
        met += any(made[:place] != individual[:place] for place in places)
    assert met > 100


def test_a_rate_of_zero_asks_nothing_and_one_asks_everywhere():
    rng, spy = np.random.default_rng(5), Spy()
    individual = SPACE.random(rng)
    made, written = regrow(individual, spy, SPACE, rng, rate=0.0)
    assert made is individual
    assert not any(written)
    assert spy.asked == []
    assert regrow(individual, spy, SPACE, rng, rate=1.0)[1] == (True,) * 6
    with pytest.raises(InputError, match="block or layer"):
        regrow(individual, spy, SPACE, rng, rate=0.5, unit="network")


def test_symbols_are_drawn_not_taken():
    rng, drawn = np.random.default_rng(6), np.zeros(5)
    for _ in range(DRAWS):
        drawn[regrow((0,) * 6, Spy(), SPACE, rng, rate=1.0)[0][0]] += 1
    p = np.array([0.9, 0.025, 0.025, 0.025, 0.025])
    assert (np.abs(drawn / DRAWS - p) < 4 * np.sqrt(p * (1 - p) / DRAWS)).all()
    greedy = Sampling(greedy=True)
    made = {regrow((0,) * 6, Spy(), SPACE, rng, rate=1.0, sampling=greedy)[0] for _ in range(20)}
    assert made == {(0, 0, 0, 0, 0, 0)}


P = np.array([0.1, 0.4, 0.2, 0.3])


@pytest.mark.parametrize(
    ("sampling", "want"),
    [
        (Sampling(), P),
        (Sampling(temperature=0.5), P**2 / (P**2).sum()),
        (Sampling(temperature=2.0), P**0.5 / (P**0.5).sum()),
        (Sampling(top_k=2), np.array([0, 4, 0, 3]) / 7),
        (Sampling(top_k=9), P),
        (Sampling(top_k=2, temperature=0.5), np.array([0, 16, 0, 9]) / 25),
        (Sampling(greedy=True), np.array([0, 1, 0, 0])),
    ],
)
def test_sampling(sampling, want):
    weights = sampling.shape(P)
    assert np.allclose(weights / weights.sum(), want)
    rng = np.random.default_rng(7)
    counts = np.bincount([sampling.draw(P, rng) for _ in range(DRAWS)], minlength=4)
    assert (np.abs(counts / DRAWS - want) <= 4 * np.sqrt(want * (1 - want) / DRAWS)).all()


def test_a_low_temperature_does_not_underflow():
    weights = Sampling(temperature=1e-3).shape(np.array([1e-9, 2e-9]))
    assert np.isfinite(weights).all()
    assert weights[1] == 1.0


def test_sampling_options_are_checked():
    for options in ({"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": 0}):
        with pytest.raises(InputError):
            Sampling(**options)


class Ending:
    """Ends with probability 0.5 from the start."""

    information = 1.0

    def distribution(self, prefix):
        return np.array([0.25, 0.25, 0.5])


def test_growing_ends_by_itself_but_not_too_early():
    space, rng = Space("varied", ("a", "b"), 2, 5), np.random.default_rng(8)
    lengths = np.bincount([len(grow(Ending(), space, rng)) for _ in range(DRAWS)], minlength=6) / DRAWS
    want = np.array([0, 0, 0.5, 0.25, 0.125, 0.125])
    assert (np.abs(lengths - want) <= 4 * np.sqrt(want * (1 - want) / DRAWS)).all()
    made, _ = regrow((0, 1), Ending(), space, rng, rate=1.0)
    assert len(made) == 2
    assert len(grow(Spy(), SPACE, rng)) == 6

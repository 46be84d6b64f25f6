"""Sweeps on tables: right curves, right priors. What they find on real tables: test_gptnas_acceptance."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from gptnas_samples import Favor, worth

from visus.data.corpora.architecture_table import ArchitectureTable
from visus.errors import InputError
from visus.methods.gptnas.baselines import ARMS, make_search
from visus.methods.gptnas.search.priors import FAINT_NATS, warning_about
from visus.methods.gptnas.search.space import Space
from visus.methods.gptnas.search.sweep import (
    KEPT,
    SWEEP_SETTINGS,
    Curves,
    prior_names,
    selected,
    sweep,
    train_priors,
    train_small_prior,
)

TRAINED = [arm for arm in ARMS if arm != "tpe"]


def made_up_table(length=4):
    space = Space("made up", tuple("abc"), length, length)
    rows = np.indices((3,) * length).reshape(length, -1).T
    fitness = np.array([worth(tuple(row.tolist())) for row in rows]) + np.arange(len(rows)) * 1e-3
    score = np.random.default_rng(0).permutation(fitness)
    return ArchitectureTable(
        name=space.name, symbols=space.symbols, length=length, fitness=fitness, score=score
    )


@pytest.fixture(scope="module")
def table():
    return made_up_table()


@pytest.fixture(scope="module")
def known(table):
    return dict.fromkeys(KEPT, Favor(Space.of_table(table)))


def test_curves_against_a_slow_loop(table, known):
    settings = replace(SWEEP_SETTINGS, budget=30, population=5)
    curves = sweep(table, TRAINED, seeds=[0, 7], settings=settings, priors=known)
    for arm in TRAINED:
        for row, seed in enumerate((0, 7)):
            search = make_search(arm, Space.of_table(table), settings, seed, known)
            best, fitness, score = -np.inf, [], []
            while batch := search.ask():
                for individual in batch:
                    place = table.index(individual)
                    search.tell(individual, table.fitness[place])
                    if table.fitness[place] > best:
                        best, shown = table.fitness[place], table.score[place]
                    fitness.append(best)
                    score.append(shown)
            assert curves.fitness[arm][row].tolist() == fitness
            assert curves.score[arm][row].tolist() == score
    assert curves.information == dict.fromkeys(KEPT, 0.7)


def test_a_sweep_longer_than_the_space_stays_at_its_best(table):
    curves = sweep(table, ["ga"], seeds=[0], settings=replace(SWEEP_SETTINGS, budget=100))
    assert curves.fitness["ga"].shape == (1, 100)
    assert curves.fitness["ga"][0, 80:].tolist() == [table.fitness.max()] * 20


def test_the_number_of_workers_changes_nothing(table, known):
    settings = replace(SWEEP_SETTINGS, budget=20)
    one, two = (
        sweep(table, ["ga", "gpt"], seeds=range(5), settings=settings, priors=known, workers=w)
        for w in (1, 2)
    )
    for arm in ("ga", "gpt"):
        assert np.array_equal(one.fitness[arm], two.fitness[arm])
        assert np.array_equal(one.score[arm], two.score[arm])


def test_means_and_paired_differences():
    score = {"a": np.array([[1.0, 2.0], [3.0, 6.0]]), "b": np.array([[0.0, 1.0], [1.0, 1.0]])}
    curves = Curves(fitness=score, score=score, information={})
    assert curves.mean("a", 2) == (4.0, pytest.approx(2.0))
    gap, z = curves.difference("a", "b", 2)
    assert gap == 3.0
    assert z == pytest.approx(3.0 / (np.std([1.0, 5.0], ddof=1) / np.sqrt(2)))
    assert curves.difference("a", "a", 2) == (0.0, 0.0)


def test_what_priors_learn_from(table):
    best, worst = selected(table, 0.1), selected(table, 0.1, best=False)
    values = np.sort(table.fitness)
    assert sorted(table.fitness[table.index(row)] for row in best.tolist()) == values[-8:].tolist()
    assert sorted(table.fitness[table.index(row)] for row in worst.tolist()) == values[:8].tolist()
    assert len(selected(table, 1.0)) == 81
    assert len(selected(table, 1e-9)) == 2
    with pytest.raises(InputError, match="share"):
        selected(table, 0.0)
    assert prior_names(["gpt", "ga", "uniform", "null", "gpt@0.2", "sampling"]) == ["gpt", "null"]


def test_small_priors_are_deterministic_and_learn(table):
    space = Space.of_table(table)
    rng = np.random.default_rng(0)
    cells = np.stack([np.zeros(300), rng.integers(3, size=300), np.ones(300), np.zeros(300)], 1).astype(int)
    cells[:, 3] = (cells[:, 1] + 1) % 3
    first, again, other = (train_small_prior(cells, space, seed=s, steps=50) for s in (0, 0, 1))
    for one, two in zip(first.levels, again.levels, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first.levels[1], other.levels[1])
    assert first.information == pytest.approx(np.log(3) * 3 / 4, abs=0.06), (
        "three of four symbols are certain"
    )
    for middle in range(3):
        assert first.distribution((0, middle, 1))[(middle + 1) % 3] > 0.9
    noise = train_small_prior(rng.integers(3, size=(3000, 4)), space, steps=20)
    assert abs(noise.information) < FAINT_NATS
    assert warning_about(noise)
    with pytest.raises(InputError, match="2 or more"):
        train_small_prior(cells[:1], space)


def test_training_priors_by_name(table):
    made = train_priors(table, ["anti", "gpt"], steps=2)
    space = Space.of_table(table)
    alone = train_small_prior(selected(table, 0.1, best=False), space, steps=2)
    assert list(made) == ["anti", "gpt"]
    assert np.array_equal(made["anti"].levels[2], alone.levels[2])
    assert not np.array_equal(made["gpt"].levels[2], alone.levels[2])
    with pytest.raises(InputError, match="'best' is unknown"):
        train_priors(table, ["best"])
    with pytest.raises(InputError, match="needs the prior 'gpt'"):
        sweep(table, ["gpt"], seeds=[0])


@pytest.mark.slow
def test_priors_do_not_depend_on_the_workers(table):
    one, two = (train_priors(table, ["anti", "gpt"], steps=5, workers=workers) for workers in (1, 2))
    for name in one:
        assert one[name].information == two[name].information
        for level, other in zip(one[name].levels, two[name].levels, strict=True):
            assert np.array_equal(level, other)


def test_two_hundred_seeds_of_all_arms_are_quick():
    """A quarter of them: every arm, 50 seeds, 100 evaluations, under 10 seconds of one core. All of them then stay
    far from the two minutes allowed."""
    cells = made_up_table(6)
    priors = dict.fromkeys(KEPT, Favor(Space.of_table(cells)))
    begin = time.process_time()
    sweep(cells, TRAINED, seeds=range(50), priors=priors)
    assert time.process_time() - begin < 10

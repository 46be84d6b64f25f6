"""Ask and tell: budget, memory, schedule, determinism."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from gptnas_samples import FIXED, VARIED, Favor, of_candidate, play, worth
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.errors import InputError
from visus.methods.gptnas.baselines import ARMS, make_search
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.genetic import crossover, mutate, tournament
from visus.methods.gptnas.search.priors import UniformPrior
from visus.methods.gptnas.search.regrow import regrow
from visus.methods.gptnas.search.run import run_search
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Space, stream
from visus.records import from_plain, to_plain

SETTINGS = SearchSettings(budget=60, population=8)
QUICK = [arm for arm in ARMS if arm != "tpe"]


def priors(space):
    return {name: Favor(space) for name in ("gpt", "null", "anti", "keep70")}


# ---- acceptance: schedule, plain search, budget -----------------------------------------------------------


def test_the_rate_over_a_search():
    search = Search(FIXED, replace(SETTINGS, population=6), 0, Favor(FIXED))
    rates = {0: search.rate}
    while batch := search.ask():
        for individual in batch:
            search.tell(individual, worth(individual))
            rates[len(search.history)] = search.rate
    assert (rates[0], rates[30], rates[60]) == (0.4, pytest.approx(0.2), 0.0)
    for told, rate in rates.items():
        assert rate == pytest.approx(0.4 - told / 60 * 0.4)


def test_the_rate_over_generations():
    """Twenty generations as in the paper: r_0 = 0.4, half way 0.2, nothing at the end."""
    chosen = replace(SETTINGS, budget=10_000, generations=20, population=5)
    search, seen = Search(FIXED, chosen, 0, Favor(FIXED)), {}
    while batch := search.ask():
        seen[search.generation] = search.rate
        for individual in batch:
            search.tell(individual, worth(individual))
    assert seen[0] == 0.4
    assert seen[10] == pytest.approx(0.2)
    assert max(seen) <= 20
    assert search.generation == 20
    assert search.rate == 0.0
    assert search.done
    assert len(search.history) <= 5 * 21


@pytest.mark.parametrize("space", [FIXED, VARIED])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rate_zero_is_the_plain_genetic_search(space, seed):
    """The same individuals in the same order, whatever the prior."""
    plain = play(Search(space, SETTINGS, seed))
    for prior in (Favor(space), UniformPrior(space)):
        assert play(Search(space, replace(SETTINGS, rate=0.0), seed, prior)) == plain
    assert play(Search(space, SETTINGS, seed, Favor(space))) != plain


@given(
    arm=st.sampled_from(QUICK),
    budget=st.integers(1, 40),
    population=st.integers(1, 12),
    seed=st.integers(0, 1000),
    varied=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_no_arm_ever_exceeds_the_budget_or_pays_twice(arm, budget, population, seed, varied):
    space = VARIED if varied else FIXED
    chosen = SearchSettings(budget=budget, population=population)
    search = make_search(arm, space, chosen, seed, priors(space))
    asked = play(search)
    assert len(asked) == len(set(asked)) == budget == len(search.history)
    assert search.done
    assert search.ask() == []
    for individual in asked:
        assert space.check(individual) == individual
    assert search.best == max(((i, worth(i)) for i in asked), key=lambda rated: rated[1])


@pytest.mark.parametrize("arm", QUICK)
def test_a_small_space_is_searched_to_its_end(arm):
    space = Space("tiny", ("a", "b"), 1, 3)
    search = make_search(arm, space, SearchSettings(budget=1000, population=4), 0, priors(space))
    assert len(set(play(search))) == space.size == 14


def test_a_prior_that_says_one_thing_only_does_not_stop_the_search():
    class Stubborn(Favor):
        def distribution(self, prefix):
            p = super().distribution(prefix)
            return (p == p.max()).astype(float)

    search = make_search("sampling", FIXED, SETTINGS, 0, {"gpt": Stubborn(FIXED)})
    assert len(set(play(search))) == 60


# ---- what it does -----------------------------------------------------------------------------------------


def transcription(space, chosen, seed, prior):
    """The search as one plain loop: individuals in the order they are paid for."""
    genetic, growth = stream(seed, "genetic"), stream(seed, "regrowth")
    memory, order, population = {}, [], []
    while len(memory) < chosen.budget:
        if not population:
            made = [space.random(genetic) for _ in range(chosen.population)]
        else:
            made = []
            while len(made) < chosen.population:
                one, two = tournament(population, genetic), tournament(population, genetic)
                if genetic.random() < chosen.crossover:
                    one, two = crossover(one, two, space, genetic)
                for child in (one, two):
                    made.append(
                        mutate(child, space, genetic) if genetic.random() < chosen.mutation else child
                    )
            made = made[: chosen.population]
        rate = chosen.rate * (1 - len(memory) / chosen.budget)
        if prior is not None:
            made = [regrow(child, prior, space, growth, rate=rate)[0] for child in made]
        for child in made:
            if child not in memory and len(memory) < chosen.budget:
                memory[child] = worth(child)
                order.append(child)
        pool = {child: memory[child] for child in [*dict(population), *made] if child in memory}
        population = sorted(pool.items(), key=lambda rated: -rated[1])[: chosen.population]
    return order


@pytest.mark.parametrize("space", [FIXED, VARIED])
def test_it_is_the_plain_loop(space):
    for seed in range(5):
        for prior in (None, Favor(space)):
            chosen = replace(SETTINGS, population=7)
            assert play(Search(space, chosen, seed, prior)) == transcription(space, chosen, seed, prior)


def test_the_same_seed_asks_the_same_and_another_does_not():
    for arm in QUICK:
        asked = [play(make_search(arm, FIXED, SETTINGS, seed, priors(FIXED))) for seed in (3, 3, 4)]
        assert asked[0] == asked[1]
        assert asked[0] != asked[2]


def test_the_order_of_answers_does_not_matter():
    def told(shuffled):
        search, asked = Search(FIXED, SETTINGS, 0, Favor(FIXED)), []
        while batch := search.ask():
            asked += batch
            for individual in reversed(batch) if shuffled else batch:
                search.tell(individual, worth(individual))
        return asked

    assert told(True) == told(False)


def test_asking_in_small_pieces_asks_the_same():
    search, asked = Search(FIXED, SETTINGS, 0, Favor(FIXED)), []
    while batch := search.ask(3):
        assert len(batch) <= 3
        asked += batch
        for individual in batch:
            search.tell(individual, worth(individual))
    assert asked == play(Search(FIXED, SETTINGS, 0, Favor(FIXED)))


def test_nothing_is_asked_while_answers_are_missing():
    search = Search(FIXED, SETTINGS)
    first = search.ask()
    assert len(first) == 8
    assert search.ask() == []
    for individual in first[:-1]:
        search.tell(individual, 0.0)
    assert search.ask() == []
    search.tell(first[-1], 0.0)
    assert search.ask()


def test_what_was_written_is_reported():
    search = Search(FIXED, SETTINGS, 0, Favor(FIXED))
    play(search)
    masks = [evaluation.candidate.regrown for evaluation in search.history]
    assert all(len(mask) == 6 for mask in masks)
    early, late = (sum(map(sum, part)) / (6 * len(part)) for part in (masks[:24], masks[-24:]))
    assert early > late
    assert 0.2 < early < 0.5
    plain = Search(FIXED, SETTINGS, 0)
    play(plain)
    assert not any(any(evaluation.candidate.regrown) for evaluation in plain.history)
    generations = [evaluation.candidate.generation for evaluation in search.history]
    assert generations == sorted(generations)
    assert generations[0] == 0


def test_the_best_survives_every_generation():
    search, best = Search(VARIED, SETTINGS, 1, Favor(VARIED)), -math.inf
    while batch := search.ask():
        if search.population:
            assert search.population[0][1] == best
            assert len(search.population) <= 8
        for individual in batch:
            search.tell(individual, worth(individual))
        best = max(best, *map(worth, batch))


def test_a_first_population_drawn_from_the_prior():
    search = Search(FIXED, replace(SETTINGS, init="prior", greedy=True), 0, Favor(FIXED))
    first = search.candidates()
    assert [candidate.individual for candidate in first] == [(0, 1, 2, 3, 4, 0)]
    assert first[0].regrown == (True,) * 6
    with pytest.raises(InputError, match="init"):
        Search(FIXED, replace(SETTINGS, init="prior"))


def test_settings_reach_the_regrowth():
    asked = {}
    for name, options in {
        "block": {},
        "layer": {"unit": "layer"},
        "hot": {"temperature": 9.0},
        "top": {"top_k": 1},
        "mutation": {"mutation": 1.0},
        "crossover": {"crossover": 0.0},
        "rate": {"rate": 0.9},
    }.items():
        space = replace(FIXED, layers=(1, 2, 3, 4, 5))
        asked[name] = tuple(play(Search(space, replace(SETTINGS, **options), 0, Favor(space))))
    assert len(set(asked.values())) == len(asked)


def test_failed_evaluations_are_the_worst():
    search = Search(FIXED, SETTINGS)
    first = search.ask()
    for individual in first:
        search.tell(individual, math.nan if individual == first[0] else -5.0)
    assert search.best[1] == -5.0
    assert search.history[0].value == -math.inf
    search.ask()
    assert search.population[-1] == (first[0], -math.inf)


def test_wrong_answers_are_refused():
    search = Search(FIXED, SETTINGS)
    with pytest.raises(InputError, match="nothing was told"):
        _ = search.best
    first = search.ask(1)[0]
    with pytest.raises(InputError, match="not waiting"):
        search.tell((9,) * 6, 1.0)
    with pytest.raises(InputError, match="infinite"):
        search.tell(first, math.inf)
    search.tell(list(first), 1.0)
    with pytest.raises(InputError, match="not waiting"):
        search.tell(first, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"budget": 0},
        {"population": 0},
        {"generations": -1},
        {"crossover": 1.5},
        {"mutation": -0.1},
        {"rate": 2.0},
        {"temperature": 0.0},
        {"top_k": 0},
    ],
)
def test_settings_are_checked(options):
    with pytest.raises(InputError) as caught:
        SearchSettings(**options)
    assert caught.value.field == next(iter(options))


def test_settings_are_a_plain_record_with_the_paper_s_values():
    assert from_plain(SearchSettings, to_plain(SETTINGS)) == SETTINGS
    paper = SearchSettings()
    assert (paper.population, paper.crossover, paper.mutation, paper.rate) == (30, 0.9, 0.3, 0.4)
    assert paper.budget == 30 * (20 + 1)
    with pytest.raises(InputError):
        from_plain(SearchSettings, {"budget": -1})
    with pytest.raises(InputError):
        from_plain(SearchSettings, {"budgets": 1})


# ---- running ----------------------------------------------------------------------------------------------


def test_run_search_is_ask_and_tell():
    seen = []
    result = run_search(Search(FIXED, SETTINGS, 0, Favor(FIXED)), of_candidate, progress=seen.append)
    assert [e.candidate.individual for e in result.history] == play(Search(FIXED, SETTINGS, 0, Favor(FIXED)))
    assert result.paid == 60
    assert result.value == worth(result.best) == max(e.value for e in result.history)
    assert [p.evaluated for p in seen] == list(range(1, 61))
    assert all(p.budget == 60 for p in seen)
    assert [p.best for p in seen] == [max(e.value for e in result.history[: n + 1]) for n in range(60)]
    assert (result.information, result.warnings) == (0.7, ())


def test_a_faint_prior_is_reported_in_the_result():
    result = run_search(Search(FIXED, SETTINGS, 0, Favor(FIXED, information=0.01)), of_candidate)
    assert "next to nothing" in result.warnings[0]
    plain = run_search(Search(FIXED, SETTINGS, 0), of_candidate)
    assert (plain.information, plain.warnings) == (None, ())


def test_the_result_does_not_depend_on_the_workers():
    alone = run_search(Search(FIXED, SETTINGS, 0, Favor(FIXED)), of_candidate)
    for workers, backend in ((2, "loky"), (3, "threading")):
        many = run_search(
            Search(FIXED, SETTINGS, 0, Favor(FIXED)), of_candidate, workers=workers, backend=backend
        )
        assert many == alone


@pytest.mark.slow
def test_evaluations_on_a_dask_cluster():
    distributed = pytest.importorskip("distributed")
    with pytest.raises(InputError, match=r"Dask Client.*make a dask.distributed.Client"):
        run_search(Search(FIXED, SETTINGS), of_candidate, backend="dask")
    alone = run_search(Search(FIXED, SETTINGS, 0, Favor(FIXED)), of_candidate)
    with distributed.Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"):
        many = run_search(Search(FIXED, SETTINGS, 0, Favor(FIXED)), of_candidate, backend="dask")
    assert many == alone

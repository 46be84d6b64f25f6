"""The record of evaluations: nothing is paid twice, whatever happens to the process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gptnas_samples import FIXED, VARIED, Favor, of_candidate, worth

from visus.errors import InputError
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.ledger import Ledger
from visus.methods.gptnas.search.run import run_search
from visus.methods.gptnas.search.sampler import as_sampler
from visus.methods.gptnas.search.search import Search

optuna = pytest.importorskip("optuna")
SETTINGS = SearchSettings(budget=20, population=6)
STORES = ["trials.journal", "trials.db"]


def search(space=FIXED, seed=0, **changes):
    return Search(space, replace(SETTINGS, **changes), seed, Favor(space))


@pytest.fixture(autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


class Dying:
    """Evaluates `worth` so many times and then breaks."""

    def __init__(self, left):
        self.left = left

    def __call__(self, candidate):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return of_candidate(candidate)


@pytest.mark.parametrize("store", [None, *STORES])
def test_every_evaluation_is_a_trial(tmp_path, store):
    storage = None if store is None else tmp_path / store
    result = run_search(search(VARIED), of_candidate, ledger=(ledger := Ledger(storage)))
    trials = (ledger if store is None else Ledger(storage)).study.trials
    assert len(trials) == 20
    for trial, evaluation in zip(trials, result.history, strict=True):
        candidate = evaluation.candidate
        assert trial.value == evaluation.value
        assert tuple(trial.user_attrs["individual"]) == candidate.individual
        assert tuple(trial.user_attrs["regrown"]) == candidate.regrown
        assert trial.user_attrs["generation"] == candidate.generation
        assert tuple(trial.params.values()) == VARIED.names(candidate.individual)
        assert list(trial.params) == [f"symbol_{i}" for i in range(len(candidate.individual))]
    assert ledger.study.best_value == result.value


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("paid", [0, 1, 6, 13, 19])
def test_an_interrupted_search_resumes_as_if_nothing_had_happened(tmp_path, store, paid):
    whole = run_search(search(), of_candidate)
    with pytest.raises(KeyboardInterrupt):
        run_search(search(), Dying(paid), ledger=Ledger(tmp_path / store))
    resumed = run_search(search(), Dying(20 - paid), ledger=Ledger(tmp_path / store))
    assert resumed == replace(whole, paid=20 - paid)
    again = run_search(search(), Dying(0), ledger=Ledger(tmp_path / store))
    assert again == replace(whole, paid=0)


def test_resuming_with_several_workers(tmp_path):
    whole = run_search(search(), of_candidate)
    with pytest.raises(KeyboardInterrupt):
        run_search(search(), Dying(8), ledger=Ledger(tmp_path / "t.journal"))
    ledger = Ledger(tmp_path / "t.journal")
    resumed = run_search(search(), of_candidate, ledger=ledger, workers=2)
    assert resumed == replace(whole, paid=12)
    assert len(ledger.known()) == 20


KILLED = """
import sys, time
from gptnas_samples import FIXED, Favor, worth
from visus.methods.gptnas.search import Ledger, Search, SearchSettings, run_search

def slow(candidate):
    time.sleep(0.02)
    with open(sys.argv[2], "a") as stream:
        stream.write(" ".join(map(str, candidate.individual)) + "\\n")
    return worth(candidate.individual)

search = Search(FIXED, SearchSettings(budget=150, population=6), 0, Favor(FIXED))
run_search(search, slow, ledger=Ledger(sys.argv[1]))
"""


@pytest.mark.parametrize("store", STORES)
def test_killed_at_any_moment_at_most_the_running_evaluation_is_lost(tmp_path, store):
    """SIGKILL during a search, three times, at moments that do not depend on what it is doing."""
    paid = tmp_path / "paid.txt"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    for wait in (0.0, 0.33, 0.21):
        lines = len(paid.read_text().splitlines()) if paid.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / store), str(paid)], env=environment
        )
        deadline = time.monotonic() + 60
        while (len(paid.read_text().splitlines()) if paid.exists() else 0) <= lines + 3:
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        evaluated = [tuple(map(int, line.split())) for line in paid.read_text().splitlines()]
        known = Ledger(tmp_path / store).known()
        assert len(set(evaluated) - set(known)) <= 1
        assert known == {individual: worth(individual) for individual in known}
    assert 10 < len(known) < 150
    assert len(evaluated) - len(set(evaluated)) <= 3, "each kill costs at most one evaluation"
    whole = run_search(search(budget=150), of_candidate)
    resumed = run_search(search(budget=150), of_candidate, ledger=Ledger(tmp_path / store))
    assert resumed == replace(whole, paid=150 - len(known))


def test_a_journal_cut_off_in_a_line_is_mended(tmp_path):
    file = tmp_path / "t.journal"
    with pytest.raises(KeyboardInterrupt):
        run_search(search(), Dying(9), ledger=Ledger(file))
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    ledger = Ledger(file)
    assert len(ledger.known()) == 8
    assert run_search(search(), of_candidate, ledger=ledger).paid == 12
    assert len(Ledger(file).known()) == 20


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (lambda: search(seed=1), "seed"),
        (lambda: search(rate=0.1), "settings"),
        (lambda: search(VARIED), "space"),
        (lambda: Search(FIXED, SETTINGS, 0), "prior"),
    ],
)
def test_a_ledger_belongs_to_one_search(tmp_path, other, field):
    file = tmp_path / "t.journal"
    run_search(search(), of_candidate, ledger=Ledger(file))
    with pytest.raises(InputError, match=f"search with other {field}") as caught:
        run_search(other(), of_candidate, ledger=Ledger(file))
    assert caught.value.file == str(file)
    run_search(other(), of_candidate, ledger=Ledger(file, name="another"))
    assert len(Ledger(file).known()) == 20


def test_failures_are_recorded(tmp_path):
    def failing(candidate):
        return math.nan if candidate.individual[0] == 0 else of_candidate(candidate)

    result = run_search(search(), failing, ledger=Ledger(tmp_path / "t.journal"))
    failed = {e.candidate.individual for e in result.history if e.value == -math.inf}
    assert failed
    known = Ledger(tmp_path / "t.journal").known()
    assert {individual for individual, value in known.items() if value == -math.inf} == failed
    assert run_search(search(), failing, ledger=Ledger(tmp_path / "t.journal")).history == result.history


def test_what_cannot_be_a_ledger(tmp_path):
    with pytest.raises(InputError, match=r"t\.txt: is no storage"):
        Ledger(tmp_path / "t.txt")
    with pytest.raises(InputError, match="call bind first"):
        Ledger().store(search().candidates(1)[0], 1.0)


# ---- driving a study --------------------------------------------------------------------------------------


def objective(space, sign=1):
    def value(trial):
        length = trial.suggest_int("length", space.least, space.most) if space.varies else space.most
        names = [trial.suggest_categorical(f"symbol_{i}", space.symbols) for i in range(length)]
        return sign * worth(tuple(space.symbols.index(name) for name in names))

    return value


@pytest.mark.parametrize("space", [FIXED, VARIED])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_study_driven_by_the_search_evaluates_the_same(space, direction):
    study = optuna.create_study(sampler=as_sampler(search(space)), direction=direction)
    study.optimize(objective(space, 1 if direction == "maximize" else -1), n_trials=1000)
    result = run_search(search(space), of_candidate)
    got = [tuple(v for k, v in trial.params.items() if k != "length") for trial in study.trials]
    assert got == [space.names(evaluation.candidate.individual) for evaluation in result.history]
    assert abs(study.best_value) == result.value


def test_failed_and_pruned_trials_are_the_worst():
    driver = search()

    def value(trial):
        found = objective(FIXED)(trial)
        trial.suggest_float("other", 0, 1)
        if trial.number == 0:
            raise ValueError("broken")
        if trial.number == 1:
            raise optuna.TrialPruned
        return found

    study = optuna.create_study(sampler=as_sampler(driver), direction="maximize")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study.optimize(value, n_trials=100, catch=(ValueError,))
    assert [evaluation.value for evaluation in driver.history[:2]] == [-math.inf] * 2
    assert len(study.trials) == len(driver.history) == 20


def test_a_study_asked_by_hand():
    study = optuna.create_study(sampler=as_sampler(search(budget=2)), direction="maximize")
    first = study.ask()
    names = [first.suggest_categorical(f"symbol_{i}", FIXED.symbols) for i in range(6)]
    with pytest.raises(InputError, match="beyond the end"):
        first.suggest_categorical("symbol_6", FIXED.symbols)
    second = study.ask()
    with pytest.raises(InputError, match="n_jobs=1"):
        study.ask()
    for trial in (first, second):
        study.tell(trial, 1.0)
    assert len(names) == 6
    with pytest.raises(InputError, match="budget is spent"):
        study.ask()

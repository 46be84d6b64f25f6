"""A search as an Optuna sampler, so that studies written for Optuna can be driven by it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

from visus.errors import InputError
from visus.extras import need
from visus.methods.gptnas.search.asktell import AskTell


def as_sampler(search: AskTell, *, prefix: str = "symbol_", length: str = "length") -> Any:
    """An `optuna.samplers.BaseSampler` whose trials are the individuals the search asks for.

    An objective suggests `symbol_0`, `symbol_1`, ... as categoricals with the space's symbols as choices and,
    where lengths vary, the integer `length` first. Other parameters are drawn at random. The study's direction
    decides what is better. A trial that fails or is pruned counts as the worst. The study stops when the budget
    is spent.

    Parameters
    ----------
    prefix, length : names of the parameters.

    Raises
    ------
    MissingExtra : Optuna is not installed.

    >>> import optuna
    >>> from visus.methods.gptnas.search import Search, SearchSettings, Space
    >>> search = Search(Space("tiny", ("a", "b"), least=3, most=3), SearchSettings(budget=8, population=4))
    >>> def count(trial):
    ...     return sum(trial.suggest_categorical(f"symbol_{i}", ["a", "b"]) == "b" for i in range(3))
    >>> study = optuna.create_study(sampler=as_sampler(search), direction="maximize")
    >>> study.optimize(count, n_trials=100)
    >>> len(study.trials), study.best_value
    (8, 3.0)
    """
    optuna = need("optuna", extra="nas", purpose="driving a study")
    others = optuna.samplers.RandomSampler(seed=search.seed)
    running: dict[int, tuple[int, ...]] = {}

    class SearchSampler(optuna.samplers.BaseSampler):
        def before_trial(self, study: Any, trial: Any) -> None:
            asked = search.ask(1)
            if not asked:
                problem = "the budget is spent" if search.done else "values of running trials are missing"
                remedy = "make a new search" if search.done else "optimize with n_jobs=1"
                raise InputError(problem, field="sampler", remedy=remedy)
            running[trial.number] = asked[0]

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            individual = running[trial.number]
            if param_name == length:
                return len(individual)
            place = param_name.removeprefix(prefix)
            if place == param_name or not place.isdigit():
                return others.sample_independent(study, trial, param_name, param_distribution)
            if int(place) >= len(individual):
                remedy = f"suggest {length!r} first and no more symbols than that"
                raise InputError("is beyond the end", field=param_name, remedy=remedy)
            return search.space.symbols[individual[int(place)]]

        def after_trial(self, study: Any, trial: Any, state: Any, values: Sequence[float] | None) -> None:
            individual = running.pop(trial.number, None)
            if individual is None:
                return
            finished = state == optuna.trial.TrialState.COMPLETE and values is not None
            sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
            search.tell(individual, sign * values[0] if finished and values else -math.inf)
            if search.done:
                with contextlib.suppress(RuntimeError):  # asked and told by hand: there is no loop to end
                    study.stop()

    return SearchSampler()

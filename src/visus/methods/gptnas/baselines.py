"""What the paper's search is compared with: other searches behind the same `ask` and `tell`, and arms by name.

All of them count different evaluations against the same hard budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from visus.errors import InputError
from visus.extras import need
from visus.methods.gptnas.search.asktell import AskTell, Candidate, SearchSettings
from visus.methods.gptnas.search.genetic import Rated, mutate
from visus.methods.gptnas.search.ledger import as_params, quiet
from visus.methods.gptnas.search.priors import Prior, UniformPrior
from visus.methods.gptnas.search.regrow import grow
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Individual, Space, pick, stream


class RandomSearch(AskTell):
    """Individuals drawn evenly; the settings' budget and population (batch) count."""

    def __init__(
        self, space: Space, settings: SearchSettings, seed: int = 0, prior: Prior | None = None
    ) -> None:
        super().__init__(space, settings, seed, prior)
        self._draws = stream(seed, "random")

    def _propose(self) -> list[Candidate]:
        return [self._plain(self.space.random(self._draws)) for _ in range(self.settings.population)]

    def _absorb(self, rated: list[Rated]) -> None:
        del rated


class PriorSampling(AskTell):
    """Individuals drawn from the prior, one after the other, with no search at all."""

    def __init__(
        self, space: Space, settings: SearchSettings, seed: int = 0, prior: Prior | None = None
    ) -> None:
        super().__init__(space, settings, seed, prior)
        if prior is None:
            raise InputError("is missing", field="prior", remedy="give the prior to draw from")
        self._known, self._draws = prior, stream(seed, "prior")

    def _propose(self) -> list[Candidate]:
        made = [self._grown() for _ in range(self.settings.population)]
        return [Candidate(individual, (True,) * len(individual), self.generation) for individual in made]

    def _absorb(self, rated: list[Rated]) -> None:
        del rated

    def _grown(self) -> Individual:
        return grow(self._known, self.space, self._draws, sampling=self.settings.sampling)


class RegularizedEvolution(AskTell):
    """Evolution that forgets: the oldest member dies, not the worst.

    After a random population each step mutates the best of `sample` members drawn without replacement, and the
    child takes the place of the oldest. One individual is asked at a time, so workers do not help it.

    Source: Real et al. 2019, "Regularized evolution for image classifier architecture search", alg. 1.
    Differs: a child that was evaluated before enters the population with its remembered value and costs
    nothing.

    Parameters
    ----------
    sample : members that compete to be the parent; all, if the population is smaller.
    """

    def __init__(
        self,
        space: Space,
        settings: SearchSettings,
        seed: int = 0,
        prior: Prior | None = None,
        *,
        sample: int = 5,
    ) -> None:
        super().__init__(space, settings, seed, prior)
        if sample < 1:
            raise InputError(f"is {sample}", field="sample", remedy="choose 1 or more")
        self.sample = sample
        self.members: deque[Rated] = deque(maxlen=settings.population)
        self._draws = stream(seed, "evolution")

    def _propose(self) -> list[Candidate]:
        if not self.members:
            made = [self.space.random(self._draws) for _ in range(self.settings.population)]
        else:
            made = [mutate(self._parent(), self.space, self._draws)]
        return [self._plain(individual) for individual in made]

    def _absorb(self, rated: list[Rated]) -> None:
        self.members.extend(rated)

    def _parent(self) -> Individual:
        left = list(self.members)
        drawn = [left.pop(pick(len(left), self._draws)) for _ in range(min(self.sample, len(left)))]
        return max(drawn, key=lambda rated: rated[1])[0]


class TreeParzen(AskTell):
    """Optuna's tree-structured Parzen estimator on one categorical per position (and the length).

    Source: Bergstra et al. 2011; `optuna.samplers.TPESampler` with its defaults. What it draws again is
    answered from memory.

    Raises
    ------
    MissingExtra : Optuna is not installed.
    """

    def __init__(
        self, space: Space, settings: SearchSettings, seed: int = 0, prior: Prior | None = None
    ) -> None:
        super().__init__(space, settings, seed, prior)
        optuna = need("optuna", extra="nas", purpose="the TPE baseline")
        draws = optuna.samplers.TPESampler(seed=int(stream(seed, "tpe").integers(2**31)))
        with quiet(optuna):
            self._study = optuna.create_study(sampler=draws, direction="maximize")
        _, self._choices = as_params((0,) * space.most, space)
        self._trial: Any = None

    def _propose(self) -> list[Candidate]:
        self._trial = self._study.ask()
        length = self.space.most
        if self.space.varies:
            length = self._trial.suggest_int("length", self.space.least, self.space.most)
        names = [
            self._trial.suggest_categorical(name, choice.choices)
            for name, choice in list(self._choices.items())[:length]
        ]
        return [self._plain(tuple(self.space.symbols.index(name) for name in names))]

    def _absorb(self, rated: list[Rated]) -> None:
        for _, value in rated:
            self._study.tell(self._trial, value)


@dataclass(frozen=True)
class Arm:
    """One way of searching.

    kind : class of the search.
    prior : name of the prior it needs (`uniform` is made from the space), or None.
    changes : settings that differ from the comparison's.
    """

    kind: type[AskTell]
    prior: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "random": Arm(RandomSearch),
        "regularized": Arm(RegularizedEvolution),
        "ga": Arm(Search),
        "uniform": Arm(Search, "uniform"),
        "null": Arm(Search, "null"),
        "anti": Arm(Search, "anti"),
        "keep70": Arm(Search, "keep70"),
        "sampling": Arm(PriorSampling, "gpt"),
        "gpt": Arm(Search, "gpt"),
        "gpt_init": Arm(Search, "gpt", {"init": "prior"}),
        "tpe": Arm(TreeParzen),
    }
)
"""Random search, regularized evolution, the genetic search (GA), GA with uniform regrowth; GA regrown by a model
of all architectures (null), of the worst 10 % (anti), of the best 70 % (keep70); drawing from the model of the
best 10 %, GA regrown by it, the same with a first population drawn from it; Optuna's TPE."""


def make_search(
    arm: str, space: Space, settings: SearchSettings, seed: int, priors: Mapping[str, Prior]
) -> AskTell:
    """The search of an arm. `gpt@0.2` is the arm `gpt` with elimination rate r_0 = 0.2.

    Parameters
    ----------
    priors : by name, as arms ask for them.

    Raises
    ------
    InputError : an unknown arm, or a prior that is not given.
    """
    name, _, rate = arm.partition("@")
    if name not in ARMS:
        raise InputError(f"{arm!r} is unknown", field="arm", remedy=f"choose from {', '.join(ARMS)}")
    if rate:
        settings = replace(settings, rate=_rate(rate, arm))
    chosen = ARMS[name]
    prior = UniformPrior(space) if chosen.prior == "uniform" else priors.get(chosen.prior or "")
    if chosen.prior is not None and prior is None:
        raise InputError(f"arm {arm!r} needs the prior {chosen.prior!r}", field="priors", remedy="train it")
    return chosen.kind(space, replace(settings, **chosen.changes), seed, prior)


def _rate(text: str, arm: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{arm!r} names no rate", field="arm", remedy="write gpt@0.2") from None

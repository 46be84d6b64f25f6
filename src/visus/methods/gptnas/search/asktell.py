"""What every search has in common: a hard budget, a memory, and `ask` and `tell`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from visus.errors import InputError
from visus.methods.gptnas.search.genetic import Rated
from visus.methods.gptnas.search.priors import Prior
from visus.methods.gptnas.search.regrow import Sampling, Unit
from visus.methods.gptnas.search.space import Individual, Space, stream
from visus.records import record

BARREN = 50
"""So many proposals in a row without anything new are followed by random individuals."""


@record
class SearchSettings:
    """How a search goes about it; the defaults are the paper's (sec. IV-B).

    budget : most evaluations of different individuals. The paper's 30 individuals and 20 iterations are 630.
    generations : rounds of offspring after which the search ends and over which `rate` falls to 0; None ends it
        by the budget alone, and `rate` falls with the share of the budget that is spent.
    population : individuals kept, and offspring per generation.
    crossover, mutation : probability per pair of parents, and per child.
    rate : r_0, probability of eliminating a block at the beginning of the search; 0 is the plain genetic
        search.
    unit : whether `rate` is per block or per layer of a block.
    temperature, top_k, greedy : how blocks are drawn from the prior, see `Sampling`.
    init : the first individuals are `random` (and then regrown in part) or drawn from the `prior`.
    """

    budget: int = 630
    generations: int | None = None
    population: int = 30
    crossover: float = 0.9
    mutation: float = 0.3
    rate: float = 0.4
    unit: Unit = "block"
    temperature: float = 1.0
    top_k: int | None = None
    greedy: bool = False
    init: Literal["random", "prior"] = "random"

    def __post_init__(self) -> None:
        for name, least in (("budget", 1), ("population", 1), ("generations", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"is {value}", field=name, remedy=f"choose {least} or more")
        for name in ("crossover", "mutation", "rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"is {getattr(self, name)}", field=name, remedy="choose from 0 to 1")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        """How blocks are drawn from the prior."""
        return Sampling(temperature=self.temperature, top_k=self.top_k, greedy=self.greedy)


@dataclass(frozen=True)
class Candidate:
    """An individual to be evaluated.

    regrown : which positions the prior has written; none in a plain search.
    generation : number of the proposal it came in, from 0.
    """

    individual: Individual
    regrown: tuple[bool, ...]
    generation: int


@dataclass(frozen=True)
class Evaluation:
    """A candidate with its fitness; -inf if its evaluation failed."""

    candidate: Candidate
    value: float


class AskTell(ABC):
    """A search as a dialogue: `ask` what to evaluate, `tell` what it was worth.

    Individuals come in proposals (generations); the next proposal is made when all of the last one is told.
    Nothing is asked twice: a proposal's individuals that were told before are answered from memory, and only
    different individuals count against the budget, which is never exceeded. What is asked is a function of
    the settings, the seed and the values told, whatever the order within a proposal.

    Parameters
    ----------
    settings : budget and rates; each kind of search reads those it has a use for.
    prior : what is known beforehand, for searches that use it.
    """

    def __init__(
        self, space: Space, settings: SearchSettings, seed: int = 0, prior: Prior | None = None
    ) -> None:
        self.space, self.settings, self.seed, self.prior = space, settings, seed, prior
        self.generation = -1
        self.history: list[Evaluation] = []
        self._memory: dict[Individual, float] = {}
        self._proposal: list[Candidate] = []
        self._waiting: dict[Individual, Candidate] = {}
        self._out: dict[Individual, Candidate] = {}
        self._immigrants = stream(seed, "immigrants")

    @property
    def limit(self) -> int:
        """Most evaluations: the budget, or the size of the space if that is smaller."""
        return min(self.settings.budget, self.space.size)

    @property
    def done(self) -> bool:
        """Whether the budget is spent, or the last generation told."""
        last = self.settings.generations
        idle = not self._waiting and not self._out
        return len(self._memory) >= self.limit or (last is not None and self.generation >= last and idle)

    @property
    def progress(self) -> float:
        """t / T: the share of the generations, or else of the budget, that lies behind."""
        if self.settings.generations is not None:
            return max(self.generation, 0) / max(self.settings.generations, 1)
        return len(self._memory) / self.settings.budget

    @property
    def best(self) -> Rated:
        """The best individual told so far with its value; the first of equals."""
        if not self._memory:
            raise InputError("nothing was told yet", field="best", remedy="ask, evaluate and tell first")
        return max(self._memory.items(), key=lambda rated: rated[1])

    def ask(self, count: int | None = None) -> list[Individual]:
        """At most `count` new individuals to evaluate, all of the current proposal by default.

        Empty when the search is done, or while the rest of the proposal has not been told.
        """
        return [candidate.individual for candidate in self.candidates(count)]

    def candidates(self, count: int | None = None) -> list[Candidate]:
        """As `ask`, with what is known about them."""
        self._advance()
        chosen = list(self._waiting.values())[:count]
        for candidate in chosen:
            self._out[candidate.individual] = self._waiting.pop(candidate.individual)
        return chosen

    def tell(self, individual: Sequence[int], value: float) -> None:
        """The fitness of an individual that was asked (higher is better; NaN counts as a failure, -inf).

        Raises
        ------
        InputError : it was not asked, was told already, or the value is infinitely good.
        """
        key = tuple(individual)
        if key not in self._out:
            problem = f"{key} is not waiting for a value"
            raise InputError(problem, field="individual", remedy="tell each individual from `ask` once")
        value = -math.inf if math.isnan(value) else float(value)
        if value == math.inf:
            raise InputError(
                "is infinite", field="value", remedy="tell a finite fitness, or NaN for a failure"
            )
        self.history.append(Evaluation(self._out.pop(key), value))
        self._memory[key] = value

    def _advance(self) -> None:
        """Go on to the next proposal that has something new, once everything of the last is told."""
        barren = 0
        while not self._waiting and not self._out and not self.done:
            told = [c.individual for c in self._proposal if c.individual in self._memory]
            self._absorb([(individual, self._memory[individual]) for individual in told])
            self.generation += 1
            self._proposal = self._propose() if barren < BARREN else self._random()
            barren += 1
            for candidate in self._proposal:
                room = len(self._memory) + len(self._waiting) < self.limit
                if room and candidate.individual not in self._memory:
                    self._waiting.setdefault(candidate.individual, candidate)

    def _random(self) -> list[Candidate]:
        drawn = [self.space.random(self._immigrants) for _ in range(self.settings.population)]
        return [self._plain(individual) for individual in drawn]

    def _plain(self, individual: Individual) -> Candidate:
        """A candidate of which no prior has written anything."""
        return Candidate(individual, (False,) * len(individual), self.generation)

    @abstractmethod
    def _propose(self) -> list[Candidate]:
        """The next individuals; some may be known already."""

    @abstractmethod
    def _absorb(self, rated: list[Rated]) -> None:
        """Take in the last proposal with its values."""

"""The paper's search: a genetic search whose individuals are partly rewritten by a prior before they count."""

from __future__ import annotations

from visus.errors import InputError
from visus.methods.gptnas.search.asktell import AskTell, Candidate, SearchSettings
from visus.methods.gptnas.search.genetic import Rated, offspring, survivors
from visus.methods.gptnas.search.priors import Prior
from visus.methods.gptnas.search.regrow import elimination_rate, grow, regrow
from visus.methods.gptnas.search.space import Individual, Space, stream


class Search(AskTell):
    """Genetic search with elimination and regrowth; without a prior, the plain genetic search.

    Every individual - random at first, later the children of tournament winners - is regrown at the rate
    r_t before it is evaluated; the best of parents and children survive. With rate 0, or without a prior,
    the same individuals are evaluated in the same order: regrowth draws from a random stream of its own.

    Paper: 2305.05351, sec. III-E and alg. 1, 2. Differs: t / T is the share of the budget that is spent, so
    that searches of equal cost have equal schedules whatever the number of duplicates (set `generations` for
    the paper's count); `init="prior"` is ours (drawing whole individuals is the better start while
    evaluations are few).

    >>> from visus.methods.gptnas.search.priors import UniformPrior
    >>> space = Space("tiny", ("a", "b", "c"), least=4, most=4)
    >>> search = Search(space, SearchSettings(budget=30, population=6), 0, UniformPrior(space))
    >>> while asked := search.ask():
    ...     for individual in asked:
    ...         search.tell(individual, sum(individual))
    >>> len(search.history), search.best
    (30, ((2, 2, 2, 2), 8.0))
    """

    def __init__(
        self, space: Space, settings: SearchSettings, seed: int = 0, prior: Prior | None = None
    ) -> None:
        super().__init__(space, settings, seed, prior)
        if settings.init == "prior" and prior is None:
            raise InputError("asks for a prior, but none is given", field="init", remedy="choose random")
        self.population: list[Rated] = []
        self._genetic, self._regrowth = stream(seed, "genetic"), stream(seed, "regrowth")

    @property
    def rate(self) -> float:
        """r_t, the probability that a block of the next individuals is eliminated."""
        return elimination_rate(self.settings.rate, self.progress)

    def _propose(self) -> list[Candidate]:
        settings = self.settings
        if self.population:
            made = offspring(
                self.population,
                self.space,
                self._genetic,
                count=settings.population,
                crossover_rate=settings.crossover,
                mutation_rate=settings.mutation,
            )
        elif settings.init == "prior" and self.prior is not None:
            return [self._grown(self.prior) for _ in range(settings.population)]
        else:
            made = [self.space.random(self._genetic) for _ in range(settings.population)]
        return [self._reconstructed(individual) for individual in made]

    def _absorb(self, rated: list[Rated]) -> None:
        self.population = survivors([*self.population, *rated], self.settings.population)

    def _grown(self, prior: Prior) -> Candidate:
        individual = grow(prior, self.space, self._regrowth, sampling=self.settings.sampling)
        return Candidate(individual, (True,) * len(individual), self.generation)

    def _reconstructed(self, individual: Individual) -> Candidate:
        if self.prior is None:
            return self._plain(individual)
        made, written = regrow(
            individual,
            self.prior,
            self.space,
            self._regrowth,
            rate=self.rate,
            unit=self.settings.unit,
            sampling=self.settings.sampling,
        )
        return Candidate(made, written, self.generation)

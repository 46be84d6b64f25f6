"""The search: spaces, operators, priors, and loops that stop at a budget and can be resumed.

Needs neither torch nor Optuna until a network is asked or an evaluation recorded.
"""

from visus.methods.gptnas.search.asktell import AskTell, Candidate, Evaluation, SearchSettings
from visus.methods.gptnas.search.genetic import crossover, mutate, offspring, survivors, tournament
from visus.methods.gptnas.search.ledger import Ledger
from visus.methods.gptnas.search.priors import (
    FAINT_NATS,
    BlockPrior,
    Prior,
    TabulatedPrior,
    UniformPrior,
    information,
    warning_about,
)
from visus.methods.gptnas.search.regrow import Sampling, elimination_rate, grow, regrow
from visus.methods.gptnas.search.run import Progress, Result, run_search
from visus.methods.gptnas.search.sampler import as_sampler
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Individual, Space, block_space, stream

__all__ = [
    "FAINT_NATS",
    "AskTell",
    "BlockPrior",
    "Candidate",
    "Evaluation",
    "Individual",
    "Ledger",
    "Prior",
    "Progress",
    "Result",
    "Sampling",
    "Search",
    "SearchSettings",
    "Space",
    "TabulatedPrior",
    "UniformPrior",
    "as_sampler",
    "block_space",
    "crossover",
    "elimination_rate",
    "grow",
    "information",
    "mutate",
    "offspring",
    "regrow",
    "run_search",
    "stream",
    "survivors",
    "tournament",
    "warning_about",
]

"""Running a search to its end: evaluations in parallel, recorded as they come, paid once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from visus.errors import InputError
from visus.extras import need
from visus.methods.gptnas.search.asktell import AskTell, Candidate, Evaluation
from visus.methods.gptnas.search.priors import warning_about
from visus.methods.gptnas.search.space import Individual

if TYPE_CHECKING:
    from visus.methods.gptnas.search.ledger import Ledger

Evaluate: TypeAlias = Callable[[Candidate], float]
"""Fitness of a candidate, higher is better; a function of the candidate alone."""
Backend = Literal["loky", "threading", "dask", "ray"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is: evaluations known and in all, how many of them were paid for in this run, the
    best value.
    """

    evaluated: int
    budget: int
    paid: int
    best: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search found.

    best, value : the best individual and its fitness.
    history : every evaluation, in the order they were asked.
    paid : evaluations done in this run; the others came from the ledger.
    information : of the prior, in nats per symbol; None without one.
    warnings : what a reader of the result should know.
    """

    best: Individual
    value: float
    history: list[Evaluation]
    paid: int
    information: float | None = None
    warnings: tuple[str, ...] = field(default=())


def run_search(
    search: AskTell,
    evaluate: Evaluate,
    *,
    workers: int = 1,
    backend: Backend = "loky",
    ledger: Ledger | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Ask, evaluate and tell until the budget is spent.

    The individuals of a generation are evaluated side by side and told in the order they were asked, so the
    result does not depend on the number of workers.

    Parameters
    ----------
    evaluate : called with each `Candidate`; it must be importable by the workers if there are several.
    backend : where workers live: processes of this machine, its threads, a Dask cluster (its `Client` made
        before) or a Ray cluster (connected before), through joblib.
    ledger : record of evaluations; those it holds already are not paid again.
    progress : called after every evaluation.

    Raises
    ------
    InputError : the ledger belongs to another search, or no cluster is connected.
    """
    known = {} if ledger is None else ledger.bind(search)
    paid, best = 0, float("-inf")
    while batch := search.candidates():
        missing = [candidate for candidate in batch if candidate.individual not in known]
        values = {c.individual: known[c.individual] for c in batch if c.individual in known}
        for candidate, value in _evaluated(missing, evaluate, workers=workers, backend=backend):
            if ledger is not None:
                ledger.store(candidate, value)
            values[candidate.individual] = value
            paid, best = paid + 1, max(best, value)
            if progress is not None:
                evaluated = len(search.history) + len(values)
                progress(Progress(evaluated=evaluated, budget=search.limit, paid=paid, best=best))
        for candidate in batch:
            search.tell(candidate.individual, values[candidate.individual])
        best = search.best[1]
    told = warning_about(search.prior)
    return Result(
        best=search.best[0],
        value=search.best[1],
        history=list(search.history),
        paid=paid,
        information=None if search.prior is None else search.prior.information,
        warnings=() if told is None else (told,),
    )


def _evaluated(
    candidates: Sequence[Candidate], evaluate: Evaluate, *, workers: int, backend: Backend
) -> Iterator[tuple[Candidate, float]]:
    """Candidates with their values as they come."""
    if workers == 1 and backend == "loky":
        yield from ((candidate, float(evaluate(candidate))) for candidate in candidates)
        return
    if not candidates:
        return
    import joblib

    if backend == "ray":
        need("ray.util.joblib", extra="ray", purpose="the ray backend").register_ray()
    elif backend == "dask":
        need("distributed", extra="cluster", purpose="the dask backend")
    try:
        with joblib.parallel_config(backend=backend, n_jobs=workers):
            pool = joblib.Parallel(return_as="generator_unordered")
            values: Any = pool(joblib.delayed(_numbered)(evaluate, i, c) for i, c in enumerate(candidates))
    except ValueError as error:
        remedy = "make a dask.distributed.Client, or call ray.init(), before the search"
        raise InputError(
            f"cannot be used: {str(error).splitlines()[0]}", field="backend", remedy=remedy
        ) from error
    yield from ((candidates[number], value) for number, value in values)


def _numbered(evaluate: Evaluate, number: int, candidate: Candidate) -> tuple[int, float]:
    return number, float(evaluate(candidate))

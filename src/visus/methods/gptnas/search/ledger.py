"""The record of what was paid for: an Optuna study with one trial per evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visus.errors import InputError
from visus.extras import need
from visus.methods.gptnas.search.asktell import AskTell, Candidate
from visus.methods.gptnas.search.space import Individual, Space
from visus.records import to_plain

PURPOSE = "the record of a search"
SQLITE = (".db", ".sqlite", ".sqlite3")
JOURNALS = (".journal", ".log")


class Ledger:
    """Evaluations on disk. A search that is run again with the same ledger goes the same way as before and
    pays for nothing twice: what it asks follows from its settings, its seed and the values told, and those
    are here.

    Each value is written in one transaction before the search sees it, so a process killed at any moment
    loses at most the evaluations that were running. The study can be opened with Optuna's own tools: its
    parameters are the symbols by position (`symbol_0`, ...), its attributes `individual`, `regrown` and
    `generation`.

    Parameters
    ----------
    storage : a file ending in `.journal` (or `.log`) or `.db` (or `.sqlite`), a storage URL of Optuna, or
        None for memory.
    name : of the study; one storage holds many.

    Raises
    ------
    MissingExtra : Optuna is not installed.
    InputError : a file with another ending.
    """

    def __init__(self, storage: str | Path | None = None, *, name: str = "gptnas") -> None:
        optuna = need("optuna", extra="nas", purpose=PURPOSE)
        self.storage, self.name = storage, name
        with quiet(optuna):
            self.study = optuna.create_study(
                storage=_opened(storage), study_name=name, direction="maximize", load_if_exists=True
            )
        self._space: Space | None = None

    def bind(self, search: AskTell) -> dict[Individual, float]:
        """Tie the ledger to a search, and return what is known of it already.

        Raises
        ------
        InputError : the ledger holds a search with another space, seed or other settings.
        """
        mine = _fingerprint(search)
        found = self.study.user_attrs.get("search")
        if found is None:
            self.study.set_user_attr("search", mine)
        elif found != mine:
            differing = sorted(key for key in mine if found.get(key) != mine[key])
            problem = f"holds the study {self.name!r} of a search with other {', '.join(differing)}"
            remedy = "give the study another name, or search with the same settings"
            raise InputError(problem, file=_shown(self.storage), remedy=remedy)
        self._space = search.space
        return self.known()

    def known(self) -> dict[Individual, float]:
        """Values by individual."""
        trials = self.study.get_trials(deepcopy=False)
        rated = [(trial.user_attrs.get("individual"), trial.value) for trial in trials]
        return {tuple(individual): value for individual, value in rated if individual and value is not None}

    def store(self, candidate: Candidate, value: float) -> None:
        """Record an evaluation as a finished trial; NaN is recorded as -inf."""
        optuna = need("optuna", extra="nas", purpose=PURPOSE)
        if self._space is None:
            raise InputError("is tied to no search", field="ledger", remedy="call bind first")
        value = float("-inf") if value != value else value
        params, distributions = as_params(candidate.individual, self._space)
        attributes = {
            "individual": list(candidate.individual),
            "regrown": list(candidate.regrown),
            "generation": candidate.generation,
        }
        with quiet(optuna):
            self.study.add_trial(
                optuna.trial.create_trial(
                    value=value, params=params, distributions=distributions, user_attrs=attributes
                )
            )


def as_params(individual: Individual, space: Space) -> tuple[dict[str, str], dict[str, Any]]:
    """Optuna parameters and distributions of an individual: one categorical per position."""
    optuna = need("optuna", extra="nas", purpose=PURPOSE)
    choices = optuna.distributions.CategoricalDistribution(space.symbols)
    params = {f"symbol_{place}": name for place, name in enumerate(space.names(individual))}
    return params, dict.fromkeys(params, choices)


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Optuna reports every study and trial it makes; inside, only warnings."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _fingerprint(search: AskTell) -> dict[str, Any]:
    plain = {
        "kind": type(search).__name__,
        "prior": type(search.prior).__name__,
        "seed": search.seed,
        "space": to_plain(search.space),
        "settings": to_plain(search.settings),
    }
    return json.loads(json.dumps(plain))


def _opened(storage: str | Path | None) -> Any:
    if storage is None or "://" in str(storage):
        return storage
    path = Path(storage)
    if path.suffix not in (*SQLITE, *JOURNALS):
        remedy = f"end it with {', '.join((*JOURNALS, *SQLITE))}, or give a storage URL"
        raise InputError("is no storage of trials by its name", file=path, remedy=remedy)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in SQLITE:
        return f"sqlite:///{path}"
    _mend(path)
    optuna = need("optuna", extra="nas", purpose=PURPOSE)
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def _mend(path: Path) -> None:
    """Drop a last line that was cut off by a kill; whatever is appended to it would be lost with it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _shown(storage: str | Path | None) -> str | None:
    """The storage without the password a URL may hold."""
    return None if storage is None else str(storage).rpartition("@")[2]

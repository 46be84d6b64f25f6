"""Tests between models by rsatoolbox, with plain records in and out.

Needs the extra `rsa`. rsatoolbox draws from numpy's global generator: it is put into the state of the given
seed for the call and back afterwards.

Source: Schuett et al., eLife 12, 2023.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from visus.errors import InputError
from visus.extras import need
from visus.metrics.rdm import Kind, checked_vectors, rdm_vectors, stimuli_of

TOOLBOX_NAMES: dict[Kind, str] = {
    "spearman": "spearman",
    "pearson": "corr",
    "cosine": "cosine",
    "rho_a": "rho-a",
    "kendall_tau_a": "tau-a",
    "whitened_pearson": "corr_cov",
    "whitened_cosine": "cosine_cov",
}
"""Kind of agreement -> its name in rsatoolbox."""

_CALLS = {
    "stimuli": "eval_bootstrap_pattern",
    "subjects": "eval_bootstrap_rdm",
    "both": "eval_dual_bootstrap",
}


@dataclass(frozen=True)
class ModelInference:
    """What rsatoolbox says of one model."""

    name: str
    value: float
    """Mean over the resamples of its agreement with people."""
    standard_error: float
    interval: tuple[float, float]
    """From the t distribution."""
    p_above_zero: float
    """One-sided."""
    p_below_ceiling: float
    """Of the difference from the lower noise ceiling, two-sided."""


@dataclass(frozen=True)
class RsaInference:
    """What `infer_models` found."""

    models: tuple[ModelInference, ...]
    ceiling: tuple[float, float]
    """Lower and upper, means over the resamples."""
    pairwise: dict[tuple[str, str], float]
    """Two-sided p of the difference of every two models, not corrected: see `visus.metrics.holm`."""
    kind: str
    over: str
    resamples: int


def to_rsatoolbox(
    rdms: Any,
    *,
    stimuli: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
    measure: str | None = None,
) -> Any:
    """One or several RDMs as `rsatoolbox.rdm.RDMs`.

    Parameters
    ----------
    rdms : (n, n), (s, n, n), (p,) or (s, p).
    stimuli, subjects : names, kept as the descriptors "stimulus" and "subject".
    measure : name of the dissimilarity, kept as it is.
    """
    toolbox = need("rsatoolbox", extra="rsa", purpose="inference between models")
    vectors = rdm_vectors(rdms)
    for field, names, count in (
        ("stimuli", stimuli, stimuli_of(vectors)),
        ("subjects", subjects, len(vectors)),
    ):
        if names is not None and len(names) != count:
            raise InputError(f"has {len(names)} names for {count}", field=field)
    return toolbox.rdm.RDMs(
        vectors,
        dissimilarity_measure=measure,
        pattern_descriptors=None if stimuli is None else {"stimulus": list(stimuli)},
        rdm_descriptors=None if subjects is None else {"subject": list(subjects)},
    )


def infer_models(
    models: Mapping[str, Any],
    people: Any,
    *,
    kind: Kind = "spearman",
    over: Literal["stimuli", "subjects", "both"] = "both",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> RsaInference:
    """Compare fixed models (name -> RDM) against people's RDMs and each other by rsatoolbox's bootstrap.

    Parameters
    ----------
    people : RDMs of at least two people, (s, n, n) or (s, p).
    over : what is drawn: "stimuli", "subjects", or "both" (rsatoolbox's dual bootstrap, which corrects the
        variance of drawing both at once).
    resamples, seed, level : of the bootstrap.

    Raises
    ------
    MissingExtra : rsatoolbox is not installed.
    InputError : one person only, no model, other stimuli than the people's, or pairs that somebody lacks.
    """
    toolbox = need("rsatoolbox", extra="rsa", purpose="inference between models")
    inference = need("rsatoolbox.inference", extra="rsa", purpose="inference between models")
    if over not in _CALLS:
        raise InputError(f"is {over!r}", field="over", remedy=f"choose one of {', '.join(_CALLS)}")
    if not models or resamples < 2:
        field, problem = ("resamples", "must be at least 2") if models else ("models", "holds no model")
        raise InputError(problem, field=field)
    checked = {name: checked_vectors(rdm, people, kind) for name, rdm in models.items()}
    vectors = next(iter(checked.values()))[1]
    if len(vectors) < 2:
        raise InputError("holds one person", field="people", remedy="use visus.metrics.rsa.rsa_interval")
    if any(np.isnan(rows).any() for pair in checked.values() for rows in pair):
        remedy = "use visus.metrics.rsa.rsa_interval, which leaves them out"
        raise InputError("lack pairs, which rsatoolbox cannot compare", field="people", remedy=remedy)
    fixed = [toolbox.model.ModelFixed(name, mine.mean(axis=0)) for name, (mine, _) in checked.items()]
    # rsatoolbox scores one correction over repeated cross-validation, which fixed models do not have.
    options = {"k_pattern": 1, "k_rdm": 1} if over == "both" else {}
    with _as_rsatoolbox_needs_it(seed):
        found = getattr(inference, _CALLS[over])(
            fixed, to_rsatoolbox(vectors), method=TOOLBOX_NAMES[kind], N=resamples, **options
        )
        return _told(found, list(models), kind, over, resamples, level)


@contextlib.contextmanager
def _as_rsatoolbox_needs_it(seed: int) -> Iterator[None]:
    """numpy's global state from `seed`, no progress bar, no note that ranks stand in for Kendall's tau."""
    kept = np.random.get_state()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Noise ceiling for tau", category=UserWarning)
            yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002


def _told(found: Any, names: list[str], kind: str, over: str, resamples: int, level: float) -> RsaInference:
    values, errors = np.atleast_1d(found.get_means()), np.atleast_1d(found.get_sem())
    low, high = (np.atleast_1d(bound) for bound in found.get_ci(level))
    zero, ceiling = np.atleast_1d(found.test_zero()), np.atleast_1d(found.test_noise())
    pairs = found.test_pairwise() if len(names) > 1 else None
    rows = zip(names, *(column.tolist() for column in (values, errors, low, high, zero, ceiling)))
    bounds = np.nanmean(found.get_noise_ceil().reshape(2, -1), axis=1)
    # The dual bootstrap keeps what each of its three draws gave; the first draws both.
    if over == "both":
        bounds = np.nanmean(found.get_noise_ceil()[..., 0].reshape(2, -1), axis=1)
    return RsaInference(
        models=tuple(
            ModelInference(name, value, error, (bottom, top), above, below)
            for name, value, error, bottom, top, above, below in rows
        ),
        ceiling=(float(bounds[0]), float(bounds[1])),
        pairwise={
            (one, other): float(pairs[i, j])
            for i, one in enumerate(names)
            for j, other in enumerate(names)
            if pairs is not None and i < j
        },
        kind=kind,
        over=over,
        resamples=resamples,
    )

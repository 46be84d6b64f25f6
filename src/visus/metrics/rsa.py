"""Representational similarity analysis (RSA): agreement with people's judgments, its ceiling and its intervals.

What an RDM is, and the kinds of agreement, is told in `visus.metrics.rdm`; tests between models by rsatoolbox
are in `visus.metrics.rsa_inference`. All of it can be imported from here.

People's RDMs are stacked (s, n, n) or (s, p), and a model's value is the mean of its agreement with each of
them. To compare with the average person, average first and give one RDM.

Bootstrap resamples of stimuli hold some stimuli twice. The pairs of a stimulus with itself are left out, as
rsatoolbox does: any model predicts them.

Source: Nili et al., PLoS Comput. Biol. 10, 2014 (noise ceiling); Schuett et al., eLife 12, 2023 (bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from visus.errors import InputError
from visus.metrics.arrays import mean_of_defined, to_array
from visus.metrics.rdm import (
    KINDS,
    RANKED,
    Kind,
    agreements,
    checked_vectors,
    compare_rdms,
    rdm_vectors,
    shared_pairs,
    stimuli_of,
    tau_a,
)
from visus.metrics.rsa_inference import ModelInference, RsaInference, infer_models, to_rsatoolbox
from visus.metrics.triplet_trials import percentile_interval

__all__ = [
    "KINDS",
    "Ceiling",
    "Kind",
    "ModelInference",
    "Over",
    "RsaDifference",
    "RsaInference",
    "RsaScore",
    "compare_rdms",
    "human_ceiling",
    "infer_models",
    "rdm_vectors",
    "rsa_difference",
    "rsa_interval",
    "score_rdm",
    "to_rsatoolbox",
]

Over: TypeAlias = Literal["stimuli", "subjects", "both"]

_CELLS = 2_000_000
FEWEST = 3
"""Distinct stimuli that a resample or a fold must have, as in rsatoolbox."""


class Ceiling(NamedTuple):
    """What a perfect model could reach: between `lower` and `upper`."""

    lower: float
    """Mean agreement of each person with the mean of the others."""
    upper: float
    """Mean agreement of each person with the mean of all, which no RDM exceeds by much."""


@dataclass(frozen=True)
class RsaScore:
    """What `score_rdm` found."""

    value: float
    """Mean over people of the agreement of the model with each."""
    interval: tuple[float, float]
    ceiling: Ceiling | None
    """None for a single person."""
    subjects: int
    stimuli: int
    kind: str
    over: str
    """What the bootstrap draws."""


class RsaDifference(NamedTuple):
    """Agreement of the first model - of the second, with its bootstrap interval."""

    effect: float
    interval: tuple[float, float]


# ---- ceiling ----------------------------------------------------------------------------------------------


def human_ceiling(
    subject_rdms: Any, kind: Kind = "spearman", *, folds: Sequence[Any] | None = None
) -> Ceiling:
    """Lower and upper bound of what a perfect model could reach on these people.

    People's RDMs are brought to one scale (ranks; standardized; unit length for the cosine), averaged, and
    the mean of all (upper) or of all others (lower) is compared with each person.

    Parameters
    ----------
    subject_rdms : (s, n, n) or (s, p), two people at least.
    kind : see the module.
    folds : lists of stimuli; the comparison then runs within each and is averaged, as cross-validation over
        stimuli does. None compares all stimuli at once.

    Equal to rsatoolbox's `boot_noise_ceiling`, with folds to its `cv_noise_ceiling`.

    Differs: pairs that only some people lack are averaged over those who judged them.

    >>> lower, upper = human_ceiling([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    >>> round(lower, 3), round(upper, 3)
    (0.5, 0.866)
    """
    people, _ = checked_vectors(subject_rdms, subject_rdms, kind)
    if len(people) < 2:
        raise InputError("holds one person", field="subject_rdms", remedy="a ceiling needs at least two")
    scaled = _poolable(people, kind)
    judged = ~np.isnan(scaled)
    total, count = np.where(judged, scaled, 0.0).sum(axis=0), judged.sum(axis=0)
    everyone = _mean(total, count)
    others = [_mean(total - np.where(seen, row, 0.0), count - seen) for row, seen in zip(scaled, judged)]
    bounds = []
    for within in _within(folds, stimuli_of(people)):
        one = people[:, within]
        lower = [agreements(pool[None, within], row[None], kind)[0, 0] for pool, row in zip(others, one)]
        bounds.append((np.nanmean(lower), np.nanmean(agreements(everyone[None, within], one, kind))))
    lower, upper = np.mean(bounds, axis=0)
    return Ceiling(float(lower), float(upper))


def _poolable(people: Float[np.ndarray, "s p"], kind: str) -> Float[np.ndarray, "s p"]:
    """Every person's RDM on a common scale, so that the mean is the best prediction of all."""
    if kind in RANKED:
        from scipy.stats import rankdata

        return rankdata(people, axis=1, nan_policy="omit")
    if kind.endswith("pearson"):
        people = people - np.nanmean(people, axis=1, keepdims=True)
    size = np.sqrt(np.nanmean(people**2, axis=1, keepdims=True))
    return np.divide(people, size, out=np.zeros_like(people), where=~(size <= 0))


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _within(folds: Sequence[Any] | None, n: int) -> list[np.ndarray]:
    """Numbers of the pairs inside each fold."""
    if folds is None:
        return [np.arange(n * (n - 1) // 2)]
    row, column = np.triu_indices(n, 1)
    found = []
    for fold in folds:
        inside = np.zeros(n, bool)
        inside[to_array(fold)] = True
        if inside.sum() < FEWEST:
            raise InputError(f"a fold has fewer than {FEWEST} stimuli", field="folds")
        found.append(np.flatnonzero(inside[row] & inside[column]))
    return found


# ---- intervals --------------------------------------------------------------------------------------------


def score_rdm(
    model: Any, people: Any, *, kind: Kind = "spearman", over: Over = "stimuli", **options: Any
) -> RsaScore:
    """Mean agreement of a model's RDM with people's, its interval and their ceiling.

    Parameters as of `rsa_interval`; `options` are its `resamples`, `seed` and `level`.
    """
    first, second = checked_vectors(model, people, kind)
    return RsaScore(
        value=_value(first, second, kind),
        interval=rsa_interval(model, people, kind=kind, over=over, **options),
        ceiling=human_ceiling(people, kind) if len(second) > 1 else None,
        subjects=len(second),
        stimuli=stimuli_of(second),
        kind=kind,
        over=over,
    )


def rsa_interval(
    model: Any,
    people: Any,
    *,
    kind: Kind = "spearman",
    over: Over = "stimuli",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean agreement of a model's RDM with each person's.

    Parameters
    ----------
    model : one RDM (n, n) or (p,).
    people : one or several RDMs.
    kind : any but the whitened kinds when stimuli are drawn (use `infer_models` for those).
    over : what is drawn with replacement: "stimuli" (other things might have been shown), "subjects" (other
        people might have judged), or "both", which is the widest and what generalizes to both.
    resamples, seed, level : of the bootstrap. The same seed draws the same for every model.

    Resamples with fewer than three distinct stimuli are left out.
    """
    drawn = _drawn([model], people, kind=kind, over=over, resamples=resamples, seed=seed)
    return percentile_interval(drawn[0], level)


def rsa_difference(
    first: Any,
    second: Any,
    people: Any,
    *,
    kind: Kind = "spearman",
    over: Over = "stimuli",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> RsaDifference:
    """Mean agreement of the first model - of the second, both scored on the same resamples.

    Parameters as of `rsa_interval`.
    """
    vectors = [checked_vectors(model, people, kind) for model in (first, second)]
    one, other = (_value(mine, theirs, kind) for mine, theirs in vectors)
    drawn = _drawn([first, second], people, kind=kind, over=over, resamples=resamples, seed=seed)
    return RsaDifference(one - other, percentile_interval(drawn[0] - drawn[1], level))


def _value(model: Float[np.ndarray, "1 p"], people: Float[np.ndarray, "s p"], kind: str) -> float:
    if len(model) != 1:
        raise InputError("must be one RDM", field="model", remedy="score several models one by one")
    return mean_of_defined(agreements(model, people, kind)[0])


def _drawn(
    models: list[Any], people: Any, *, kind: Kind, over: Over, resamples: int, seed: int
) -> Float[np.ndarray, "m r"]:
    """Score of each model in every resample; nan where too few stimuli were drawn."""
    if over not in get_args(Over):
        raise InputError(f"is {over!r}", field="over", remedy=f"choose one of {', '.join(get_args(Over))}")
    if resamples < 1:
        raise InputError("must be at least 1", field="resamples")
    checked = [checked_vectors(model, people, kind) for model in models]
    if any(len(mine) != 1 for mine, _ in checked):
        raise InputError("must be one RDM", field="model", remedy="score several models one by one")
    mine, theirs = np.concatenate([mine for mine, _ in checked]), checked[0][1]
    n, s = stimuli_of(theirs), len(theirs)
    if over != "stimuli" and s < 2:
        raise InputError("holds one person", field="people", remedy="draw stimuli instead")
    if over == "subjects":
        values = agreements(mine, theirs, kind)[:, :, None]
    else:
        counts = np.random.default_rng([seed, 0]).multinomial(n, np.full(n, 1 / n), size=resamples)
        values = resampled_agreements(mine, theirs, counts, kind)
    if over == "stimuli":
        share = np.ones((s, 1))
    else:
        share = np.random.default_rng([seed, 1]).multinomial(s, np.full(s, 1 / s), size=resamples).T
    defined = np.isfinite(values)
    weight = (defined * share).sum(axis=1)
    total = (np.where(defined, values, 0.0) * share).sum(axis=1)
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def resampled_agreements(
    models: Float[np.ndarray, "m p"],
    people: Float[np.ndarray, "s p"],
    counts: Int[np.ndarray, "r n"],
    kind: Kind,
) -> Float[np.ndarray, "m s r"]:
    """Agreement of every model with every person in resamples that hold stimulus i `counts[:, i]` times.

    A pair then occurs as often as the product of its stimuli's counts. Nothing is sorted again: the order of
    the pairs is that of the whole RDM, and ranks in a resample are running sums of how often each occurs.
    """
    if kind.startswith("whitened"):
        remedy = "use infer_models, or draw subjects"
        raise InputError(
            f"{kind} cannot leave out pairs of a stimulus with itself", field="kind", remedy=remedy
        )
    row, column = np.triu_indices(counts.shape[1], 1)
    enough = (counts > 0).sum(axis=1) >= FEWEST
    values = np.full((len(models), len(people), len(counts)), np.nan)
    step = max(1, _CELLS // (len(row) * (len(models) + len(people))))
    for rows, columns, both in shared_pairs(models, people):
        mine, theirs = models[rows][:, both], people[columns][:, both]
        for start in range(0, len(counts), step):
            part = np.flatnonzero(enough[start : start + step]) + start
            often = counts[part][:, row[both]] * counts[part][:, column[both]]
            agree = _often_tau_a if kind == "kendall_tau_a" else _often
            values[np.ix_(rows, columns, part.tolist())] = agree(mine, theirs, often, kind).transpose(1, 2, 0)
    return values


def _often(
    mine: np.ndarray, theirs: np.ndarray, often: Int[np.ndarray, "r p"], kind: str
) -> Float[np.ndarray, "r m s"]:
    """Correlation or cosine of pairs that occur `often` times."""
    weight = often[:, None].astype(np.float64)
    left, right = (_often_prepared(vectors, often, kind) for vectors in (mine, theirs))
    products = (left * weight) @ right.transpose(0, 2, 1)
    if kind == "rho_a":
        pairs = often.sum(axis=1)[:, None, None].astype(np.float64)
        lengths = (pairs**3 - pairs) / 12
    else:
        one, other = (np.sqrt((vectors**2 * weight).sum(axis=2)) for vectors in (left, right))
        lengths = one[:, :, None] * other[:, None, :]
    found = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    found[often.sum(axis=1) == 0] = np.nan
    return found


def _often_prepared(
    vectors: Float[np.ndarray, "k p"], often: Int[np.ndarray, "r p"], kind: str
) -> np.ndarray:
    """Centered values (r, k, p), or their ranks among pairs that occur `often` times."""
    if kind == "cosine":
        return np.broadcast_to(vectors, (len(often), *vectors.shape))
    total = often.sum(axis=1)[:, None, None]
    if kind == "pearson":
        means = (often @ vectors.T)[:, :, None] / np.maximum(total, 1)
        centered = vectors - means
        noise = 8 * np.finfo(float).eps * np.abs(vectors).max(axis=1, keepdims=True)
        return np.where(np.abs(centered) > noise, centered, 0.0)
    ranks = np.empty((len(often), *vectors.shape))
    for number, vector in enumerate(vectors):
        order = np.argsort(vector, kind="stable")
        upto = np.cumsum(often[:, order], axis=1)
        ties = np.diff(vector[order]) != 0
        last = np.flatnonzero(np.append(ties, True))
        ends = upto[:, last]
        starts = np.concatenate([np.zeros((len(often), 1), ends.dtype), ends[:, :-1]], axis=1)
        group = np.append(0, np.cumsum(ties))
        ranks[:, number, order] = ((starts + ends + 1) / 2)[:, group]
    return ranks - (total + 1) / 2


def _often_tau_a(
    mine: np.ndarray, theirs: np.ndarray, often: Int[np.ndarray, "r p"], _kind: str
) -> Float[np.ndarray, "r m s"]:
    """Kendall's tau a of the pairs written out as often as they occur."""
    return np.array(
        [[[tau_a(np.repeat(x, times), np.repeat(y, times)) for y in theirs] for x in mine] for times in often]
    ).reshape(len(often), len(mine), len(theirs))

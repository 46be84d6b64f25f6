"""Tables of pairwise dissimilarities (RDMs), and how far two of them agree.

An RDM is a symmetric matrix (n, n), whose diagonal says nothing, or its pairs (n (n - 1) / 2,) in scipy's
order; several (one per person) are stacked in front: (s, n, n) or (s, p). Pairs nobody judged are nan and left
out wherever one of the two compared lacks them.

| kind | agreement of the pairs | in rsatoolbox |
|---|---|---|
| spearman | rank correlation, tied pairs share their mean rank | spearman |
| pearson | correlation | corr |
| cosine | cosine, for dissimilarities with a meaningful zero | cosine |
| rho_a | rank correlation expected if ties were broken at random | rho-a |
| kendall_tau_a | (concordant - discordant) / all pairs of pairs | tau-a |
| whitened_pearson | correlation after whitening what pairs share through their stimuli | corr_cov |
| whitened_cosine | the same for the cosine: the linear CKA of the embeddings behind the RDMs | cosine_cov |

Where a model ties many pairs, rho_a or kendall_tau_a do not favor it (rsatoolbox's advice). Numbers agree with
rsatoolbox to 1e-6.

Source: Kriegeskorte, Mur and Bandettini, Front. Syst. Neurosci. 2, 2008; Nili et al., PLoS Comput. Biol. 10,
2014 (noise ceiling); Schuett et al., eLife 12, 2023 (rho_a, whitening, bootstrap).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float

from visus.errors import InputError
from visus.metrics.arrays import to_array

Kind: TypeAlias = Literal[
    "spearman", "pearson", "cosine", "rho_a", "kendall_tau_a", "whitened_pearson", "whitened_cosine"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
RANKED = ("spearman", "rho_a", "kendall_tau_a")


# ---- tables -----------------------------------------------------------------------------------------------


def rdm_vectors(rdms: Any, *, name: str = "rdms") -> Float[np.ndarray, "s p"]:
    """One or several RDMs as rows of pairs, float64, in scipy's order.

    Raises
    ------
    InputError : no such number of stimuli, a matrix that is not symmetric, or infinite values.

    >>> rdm_vectors([[0, 1, 2], [1, 0, 3], [2, 3, 0]]).tolist()
    [[1.0, 2.0, 3.0]]
    """
    given = to_array(rdms).astype(np.float64)
    square = given.ndim in (2, 3) and given.shape[-1] == given.shape[-2]
    if square:
        stack = given[None] if given.ndim == 2 else given
        if not np.allclose(stack, stack.transpose(0, 2, 1), rtol=1e-5, atol=1e-8, equal_nan=True):
            raise InputError(
                "is not symmetric",
                field=name,
                remedy="average it with its transpose; stacks of pairs are (people, pairs)",
            )
        row, column = np.triu_indices(stack.shape[-1], 1)
        vectors = stack[:, row, column]
    elif given.ndim in (1, 2):
        vectors = np.atleast_2d(given)
    else:
        raise InputError(
            f"has shape {given.shape}", field=name, remedy="give (n, n), (s, n, n), (p,) or (s, p)"
        )
    stimuli_of(vectors, name=name)
    if not len(vectors) or np.isinf(vectors).any():
        raise InputError("is empty" if not len(vectors) else "holds infinite values", field=name)
    return vectors


def stimuli_of(vectors: Float[np.ndarray, "s p"], *, name: str = "rdms") -> int:
    """n of p = n (n - 1) / 2 pairs."""
    pairs = vectors.shape[-1]
    n = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    if n < 2 or n * (n - 1) // 2 != pairs:
        raise InputError(f"has {pairs} pairs, which no number of stimuli has", field=name)
    return n


def checked_vectors(one: Any, other: Any, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind not in KINDS:
        raise InputError(f"is {kind!r}", field="kind", remedy=f"choose one of {', '.join(KINDS)}")
    first, second = rdm_vectors(one, name="one"), rdm_vectors(other, name="other")
    if first.shape[1] != second.shape[1]:
        sizes = f"{stimuli_of(first)} and {stimuli_of(second)} stimuli"
        raise InputError(f"have {sizes}", field="one and other", remedy="bring both to the same stimuli")
    if {_direction(one), _direction(other)} == {"similar", "dissimilar"}:
        raise InputError(
            "one table holds similarities and the other dissimilarities, by their diagonals",
            field="one and other",
            remedy="turn one around, for instance 1 - similarity",
        )
    return first, second


def _direction(rdms: Any) -> str:
    """What the diagonal of square tables tells: items are most similar to themselves."""
    given = to_array(rdms).astype(np.float64)
    if given.ndim < 2 or given.shape[-1] != given.shape[-2]:
        return "unknown"
    stack = given.reshape(-1, *given.shape[-2:])
    own = stack[:, np.arange(stack.shape[1]), np.arange(stack.shape[1])]
    pairs = stack[:, *np.triu_indices(stack.shape[1], 1)]
    if np.isnan(own).any() or np.isnan(pairs).all():
        return "unknown"
    low, high = np.nanmin(pairs), np.nanmax(pairs)
    if own.min() >= high > low:
        return "similar"
    return "dissimilar" if own.max() <= low < high else "unknown"


# ---- agreement --------------------------------------------------------------------------------------------


def compare_rdms(one: Any, other: Any, kind: Kind = "spearman") -> Any:
    """Agreement of RDMs: a float for one with one, else an array (models,), (people,) or (models, people).

    Compare dissimilarities with dissimilarities or similarities with similarities: where both are square and
    their diagonals tell that they differ, an error says so. A constant RDM agrees 0 with everything.

    Differs: rsatoolbox refuses RDMs that lack different pairs; here each comparison uses the pairs both have.
    The whitened kinds need all pairs.

    >>> round(compare_rdms([1.0, 2.0, 4.0], [2.0, 3.0, 9.0], "pearson"), 4)
    0.9799
    """
    first, second = checked_vectors(one, other, kind)
    values = agreements(first, second, kind)
    single = [
        axis for axis, rows in enumerate((first, second)) if len(rows) == 1 and _is_one(axis, one, other)
    ]
    values = values.squeeze(axis=tuple(single))
    return float(values) if values.ndim == 0 else values


def _is_one(axis: int, one: Any, other: Any) -> bool:
    """Whether that argument was one RDM rather than a stack of one."""
    shape = to_array((one, other)[axis]).shape
    return len(shape) == 1 or (len(shape) == 2 and shape[0] == shape[1])


def agreements(
    first: Float[np.ndarray, "s p"], second: Float[np.ndarray, "t p"], kind: str
) -> Float[np.ndarray, "s t"]:
    """Each of the first with each of the second; nan where they have no pair in common."""
    values = np.full((len(first), len(second)), np.nan)
    for rows, columns, both in shared_pairs(first, second):
        x, y = first[rows][:, both], second[columns][:, both]
        if kind == "kendall_tau_a":
            found = np.array([[tau_a(one, other) for other in y] for one in x])
        elif both.all() or not kind.startswith("whitened"):
            found = _cosines(_prepared(x, kind), _prepared(y, kind), kind)
        else:
            raise InputError("pairs are missing", field="kind", remedy=f"choose another kind than {kind}")
        values[np.ix_(rows, columns)] = found
    return values


def shared_pairs(
    first: Float[np.ndarray, "s p"], second: Float[np.ndarray, "t p"]
) -> Iterator[tuple[list[int], list[int], Bool[np.ndarray, " p"]]]:
    """Rows of both that can be compared together, with the pairs they all have, at least one."""
    for mine, rows in _by_gaps(first):
        for theirs, columns in _by_gaps(second):
            if (both := mine & theirs).any():
                yield rows, columns, both


def _by_gaps(vectors: Float[np.ndarray, "s p"]) -> list[tuple[Bool[np.ndarray, " p"], list[int]]]:
    """Rows by the pairs that they have."""
    found: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for number, there in enumerate(~np.isnan(vectors)):
        found.setdefault(there.tobytes(), (there, []))[1].append(number)
    return list(found.values())


def _prepared(vectors: Float[np.ndarray, "s p"], kind: str) -> np.ndarray:
    """What the cosine is taken of."""
    if kind in RANKED:
        from scipy.stats import rankdata

        vectors = rankdata(vectors, axis=1)
    if kind not in ("cosine", "whitened_cosine"):
        # What rounding leaves of a constant is not a direction.
        noise = 8 * np.finfo(float).eps * np.abs(vectors).max(axis=1, keepdims=True)
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
        vectors = np.where(np.abs(vectors).max(axis=1, keepdims=True) > noise, vectors, 0.0)
    return _doubly_centered(vectors) if kind.startswith("whitened") else vectors


def _doubly_centered(vectors: Float[np.ndarray, "s p"]) -> np.ndarray:
    """The second-moment matrices behind squared distances, -1/2 J D J, flattened: whitened RDMs.

    Source: Diedrichsen et al., 2007.02789 (whitened RDMs are equivalent to the linear CKA).
    """
    n = stimuli_of(vectors)
    square = np.zeros((len(vectors), n, n))
    row, column = np.triu_indices(n, 1)
    square[:, row, column] = square[:, column, row] = vectors
    square -= square.mean(axis=1, keepdims=True)
    square -= square.mean(axis=2, keepdims=True)
    return -square.reshape(len(vectors), -1) / 2


def _cosines(first: np.ndarray, second: np.ndarray, kind: str) -> np.ndarray:
    products = first @ second.T
    if kind == "rho_a":
        lengths = np.full_like(products, (first.shape[1] ** 3 - first.shape[1]) / 12)
    else:
        lengths = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def tau_a(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau a from scipy's tau b, which divides by the untied pairs of pairs instead of all."""
    from scipy.stats import kendalltau

    if len(x) < 2:
        return float("nan")
    every = len(x) * (len(x) - 1) / 2
    untied = [every - sum(t * (t - 1) / 2 for t in np.unique(v, return_counts=True)[1]) for v in (x, y)]
    if min(untied) == 0:
        return 0.0
    found: Any = kendalltau(x, y)
    return float(found.statistic * (untied[0] * untied[1]) ** 0.5 / every)

"""Paired tests against scipy, plain enumeration, and DeLong's formula written out pair by pair."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
import torch

from visus.errors import InputError
from visus.metrics import (
    auc,
    bootstrap_interval,
    cohens_dz,
    compare_paired,
    delong,
    delong_covariance,
    holm,
    mean_of_defined,
    paired_t_test,
    sign_flip_test,
    wilcoxon_test,
)


def draw(seed: int, n: int, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=n)
    return base + shift + 0.5 * rng.normal(size=n), base


@pytest.mark.parametrize("n", [2, 5, 30, 200])
@pytest.mark.parametrize("seed", range(3))
def test_t_and_effect_equal_scipy(n, seed):
    first, second = draw(seed, n)
    expected = scipy.stats.ttest_rel(first, second)
    assert paired_t_test(first, second) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    differences = first - second
    assert cohens_dz(first, second) == pytest.approx(differences.mean() / np.std(differences, ddof=1))
    assert cohens_dz(second, first) == pytest.approx(-cohens_dz(first, second))


@pytest.mark.parametrize("seed", range(4))
def test_wilcoxon_equals_its_enumeration(seed):
    first, second = draw(seed, 8)
    differences = first - second
    ranks = scipy.stats.rankdata(np.abs(differences))
    seen = abs(float(np.sign(differences) @ ranks))
    sums = [abs(np.dot(signs, ranks)) for signs in itertools.product((-1, 1), repeat=8)]
    assert wilcoxon_test(first, second) == pytest.approx(np.mean([value >= seen for value in sums]))


def test_wilcoxon_with_ties_and_zeros_is_the_normal_form():
    rng = np.random.default_rng(0)
    differences = rng.integers(-3, 6, size=60).astype(float)
    moved = differences[differences != 0]
    n, ranks = len(moved), scipy.stats.rankdata(np.abs(moved))
    _, sizes = np.unique(np.abs(moved), return_counts=True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - (sizes**3 - sizes).sum() / 48
    z = (ranks[moved > 0].sum() - n * (n + 1) / 4) / math.sqrt(variance)
    expected = 2 * scipy.stats.norm.sf(abs(z))
    assert wilcoxon_test(differences, np.zeros(60)) == pytest.approx(expected)
    assert wilcoxon_test([1.0, 2.0], [1.0, 2.0]) == 1


@pytest.mark.parametrize("n", [1, 3, 9, 14])
@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_equal_the_enumeration_and_scipy(n, seed):
    first, second = draw(seed, n)
    differences = (first - second).round(1)
    second = np.zeros(n)
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    expected = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_test(differences, second) == pytest.approx(expected)
    if n == 9:
        theirs = scipy.stats.permutation_test(
            (differences, second), lambda a, b: np.mean(a - b), permutation_type="samples"
        )
        assert sign_flip_test(differences, second) == pytest.approx(theirs.pvalue)


def test_many_items_are_drawn_from_the_seed():
    first, second = draw(1, 40, shift=0.15)
    drawn = [sign_flip_test(first, second, flips=20_000, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    # With normal noise the t-test is exact, and the permutation comes near it.
    assert drawn[0] == pytest.approx(paired_t_test(first, second)[1], abs=0.015)
    apart = sign_flip_test(np.arange(1.0, 101), np.zeros(100), flips=99)
    assert apart == 0.01, "never 0"
    assert sign_flip_test(first, first) == 1


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(0)
    p = np.array([sign_flip_test(rng.normal(size=8), rng.normal(size=8)) for _ in range(600)])
    for alpha in (0.05, 0.2, 0.5):
        assert abs(np.mean(p <= alpha) - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / 600) + 2 / 2**8


def test_comparison_gathers_the_tests():
    first, second = draw(2, 25)
    found = compare_paired(first, second, n=400, seed=3)
    assert (found.items, found.groups) == (25, 25)
    assert found.difference == pytest.approx(np.mean(first - second))
    assert (found.t, found.t_p) == paired_t_test(first, second)
    assert found.wilcoxon_p == wilcoxon_test(first, second)
    assert found.permutation_p == sign_flip_test(first, second, seed=3)
    assert found.effect == cohens_dz(first, second)
    assert found.interval == pytest.approx(bootstrap_interval(mean_of_defined, first - second, n=400, seed=3))
    assert found == compare_paired(torch.tensor(first), torch.tensor(second), n=400, seed=3)


def test_undefined_values_count_for_neither_side():
    first, second = draw(3, 12)
    holed, other = first.copy(), second.copy()
    holed[3], other[7] = np.nan, np.nan
    kept = [i for i in range(12) if i not in (3, 7)]
    assert compare_paired(holed, other, n=100) == compare_paired(first[kept], second[kept], n=100)
    with pytest.raises(InputError, match="both values"):
        compare_paired([np.nan], [1.0])


def test_copies_of_a_patient_are_no_evidence():
    first, second = draw(4, 10)
    people = np.array([f"p{i}" for i in range(10)])
    copies = np.repeat(np.arange(10), 6)
    once = compare_paired(first, second, n=500)
    many = compare_paired(first[copies], second[copies], groups=people[copies], n=500)
    assert (many.items, many.groups) == (60, 10)
    for name in ("difference", "t", "t_p", "wilcoxon_p", "permutation_p", "effect"):
        assert getattr(many, name) == pytest.approx(getattr(once, name)), name
    assert many.interval == pytest.approx(once.interval)
    blind = compare_paired(first[copies], second[copies], n=500)
    assert blind.t_p < many.t_p
    assert blind.interval[1] - blind.interval[0] < many.interval[1] - many.interval[0]


def test_equal_differences():
    assert paired_t_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == (0, 1)
    assert paired_t_test([2.0, 3.0], [1.0, 2.0]) == (math.inf, 0)
    assert cohens_dz([1.0, 2.0], [2.0, 3.0]) == -math.inf
    assert all(math.isnan(value) for value in paired_t_test([1.0], [2.0]))


# ---- DeLong -----------------------------------------------------------------------------------------------


def slow_delong(target, rows):
    """Structural components psi(x, y) averaged over one class at a time (DeLong 1988, eq. 4 to 6)."""
    ten, one, areas = [], [], []
    for scores in rows:
        x = [s for s, t in zip(scores, target, strict=True) if t]
        y = [s for s, t in zip(scores, target, strict=True) if not t]
        psi = [[(a > b) + 0.5 * (a == b) for b in y] for a in x]
        areas.append(sum(map(sum, psi)) / (len(x) * len(y)))
        ten.append([sum(row) / len(y) for row in psi])
        one.append([sum(row[j] for row in psi) / len(x) for j in range(len(y))])

    def product(parts, r, s):
        return sum((a - areas[r]) * (b - areas[s]) for a, b in zip(parts[r], parts[s], strict=True)) / (
            len(parts[r]) - 1
        )

    m, n = len(ten[0]), len(one[0])
    both = [
        [product(ten, r, s) / m + product(one, r, s) / n for s in range(len(rows))] for r in range(len(rows))
    ]
    return np.array(areas), np.array(both)


def classes(seed, n=60, models=3):
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.4
    shared = rng.normal(size=n)
    rows = np.stack([target * (0.5 + 0.4 * i) + shared + rng.normal(size=n) for i in range(models)]).round(1)
    return target, rows


@pytest.mark.parametrize("seed", range(4))
def test_delong_equals_the_pairwise_formula(seed):
    target, rows = classes(seed)
    areas, covariance = delong_covariance(target, rows)
    expected, both = slow_delong(target, rows)
    assert areas == pytest.approx(expected, abs=1e-12)
    assert covariance == pytest.approx(both, abs=1e-12)
    assert areas == pytest.approx([sk.roc_auc_score(target, row) for row in rows])
    found = delong(target, rows[0], rows[2])
    error = math.sqrt(both[0, 0] + both[2, 2] - 2 * both[0, 2])
    assert found.standard_error == pytest.approx(error)
    assert found.z == pytest.approx((expected[0] - expected[2]) / error)
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(abs(found.z)))
    assert found.interval == pytest.approx(scipy.stats.norm.interval(0.95, loc=found.difference, scale=error))
    mirrored = delong(target.astype(int), rows[2], rows[0])
    assert (mirrored.z, mirrored.p) == pytest.approx((-found.z, found.p))
    assert (found.first, found.second) == pytest.approx((auc(target.astype(int), rows[0]), areas[2]))


def test_delong_by_hand():
    # Two positives (scores 3, 1), two negatives (2, 0): psi = [[1, 1], [0, 1]].
    areas, covariance = delong_covariance([1, 1, 0, 0], [[3.0, 1.0, 2.0, 0.0]])
    assert areas.tolist() == [0.75]
    assert covariance.tolist() == [[0.125]]  # var(1, 0.5) / 2 + var(0.5, 1) / 2


def test_delong_agrees_with_the_bootstrap_and_keeps_its_level():
    target, rows = classes(9, n=400, models=2)
    found = delong(target, rows[0], rows[1])
    low, high = bootstrap_interval(
        lambda t, a, b, weight: auc(t, a, weight=weight) - auc(t, b, weight=weight),
        target.astype(int),
        rows[0],
        rows[1],
        n=2000,
    )
    assert (low, high) == pytest.approx(found.interval, abs=0.012)
    rng = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(400):
        truth = np.arange(60) < 25
        shared = truth + rng.normal(size=60)
        false_alarms += delong(truth, shared + rng.normal(size=60), shared + rng.normal(size=60)).p < 0.05
    assert false_alarms / 400 == pytest.approx(0.05, abs=0.035)


def test_models_that_order_alike():
    target, rows = classes(0)
    same = delong(target, rows[0], np.exp(rows[0]))
    assert (same.difference, same.standard_error, same.z, same.p) == (0, 0, 0, 1)
    perfect = delong([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0])
    assert (perfect.difference, perfect.z, perfect.p) == (1, math.inf, 0)


# ---- several comparisons ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_what_the_stepwise_rule_rejects(seed):
    p = np.random.default_rng(seed).random(7) ** 3
    corrected = np.asarray(holm(p))
    for alpha in (0.01, 0.05, 0.2):
        rejected = set()
        for step, i in enumerate(sorted(range(7), key=lambda i: p[i])):
            if p[i] > alpha / (7 - step):
                break
            rejected.add(i)
        assert set(np.flatnonzero(corrected <= alpha)) == rejected
    assert (corrected >= p).all()
    assert corrected.max() <= 1
    assert (
        np.argsort(corrected, kind="stable").tolist() == np.argsort(p, kind="stable").tolist()
        or (np.diff(corrected[np.argsort(p)]) >= 0).all()
    )


def test_holm_keeps_containers_and_gaps():
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    assert holm({"b": 0.5, "a": 0.01}) == {"b": 0.5, "a": 0.02}
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare_paired([1.0, 2.0], [1.0]), "second"),
        (lambda: compare_paired([[1.0]], [[1.0]]), "first"),
        (lambda: compare_paired([1.0, math.inf], [1.0, 2.0]), "finite"),
        (lambda: compare_paired([1.0, 2.0], [1.0, 2.0], groups=["a"]), "groups"),
        (lambda: sign_flip_test([1.0], [2.0], flips=0), "flips"),
        (lambda: delong([0, 1, 2, 1], [1.0] * 4, [1.0] * 4), "class by class"),
        (lambda: delong([0, 1, 0], [1.0] * 3, [1.0] * 3), "two of each"),
        (lambda: delong([0, 1, 0, 1], [1.0] * 3, [1.0] * 4), "scores"),
        (lambda: delong([0, 1, 0, 1], [1.0] * 4, [1.0] * 4, level=1.0), "level"),
        (lambda: delong_covariance([0, 1], [1.0, 2.0]), "models"),
        (lambda: holm([0.1, 1.2]), "0..1"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()

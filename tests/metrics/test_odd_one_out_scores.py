"""Ceilings, intervals and scores of trials against pandas, loops and resamples written out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from visus.errors import InputError
from visus.metrics import bootstrap_interval, compare_paired, mean_of_defined
from visus.metrics.calibration import reliability
from visus.metrics.odd_one_out import (
    CHANCE,
    NoiseCeiling,
    accuracy_interval,
    choice_probabilities,
    equal_mass_calibration_error,
    hits,
    noise_ceiling,
    pair_similarities,
    paired_difference,
    score_odd_one_out,
    score_similarities,
    unordered_triplets,
)
from visus.metrics.triplet_trials import Resamples


def trials(seed: int = 0, triplets: int = 60, objects: int = 30) -> np.ndarray:
    """Repeated judgments (n, 3) of made-up people, columns and rows in random order."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(triplets):
        three = rng.choice(objects, 3, replace=False)
        shares = rng.dirichlet(np.ones(3))
        for odd in rng.choice(3, rng.integers(1, 12), p=shares):
            alike = rng.permutation(np.delete(three, odd))
            rows.append([*alike, three[odd]])
    return rng.permutation(np.array(rows))


def embedding(seed: int = 0, objects: int = 30) -> torch.Tensor:
    return torch.randn(objects, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- groups -----------------------------------------------------------------------------------------------


def test_unordered_triplets_equal_sets():
    rows = trials()
    found = unordered_triplets(rows)
    names: dict[frozenset[int], int] = {}
    for row, number in zip(rows.tolist(), found.tolist()):
        assert names.setdefault(frozenset(row), number) == number
    assert sorted(names.values()) == list(range(len(names)))
    assert np.array_equal(found, unordered_triplets(torch.from_numpy(rows[:, ::-1].copy())))


def test_large_numbers_do_not_collide():
    rows = np.array([[1_999_999, 1_999_998, 0], [1_999_998, 1_999_999, 1], [0, 1_999_999, 1_999_998]])
    assert unordered_triplets(rows).tolist() == [0, 1, 0]
    assert unordered_triplets(rows.astype(np.int32)).tolist() == [0, 1, 0]
    for bad in ([[0, 1, 2_000_000]], [[0, 1, -1]]):
        with pytest.raises(InputError, match="object numbers"):
            unordered_triplets(bad)


# ---- ceiling ----------------------------------------------------------------------------------------------


def slow_ceiling(rows: np.ndarray, least: int) -> float:
    frame = pd.DataFrame({"set": [frozenset(row) for row in rows.tolist()], "odd": rows[:, 2]})
    shares = [
        group["odd"].value_counts().iloc[0] / len(group)
        for _, group in frame.groupby("set")
        if len(group) >= least
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("least", [2, 5])
def test_the_ceiling_equals_a_loop_over_groups(seed, least):
    rows = trials(seed)
    found = noise_ceiling(rows, least_repeats=least)
    assert found.ceiling == pytest.approx(slow_ceiling(rows, least), abs=1e-12)
    assert found.interval[0] < found.ceiling < found.interval[1]
    sizes = pd.Series(unordered_triplets(rows)).value_counts()
    counted = sizes[sizes >= least]
    assert (found.triplets, found.trials) == (len(counted), counted.sum())
    assert found.repeats == (counted.min(), counted.max())
    labels = np.array([f"set {number}" for number in unordered_triplets(rows)])
    assert noise_ceiling(rows, labels, least_repeats=least) == found


def test_the_best_fixed_choice_reaches_the_ceiling_of_equal_repeats():
    rng = np.random.default_rng(0)
    rows = np.concatenate([[rng.permutation(5)[:3]] * 7 for _ in range(1)])
    rows = np.stack([np.roll(rows[0], turn) for turn in (0, 0, 0, 0, 1, 1, 2)])
    assert noise_ceiling(rows).ceiling == pytest.approx(4 / 7)


def test_a_ceiling_needs_repeats():
    with pytest.raises(InputError, match="none of 2 triplets has 2 trials"):
        noise_ceiling([[0, 1, 2], [0, 1, 3]])
    with pytest.raises(InputError, match="none of 0"):
        noise_ceiling(np.zeros((0, 3), int))
    with pytest.raises(InputError, match="groups"):
        noise_ceiling([[0, 1, 2], [0, 1, 2]], groups=[1])


# ---- resamples --------------------------------------------------------------------------------------------


def written_out(right: np.ndarray, groups: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Whole groups drawn with replacement, one resample after the other."""
    rng = np.random.default_rng(seed)
    members = [right[groups == label] for label in np.unique(groups)]
    drawn = []
    for _ in range(n):
        picked = [members[k] for k in rng.integers(0, len(members), len(members))]
        drawn.append(np.concatenate(picked).mean())
    return np.array(drawn)


def test_resamples_are_distributed_as_groups_written_out():
    rows = trials(3)
    groups = unordered_triplets(rows)
    right = np.random.default_rng(1).random(len(rows)) < 0.3 + 0.4 * (groups % 2)
    expected = written_out(right, groups, 3000, 0)
    sums = [np.bincount(groups, weights=right).astype(int), np.bincount(groups)]
    observed, drawn = (found := Resamples(sums, 3000, 0)).ratio(*found.counts)
    assert observed == pytest.approx(right.mean())
    # standard errors of a mean and of a spread of 3000 draws
    assert abs(drawn.mean() - expected.mean()) < 5 * expected.std() / 3000**0.5 * 2**0.5
    assert drawn.std() == pytest.approx(expected.std(), rel=5 / (2 * 3000) ** 0.5 * 2**0.5)
    ours = accuracy_interval(right, groups, resamples=4000)
    theirs = bootstrap_interval(mean_of_defined, right.astype(float), groups=groups, n=4000)
    width = theirs[1] - theirs[0]
    assert np.abs(np.subtract(ours, theirs)).max() < 0.08 * width


def test_differences_are_paired():
    rows = trials(4)
    groups = unordered_triplets(rows)
    rng = np.random.default_rng(2)
    first = rng.random(len(rows)) < 0.6
    second = first ^ (rng.random(len(rows)) < 0.1)
    found = paired_difference(first, second, groups, resamples=4000)
    expected = compare_paired(first.astype(float), second.astype(float), groups=groups, n=4000)
    assert found.effect == pytest.approx(expected.difference, abs=1e-12)
    width = expected.interval[1] - expected.interval[0]
    assert np.abs(np.subtract(found.interval, expected.interval)).max() < 0.1 * width
    effect, (low, high) = paired_difference(second, first, groups, resamples=4000)
    assert effect == pytest.approx(-found.effect)
    assert low <= effect <= high
    assert paired_difference(first, first, groups) == (0.0, (0.0, 0.0))


def test_resamples_repeat_with_their_seed():
    right = np.random.default_rng(0).random(300) < 0.5
    assert accuracy_interval(right, seed=3) == accuracy_interval(torch.from_numpy(right), seed=3)
    assert accuracy_interval(right, seed=3) != accuracy_interval(right, seed=4)
    assert accuracy_interval(right, level=0.5)[1] < accuracy_interval(right, level=0.99)[1]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: accuracy_interval([0.5, 1.0]), "hits"),
        (lambda: accuracy_interval([]), "no trials"),
        (lambda: accuracy_interval([True], resamples=0), "resamples"),
        (lambda: accuracy_interval([True, False], level=1.0), "level"),
        (lambda: accuracy_interval([True], groups=[0, 1]), "groups"),
        (lambda: paired_difference([True, False], [True]), "hits_b"),
    ],
)
def test_wrong_hits_are_told(call, told):
    with pytest.raises(InputError, match=told):
        call()


# ---- scores -----------------------------------------------------------------------------------------------


def test_scores_equal_a_loop():
    x, rows = embedding(), trials()
    found = score_odd_one_out(x, rows, kind="dot", temperature=2.0, ceiling=0.8)
    right, surprise, spread, ties = [], [], [], 0
    for a, b, odd in rows.tolist():
        pairs = np.array([float(x[a] @ x[b]), float(x[a] @ x[odd]), float(x[b] @ x[odd])])
        p = np.exp(pairs / 2) / np.exp(pairs / 2).sum()
        right.append(pairs[0] > max(pairs[1:]))
        ties += int((pairs == pairs.max()).sum() > 1)
        surprise.append(-math.log(p[0]))
        spread.append(-sum(p * np.log(p)))
    assert found.accuracy == pytest.approx(np.mean(right))
    assert found.cross_entropy == pytest.approx(np.mean(surprise))
    assert found.entropy == pytest.approx(np.mean(spread))
    assert (found.ties, found.trials, found.triplets) == (
        ties,
        len(rows),
        len(set(map(frozenset, rows.tolist()))),
    )
    assert found.ceiling_normalized == pytest.approx((np.mean(right) - 1 / 3) / (0.8 - 1 / 3))
    assert found.accuracy_interval == accuracy_interval(right, unordered_triplets(rows))
    assert found.normalized_interval is None
    known = [(bound - CHANCE) / (0.8 - CHANCE) for bound in found.accuracy_interval]
    assert found.normalized_interval_ceiling_known == pytest.approx(known)


def test_without_a_ceiling_nothing_is_normalized():
    found = score_odd_one_out(embedding(), trials())
    assert found.ceiling is found.ceiling_normalized is found.normalized_interval is None
    assert found.normalized_interval_ceiling_known is None


def test_a_ceiling_of_the_same_trials_is_drawn_with_them():
    rows = trials(5, triplets=200)
    found = score_odd_one_out(embedding(), rows, ceiling="trials", resamples=3000)
    assert found.ceiling == pytest.approx(noise_ceiling(rows).ceiling)
    groups = unordered_triplets(rows)
    right = hits(pair_similarities(embedding(), rows)).numpy()
    sums, sizes = np.bincount(groups, weights=right), np.bincount(groups)
    tables = [np.unique(rows[groups == k, 2], return_counts=True)[1].max() for k in range(len(sizes))]
    shares = np.array(tables) / sizes
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(3000):
        picked = rng.integers(0, len(sizes), len(sizes))
        repeated = picked[sizes[picked] > 1]
        accuracy = sums[picked].sum() / sizes[picked].sum()
        drawn.append((accuracy - 1 / 3) / (shares[repeated].mean() - 1 / 3))
    expected = np.quantile(drawn, [0.025, 0.975])
    assert np.abs(np.subtract(found.normalized_interval, expected)).max() < 0.1 * np.ptp(expected)
    assert found.normalized_interval != found.normalized_interval_ceiling_known


def test_the_uncertainty_of_another_ceiling_widens_the_interval():
    rows = trials(6)
    sure = NoiseCeiling(0.8, (0.8, 0.8), 0.0, 10, 100, (5, 20))
    vague = NoiseCeiling(0.8, (0.6, 0.95), 0.08, 10, 100, (5, 20))
    one, other = (score_odd_one_out(embedding(), rows, ceiling=ceiling) for ceiling in (sure, vague))
    assert one.normalized_interval == pytest.approx(one.normalized_interval_ceiling_known)
    assert other.normalized_interval_ceiling_known == one.normalized_interval_ceiling_known
    assert np.ptp(other.normalized_interval) > np.ptp(one.normalized_interval)


def test_a_model_that_chooses_with_the_majority_scores_one():
    x, rows = embedding(), trials()
    similarities = pair_similarities(x, rows)
    picked = rows[hits(similarities).numpy()]
    found = score_odd_one_out(x, np.concatenate([picked, picked]), ceiling="trials")
    assert found.accuracy == found.ceiling == found.ceiling_normalized == 1.0
    assert found.normalized_interval == (1.0, 1.0)


@pytest.mark.parametrize("ceiling", [0.3, 1.5, math.nan])
def test_impossible_ceilings_are_told(ceiling):
    with pytest.raises(InputError, match="ceiling"):
        score_odd_one_out(embedding(), trials(), ceiling=ceiling)


def test_unrepeated_trials_have_no_ceiling():
    rows = np.unique(np.sort(trials(), axis=1), axis=0)
    with pytest.raises(InputError, match="repeated trials"):
        score_odd_one_out(embedding(), rows, ceiling="trials")


def test_scores_need_a_row_per_triplet():
    with pytest.raises(InputError, match="3 rows for 2"):
        score_similarities(torch.zeros(2, 3), [[0, 1, 2]] * 3)
    with pytest.raises(InputError, match="no trials"):
        score_similarities(torch.zeros(0, 3), np.zeros((0, 3), int))


# ---- calibration ------------------------------------------------------------------------------------------


def test_equal_mass_bins_equal_a_loop():
    p = choice_probabilities(pair_similarities(embedding(), trials())).numpy()
    target = np.full(len(p), 2)
    confidence, right = p.max(1), p.argmax(1) == 2
    order = np.argsort(confidence, kind="stable")
    sizes = [len(p) // 7 + (k < len(p) % 7) for k in range(7)]
    expected, start = 0.0, 0
    for size in sizes:
        within = order[start : start + size]
        expected += size / len(p) * abs(right[within].mean() - confidence[within].mean())
        start += size
    assert equal_mass_calibration_error(target, p, bins=7) == pytest.approx(expected)
    whole = reliability(target, p, bins=1)
    assert equal_mass_calibration_error(target, p, bins=1) == pytest.approx(
        abs(whole.accuracy[0] - whole.confidence[0])
    )
    with pytest.raises(InputError, match="bins"):
        equal_mass_calibration_error(target, p, bins=0)


# ---- real people ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(shared):
    """20,000 trials as (a, b, odd), the same with the wrong column as odd, and the VICE embedding."""
    folder = shared / "data" / "things"
    if not (folder / "odd_one_out_trials.tsv").is_file():
        pytest.skip("no THINGS trials beside this checkout")
    table = np.loadtxt(folder / "odd_one_out_trials.tsv", dtype=np.int64, delimiter="\t")
    objects, choice = table[:, :3] - 1, table[:, 3] - 1
    columns = (choice[:, None] + np.array([1, 2, 3])) % 3
    rows = np.take_along_axis(objects, columns, axis=1)
    embedded = torch.from_numpy(
        np.ascontiguousarray(np.load(folder / "final_embedding.npy", allow_pickle=False))
    )
    return rows, embedded


def test_the_ceiling_of_real_people(people):
    rows, _ = people
    found = noise_ceiling(rows)
    assert found.ceiling == pytest.approx(0.6722, abs=2e-4)
    assert found.interval[0] < 0.6722 < found.interval[1]
    assert (found.triplets, found.trials, found.repeats) == (1000, 20_000, (14, 25))


def test_a_model_of_people_on_real_people(people):
    rows, vice = people
    found = score_odd_one_out(vice, rows, kind="dot", ceiling="trials")
    assert 0.6356 <= found.accuracy <= 0.6357
    assert found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]
    assert 0.85 < found.normalized_interval[0] < found.ceiling_normalized < found.normalized_interval[1] < 1
    # accuracy and ceiling rise and fall together, so the joint interval is the narrower one
    assert np.ptp(found.normalized_interval) < np.ptp(found.normalized_interval_ceiling_known)
    # the three readings of the choice share the trials between them
    misread = [score_odd_one_out(vice, rows[:, order], kind="dot") for order in ([1, 2, 0], [2, 0, 1])]
    assert max(one.accuracy for one in misread) < 0.2
    assert found.accuracy + sum(one.accuracy for one in misread) == pytest.approx(1)
    # objects counted from 1 as if from 0
    shifted = score_odd_one_out(vice, (rows + 1) % len(vice), kind="dot")
    assert shifted.accuracy == pytest.approx(CHANCE, abs=0.02)

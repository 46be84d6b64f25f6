"""The verdict: wrong rarely, symmetric, and plain about what it cannot decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from study_toy import claim

from visus.errors import InputError
from visus.study import decide
from visus.study.characteristics import BEYOND, DIFFERENCES, operating_characteristics, table
from visus.study.verdict import RESAMPLES, SKEW_RESERVE, check_claim, interval, satisfied

VALUES = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 6))
SAMPLES = st.lists(VALUES, min_size=3, max_size=10)
NAN = math.nan


@pytest.fixture(scope="module")
def rows():
    return operating_characteristics(simulations=2000)


def test_false_holds_stay_within_five_percent(rows):
    checked = [row for row in rows if row.differences in DIFFERENCES]
    assert len(checked) == len(DIFFERENCES) * 3 * 3
    worst = max(checked, key=lambda row: row.false_holds)
    assert worst.false_holds <= 0.05, worst


def test_power_grows_with_effect_and_seeds(rows):
    for row in rows:
        assert list(row.power.values()) == sorted(row.power.values()), row
    by = {(row.differences, row.seeds, row.direction): row for row in rows}
    for name in DIFFERENCES:
        for direction in ("higher", "lower", "equal"):
            assert by[name, 10, direction].power[2.0] > by[name, 5, direction].power[2.0] > 0.4
            assert by[name, 5, direction].power[2.0] > by[name, 3, direction].power[2.0]
    assert by["normal", 5, "higher"].power[3.0] > 0.9
    assert by["normal", 3, "higher"].power[4.0] > 0.6


def test_heavy_skew_is_reported_as_the_limit_it_is(rows):
    beyond = [row for row in rows if row.differences in BEYOND]
    assert max(row.false_holds for row in beyond) > 0.05
    text = table(rows)
    assert len(text.splitlines()) == len(rows) + 1
    assert all(name in text for name in (*DIFFERENCES, *BEYOND))


def test_the_plain_percentile_interval_would_be_wrong_more_often():
    drawn = np.random.default_rng(5).normal(size=(2000, 3))
    ours = satisfied(claim("c", smallest_effect=0.0), *interval(drawn)).mean()
    resampled = drawn[:, np.random.default_rng(6).integers(0, 3, (1000, 3))].mean(-1)
    plain = (np.quantile(resampled, 0.025, axis=1) > 0).mean()
    assert ours < 0.03
    assert plain > 0.08


def test_interval_agrees_with_a_slow_transcription():
    """Resample one mean after the other with another generator; agree within the resampling error."""
    from scipy.stats import norm, t

    for n in (4, 6, 10):
        values = np.random.default_rng(n).normal(size=n)
        rng = np.random.default_rng(99)
        means = sorted(sum(values[rng.integers(n)] for _ in range(n)) / n for _ in range(20_000))
        factor = t.ppf(0.975, n - 1) / norm.ppf(0.975) * math.sqrt(n / (n - 1)) * SKEW_RESERVE
        low = values.mean() + factor * (means[500] - values.mean())
        high = values.mean() + factor * (means[19_500] - values.mean())
        ours = interval(values)
        assert abs(ours[0] - low) < 0.06 * (high - low)
        assert abs(ours[1] - high) < 0.06 * (high - low)


def test_decide_says_what_the_simulation_counts():
    drawn = np.random.default_rng(3).normal(0.5, 1, size=(200, 5))
    base = np.random.default_rng(4).normal(size=(200, 5))
    low, high = interval(drawn)
    for direction in ("higher", "lower", "equal"):
        for smallest in (0.0, 0.4, 2.0):
            asked = claim("c", direction=direction, smallest_effect=smallest)
            expected = satisfied(asked, low, high)
            got = [decide(asked, a + b, b).verdict == "holds" for a, b in zip(drawn, base, strict=True)]
            assert (np.array(got) == expected).all()


@given(SAMPLES)
def test_interval_is_odd_and_forgets_the_order_of_seeds(values):
    low, high = interval(values)
    other_low, other_high = interval([-value for value in reversed(values)])
    assert low == pytest.approx(-other_high, abs=1e-9)
    assert high == pytest.approx(-other_low, abs=1e-9)
    assert low <= np.mean(values) + 1e-9
    assert high >= np.mean(values) - 1e-9


@given(SAMPLES, st.floats(-50, 50), st.floats(0.1, 10))
def test_interval_moves_and_stretches_with_the_differences(values, shift, scale):
    low, high = interval(values)
    moved_low, moved_high = interval(np.array(values) * scale + shift)
    assert moved_low == pytest.approx(low * scale + shift, abs=1e-6)
    assert moved_high == pytest.approx(high * scale + shift, abs=1e-6)


@given(SAMPLES, SAMPLES)
def test_exchanging_the_arms_exchanges_higher_and_lower(ours, theirs):
    n = min(len(ours), len(theirs))
    for smallest in (0.0, 0.5):
        one = decide(claim("c", smallest_effect=smallest), ours[:n], theirs[:n])
        other = decide(claim("c", direction="lower", smallest_effect=smallest), theirs[:n], ours[:n])
        assert one.verdict == other.verdict
        assert one.effect == pytest.approx(-other.effect, abs=1e-9)


ORDER = {"fails": 0, "undecided": 1, "holds": 2}


@given(SAMPLES, st.floats(0, 50), st.floats(0, 5))
@settings(max_examples=60)
def test_a_larger_effect_or_a_smaller_demand_never_weakens_a_verdict(values, shift, smallest):
    assume(np.ptp(values) > 1e-3)
    zeros = [0.0] * len(values)
    asked = claim("c", smallest_effect=smallest)
    before = ORDER[decide(asked, values, zeros).verdict]
    assert ORDER[decide(asked, [value + shift for value in values], zeros).verdict] >= before
    assert ORDER[decide(claim("c", smallest_effect=smallest / 2), values, zeros).verdict] >= before
    wide = claim("c", direction="equal", smallest_effect=smallest)
    wider = claim("c", direction="equal", smallest_effect=2 * smallest + 1)
    assert ORDER[decide(wider, values, zeros).verdict] >= ORDER[decide(wide, values, zeros).verdict]


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=8), st.floats(0.1, 10))
def test_a_ratio_does_not_depend_on_the_unit(values, unit):
    asked = claim("c", comparison="ratio", smallest_effect=1.1)
    theirs = [1.0 + 0.1 * index for index in range(len(values))]
    one = decide(asked, values, theirs)
    other = decide(asked, [unit * value for value in values], [unit * value for value in theirs])
    assert one.effect == pytest.approx(other.effect)
    assert one.interval == pytest.approx(other.interval)


def test_decide_is_deterministic():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 7))
    assert decide(claim("c"), ours, theirs) == decide(claim("c"), list(ours), list(theirs))


@pytest.mark.parametrize(
    ("direction", "differences", "word"),
    [
        ("higher", [0.10, 0.11, 0.10, 0.12, 0.11], "holds"),
        ("higher", [0.01, 0.011, 0.010, 0.012, 0.011], "fails"),
        ("higher", [-0.10, -0.11, -0.10, -0.12, -0.11], "fails"),
        ("higher", [0.10, -0.1, 0.10, -0.05, 0.11], "undecided"),
        ("lower", [-0.10, -0.11, -0.10, -0.12, -0.11], "holds"),
        ("lower", [0.10, 0.11, 0.10, 0.12, 0.11], "fails"),
        ("equal", [0.001, -0.001, 0.002, 0.0, -0.002], "holds"),
        ("equal", [0.10, 0.11, 0.10, 0.12, 0.11], "fails"),
        ("equal", [-0.10, -0.11, -0.10, -0.12, -0.11], "fails"),
        ("equal", [0.02, 0.021, 0.018, 0.022, 0.019], "undecided"),
    ],
)
def test_differences(direction, differences, word):
    theirs = np.linspace(0.4, 0.8, 5)
    verdict = decide(claim("c", direction=direction), theirs + differences, theirs)
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(np.mean(differences))
    low, high = verdict.interval
    assert low < verdict.effect < high
    assert ("reaches across" in verdict.why) == (word == "undecided")


@pytest.mark.parametrize(
    ("direction", "smallest", "factors", "word"),
    [
        ("higher", 1.3, [1.5, 1.6, 1.55], "holds"),
        ("higher", 1.3, [1.1, 1.12, 1.09], "fails"),
        ("lower", 0.7, [0.5, 0.51, 0.49], "holds"),
        ("lower", 0.7, [0.9, 0.91, 0.89], "fails"),
        ("equal", 1.1, [1.01, 0.99, 1.0], "holds"),
        ("equal", 1.1, [1.4, 1.41, 1.39], "fails"),
        ("equal", 1.1, [0.7, 0.71, 0.69], "fails"),
    ],
)
def test_ratios_use_the_geometric_mean(direction, smallest, factors, word):
    theirs = np.array([10.0, 1000.0, 3.0])
    asked = claim("c", direction=direction, comparison="ratio", smallest_effect=smallest)
    verdict = decide(asked, theirs * factors, theirs)
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(np.prod(factors) ** (1 / 3))


def test_a_ratio_needs_positive_values():
    asked = claim("c", comparison="ratio", smallest_effect=1.3)
    for bad in (0.0, -1.0):
        effect, bounds, word, why = decide(asked, [1.0, bad, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0])
        assert (effect, bounds, word) == (None, None, "undecided")
        assert "positive" in why


def test_few_seeds_have_an_effect_but_no_verdict():
    for n in (1, 2):
        verdict = decide(claim("c"), [0.9] * n, [0.1] * n)
        assert verdict[1:3] == (None, "undecided")
        assert verdict.effect == pytest.approx(0.8)
        assert f"{n} usable pair" in verdict.why
    assert decide(claim("c"), [], [])[:3] == (None, None, "undecided")


def test_seeds_without_a_value_are_left_out_in_pairs_and_named():
    ours = [0.80, NAN, 0.82, 0.81, math.inf]
    theirs = [0.60, 0.10, 0.61, 0.62, NAN]
    verdict = decide(claim("c"), ours, theirs)
    assert verdict[:3] == decide(claim("c"), [0.80, 0.82, 0.81], [0.60, 0.61, 0.62])[:3]
    assert "candidate without a finite value in seed 1" in verdict.why
    assert "candidate and reference without a finite value in seed 4" in verdict.why
    assert decide(claim("c"), [0.8, NAN, 0.9, NAN], theirs[:4]).verdict == "undecided"
    assert decide(claim("c"), [NAN] * 3, [1.0] * 3).effect is None


def test_identical_differences_are_decided_and_said_to_be_so():
    ours, theirs = np.array([0.75, 0.625, 0.5]), np.array([0.5, 0.375, 0.25])
    verdict = decide(claim("c"), ours, theirs)
    assert (verdict.interval, verdict.verdict) == ((0.25, 0.25), "holds")
    assert "same effect" in verdict.why
    assert decide(claim("c", smallest_effect=0.3), ours, theirs).verdict == "fails"
    assert decide(claim("c", smallest_effect=0.25), ours, theirs).verdict == "undecided"


def test_no_effect_at_all_is_never_better_but_always_equal():
    same = [0.5, 0.7, 0.6]
    for comparison, nothing in (("difference", 0.0), ("ratio", 1.0)):
        for direction in ("higher", "lower"):
            for exact in (False, True):
                asked = claim(
                    "c", direction=direction, comparison=comparison, smallest_effect=nothing, exact=exact
                )
                assert decide(asked, same, same).verdict != "holds"
        asked = claim("c", direction="equal", comparison=comparison, smallest_effect=nothing)
        assert decide(asked, same, same).verdict == "holds"
    assert decide(claim("c", smallest_effect=-0.1), same, same).verdict == "holds"  # not worse by 0.1


@pytest.mark.parametrize(
    ("changes", "ours", "theirs", "effect", "word"),
    [
        ({"direction": "equal", "smallest_effect": 0.0}, 2112, 2112, 0, "holds"),
        ({"direction": "equal", "smallest_effect": 0.0}, 2113, 2112, 1, "fails"),
        ({"direction": "equal", "smallest_effect": 0.1}, 0.3, 0.2, 0.1, "holds"),
        ({"direction": "lower", "comparison": "ratio", "smallest_effect": 0.5}, 2112, 4224, 0.5, "holds"),
        (
            {"direction": "lower", "comparison": "ratio", "smallest_effect": 0.5},
            2113,
            4224,
            2113 / 4224,
            "fails",
        ),
        ({"direction": "equal", "comparison": "ratio", "smallest_effect": 1.0}, 3.0, 3.0, 1, "holds"),
        ({"direction": "higher", "smallest_effect": 0.1}, 0.8, 0.7, 0.1, "holds"),
        ({"direction": "higher", "smallest_effect": 0.0}, 0.7, 0.7, 0, "fails"),
        ({"direction": "higher", "smallest_effect": 0.0}, 0.7, 0.6, 0.1, "holds"),
    ],
)
def test_exact_claims_need_no_seeds(changes, ours, theirs, effect, word):
    verdict = decide(claim("c", exact=True, **changes), [ours], [theirs])
    assert verdict.verdict == word
    assert verdict.effect == pytest.approx(effect)
    assert verdict.interval == (verdict.effect, verdict.effect)


def test_an_exact_claim_must_be_true_of_every_instance():
    asked = claim("c", exact=True, smallest_effect=0.0)
    assert decide(asked, [1.0, 2.0], [0.5, 0.5]).verdict == "holds"
    verdict = decide(asked, [1.0, 0.4], [0.5, 0.5])
    assert verdict.verdict == "fails"
    assert verdict.interval == pytest.approx((-0.1, 0.5))
    assert "1 of 2 instances" in verdict.why
    assert decide(asked, [1.0, NAN], [0.5, 0.5]).verdict == "undecided"
    assert decide(asked, [NAN, 0.4], [0.5, 0.5]).verdict == "fails"
    assert decide(asked, [NAN], [0.5]).verdict == "undecided"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="2 and 3 values"):
        decide(claim("c"), [1, 2], [1, 2, 3])
    for changes in (
        {"smallest_effect": NAN},
        {"comparison": "ratio", "smallest_effect": 0.0},
        {"direction": "equal", "smallest_effect": -0.1},
    ):
        with pytest.raises(InputError, match="smallest effect"):
            check_claim(claim("c", **changes))
    with pytest.raises(InputError, match="at least two"):
        interval([1.0])


def test_region_of_an_equal_ratio_is_the_same_for_a_factor_and_its_inverse():
    for factor in (1.25, 0.8):
        asked = claim("c", direction="equal", comparison="ratio", smallest_effect=factor)
        assert asked.region == pytest.approx((0.8, 1.25))


def test_many_studies_at_once_equal_one_at_a_time():
    drawn = np.random.default_rng(8).normal(size=(3, 200, 4))
    low, high = interval(drawn)
    assert low.shape == high.shape == (3, 200)
    one = interval(drawn[2, 150])
    assert (low[2, 150], high[2, 150]) == pytest.approx((float(one[0]), float(one[1])))
    assert RESAMPLES % 2 == 0

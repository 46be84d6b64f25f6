"""Histograms against NumPy on the raw arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.methods.polytopes.model.tally import MEASURES, Shapes, Tally


def shapes(seed, count=200, most=12):
    rng = np.random.default_rng(seed)
    integers = [torch.from_numpy(rng.integers(1, most, count)) for _ in range(4)]
    return Shapes(
        *integers, torch.from_numpy(rng.exponential(size=count)), torch.from_numpy(rng.random(count) < 0.3)
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_statistics_are_those_of_the_cells(measure):
    given = shapes(0)
    tally = Tally().add(given)
    values, volumes = getattr(given, measure).numpy(), given.volumes.numpy()
    order = np.argsort(values)
    for weight, weights in (("cells", np.ones(len(values))), ("volume", volumes)):
        want = [weights[values == value].sum() for value in range(values.max() + 1)]
        np.testing.assert_allclose(tally.histogram(measure, weight), want)
        assert tally.mean(measure, weight) == pytest.approx(np.average(values, weights=weights))
        share = weights[values <= 5].sum() / weights.sum()
        assert tally.share(measure, at_most=5, weight=weight) == pytest.approx(share)
        for level in (0.001, 0.25, 0.9, 1.0):
            reached = np.cumsum(weights[order]) / weights.sum()
            want = values[order][min(np.searchsorted(reached, level - 1e-12), len(values) - 1)]
            assert tally.quantile(measure, level, weight) == want
    assert tally.largest(measure) == values.max()
    assert tally.share(measure, at_most=-1) == 0
    assert tally.histogram(measure).dtype == np.int64
    assert (tally.num_cells, tally.num_touching) == (len(given), int(given.touches_box.sum()))
    assert tally.volume == pytest.approx(volumes.sum())


def test_merging_is_adding_everything_in_any_grouping():
    parts = [shapes(seed, 50 + seed, 5 + 3 * seed) for seed in range(3)]
    one, two, three = (Tally().add(part) for part in parts)
    whole = Tally()
    for part in parts:
        whole.add(part)
    for merged in (one.merge(two).merge(three), one.merge(two.merge(three)), three.merge(one).merge(two)):
        assert merged.num_cells == whole.num_cells
        assert merged.num_touching == whole.num_touching
        assert merged.volume == pytest.approx(whole.volume, rel=1e-14)
        for measure in MEASURES:
            assert np.array_equal(merged.histogram(measure), whole.histogram(measure))
            np.testing.assert_allclose(
                merged.histogram(measure, "volume"), whole.histogram(measure, "volume"), rtol=1e-14
            )
    assert one.num_cells == 50, "merging changes neither part"
    with pytest.raises(InputError, match="rule"):
        one.merge(Tally("delaunay"))


def test_distance_is_total_variation():
    one, two = shapes(1, 80, 6), shapes(2, 90, 15)
    tallies = Tally().add(one), Tally().add(two)
    for weight in ("cells", "volume"):
        p, q = np.zeros(20), np.zeros(20)
        for target, part in ((p, one), (q, two)):
            weights = part.volumes.numpy() if weight == "volume" else np.ones(len(part))
            np.add.at(target, part.num_facets.numpy(), weights / weights.sum())
        subset = p > q  # total variation: the largest difference of the probability of any set of values
        assert tallies[0].distance(tallies[1], "num_facets", weight) == pytest.approx((p - q)[subset].sum())
    assert tallies[0].distance(tallies[0], "num_facets") == 0
    apart = shapes(3, 10, 2)
    far = Shapes(*(apart.num_facets + 100,) * 4, apart.volumes, apart.touches_box)
    assert Tally().add(apart).distance(Tally().add(far), "num_facets") == pytest.approx(1.0)


def test_plain_round_trip():
    tally = Tally("delaunay").add(shapes(4))
    again = Tally.from_plain(json.loads(json.dumps(tally.to_plain())))
    assert again.to_plain() == tally.to_plain()
    assert again.summary() == tally.summary()
    assert again.merge(tally).num_cells == 2 * tally.num_cells


def test_summary_is_flat_and_complete():
    summary = Tally().add(shapes(5)).summary(at_most=4)
    assert all(isinstance(value, float) for value in summary.values())
    assert {"num_cells", "num_facets_mean", "num_simplices_at_most_4_by_volume", "num_vertices_p90"} <= set(
        summary
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain.pop("volume"),
        lambda plain: plain["histograms"].pop("num_facets"),
        lambda plain: plain["histograms"]["num_facets"]["cells"].append(-1),
        lambda plain: plain["histograms"]["num_facets"]["cells"].append(0.5),
        lambda plain: plain["histograms"]["num_facets"]["volume"].append(float("nan")),
        lambda plain: plain["histograms"]["num_facets"]["cells"].append(3),
        lambda plain: plain.update(histograms=5),
        lambda plain: plain.update(num_cells="many"),
    ],
)
def test_what_is_no_tally_is_refused(spoil):
    plain = Tally().add(shapes(6)).to_plain()
    spoil(plain)
    with pytest.raises(InputError, match="tally"):
        Tally.from_plain(plain)


def test_empty_tallies_and_wrong_names_are_told():
    with pytest.raises(InputError, match="empty"):
        Tally().mean("num_facets")
    tally = Tally().add(shapes(7))
    with pytest.raises(InputError, match="measures"):
        tally.mean("facets")  # type: ignore[arg-type]
    for level in (0.0, 1.5):
        with pytest.raises(InputError, match="level"):
            tally.quantile("num_facets", level)

"""Phantom heads: stated volumes are in the picture, nothing else leaks, and the ceilings are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge

from visus.data.tables import TablePreprocessor, infer_columns
from visus.data.worlds import head, phantom
from visus.errors import InputError


@pytest.fixture(scope="module")
def heads() -> tuple[head.Heads, np.ndarray, np.ndarray]:
    ventricle = np.array([6.0, 12.0, 25.0, 50.0, 80.0, 115.0])
    hippocampus = np.array([7.0, 2.5, 8.5, 6.0, 5.0, 4.0])
    return head.draw_heads(ventricle, hippocampus, seeds=[(0, i) for i in range(6)]), ventricle, hippocampus


def test_structures_have_the_stated_volume(heads):
    drawn, ventricle, hippocampus = heads
    voxel_ml = head.spacing_mm((32, 40, 32)) ** 3 / 1000
    np.testing.assert_allclose(drawn.ventricle.double().sum((1, 2, 3)) * voxel_ml, ventricle, rtol=1e-4)
    np.testing.assert_allclose(drawn.hippocampus.double().sum((1, 2, 3)) * voxel_ml, hippocampus, rtol=1e-4)
    assert (drawn.ventricle + drawn.hippocampus).max() <= 1 + 1e-6
    fine = head.draw_heads(np.array([30.0]), np.array([6.0]), seeds=[(1,)], shape=(64, 96, 64))
    assert fine.ventricle.double().sum() * 2.75**3 / 1000 == pytest.approx(30, rel=1e-4)


def test_anatomy(heads):
    drawn, *_ = heads
    code = {name: i for i, name in enumerate(head.LABELS)}
    assert set(drawn.labels.unique().tolist()) == set(range(len(head.LABELS)))
    voxel_ml = 5.5**3 / 1000
    brain = (
        torch.isin(drawn.labels, torch.tensor([code[n] for n in head.LABELS[4:]])).sum((1, 2, 3)) * voxel_ml
    )
    assert (brain > 900).all()
    assert (brain < 1800).all()
    edge = torch.ones_like(drawn.labels, dtype=torch.bool)
    edge[:, 1:, 1:-1, 1:-1] = False  # the neck leaves the volume below
    assert (drawn.labels[:, 1:][edge[:, 1:]] == 0).float().mean() > 0.97
    assert (drawn.ventricle[:, :, :, [0, -1]] == 0).all()
    means = {name: drawn.images[:, 0][drawn.labels == i].mean().item() for name, i in code.items()}
    assert means["air"] < means["ventricle"] < means["gray"] < means["white"]
    assert means["skull"] < means["gray"]
    dark = drawn.images[:, 0][drawn.ventricle > 0.99].mean()
    bright = drawn.images[:, 0][(drawn.labels == code["white"])].mean()
    assert bright > 3 * dark


def test_left_and_right_differ_in_a_head_but_not_on_average():
    n = 40
    drawn = head.draw_heads(np.full(n, 40.0), np.full(n, 7.0), seeds=[(2, i) for i in range(n)])
    left, right = drawn.ventricle[..., :16].sum((1, 2, 3)), drawn.ventricle[..., 16:].sum((1, 2, 3))
    asymmetry = ((left - right) / (left + right)).numpy()
    assert asymmetry.std() > 0.05
    assert abs(asymmetry.mean()) < 3 * asymmetry.std() / np.sqrt(n)


def test_a_head_apart_from_its_volumes_is_its_seed():
    seeds = [(3, i) for i in range(7)]
    small = head.draw_heads(np.full(7, 20.0), np.full(7, 6.0), seeds=seeds)
    large = head.draw_heads(np.full(7, 60.0), np.full(7, 6.0), seeds=seeds)
    same = (large.ventricle == 0) & (small.ventricle == 0) & (large.hippocampus == small.hippocampus)
    torch.testing.assert_close(small.images[:, 0][same], large.images[:, 0][same])
    assert not torch.equal(small.images, large.images)
    images = head.draw_images(np.full(7, 20.0), np.full(7, 6.0), seeds=seeds)
    assert torch.equal(images, small.images)
    alone = head.draw_images(np.array([20.0]), np.array([6.0]), seeds=seeds[4:5])
    torch.testing.assert_close(alone[0], images[4], atol=2e-4, rtol=0)  # float32 sums
    other = head.draw_images(np.array([20.0]), np.array([6.0]), seeds=[(4, 4)])
    assert (other[0] - images[4]).abs().mean() > 0.02


@pytest.mark.parametrize("shape", [(16, 16, 16), (24, 33, 21), (40, 48, 32)])
def test_other_shapes(shape):
    drawn = head.draw_heads(np.array([30.0]), np.array([6.0]), seeds=[(0,)], shape=shape)
    assert drawn.images.shape == (1, 1, *shape)
    assert torch.isfinite(drawn.images).all()
    volume = drawn.ventricle.double().sum() * head.spacing_mm(shape) ** 3 / 1000
    assert volume == pytest.approx(30, rel=1e-3)
    assert head.draw_images(np.zeros(0), np.zeros(0), seeds=[], shape=shape).shape == (0, 1, *shape)


@pytest.fixture(scope="module")
def ages() -> phantom.PhantomWorld:
    return phantom.make("age", n=150, n_test=60, seed=1)


def test_ventricles_follow_age_and_sex(ages):
    truth = phantom.make("age", n=1500, n_test=1, shape=(16, 16, 16), seed=2).train_truth
    for sex, slope in {"F": 0.35, "M": 1.0}.items():
        own = truth[truth["sex"] == sex]
        fit = np.polyfit(own["age"] - 20, own["ventricle_ml"], 1)
        np.testing.assert_allclose(fit, [slope, 12], atol=0.25)
        assert np.std(own["ventricle_ml"] - np.polyval(fit, own["age"] - 20)) == pytest.approx(1.5, rel=0.1)
    assert abs(np.corrcoef(truth["age"], truth["hippocampus_ml"])[0, 1]) < 0.08
    np.testing.assert_array_equal(ages.train.targets, ages.train_truth["age"])
    measured = ages.heads("test", [3, 7]).ventricle.double().sum((1, 2, 3)) * 5.5**3 / 1000
    np.testing.assert_allclose(measured, ages.test_truth["ventricle_ml"].iloc[[3, 7]], rtol=1e-4)
    torch.testing.assert_close(ages.heads("test", [3]).images[0], ages.test.images[3], atol=2e-4, rtol=0)


def test_the_best_possible_errors_by_simulation():
    rng = np.random.default_rng(0)
    n = 20_000
    age, sex = rng.uniform(20, 90, size=n), rng.choice(["F", "M"], size=n)
    volume = 12 + np.where(sex == "F", 0.35, 1.0) * (age - 20) + 1.5 * rng.normal(size=n)
    guess = {
        "both": phantom.bayes_age(volume[:4000], list(sex[:4000])),
        "image": phantom.bayes_age(volume[:4000]),
    }
    for given, predicted in guess.items():
        assert np.abs(predicted - age[:4000]).mean() == pytest.approx(phantom.bayes_mae(given), rel=0.05)
    assert np.abs(55 - age).mean() == pytest.approx(phantom.bayes_mae("table"), rel=0.03)
    assert phantom.bayes_mae("both") < phantom.bayes_mae("image") < phantom.bayes_mae("nothing") == 17.5


def test_the_median_of_a_truncated_normal_in_closed_form():
    for volume, sex, slope in ((20.0, "F", 0.35), (12.0, "M", 1.0), (81.0, "M", 1.0)):
        center, spread = 20 + (volume - 12) / slope, 1.5 / slope
        low, high = norm.cdf([20, 90], center, spread)
        expected = norm.ppf((low + high) / 2, center, spread)
        assert phantom.bayes_age(np.array([volume]), [sex])[0] == pytest.approx(expected, abs=0.11)


def test_sex_and_age_hide_where_they_should(ages):
    coarse = (
        torch.nn.functional.avg_pool3d(torch.cat([ages.train.images, ages.test.images]), 4).flatten(1).numpy()
    )
    sex = np.concatenate([t["sex"] == "M" for t in (ages.train_truth, ages.test_truth)])
    age = np.concatenate([ages.train.targets, ages.test.targets])
    # Ventricles grow faster in men: take their effect out before looking for any other sign of sex.
    volume = np.concatenate([t["ventricle_ml"] for t in (ages.train_truth, ages.test_truth)])
    basis = np.stack([np.ones_like(volume), volume, volume**2], axis=1)
    coarse = coarse - basis @ np.linalg.lstsq(basis, coarse, rcond=None)[0]
    rest = sex - basis @ np.linalg.lstsq(basis, sex.astype(float), rcond=None)[0]
    predicted = Ridge(alpha=10).fit(coarse[:150], rest[:150]).predict(coarse[150:])
    assert np.corrcoef(predicted, rest[150:])[0, 1] < 0.3
    table = TablePreprocessor(infer_columns(ages.train.features), max_iter=5).fit(ages.train.features)
    fitted = Ridge().fit(table.transform(ages.train.features), age[:150])
    error = np.abs(fitted.predict(table.transform(ages.test.features)) - age[150:]).mean()
    assert error > 0.85 * phantom.bayes_mae("table")


@pytest.fixture(scope="module")
def clinic() -> phantom.PhantomWorld:
    return phantom.make("diagnosis", n=1500, n_test=700, shape=(16, 16, 16), seed=3)


def test_missing_values_of_the_clinic(clinic):
    frame = clinic.train.frame
    for column, share in {"APOE4": 0.087, "ABETA": 0.515, "TAU": 0.515, "FDG": 0.38, "AV45": 0.53}.items():
        assert frame[column].isna().sum() == round(share * 1500) or frame[column].isna().sum() == int(
            share * 1500
        )
    assert (frame["TAU"].isna() == frame["ABETA"].isna()).all()
    assert (frame["TAU"].isna() == frame["PTAU"].isna()).all()
    severity = clinic.train_truth["severity"]
    assert severity[frame["TAU"].isna()].mean() > severity[frame["TAU"].notna()].mean() + 0.3
    assert not frame[["AGE", "PTGENDER", "PTEDUCAT", "Group"]].isna().any(axis=None)
    other = phantom.make("diagnosis", n=400, n_test=1, shape=(16, 16, 16), missing=0.25, mechanism="mcar")
    assert (other.train.frame[["APOE4", "ABETA", "FDG", "AV45"]].isna().sum() == 100).all()
    gone = other.train_truth["severity"][other.train.frame["FDG"].isna()].mean()
    assert abs(gone - other.train_truth["severity"].mean()) < 0.25
    assert not phantom.make("age", n=50, n_test=1, shape=(16, 16, 16)).train.frame.isna().any(axis=None)


def test_columns_are_read_as_a_clinic_means_them(clinic):
    kinds = infer_columns(clinic.train.features)
    assert kinds.pop("PTGENDER") == "categorical"
    assert set(kinds.values()) == {"continuous"}
    assert (clinic.train.frame["ABETA"].astype(str) == ">1700").any()
    prepared = TablePreprocessor(max_iter=5).fit(clinic.train.features)
    assert len(prepared.names) == 8 + 2 + 6
    assert np.isfinite(prepared.transform(clinic.test.features)).all()


def test_diagnosis_needs_the_image_and_the_table_together(clinic):
    train_y, test_y = clinic.train.targets, clinic.test.targets
    assert set(train_y) == set(phantom.CLASSES)
    table = TablePreprocessor(max_iter=5).fit(clinic.train.features)
    rows = [table.transform(part.features) for part in (clinic.train, clinic.test)]
    image = [
        t[["ventricle_ml", "hippocampus_ml"]].to_numpy() for t in (clinic.train_truth, clinic.test_truth)
    ]

    def excess(truth: pd.DataFrame) -> np.ndarray:
        slope = np.where(truth["sex"] == "F", 0.35, 1.0)
        return (truth["ventricle_ml"] - slope * (truth["age"] - 20)).to_numpy()[:, None]

    added = [np.hstack(pair) for pair in zip(rows, image)]
    combined = [
        np.hstack([both, excess(t)]) for both, t in zip(added, (clinic.train_truth, clinic.test_truth))
    ]
    accuracy = {}
    for name, (train, test) in {"table": rows, "image": image, "sum": added, "interaction": combined}.items():
        mean, spread = train.mean(0), train.std(0) + 1e-9
        model = LogisticRegression(max_iter=2000).fit((train - mean) / spread, train_y)
        accuracy[name] = model.score((test - mean) / spread, test_y)
    assert accuracy["table"] > 0.5
    assert accuracy["sum"] > max(accuracy["table"], accuracy["image"]) + 0.03
    assert accuracy["interaction"] > accuracy["sum"] + 0.01


def test_seeds():
    one, same, other = (phantom.make("diagnosis", n=6, n_test=3, seed=s) for s in (5, 5, 6))
    assert one.train.fingerprint() == same.train.fingerprint()
    assert one.test.fingerprint() == same.test.fingerprint()
    assert one.train.fingerprint() != other.train.fingerprint()
    assert not torch.equal(one.train.images[:3], one.test.images)
    assert phantom.make("age", n=2, n_test=1, dtype=torch.float16).train.images.dtype == torch.float16


def test_impossible_wishes():
    with pytest.raises(InputError, match="unknown task"):
        phantom.make("stroke")
    with pytest.raises(InputError, match="n_test: a part without people"):
        phantom.make(n_test=0)
    with pytest.raises(InputError, match="does not fit"):
        phantom.make(shape=(8, 8, 8))
    with pytest.raises(InputError, match="ventricle_ml"):
        head.draw_images(np.array([500.0]), np.array([6.0]), seeds=[(0,)])
    with pytest.raises(InputError, match="differ in number"):
        head.draw_images(np.array([50.0]), np.array([6.0]), seeds=[])
    with pytest.raises(InputError, match="unknown inputs"):
        phantom.bayes_mae("sex")

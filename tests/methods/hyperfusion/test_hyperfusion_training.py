"""Preparation of images and targets, losses, ensembles: against transcriptions."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from visus.data.image_table import ImageTable
from visus.engine import Run
from visus.errors import InputError
from visus.methods.hyperfusion.config import HyperFusionConfig
from visus.methods.hyperfusion.estimator import HyperFusion, combine
from visus.methods.hyperfusion.estimator.targets import Targets
from visus.methods.hyperfusion.training import (
    Items,
    class_weights,
    halves,
    item_losses,
    normalize,
    read_through,
)


def test_normalization_over_nonzero_pixels():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 1, 4, 5, generator=generator).double() * (torch.rand(3, 1, 4, 5) < 0.6)
    image[2] = 0
    found = normalize(image, "nonzero")
    for i in range(2):
        inside = image[i][image[i] != 0]
        wanted = (inside - inside.mean()) / inside.std(correction=0)
        torch.testing.assert_close(found[i][image[i] != 0], wanted)
        assert not found[i][image[i] == 0].any()
    assert not found[2].any()
    whole = normalize(image[:2], "image")
    torch.testing.assert_close(whole.flatten(1).mean(1), torch.zeros(2).double())
    torch.testing.assert_close(whole.flatten(1).std(1, correction=0), torch.ones(2).double())
    assert normalize(image, "none") is image
    assert not normalize(torch.full((1, 1, 3, 3), 7.0), "image").any()


@pytest.mark.parametrize(("axis", "size"), [(0, 6), (1, 7), (2, 4)])
def test_halves_are_the_far_side_and_the_mirrored_near_side(axis, size):
    shape = [2, 1, 4, 4, 4]
    shape[axis + 2] = size
    image = torch.randn(shape)
    far, near = halves(image, axis)
    place, half = axis + 2, size // 2
    assert torch.equal(far, image.index_select(place, torch.arange(size - half, size)))
    assert torch.equal(near, image.index_select(place, torch.arange(half - 1, -1, -1)))
    for one, other in zip(halves(image.flip(place), axis), (near, far)):
        assert torch.equal(one, other)
    with pytest.raises(InputError, match="spatial axis"):
        halves(image, 3)


def test_weighted_cross_entropy_equals_the_slow_sum():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(7, 3, generator=generator).double()
    target, weights = torch.tensor([0, 1, 2, 2, 0, 1, 1]), torch.tensor([1.1, 0.6962, 1.4]).double()
    losses, weight = item_losses(output, target, weights=weights, regression=False)
    total, norm = 0.0, 0.0
    for row, label in zip(output.numpy(), target.tolist()):
        total += weights[label].item() * (np.log(np.exp(row).sum()) - row[label])
        norm += weights[label].item()
    assert float((losses * weight).sum() / weight.sum()) == pytest.approx(total / norm, rel=1e-12)
    assert float((losses * weight).sum() / weight.sum()) == pytest.approx(
        float(torch.nn.functional.cross_entropy(output, target, weights)), rel=1e-12
    )
    numbers, none = item_losses(output[:, :1], torch.ones(7), weights=None, regression=True)
    assert none is None
    torch.testing.assert_close(numbers, (output[:, 0] - 1).square())


def test_class_weights():
    target = np.array([0, 0, 0, 1])
    assert class_weights("none", target, ("a", "b")) is None
    assert class_weights("balanced", target, ("a", "b")).tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights({"b": 3, "a": 1}, target, ("a", "b")).tolist() == [1.0, 3.0]
    with pytest.raises(InputError, match="no weight"):
        class_weights({"a": 1}, target, ("a", "b"))


# ---- targets


def test_targets_of_every_kind():
    config = HyperFusionConfig()
    classes = Targets.learn(["MCI", "CN", "AD"], [0], config)
    assert classes.classes == ("AD", "CN", "MCI")
    ordered = Targets.learn(["MCI", "CN"], [0], HyperFusionConfig(classes=("CN", "MCI", "AD")))
    assert ordered.encode(["AD", "CN", "MCI"]).tolist() == [2, 0, 1]
    assert Targets.learn([0, 10, 9], [0], config).classes == ("0", "9", "10")
    assert Targets.learn([0.0, 1.0], [0], config).encode([1, "0"]).tolist() == [1, 0]
    assert Targets.learn([False, True], [0], config).classes == ("False", "True")
    numbers = Targets.learn([1.5, 2.5, 9.0], [0, 1], config)
    assert numbers.regression
    assert (numbers.mean, numbers.scale) == (2.0, 0.5), "the scale is that of the training rows"
    decoded = numbers.decode(torch.from_numpy(numbers.encode([1.5, 9.0]))[:, None])
    assert decoded.tolist() == [1.5, 9.0]
    assert Targets.learn(list(range(30)), range(30), config).regression
    assert Targets.from_state(ordered.to_state()) == ordered


@pytest.mark.parametrize(
    ("values", "config", "words"),
    [
        (["a", "a"], {}, "same class"),
        (["a", "b"], {"classes": ("a", "c")}, "not among the classes"),
        (["a", "b"], {"task": "regression"}, "not a number"),
        ([1.0, float("inf")], {"task": "regression"}, "not a number"),
    ],
)
def test_unusable_targets_are_refused_in_words(values, config, words):
    with pytest.raises(InputError, match=words):
        Targets.learn(values, [0, 1], HyperFusionConfig(**config))
    with pytest.raises(InputError, match="not a class"):
        Targets(classes=("a", "b")).encode(["c"])


# ---- ensembles


def members(m=4, n=6, k=3):
    return torch.randn(m, n, k, generator=torch.Generator().manual_seed(0)).double().softmax(2)


def test_entropy_weighted_ensemble_equals_the_slow_sum():
    given = members()
    found = combine(given, "entropy")
    for item in range(6):
        inverse = [1 / -sum(p * np.log(p) for p in row) for row in given[:, item].tolist()]
        wanted = [
            sum(w * row[c] for w, row in zip(inverse, given[:, item].tolist())) / sum(inverse)
            for c in range(3)
        ]
        assert found[item].tolist() == pytest.approx(wanted, rel=1e-10)
    torch.testing.assert_close(found.sum(1), torch.ones(6).double())


def test_an_unsure_member_counts_least_and_equal_members_count_as_one():
    uniform = torch.full((1, 1, 3), 1 / 3).double()
    sure = torch.tensor([[[0.9, 0.05, 0.05]]]).double()
    middle = torch.tensor([[[0.1, 0.6, 0.3]]]).double()
    together = combine(torch.cat([uniform, sure, middle]))
    # solve for the weights: three equations, three members
    weight = np.linalg.solve(torch.cat([uniform, sure, middle])[:, 0].numpy().T, together[0].numpy())
    assert weight.argmin() == 0
    assert weight.argmax() == 1
    assert weight.sum() == pytest.approx(1)
    for mode in ("entropy", "mean", "confident"):
        torch.testing.assert_close(combine(sure.repeat(5, 1, 1), mode), sure[0])


def test_other_modes():
    given = members()
    torch.testing.assert_close(combine(given, "mean"), given.mean(0))
    votes = combine(given, "entropy_vote")
    torch.testing.assert_close(votes.sum(1), torch.ones(6).double())
    surest = combine(given, "confident")
    for item in range(6):
        top = given[:, item].max(1).values.argmax()
        torch.testing.assert_close(surest[item], given[top, item])
    certain = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    assert torch.isfinite(combine(certain)).all(), "a member without doubt does not divide by zero"
    assert combine(certain)[0, 0] > 0.99
    with pytest.raises(InputError, match="unknown"):
        combine(given, "median")


# ---- reading


def test_pictures_of_several_sizes_need_an_image_size_and_then_train(tmp_path):
    for i in range(12):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).random((8 + i % 3, 9)).astype(np.float32))
    frame = pd.DataFrame({"a": np.arange(12.0), "y": ["u", "v"] * 6})
    table = ImageTable(frame, images=[tmp_path / f"{i}.npy" for i in range(12)], target="y")
    config = dataclasses.replace(HyperFusion.preset("smoke"), epochs=1, batch_size=6)
    with pytest.raises(InputError, match="image_size"):
        HyperFusion(config).fit(table, Run(tmp_path / "bad", progress=False))
    assert not list((tmp_path / "bad").iterdir()), "a folder is bound only to data that can be used"
    sized = HyperFusion(dataclasses.replace(config, image_size=(7, 5)))
    found = sized.fit(table, Run(tmp_path / "good", progress=False)).predict(table)
    assert found["probabilities"].shape == (12, 2)
    assert sized.sizes_.space == (7, 5)


def test_another_shape_is_found_before_training_wherever_it_is():
    class Late:
        def __len__(self):
            return 200

        def batch(self, indices):
            return {"image": torch.zeros(len(indices), 1, 8, 8 if indices[0] < 128 else 9)}

    with pytest.raises(InputError, match="after item 128"):
        read_through(Items(Late(), np.zeros((200, 1))))

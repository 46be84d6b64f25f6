"""What the claims are made of: objects and splits, features, small networks, the observer."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from visus.engine import Run
from visus.methods.alignment.claims import objective
from visus.methods.alignment.claims.arms import SMOKE
from visus.methods.alignment.claims.contest import ceiling_scores, embedding, fitted, splits
from visus.methods.alignment.claims.data import Objects, bag_of_characters, turned
from visus.methods.alignment.claims.networks import SmallNet, augmented, nt_xent
from visus.metrics.odd_one_out import noise_ceiling

RUN = {"device": "cpu", "progress": False}
SMALL = dataclasses.replace(SMOKE, triplets=1500, scenes=24, unseen=12, steps=2, scene_batch=8, judged=300)


def some_objects(count: int = 60, seed: int = 0) -> Objects:
    draw = torch.Generator().manual_seed(seed)
    reference = torch.rand(count, 5, generator=draw)
    features = reference @ torch.randn(5, 8, generator=draw)
    return Objects(features, features, reference)


# ---- splits and arms --------------------------------------------------------------------------------------


def test_every_half_is_unseen_once():
    found = list(splits(31, 2, seed=1))
    assert len(found) == 4
    for training, unseen in found:
        assert not (training & unseen).any()
        assert (training | unseen).all()
    assert np.array_equal(found[0][0], found[1][1])
    assert not np.array_equal(found[0][0], found[2][0])


@pytest.mark.parametrize("arm", ["probe", "glocal", "ridge", "shuffled"])
def test_what_is_learned_knows_nothing_of_unseen_objects(arm):
    objects, (training, unseen) = some_objects(), next(splits(60, 1, seed=2))
    rows = torch.from_numpy(unseen)
    other = dataclasses.replace(
        objects,
        features=objects.features.clone(),
        reference=torch.where(rows[:, None], objects.reference.flip(1), objects.reference),
    )
    other.features[rows] = 7.0
    other = dataclasses.replace(other, turned=other.features)
    maps = [fitted(arm, given, SMALL, training, Run(seed=3, **RUN)).transform_ for given in (objects, other)]
    assert torch.equal(maps[0].weights, maps[1].weights)


def test_shuffled_rows_are_the_training_objects_own():
    objects, (training, _) = some_objects(), next(splits(60, 1, seed=2))
    with_noise, honest = (
        fitted(arm, objects, SMALL, training, Run(seed=3, **RUN)) for arm in ("shuffled", "ridge")
    )
    error = {
        name: float((model.transform(objects.features) - objects.reference).square().mean())
        for name, model in (("shuffled", with_noise), ("ridge", honest))
    }
    assert error["ridge"] < 0.1 * error["shuffled"]


def test_fixed_arms_see_what_they_are_called_by():
    objects, (training, _) = some_objects(), next(splits(60, 1, seed=2))
    objects = dataclasses.replace(objects, others={"noise": torch.ones(60, 2)})
    run = Run(**RUN)
    assert embedding("zero_shot", objects, SMALL, training, run) == (objects.features, "cosine")
    assert embedding("zero_dot", objects, SMALL, training, run) == (objects.features, "dot")
    assert embedding("vice", objects, SMALL, training, run) == (objects.reference, "dot")
    assert embedding("noise", objects, SMALL, training, run)[0] is objects.others["noise"]
    middle, kind = embedding("centered", objects, SMALL, training, run)
    assert kind == "cosine"
    torch.testing.assert_close(middle[torch.from_numpy(training)].mean(0), torch.zeros(8), atol=1e-6, rtol=0)


def test_the_ceiling_is_the_share_of_the_most_frequent_answer():
    objects = some_objects()
    trials = np.array([[0, 1, 2]] * 3 + [[0, 2, 1]] * 2 + [[3, 4, 5]] * 5)
    found = ceiling_scores(objects, trials, trials)
    assert found["accuracy_human"] == pytest.approx(0.8) == noise_ceiling(trials).ceiling
    assert 1 / 3 < found["accuracy_vice"] < 1
    assert set(ceiling_scores(objects, trials, None)) == {"accuracy_vice"}


# ---- features ---------------------------------------------------------------------------------------------


def test_turning_keeps_inner_products():
    x, y = torch.randn(6, 30) + 2, torch.randn(4, 30) + 2
    one, other = turned(x, y)
    assert one.shape == (6, 10)
    level = x.mean()
    torch.testing.assert_close(one @ other.T, (x - level) @ (y - level).T, atol=1e-4, rtol=1e-4)


def test_a_bag_of_characters_forgets_their_order():
    same, other, different = bag_of_characters(["listen", "silent", "loud"], 16, seed=0)
    torch.testing.assert_close(same, other)
    assert not torch.allclose(same, different)


# ---- networks ---------------------------------------------------------------------------------------------


def test_nt_xent_is_its_loop():
    z = torch.randn(8, 3, dtype=torch.float64)
    unit = z / z.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(8):
        partner = (i + 4) % 8
        weights = [math.exp(float(unit[i] @ unit[j]) / 0.3) for j in range(8) if j != i]
        total -= math.log(math.exp(float(unit[i] @ unit[partner]) / 0.3) / sum(weights)) / 8
    assert float(nt_xent(z, temperature=0.3)) == pytest.approx(total, abs=1e-12)


def test_views_differ_follow_the_seed_and_stay_pictures():
    pictures = torch.rand(5, 3, 16, 16)
    one, again, other = (augmented(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == pictures.shape
    assert one.min() >= 0
    assert one.max() <= 1


def test_twice_the_width_is_four_times_the_parameters():
    counts = [sum(p.numel() for p in SmallNet(width, ()).layers[3:].parameters()) for width in (8, 16)]
    assert counts[1] / counts[0] == pytest.approx(4, rel=0.02)


# ---- observer and lessons ---------------------------------------------------------------------------------


def test_the_observer_sums_the_weights_of_what_is_shared():
    labels = torch.tensor([[0, 1, 2, 0], [0, 1, 0, 1], [3, 1, 2, 0]])
    alike = objective.observer(labels) @ objective.observer(labels).T
    weights = objective.WEIGHTS
    assert alike[0, 1] == pytest.approx(weights["shape"] + weights["color"])
    assert alike[0, 2] == pytest.approx(weights["color"] + weights["size"] + weights["material"])
    assert alike[0, 0] == pytest.approx(sum(weights.values()))


def test_scenes_are_rendered_once_and_the_object_is_in_the_middle(tmp_path, monkeypatch):
    pictures, labels = objective.scenes("test", SMALL, tmp_path)
    assert pictures.shape == (SMALL.unseen, 3, objective.PIXELS, objective.PIXELS)
    assert labels.shape == (SMALL.unseen, len(objective.KINDS))
    monkeypatch.setattr(objective.SceneImages, "batch", None)
    again, _ = objective.scenes("test", SMALL, tmp_path)
    assert torch.equal(pictures, again)
    whole = torch.zeros(1, 3, 64, 64)
    whole[0, :, 30, 50] = 1
    cut = objective.around(whole, torch.tensor([[30 / 64, 50 / 64, 31 / 64, 51 / 64]]))
    assert cut[0, 0].nonzero().tolist() == [[16, 18]]


ARMS = ("supervised_narrow", "supervised_wide", "simclr_narrow", "random_wide", "supervised_other")


def test_every_kind_of_network_is_trained_and_judged(tmp_path):
    found = {}
    for arm in ARMS:
        run = Run(tmp_path / arm, seed=1, **RUN)
        run.cache = tmp_path / "cache"
        found[arm] = objective.measured(arm, SMALL, run)["accuracy"]
        assert 0 <= found[arm] <= 1
    heads = {
        arm: len(objective.lessons(arm.split("_")[0], arm.split("_")[1], SMALL, tmp_path / "cache")[1])
        for arm in ARMS
    }
    assert heads == dict(zip(ARMS, (2, 2, 1, 2, 1)))

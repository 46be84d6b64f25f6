"""Texts to the pictures' space: kernel ridge against a slow solution, and nothing of unseen classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visus.data.loader import sample_order
from visus.errors import InputError
from visus.methods.vgloss.model.bridge import FOLDS, RIDGES, TextBridge, prototypes_of


def world(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    texts = rng.normal(size=(count, 8)) + 1.0
    mapped = texts @ rng.normal(size=(8, 7)) + 0.3 * rng.normal(size=(count, 7))
    return torch.from_numpy(texts).float(), torch.from_numpy(mapped).float()


def unit(rows: np.ndarray) -> np.ndarray:
    return np.array([row / math.sqrt(float(row @ row)) for row in rows])


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
def test_is_kernel_ridge_regression(kernel):
    texts, prototypes = world()
    bridge = TextBridge(kernel=kernel, ridge=0.4).fit(texts[:50], prototypes[:50])
    plain, target = unit(texts.double().numpy()), unit(prototypes[:50].double().numpy())
    center, middle = plain[:50].mean(0), target.mean(0)
    rows = unit(plain - center)
    far = [[float(((a - b) ** 2).sum()) for b in rows[:50]] for a in rows]
    spread = sorted(far[i][j] for i in range(50) for j in range(i))[(50 * 49 // 2 - 1) // 2]
    matrix = np.array(
        [
            [
                float(a @ b) if kernel == "linear" else math.exp(-far[i][j] / spread)
                for j, b in enumerate(rows[:50])
            ]
            for i, a in enumerate(rows)
        ]
    )
    dual = np.linalg.inv(matrix[:50] + 0.4 * np.eye(50)) @ (target - middle)
    slow = unit(matrix[50:] @ dual + middle)
    np.testing.assert_allclose(bridge(texts[50:]).numpy(), slow, rtol=0, atol=2e-5)


def test_finds_unseen_classes_where_texts_and_pictures_agree():
    texts, prototypes = world(200)
    bridge = TextBridge().fit(texts[:150], prototypes[:150])
    cosines = bridge(texts[150:]) @ torch.nn.functional.normalize(prototypes[150:], dim=1).T
    assert (cosines.argmax(1) == torch.arange(50)).float().mean() > 0.4  # chance 0.02
    mixed = TextBridge().fit(texts[:150], prototypes[:150].flip(0))
    cosines = mixed(texts[150:]) @ torch.nn.functional.normalize(prototypes[150:], dim=1).T
    assert (cosines.argmax(1) == torch.arange(50)).float().mean() < 0.2


def test_the_ridge_is_chosen_by_held_out_seen_classes():
    texts, prototypes = world(80)
    bridge = TextBridge(kernel="linear").fit(texts, prototypes, seed=3)
    assert bridge.ridge in RIDGES
    target, ranks = torch.nn.functional.normalize(prototypes, dim=1), {}
    for ridge in RIDGES:
        ranks[ridge] = []
        for held in sample_order(80, seed=3, epoch=0).chunk(FOLDS):
            rest = [i for i in range(80) if i not in set(held.tolist())]
            rows = TextBridge(kernel="linear", ridge=ridge).fit(texts[rest], prototypes[rest])(texts[held])
            for i, own in enumerate(held.tolist()):
                cosines = [float(target[own] @ row) for row in rows]
                ranks[ridge].append(1 / sum(value >= cosines[i] for value in cosines))
    best = max(ranks.values(), key=np.mean)
    least = np.mean(best) - np.std(best, ddof=1) / np.sqrt(80)
    assert bridge.ridge == min(ridge for ridge in RIDGES if np.mean(ranks[ridge]) >= least)
    assert len({np.mean(each) for each in ranks.values()}) > 1


def test_pays_no_attention_to_lengths():
    texts, prototypes = world()
    plain = TextBridge(ridge=1.0).fit(texts, prototypes)(texts)
    longer = TextBridge(ridge=1.0).fit(7 * texts, prototypes * 0.1)(2 * texts)
    torch.testing.assert_close(plain, longer, rtol=0, atol=1e-5)


def test_its_state_can_be_loaded():
    texts, prototypes = world()
    bridge = TextBridge().fit(texts, prototypes)
    other = TextBridge.from_plain(bridge.to_plain())
    other.load_state_dict(bridge.state_dict())
    assert torch.equal(bridge(texts), other(texts))
    assert other.ridge == bridge.ridge


def test_prototypes_are_means_of_unit_rows():
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 0.0]])
    assert torch.equal(prototypes_of(features, [1, 1, 0], 2), torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    with pytest.raises(InputError, match="class 2 has no pictures"):
        prototypes_of(features, [1, 1, 0], 3)


@pytest.mark.parametrize(("count", "says"), [(5, "ten|10 or more"), (12, "zero or not finite")])
def test_refusals(count, says):
    texts, prototypes = world(count)
    prototypes[0] = 0
    with pytest.raises(InputError, match=says):
        TextBridge().fit(texts, prototypes)
    with pytest.raises(InputError, match="linear or gaussian"):
        TextBridge(kernel="cubic")  # pyright: ignore[reportArgumentType]

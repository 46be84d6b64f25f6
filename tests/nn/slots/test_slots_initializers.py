"""How slots start."""

from __future__ import annotations

import pytest
import torch

from visus.errors import InputError
from visus.nn.slots import BoxSlots, GaussianSlots, LearnedSlots, MaskSlots, PointSlots


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_comes_from_the_generator_alone():
    start = GaussianSlots(5, 8)
    one, same = start(3, generator=seeded(1)), start(3, generator=seeded(1))
    other = start(3, generator=seeded(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    start(3, generator=seeded(1))
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_gaussian_moments_are_the_learned_ones():
    start = GaussianSlots(50, 3)
    start.mean.copy_(torch.tensor([1.0, -2.0, 0.0]))
    start.log_sigma.copy_(torch.tensor([0.0, 0.5, -1.0]))
    drawn = start(2000, generator=seeded(0)).flatten(0, 1)
    torch.testing.assert_close(drawn.mean(0), start.mean.flatten(), rtol=0, atol=0.02)
    torch.testing.assert_close(drawn.std(0), start.log_sigma.exp().flatten(), rtol=0.02, atol=0)


def test_shared_noise_makes_items_independent_of_their_batch():
    start = GaussianSlots(4, 6)
    many, one = start(5, generator=seeded(3), shared=True), start(1, generator=seeded(3), shared=True)
    assert torch.equal(many, one.expand(5, -1, -1))
    unlike = start(5, generator=seeded(3))
    assert not torch.equal(unlike[0], unlike[1])


def test_number_of_slots_may_change():
    assert GaussianSlots(4, 6)(2, count=9).shape == (2, 9, 6)
    with pytest.raises(InputError, match="count"):
        GaussianSlots(4, 6)(2, count=0)
    with pytest.raises(InputError, match="count"):
        LearnedSlots(0, 6)


def test_gaussian_gradients_reach_both_vectors():
    start = GaussianSlots(4, 6)
    start(2, generator=seeded(0)).square().sum().backward()
    assert start.mean.grad.abs().min() > 0
    assert start.log_sigma.grad.abs().min() > 0


def test_learned_slots_differ_from_each_other_and_not_between_items():
    slots = LearnedSlots(3, 6)(2)
    assert torch.equal(slots[0], slots[1])
    assert not torch.allclose(slots[0, 0], slots[0, 1])


def test_boxes_start_with_the_background_and_absent_boxes_are_background_too():
    start = BoxSlots(8)
    with torch.no_grad():
        for parameter in start.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.5, 0.6]]])
    slots = start(boxes)
    assert slots.shape == (1, 4, 8)
    torch.testing.assert_close(slots[:, 0], start.mlp(torch.zeros(1, 4)))
    torch.testing.assert_close(slots[:, 2], slots[:, 0])
    torch.testing.assert_close(slots[:, 1], slots[:, 3])
    torch.testing.assert_close(slots[:, 1], start.mlp(boxes[:, 0]))
    assert not torch.allclose(slots[:, 1], slots[:, 0])


def test_points_outside_are_absent():
    slots = PointSlots(8)(torch.tensor([[[0.0, 0.0], [-1.0, 0.4], [-1.0, -1.0]]]))
    torch.testing.assert_close(slots[:, 2], slots[:, 0])
    torch.testing.assert_close(slots[:, 3], slots[:, 0])
    assert not torch.allclose(slots[:, 1], slots[:, 0])


@pytest.fixture
def masks() -> torch.Tensor:
    ids = torch.zeros(1, 32, 48, dtype=torch.uint8)
    ids[:, 2:10, 4:12] = 1
    ids[:, 20:28, 30:38] = 2
    return ids


def test_masks_follow_their_ids(masks):
    start = MaskSlots(8)
    slots = start(masks, 3)
    assert slots.shape == (1, 4, 8)
    exchanged = torch.zeros_like(masks)
    exchanged[masks == 1], exchanged[masks == 2] = 2, 1
    torch.testing.assert_close(start(exchanged, 3), slots[:, [0, 2, 1, 3]])


def test_equal_masks_at_other_places_start_other_slots(masks):
    slots = MaskSlots(8)(masks, 2)
    assert (slots[0, 1] - slots[0, 2]).abs().max() > 1e-3


def test_ids_above_the_count_belong_to_no_slot(masks):
    start = MaskSlots(8)
    slots = start(masks, 1)
    assert slots.shape == (1, 2, 8)
    torch.testing.assert_close(slots, start(masks, 2)[:, :2])

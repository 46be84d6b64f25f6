"""What aligners are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from alignment_samples import planted

from visus.methods.alignment import baselines
from visus.metrics.odd_one_out import choices, pair_similarities


def pictures() -> torch.Tensor:
    return torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_chance_is_right_in_a_third_of_all_cases():
    drawn = baselines.chance(30_000, seed=1)
    assert torch.equal(drawn, baselines.chance(30_000, seed=1))
    assert not torch.equal(drawn, baselines.chance(30_000, seed=2))
    for position in range(3):
        assert float((drawn == position).double().mean()) == pytest.approx(1 / 3, abs=0.01)


def test_pixels_are_the_pictures():
    found = baselines.raw_pixels(pictures())
    assert torch.equal(found, pictures().reshape(10, -1))
    small = baselines.raw_pixels(pictures(), size=4)
    assert small.shape == (10, 48)
    assert float(small[0, 0]) == pytest.approx(float(pictures()[0, 0, :4, :4].mean()), rel=1e-6)


def test_an_untrained_network_follows_its_seed_and_keeps_the_scale():
    found = baselines.random_network(pictures(), seed=0)
    assert found.shape == (10, 128)
    assert torch.equal(found, baselines.random_network(pictures(), seed=0, batch_size=10))
    torch.testing.assert_close(found, baselines.random_network(pictures(), seed=0, batch_size=3))
    assert not torch.equal(found, baselines.random_network(pictures(), seed=1))
    before = torch.random.get_rng_state()
    baselines.random_network(pictures(), seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
    assert 0.05 < float(found.mean()) < 5


def test_centering_uses_the_training_objects():
    x = planted().features
    torch.testing.assert_close(baselines.centered(x).mean(0), torch.zeros(16), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        baselines.centered(x, x[:5]).numpy(),
        (x - x[:5].double().mean(0)).float().numpy(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_choices_follow_from_similarities():
    data = planted()
    for kind in ("cosine", "dot"):
        wanted = choices(pair_similarities(data.features, data.triplets, kind=kind))
        assert torch.equal(baselines.zero_shot(data.features, data.triplets, kind=kind), wanted)
    assert data.reference is not None
    human = (baselines.human_model(data.reference, data.triplets) == 2).double().mean()
    plain = (baselines.zero_shot(data.features, data.triplets) == 2).double().mean()
    assert human > plain + 0.2


def test_a_random_rotation_changes_no_choice():
    data = planted()
    turned = baselines.random_rotation(16, seed=0).apply(data.features)
    torch.testing.assert_close(turned @ turned.T, data.features @ data.features.T, rtol=1e-4, atol=1e-4)
    assert (turned - data.features).abs().max() > 1
    for kind in ("cosine", "dot"):
        same = baselines.zero_shot(turned, data.triplets, kind=kind) == baselines.zero_shot(
            data.features, data.triplets, kind=kind
        )
        assert same.double().mean() > 0.999


def test_a_shuffled_reference_holds_the_same_rows_elsewhere():
    reference = torch.arange(20.0).view(10, 2)
    found = baselines.shuffled_reference(reference, seed=0)
    assert not torch.equal(found, reference)
    assert torch.equal(found.sort(0).values, reference)

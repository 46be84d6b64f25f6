"""Decoders against the plain form: every slot painted in full, then mixed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots import Decoded, MLPDecoder, SpatialBroadcastDecoder, broadcast_decoder, linear_grid


def jolt(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module.double()


def paint(decoder: SpatialBroadcastDecoder, slot: Tensor) -> Tensor:
    """(d) -> (c, h, w), one slot at a time, layer by layer."""
    height, width = decoder.grid
    x = slot[:, None, None].expand(-1, height, width)
    where = linear_grid(height, width, dtype=slot.dtype)
    x = x + torch.einsum("cp,phw->chw", decoder.positions.project.weight, where)
    x = (x + decoder.positions.project.bias[:, None, None])[None]
    for layer in decoder.layers:
        x = F.relu(layer(x))
    return x[0]


def mix(features: Tensor, alpha: torch.nn.Linear, readout: torch.nn.Linear) -> tuple[Tensor, Tensor, Tensor]:
    """(k, p, c) features at p places -> output (p, o), logits (k, p), parts (k, p, o)."""
    logits = torch.stack([alpha(each).squeeze(-1) for each in features])
    parts = torch.stack([readout(each) for each in features])
    shares = logits.exp() / logits.exp().sum(0)
    return sum(share[:, None] * part for share, part in zip(shares, parts)), logits, parts


@pytest.mark.parametrize("early_fusion", [True, False])
@torch.no_grad()
def test_broadcast_decoder_is_the_plain_one(early_fusion):
    decoder = SpatialBroadcastDecoder(
        6, 2, grid=(2, 3), channels=(5, 4), strides=(2, 1), early_fusion=early_fusion
    )
    jolt(decoder)
    slots = torch.randn(2, 3, 6).double()
    decoded = decoder(slots)
    for item in range(2):
        painted = torch.stack([paint(decoder, slot).flatten(1).T for slot in slots[item]])
        output, logits, parts = mix(painted, decoder.alpha, decoder.readout)
        torch.testing.assert_close(decoded.output[item].flatten(1).T, output)
        torch.testing.assert_close(decoded.logits[item].flatten(1), logits)
        if not early_fusion:
            torch.testing.assert_close(decoded.parts[item].flatten(2).transpose(1, 2), parts)
    assert (decoded.parts is None) is early_fusion


@torch.no_grad()
def test_mlp_decoder_is_the_plain_one():
    decoder = jolt(MLPDecoder(6, 3, grid=(2, 4), hidden=(7, 5)))
    slots = torch.randn(2, 3, 6).double()
    decoded, whole = decoder(slots), decoder(slots, parts=True)
    places = decoder.positions[0].flatten(1).T
    for item in range(2):
        hidden = []
        for slot in slots[item]:
            x = F.relu(decoder.first(slot + places))
            hidden.append(F.relu(decoder.rest[0](x)))
        output, logits, parts = mix(torch.stack(hidden), decoder.alpha, decoder.readout)
        torch.testing.assert_close(decoded.output[item], output)
        torch.testing.assert_close(decoded.logits[item], logits)
        torch.testing.assert_close(whole.output[item], output)
        torch.testing.assert_close(whole.parts[item], parts)


def test_masks_sum_to_one_over_slots():
    for decoded in (
        broadcast_decoder(6, 3, image=(16, 16), channels=4)(torch.randn(2, 5, 6)),
        MLPDecoder(6, 3, grid=(4, 4), hidden=(8,))(torch.randn(2, 5, 6)),
    ):
        torch.testing.assert_close(decoded.masks.sum(1), torch.ones_like(decoded.masks[:, 0]))
        assert decoded.masks.shape == decoded.logits.shape


@pytest.mark.parametrize(
    ("image", "grid", "strides"),
    [
        ((64, 64), (8, 8), (2, 2, 2, 1)),
        ((128, 128), (8, 8), (2, 2, 2, 2)),
        ((32, 32), (8, 8), (2, 2, 1, 1)),
        ((48, 80), (12, 20), (2, 2, 1, 1)),
        ((7, 9), (7, 9), (1, 1, 1, 1)),
        ((256, 256), (8, 8), (2, 2, 2, 2, 2)),
    ],
)
def test_a_decoder_for_any_picture(image, grid, strides):
    decoder = broadcast_decoder(6, 3, image=image, channels=2)
    assert decoder.grid == grid
    assert tuple(layer.stride[0] for layer in decoder.layers) == strides
    assert decoder.image == image
    assert decoder(torch.randn(1, 2, 6)).output.shape == (1, 3, *image)


def test_savis_decoder_has_savis_parameters():
    decoder = broadcast_decoder(128, 3, image=(64, 64))
    layers = (128 + 3 * 64) * 64 * 25 + 4 * 64
    assert sum(p.numel() for p in decoder.parameters()) == layers + (2 + 1) * 128 + (64 + 1) * (1 + 3)


def test_slots_are_a_set_for_the_decoders():
    slots, order = torch.randn(2, 4, 6), torch.tensor([2, 0, 3, 1])
    for decoder in (
        broadcast_decoder(6, 3, image=(16, 16), channels=4),
        MLPDecoder(6, 3, grid=(4, 4), hidden=(8,)),
    ):
        one, two = decoder(slots), decoder(slots[:, order])
        torch.testing.assert_close(one.output, two.output, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(one.logits[:, order], two.logits)


def test_positions_of_another_grid_are_interpolated():
    decoder = MLPDecoder(6, 3, grid=(4, 4), hidden=(8,))
    assert torch.equal(decoder.embedding((4, 4)), decoder.embedding())
    assert decoder(torch.randn(1, 2, 6), grid=(3, 7)).output.shape == (1, 21, 3)
    with torch.no_grad():
        decoder.positions.copy_(torch.arange(4.0)[:, None].expand(1, 6, 4, 4))
    fine = decoder.embedding((8, 8)).reshape(8, 8, 6)
    torch.testing.assert_close(fine[:, 0, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]))


def test_every_parameter_gets_a_gradient():
    for decoder in (
        broadcast_decoder(6, 3, image=(16, 16), channels=4),
        MLPDecoder(6, 3, grid=(4, 4), hidden=(8, 8)),
    ):
        decoded = decoder(torch.randn(2, 4, 6))
        assert isinstance(decoded, Decoded)
        decoded.output.square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())


def test_settings_that_cannot_be():
    with pytest.raises(InputError, match="strides"):
        SpatialBroadcastDecoder(6, 3, channels=(4,), strides=(2, 1))
    with pytest.raises(InputError, match="hidden"):
        MLPDecoder(6, 3, grid=(2, 2), hidden=())

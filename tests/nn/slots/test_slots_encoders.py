"""Frame encoders: tokens, sizes and parameter counts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots import ConvBackbone, PositionGrid, ResNetBackbone, SlotEncoder, linear_grid, slot_encoder


@torch.no_grad()
def test_small_encoder_step_by_step():
    encoder = slot_encoder("small")
    image = torch.rand(2, 3, 9, 7)
    x = image
    for layer in encoder.backbone.layers:
        x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=2))
    tokens = torch.zeros(2, 63, 32)
    for row in range(9):
        for column in range(7):
            place = torch.tensor([2 * row / 8 - 1, 2 * column / 6 - 1])
            value = x[:, :, row, column] + encoder.positions.project(place)
            value = F.layer_norm(value, (32,), encoder.norm.weight, encoder.norm.bias, 1e-6)
            tokens[:, row * 7 + column] = encoder.mlp[2](F.relu(encoder.mlp[0](value)))
    torch.testing.assert_close(encoder(image), tokens, rtol=1e-4, atol=1e-5)
    assert encoder.grid(64, 64) == (64, 64)
    assert [layer.kernel_size for layer in encoder.backbone.layers] == [(5, 5)] * 4
    assert encoder.features == 32


def test_resnet_has_resnet34s_parameters():
    """21,797,672 of ResNet-34, less its classifier and its 7 x 7 stem, with the 3 x 3 stem."""
    encoder = slot_encoder("plus")
    count = sum(parameter.numel() for parameter in encoder.backbone.parameters())
    assert count == 21_797_672 - 513_000 - 3 * 64 * 49 + 3 * 64 * 9
    assert encoder.grid(128, 128) == (16, 16)
    assert (encoder.backbone.channels, encoder.features, len(encoder.transformer)) == (512, 64, 4)
    assert {module.eps for module in encoder.modules() if isinstance(module, torch.nn.GroupNorm)} == {1e-6}


def test_residual_branches_start_at_zero():
    block = ResNetBackbone(stages=(1,), width=32).blocks[0]
    x = torch.rand(1, 32, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (9, 5)])
@pytest.mark.parametrize("kind", ["small", "cnn", "resnet"])
def test_tokens_are_those_of_the_grid_for_any_size(kind, size):
    if kind == "resnet":
        encoder = SlotEncoder(ResNetBackbone(stages=(1, 1, 1), width=32), width=16, blocks=1, feedforward=32)
    else:
        encoder = slot_encoder(kind, channels=8)
    rows, columns = encoder.grid(*size)
    tokens = encoder(torch.rand(2, 3, *size))
    assert tokens.shape == (2, rows * columns, encoder.features)
    torch.testing.assert_close(
        encoder(torch.rand(1, 3, *size).repeat(2, 1, 1, 1))[0].isfinite().all(), torch.tensor(True)
    )


def test_an_items_tokens_do_not_depend_on_its_batch():
    encoder = SlotEncoder(ResNetBackbone(stages=(1, 1), width=32), width=16, blocks=2, feedforward=32)
    images = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient():
    encoder = SlotEncoder(ResNetBackbone(stages=(1, 1), width=32), width=16, blocks=1, feedforward=32)
    with torch.no_grad():  # scales that start at zero would hide what is behind them
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    encoder(torch.rand(2, 3, 8, 8)).square().sum().backward()
    silent = [name for name, parameter in encoder.named_parameters() if parameter.grad.abs().sum() == 0]
    assert not silent


def test_positions_are_a_projected_linear_grid():
    grid = linear_grid(3, 5)
    assert grid[:, 0, 0].tolist() == [-1, -1]
    assert grid[:, 2, 4].tolist() == [1, 1]
    assert grid[:, 1, 2].tolist() == [0, 0]
    positions = PositionGrid(4)
    with torch.no_grad():
        positions.project.bias.fill_(0.5)
    added = positions(torch.zeros(1, 4, 3, 5))[0]
    weight = positions.project.weight
    torch.testing.assert_close(added[:, 2, 0], weight[:, 0] - weight[:, 1] + 0.5)
    assert linear_grid(1, 1).shape == (2, 1, 1)


def test_unknown_kinds_and_widths():
    with pytest.raises(InputError, match="small, plus or cnn"):
        slot_encoder("large")
    with pytest.raises(InputError, match="multiple of 32"):
        ResNetBackbone(width=48)
    assert ConvBackbone(strides=(2, 2)).strides == (2, 2)

"""Targets and errors against pixel-by-pixel transcriptions."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch

from visus.errors import InputError
from visus.methods.statm.losses import (
    CHANNELS,
    depth_target,
    flow_to_rgb,
    frame_targets,
    hsv_to_rgb,
    rollout_losses,
    squared_error,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_hsv_is_colorsys():
    hsv = torch.rand(3, 8, 9, dtype=torch.float64)
    hsv[0, 0, :7] = torch.arange(7) / 6
    got = hsv_to_rgb(hsv)
    for y in range(8):
        for x in range(9):
            want = torch.tensor(colorsys.hsv_to_rgb(*hsv[:, y, x].tolist()), dtype=torch.float64)
            torch.testing.assert_close(got[:, y, x], want, atol=1e-12, rtol=0)


def test_rest_is_white():
    assert torch.equal(flow_to_rgb(torch.zeros(2, 3, 2, 5, 7)), torch.ones(2, 3, 3, 5, 7))


@pytest.mark.parametrize(
    ("motion", "hue"), [((9.0, 0.0), 0.5), ((0.0, 9.0), 0.75), ((0.0, -9.0), 0.25), ((9.0, 9.0), 0.625)]
)
def test_the_direction_is_the_hue(motion, hue):
    """Channel 0 counts as x: pure +x has hue 0.5. Channel 0 is the row, so that is a motion down the picture."""
    flow = torch.tensor(motion).view(2, 1, 1).expand(2, 4, 6)
    rgb = flow_to_rgb(flow, quantize=False)
    want = torch.tensor(colorsys.hsv_to_rgb(hue, 1.0, 1.0)).view(3, 1, 1).expand(3, 4, 6)
    torch.testing.assert_close(rgb, want, atol=1e-5, rtol=0)


def test_flow_is_its_formula_pixel_by_pixel():
    flow = 2 * torch.randn(2, 2, 12, 16, dtype=torch.float64)
    got, smooth = flow_to_rgb(flow), flow_to_rgb(flow, quantize=False)
    for item in range(2):
        for y in range(12):
            for x in range(16):
                down, right = flow[item, :, y, x].tolist()
                hue = (math.atan2(right, down) / math.pi + 1) / 2
                saturation = min(1.0, math.hypot(down, right) * 50 / math.hypot(12, 16))
                want = colorsys.hsv_to_rgb(hue, saturation, 1.0)
                assert smooth[item, :, y, x].tolist() == pytest.approx(want, abs=1e-12)
                assert got[item, :, y, x].tolist() == [min(255, math.floor(255.5 * v)) / 255 for v in want]


def test_colors_are_bytes():
    rgb = flow_to_rgb(0.1 * torch.randn(4, 2, 32, 32))
    steps = rgb * 255
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


def test_the_same_motion_as_a_share_of_the_picture_has_the_same_color():
    flow = torch.full((2, 8, 8), 0.05)
    twice = torch.full((2, 16, 16), 0.1)
    torch.testing.assert_close(flow_to_rgb(flow)[:, 0, 0], flow_to_rgb(twice)[:, 0, 0])


def test_depth_is_the_logarithm_of_one_more():
    assert depth_target(torch.tensor([[[0.0, math.e - 1]]])).flatten().tolist() == pytest.approx([0, 1])


def test_targets_are_put_one_after_the_other():
    video, flow = torch.rand(2, 3, 3, 4, 5), torch.randn(2, 3, 2, 4, 5)
    depth = torch.rand(2, 3, 1, 4, 5)
    made = frame_targets(["flow", "depth", "rgb"], video=video, flow=flow, depth=depth)
    assert made.shape[2] == sum(CHANNELS.values()) == 7
    assert torch.equal(made[:, :, :3], flow_to_rgb(flow))
    assert torch.equal(made[:, :, 3:4], depth_target(depth))
    assert torch.equal(made[:, :, 4:], video)
    assert torch.equal(frame_targets(["rgb"], video=video), video)


def test_squared_error_sums_over_a_clip():
    decoded, target = torch.randn(2, 3, 4, 5, 6).double(), torch.randn(2, 3, 4, 5, 6).double()
    got = squared_error(decoded, target)
    for item in range(2):
        pairs = zip(decoded[item].flatten().tolist(), target[item].flatten().tolist())
        assert got[item].item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs))


def test_rollout_losses_are_means_and_leave_the_extractor_alone():
    predicted = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    slots = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    painted, frames = torch.rand(2, 3, 3, 6, 6).double(), torch.rand(2, 3, 3, 6, 6).double()
    losses = rollout_losses(predicted, slots, painted, frames)
    for item in range(2):
        pairs = list(zip(predicted[item].flatten().tolist(), slots[item].flatten().tolist()))
        assert losses["slots"][item].item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / len(pairs))
        pixels = list(zip(painted[item].flatten().tolist(), frames[item].flatten().tolist()))
        want = sum((a - b) ** 2 for a, b in pixels) / len(pixels)
        assert losses["frames"][item].item() == pytest.approx(want)
    losses["slots"].sum().backward()
    assert predicted.grad.any()
    assert slots.grad is None
    assert set(rollout_losses(predicted, slots)) == {"slots"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow_to_rgb(torch.zeros(1, 3, 4, 4)), "flow: has shape"),
        (lambda: frame_targets(["flow"], video=torch.zeros(1, 1, 3, 4, 4)), "flow: is absent"),
        (lambda: frame_targets(["color"]), "'color' is unknown"),
        (lambda: frame_targets([]), "targets: is empty"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

"""Random crops: the published sampling, and everything known of a clip cut alike."""

from __future__ import annotations

import math

import pytest
import torch
from statm_clips import clip, read

from visus.methods.statm.training import cropped
from visus.methods.statm.training.crops import rectangles


def slow_rectangle(draws: torch.Tensor, h: int, w: int, least: float) -> tuple[list[int], int]:
    """The published sampling, attempt by attempt, and how many attempts it took."""
    for attempt, (stretch, tall, down, across) in enumerate(draws.T.tolist(), 1):
        aspect = 0.75 + (4 / 3 - 0.75) * stretch
        most = h
        while round(most * aspect) > w:
            most -= 1
        fewest = min(most, round(math.sqrt(0.08 * h * w / aspect)))
        height = fewest + int(tall * (most - fewest + 1))
        width = round(height * aspect)
        top = int(down * (h - height)) if height < h else 0
        left = int(across * (w - width)) if width < w else 0
        if height * width >= 0.08 * h * w and height * width / (h * w) >= least:
            return [top, left, top + height, left + width], attempt
    return [0, 0, h, w], 0


@pytest.mark.parametrize(("h", "w"), [(128, 128), (48, 80), (31, 24)])
def test_rectangles_are_those_of_the_published_sampling(h, w):
    made = rectangles(200, (h, w), 0.75, generator=torch.Generator().manual_seed(7))
    draws = torch.rand(4, 200, 100, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    slow = [slow_rectangle(draws[:, item], h, w, 0.75) for item in range(200)]
    assert made.tolist() == [rectangle for rectangle, _ in slow]
    assert len({tuple(rectangle) for rectangle, _ in slow}) > 100 or h != 128
    attempts = [count for _, count in slow]
    assert max(attempts) > 10, "no rectangle was refused"


def test_where_nothing_covers_enough_the_whole_picture_stays():
    found = rectangles(50, (20, 100), 0.75, generator=torch.Generator().manual_seed(0))
    assert found.tolist() == [[0, 0, 20, 100]] * 50, "no aspect from 3/4 to 4/3 covers 3/4 of 1:5"


def test_a_crop_is_the_part_of_the_picture_resized():
    inputs = read(clip(3, h=24, w=24), size=(24, 24))
    made = cropped(inputs, least=0.5, generator=torch.Generator().manual_seed(2))
    windows = rectangles(3, (24, 24), 0.5, generator=torch.Generator().manual_seed(2)).tolist()
    for item, (top, left, bottom, right) in enumerate(windows):
        for field, scale in (
            ("video", None),
            ("flow", [24 / (bottom - top), 24 / (right - left)]),
            ("depth", None),
        ):
            part = getattr(inputs, field)[item, :, :, top:bottom, left:right]
            wanted = torch.nn.functional.interpolate(part, (24, 24), mode="bilinear", align_corners=False)
            if scale is not None:
                wanted = wanted * torch.tensor(scale).view(2, 1, 1)
            torch.testing.assert_close(getattr(made, field)[item], wanted, atol=1e-4, rtol=1e-4)


def test_a_whole_crop_changes_nothing_and_seeds_decide():
    inputs = read(clip())
    whole = cropped(inputs, least=1.0, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole.video, inputs.video, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.flow, inputs.flow, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.hints["boxes"], inputs.hints["boxes"])
    one, same, other = (
        cropped(inputs, least=0.3, generator=torch.Generator().manual_seed(seed)).video for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_moves_with_the_camera_still_fits_after_a_crop():
    """A picture whose color is its place: boxes, points, masks, colors and flow must tell of the same window."""
    h = w = 24
    y, x = ((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w)
    place = torch.stack([y[:, None].expand(h, w), x[None].expand(h, w), torch.zeros(h, w)])
    inputs = read(clip(4, h=h, w=w), size=(h, w))
    boxes = torch.tensor([[0.3, 0.3, 0.7, 0.6], [0.0, 0.0, 0.01, 0.01]]).expand(4, 2, 4)
    inputs = type(inputs)(
        video=place.expand(4, 3, 3, h, w),
        hints={"boxes": boxes},
        present=torch.ones(4, 2, dtype=torch.bool),
        flow=torch.ones(4, 3, 2, h, w),
    )
    made = cropped(inputs, least=0.3, generator=torch.Generator().manual_seed(3))
    middle = made.video[:, :, :2, 8:-8, 8:-8]
    steps = (middle[..., 1:, :] - middle[..., :-1, :])[:, :, 0], (middle[..., 1:] - middle[..., :-1])[:, :, 1]
    spans = torch.stack([step.mean((1, 2, 3)) * h for step in steps], dim=1)
    assert ((spans > 0.5) & (spans < 1)).all()
    assert (spans.prod(1) > 0.29).all()
    assert (spans[:, 0] / spans[:, 1]).log().abs().max() < math.log(4 / 3) + 1e-3
    torch.testing.assert_close(made.flow[:, 0, :, 0, 0], 1 / spans, atol=1e-3, rtol=1e-3)
    for item in range(4):
        top, left, bottom, right = made.hints["boxes"][item, 0].tolist()
        for corner, wanted in (((top, left), (0.3, 0.3)), ((bottom, right), (0.7, 0.6))):
            if 0.1 < corner[0] < 0.9 and 0.1 < corner[1] < 0.9:
                row, column = (min(h - 1, int(share * h)) for share in corner)
                found = made.video[item, 0, :2, row, column]
                assert found.tolist() == pytest.approx(wanted, abs=1 / h)
    assert not made.present[:, 1].all(), "no crop left the object in the corner out"
    assert not made.hints["boxes"][~made.present].any()


def test_points_and_masks_are_cropped_alike():
    generator = torch.Generator().manual_seed(5)
    batch = clip(6, h=24, w=24)
    points = cropped(read(batch, "points", (24, 24)), least=0.3, generator=generator)
    masks = cropped(read(batch, "masks", (24, 24)), least=0.3, generator=torch.Generator().manual_seed(5))
    for item in range(6):
        for i in range(2):
            y, x = points.hints["points"][item, i].tolist()
            if points.present[item, i] and 0.1 < y < 0.9 and 0.1 < x < 0.9:
                assert masks.hints["masks"][item, int(24 * y), int(24 * x)] == i + 1
    assert points.hints["points"][~points.present].eq(-1).all()

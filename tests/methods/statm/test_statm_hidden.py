"""The experiment in which objects vanish and come out again, with true boxes in place of perception."""

from __future__ import annotations

import math

import pytest
import torch

from visus.methods.statm.baselines import build_predictor
from visus.methods.statm.claims import hidden


@pytest.fixture(scope="module")
def seen():
    return hidden.tracks("test", 6, seed=3)


def slow_guess(seen, *, straight):
    """Frame by frame and object by object, in plain numbers."""
    b, frames, k, _ = seen.boxes.shape
    found = torch.zeros(b, frames, k, 2)
    for clip in range(b):
        for item in range(k):
            last, speed, since, before = (0.5, 0.5), (0.0, 0.0), 0, None
            for frame in range(frames):
                now = None
                if seen.visible[clip, frame, item]:
                    y0, x0, y1, x1 = seen.boxes[clip, frame, item].tolist()
                    now = ((x0 + x1) / 2, (y0 + y1) / 2)
                    if before is not None:
                        speed = (now[0] - before[0], now[1] - before[1])
                    last, since = now, 0
                else:
                    since += 1
                before = now
                ahead = since + 1 if straight else 0
                for axis in range(2):
                    found[clip, frame, item, axis] = last[axis] + ahead * speed[axis]
    return found


@pytest.mark.parametrize(("name", "straight"), [("last_seen", False), ("same_speed", True)])
def test_guesses_without_learning_equal_a_loop(seen, name, straight):
    torch.testing.assert_close(getattr(hidden, name)(seen), slow_guess(seen, straight=straight))


def test_scores_equal_a_loop_and_every_clip_is_judged_after_a_gap(seen):
    squares = {"after_gap": [], "in_view": []}
    guess = slow_guess(seen, straight=False)
    clips = set()
    for clip, frame, item in torch.ones_like(seen.visible).nonzero().tolist():
        if not frame or not seen.visible[clip, frame, item]:
            continue
        off = (guess[clip, frame - 1, item] - seen.centers[clip, frame, item]).tolist()
        if seen.visible[clip, frame - 1, item]:
            squares["in_view"].append(off[0] ** 2 + off[1] ** 2)
        elif seen.visible[clip, :frame, item].any():
            squares["after_gap"].append(off[0] ** 2 + off[1] ** 2)
            clips.add(clip)
    expected = {name: math.sqrt(sum(values) / len(values)) for name, values in squares.items()}
    assert hidden.judge(hidden.last_seen, seen) == pytest.approx(expected, rel=1e-5)
    assert clips == set(range(6))


@pytest.mark.parametrize("arm", list(hidden.ARMS))
def test_the_network_sees_neither_hidden_objects_nor_what_comes(seen, arm):
    torch.manual_seed(0)
    model = hidden.BoxFilter(build_predictor(size=64, heads=4, qkv=64, hidden=128, **hidden.ARMS[arm])).eval()
    with torch.no_grad():
        found = model(seen)
        boxes = torch.where(seen.visible.unsqueeze(-1), seen.boxes, torch.rand_like(seen.boxes))
        torch.testing.assert_close(model(hidden.Tracks(1 - seen.centers, boxes, seen.visible)), found)
        early = hidden.Tracks(seen.centers, seen.boxes.clone(), seen.visible.clone())
        early.boxes[:, 12:] = 0.25
        early.visible[:, 12:] = True
        changed = model(early)
    torch.testing.assert_close(changed[:, :12], found[:, :12])
    assert not torch.allclose(changed[:, 12:], found[:, 12:])


def test_training_foretells_the_clips_it_is_shown():
    shown = hidden.tracks("train", 4, seed=1)
    torch.manual_seed(0)
    model = hidden.BoxFilter(build_predictor(size=64, heads=4, qkv=64, hidden=128, kind="statm"))
    before = hidden.judge(model, shown)["in_view"]
    losses = hidden.train_filter(
        model, shown, hidden.Budget(steps=30, batch=4, train=4, test=4), seed=0, device="cpu"
    )
    assert losses[-1] < 0.7 * losses[0]
    assert hidden.judge(model, shown)["in_view"] < before

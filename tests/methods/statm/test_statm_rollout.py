"""Into the future: predictions are remembered as if they had been seen."""

from __future__ import annotations

import pytest
import torch
from statm_models import film, hints, make
from statm_slow import clip, redraw, statm_step

from visus.errors import InputError
from visus.methods.statm.baselines import KINDS, build_predictor
from visus.methods.statm.losses import rollout_losses
from visus.methods.statm.model.rollout import burn_in, roll_slots, rollout

CLOSE = {"atol": 1e-10, "rtol": 0}


def of_kind(kind, **options):
    return redraw(build_predictor(kind, 8, heads=2, qkv=12, hidden=10, layers=2, **options))


@pytest.mark.parametrize("buffer", [None, 3])
def test_predictions_enter_the_memory(buffer):
    """Step by step with everything written out: what was predicted is appended and read again."""
    predictor, slots = of_kind("statm", buffer=buffer), clip(4, batch=1)
    future, _ = roll_slots(predictor, burn_in(predictor, slots), 4)
    known = slots[0]
    for step in range(4):
        made = statm_step(predictor, known)
        torch.testing.assert_close(future[0, step], made, **CLOSE)
        known = torch.cat([known, made[None]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_roll_out_goes_on_from_its_state(kind):
    predictor, slots = of_kind(kind), clip(5)
    start = burn_in(predictor, slots)
    assert start.frame == 5
    whole, end = roll_slots(predictor, start, 6)
    first, middle = roll_slots(predictor, start, 2)
    second, last = roll_slots(predictor, middle, 4)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, **CLOSE)
    torch.testing.assert_close(last.slots, end.slots, **CLOSE)
    assert last.frame == end.frame == 11
    again = burn_in(predictor, torch.cat([slots, whole], 1))
    torch.testing.assert_close(again.slots, end.slots, **CLOSE)


def test_constant_velocity_goes_on_forever():
    places = torch.arange(3.0)[None, :, None, None] * torch.tensor([[1.0, -2.0]]) + 5
    predictor = build_predictor("velocity", 2)
    future, _ = roll_slots(predictor, burn_in(predictor, places), 10)
    want = torch.arange(3.0, 13.0)[None, :, None, None] * torch.tensor([[1.0, -2.0]]) + 5
    torch.testing.assert_close(future, want)


def test_a_model_rolls_out_what_it_followed():
    model, video, known = make(), film(4), hints()
    seen = model(video, known)
    future = rollout(model, seen.state, 3)
    assert torch.equal(future.slots[:, 0], seen.predicted[:, -1])
    want, state = roll_slots(model.predictor, seen.state, 3)
    assert torch.equal(future.slots, want)
    assert torch.equal(future.state.slots, state.slots)
    decoded = model.decode(want)
    assert torch.equal(future.output, decoded.output)
    assert torch.equal(future.logits, decoded.logits)
    assert future.output.shape == (2, 3, 3, 8, 8)
    from_slots = burn_in(model.predictor, seen.slots)
    torch.testing.assert_close(from_slots.slots, seen.state.slots, **CLOSE)


def test_another_predictor_learns_on_frozen_slots():
    """Gradients of both losses reach the roll-out's predictor and nothing of the model."""
    model, video, known = make().requires_grad_(False), film(6), hints()
    predictor = of_kind("statm")
    seen = model(video, known)
    future = rollout(model, burn_in(predictor, seen.slots[:, :3]), 3, predictor=predictor)
    losses = rollout_losses(future.slots, seen.slots[:, 3:], future.output, video[:, 3:])
    (losses["slots"] + losses["frames"]).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in predictor.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert losses["slots"].shape == losses["frames"].shape == (2,)


def test_no_steps_are_refused():
    predictor = of_kind("statm")
    with pytest.raises(InputError, match="steps"):
        roll_slots(predictor, burn_in(predictor, clip(2)), 0)

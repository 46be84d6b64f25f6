"""The eleven checks a memory for slots must pass, each by hand, against a library, or by what it must not do."""

from __future__ import annotations

import math

import pytest
import sklearn.metrics
import torch
from torch.nn import functional as F

from visus.data.corpora.movi import Movi
from visus.data.corpora.movi_writing import write_movi
from visus.data.worlds.scenes import SceneVideos
from visus.methods.statm import STATM, Past, slot_video
from visus.methods.statm.claims.balls import roll_balls
from visus.methods.statm.claims.occlusion import shuffled
from visus.methods.statm.claims.tokens import (
    CONTEXT,
    HORIZON,
    Budget,
    TokenDynamics,
    judge,
    predictor_of,
    train_tokens,
)
from visus.methods.statm.losses import flow_to_rgb
from visus.metrics import foreground_ari, mean_iou
from visus.nn.slots import SlotAttention

SIZE, SLOTS = 16, 5


@pytest.fixture
def no_gradients():
    with torch.no_grad():
        yield


def statm(**past) -> STATM:
    """Every weight is drawn anew, so that no bias, norm or position is zero or one."""
    fusion, pre_norm = past.pop("fusion", "space_time_sum"), past.pop("pre_norm", False)
    made = STATM(SIZE, qkv=24, hidden=32, fusion=fusion, pre_norm=pre_norm, past=Past(**past)).double()
    torch.manual_seed(3)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made.eval()


def slots(frames: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, frames, SLOTS, SIZE, generator=generator, dtype=torch.float64)


def memory_of(predictor: STATM, clip: torch.Tensor):
    return predictor.advance(clip, predictor.start(len(clip), SLOTS))[1]


@pytest.mark.usefixtures("no_gradients")
class TestCheck1CorrespondingSlots:
    """A slot's time branch sees its own past alone; slots have no order."""

    @pytest.mark.parametrize("pre_norm", [False, True])
    def test_permuting_slots_in_frame_and_memory_permutes_predictions(self, pre_norm):
        predictor, clip, order = statm(pre_norm=pre_norm), slots(6), torch.tensor([2, 0, 4, 1, 3])
        ahead, _ = predictor(clip[:, -1], memory_of(predictor, clip[:, :-1]))
        other, _ = predictor(clip[:, -1, order], memory_of(predictor, clip[:, :-1, order]))
        torch.testing.assert_close(other, ahead[:, order], atol=1e-12, rtol=0)
        assert (other - ahead).abs().max() > 0.1

    @pytest.mark.parametrize("pre_norm", [False, True])
    @pytest.mark.parametrize("time", ["corresponding", "all"])
    def test_another_slots_past(self, time, pre_norm):
        predictor, clip = statm(time=time, pre_norm=pre_norm), slots(6)
        changed = clip.clone()
        changed[:, :-1, 1] *= -1
        ahead, _ = predictor(clip[:, -1], memory_of(predictor, clip[:, :-1]))
        other, _ = predictor(clip[:, -1], memory_of(predictor, changed[:, :-1]))
        moved = (other - ahead).abs().amax(dim=(0, 2))
        rest = moved[[0, 2, 3, 4]]
        assert moved[1] > 1e-3
        assert bool((rest == 0).all()) if time == "corresponding" else bool((rest > 1e-6).all())


@torch.no_grad()
def test_check_2_a_buffer_of_one_frame_is_a_linear_map():
    predictor, clip = statm(buffer=1), slots(3)
    memory = memory_of(predictor, clip[:, :-1])
    ahead, _ = predictor(clip[:, -1], memory)
    state, q = predictor.state_dict(), clip[:, -1]

    def norm(x, name):
        return F.layer_norm(x, (SIZE,), state[f"norms.{name}.weight"], state[f"norms.{name}.bias"], 1e-6)

    w = state["time_attention.to_key_value.weight"].chunk(2)[1]
    b = state["time_attention.to_key_value.bias"].chunk(2)[1]
    out, out_b = state["time_attention.to_out.weight"], state["time_attention.to_out.bias"]
    time = norm(q + (q @ w.T + b) @ out.T + out_b, "time")
    y = norm(q + predictor.space_attention(q, q), "space") + time
    torch.testing.assert_close(ahead, norm(y + predictor.mlp(y), "mlp"), atol=1e-6, rtol=0)
    longer = statm()
    assert (longer(q, memory_of(longer, clip[:, :-1]))[0] - ahead).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("time", ["corresponding", "all"])
@pytest.mark.parametrize("positions", [None, "learned", "sin", "relative"])
def test_check_3_only_positions_in_time_tell_the_order_of_the_past(positions, time):
    predictor, clip = statm(positions=positions, time=time), slots(7)
    mixed = torch.cat([clip[:, [3, 0, 5, 1, 4, 2]], clip[:, 6:]], dim=1)
    moved = (predictor.parallel(mixed)[:, -1] - predictor.parallel(clip)[:, -1]).abs().max()
    assert moved < 1e-6 if positions is None else moved > 1e-3


@pytest.mark.usefixtures("no_gradients")
class TestCheck4Streaming:
    """A carried state is all a stream needs, and kept projections are the slots projected again."""

    @pytest.mark.parametrize("pieces", [[1] * 24, [6, 6, 6, 6], [5, 1, 18]])
    def test_a_stream_is_one_pass_over_24_frames(self, pieces):
        torch.manual_seed(0)
        model = slot_video("tiny", outputs=3, image=(16, 16)).eval()
        video, boxes = torch.rand(2, 24, 3, 16, 16), torch.rand(2, 3, 4)
        whole, state, parts = model(video, {"boxes": boxes}), None, []
        forgetful, lost = None, []
        for piece in video.split(pieces, dim=1):
            parts.append(model(piece, {"boxes": boxes}, state=state))
            state = parts[-1].state
            part = model(piece, {"boxes": boxes}, state=forgetful)
            forgetful = part.state._replace(memory=model.begin(2, {"boxes": boxes}).memory)
            lost.append(part.slots)
        for name in ("slots", "predicted", "logits", "output"):
            joined = torch.cat([getattr(part, name) for part in parts], dim=1)
            assert (joined - getattr(whole, name)).abs().max() < 1e-5
        # the slots alone are not enough: the released evaluator forgot the memory between its slices
        assert (torch.cat(lost, dim=1) - whole.slots).abs().max() > 1e-3

    @pytest.mark.parametrize("time", ["corresponding", "all"])
    def test_kept_projections(self, time):
        kept, again, clip = statm(time=time), statm(time=time, cache=False), slots(24)
        memories = [predictor.start(2, SLOTS) for predictor in (kept, again)]
        for frame in clip.unbind(1):
            one, memories[0] = kept(frame, memories[0])
            other, memories[1] = again(frame, memories[1])
            torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
        assert memories[0]["entries"].shape[-1] == 2 * 24
        assert memories[1]["entries"].shape[-1] == SIZE


@torch.no_grad()
@pytest.mark.parametrize("positions", [None, "learned", "relative"])
def test_check_5_a_buffer_of_six_is_the_last_six_frames(positions):
    short, endless, clip = statm(buffer=6, positions=positions), statm(positions=positions), slots(24)
    memory = short.start(2, SLOTS)
    for frame in clip.unbind(1):
        ahead, memory = short(frame, memory)
        assert memory["entries"].shape[2] <= 6
    torch.testing.assert_close(ahead, endless.parallel(clip[:, -6:])[:, -1], atol=1e-10, rtol=0)
    assert (endless.parallel(clip)[:, -1] - ahead).abs().max() > 1e-3


class TestCheck6ForegroundAri:
    """One table per video: scikit-learn's index, and identities that change cost."""

    def test_it_is_scikit_learns(self):
        generator = torch.Generator().manual_seed(0)
        truth = torch.randint(0, 5, (3, 6, 12, 12), generator=generator)
        noise = torch.rand(truth.shape, generator=generator) < 0.3
        found = torch.where(noise, torch.randint(0, 6, truth.shape, generator=generator), (truth + 2) % 6)
        for i in range(3):
            inside = truth[i] > 0
            expected = sklearn.metrics.adjusted_rand_score(truth[i][inside].numpy(), found[i][inside].numpy())
            assert foreground_ari(truth, found)[i].item() == pytest.approx(expected, abs=1e-6)

    def test_ids_swapped_half_way(self):
        clip = SceneVideos(1, size=32, objects=(3, 3), occlusion=False, seed=2).read(0)
        truth = clip["segmentation"].unsqueeze(0).long()
        swapped = truth.clone()
        swapped[:, 12:] = torch.tensor([0, 2, 1, 3])[truth[:, 12:]]
        frames = [foreground_ari(truth[:, t : t + 1], swapped[:, t : t + 1]).item() for t in range(24)]
        assert frames == [1.0] * 24
        assert foreground_ari(truth, swapped).item() < 0.9


@pytest.mark.usefixtures("no_gradients")
class TestCheck7SlotAttention:
    """Slots share every token; what a slot takes is a weighted mean of tokens."""

    def test_weights_sum_to_one_over_slots(self):
        torch.manual_seed(0)
        corrector = SlotAttention(6, 8, qkv=12).double()
        _, attention = corrector(torch.randn(2, 20, 6).double(), torch.randn(2, 4, 8).double())
        torch.testing.assert_close(attention.sum(1), torch.ones(2, 20).double())
        assert attention.shape == (2, 4, 20)
        assert (attention.sum(2) - 1).abs().max() > 0.1

    def test_weights_sum_to_one_over_tokens_after_the_division(self):
        """Equal tokens have their value as the mean, whatever the weights and however many tokens there are."""
        torch.manual_seed(0)
        corrector = SlotAttention(6, 8, qkv=12).double()
        token, start = torch.randn(2, 1, 6).double(), torch.randn(2, 4, 8).double()
        value = corrector.to_value(F.layer_norm(token, (6,), eps=1e-6)).expand(-1, 4, -1)
        expected = corrector.gru(value.reshape(8, 12), start.reshape(8, 8)).view(2, 4, 8)
        for count in (1, 7, 50):
            found, _ = corrector(token.expand(-1, count, -1), start)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_check_8_flow_as_color():
    assert flow_to_rgb(torch.zeros(1, 2, 4, 4)).unique().tolist() == [1.0]
    along = torch.zeros(2, 4, 4)
    along[0] = 100.0
    red, green, blue = flow_to_rgb(along)[:, 0, 0].tolist()
    assert (red, green, blue) == (0.0, 1.0, 1.0)  # hue 0.5 in full saturation is cyan
    along[0] = 0.25 * math.hypot(4, 4) / 50
    faint = flow_to_rgb(along)[:, 0, 0]
    assert faint[1:].tolist() == [1.0, 1.0]
    assert faint[0].item() == pytest.approx(0.75, abs=1 / 255)


def test_check_9_a_record_reads_back_as_it_was_written(tmp_path):
    videos = SceneVideos(2, frames=12, size=24, objects=(2, 3), seed=4)
    folder = tmp_path / "movi_a" / "24x24" / "1.0.0"
    write_movi(folder, videos)
    read = Movi(folder, max_instances=3)
    hidden = 0
    for index in range(2):
        given, again = videos.read(index), read.read(index)
        for name in ("video", "segmentation", "visibility"):
            assert torch.equal(given[name].long(), again[name].long()), name
        assert torch.equal(given["boxes"], again["boxes"])
        hidden += int((given["visibility"][:, : given["num_instances"]] == 0).sum())
        for name in ("backward_flow", "forward_flow", "depth"):
            quantum = (given[name].max() - given[name].min()) / 65535
            assert (given[name] - again[name]).abs().max() <= 1.01 * quantum, name
    assert hidden > 0  # boxes are ragged


class TestCheck10WhatMemoryIsWorth:
    """Ratios of the token experiment, and hints that count."""

    @pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
    def test_ratios_on_colliding_balls(self, seed):
        budget = Budget(steps=180, batch=24, pool=1024, test=256)
        clips, error = roll_balls(256, CONTEXT + HORIZON, seed=900 + seed), {}
        for arm in ("savi", "cs", "cs_time"):
            torch.manual_seed(seed)
            model = TokenDynamics(predictor_of(arm))
            train_tokens(model, budget, seed=seed, device="cpu")
            error[arm] = judge(model.eval().roll_out, clips)
        assert error["cs"]["one_step"] < 0.8 * error["savi"]["one_step"]
        assert error["cs_time"]["one_step"] < 0.6 * error["savi"]["one_step"]

    def test_shuffled_boxes_lower_the_conditioned_iou(self):
        """A model that was shown the answers for a few clips follows the boxes, right or wrong."""
        videos = SceneVideos(4, frames=2, size=16, objects=(2, 2), occlusion=False, seed=8)
        clips = [videos.read(i) for i in range(4)]
        batch = {
            name: torch.stack([clip[name] for clip in clips]) for name in ("video", "segmentation", "boxes")
        }
        torch.manual_seed(0)
        model = slot_video("tiny", outputs=3, image=(16, 16), slots=3)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        video, truth = batch["video"].float() / 255, batch["segmentation"].long()

        def logits(boxes):
            return model(video, {"boxes": boxes[:, 0]}).logits

        for _ in range(100):
            loss = F.cross_entropy(logits(batch["boxes"]).transpose(1, 2), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right, wrong = (
                mean_iou(truth, logits(boxes).argmax(2), matching="conditioned").mean().item()
                for boxes in (batch["boxes"], shuffled(batch)["boxes"])
            )
        assert right > 0.4
        assert wrong < right - 0.2


@pytest.mark.parametrize("cut", [False, True])
def test_check_11_the_loss_at_frame_5_reaches_frame_0(cut):
    """With the recurrent path cut (every frame's slots are given, not made), the memory alone connects them."""
    predictor, clip = statm(), slots(6)
    first = clip[:, 0].clone().requires_grad_()
    memory, current = predictor.start(2, SLOTS), first
    for t in range(6):
        ahead, memory = predictor(current, memory)
        if t < 5:
            current = clip[:, t + 1] if cut else clip[:, t + 1] + ahead
    (slope,) = torch.autograd.grad((ahead * clip[:, 0]).sum(), first)
    assert slope.abs().amax(dim=(0, 2)).min() > 1e-6
    if cut:
        forgetful = statm(buffer=5)
        memory = forgetful.start(2, SLOTS)
        for t in range(6):
            ahead, memory = forgetful(first if t == 0 else clip[:, t], memory)
        (slope,) = torch.autograd.grad((ahead * clip[:, 0]).sum(), first)
        assert (slope == 0).all()

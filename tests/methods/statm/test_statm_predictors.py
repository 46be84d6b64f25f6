"""STATM's predictor against slow transcriptions of its formulas, and what it may and may not see."""

from __future__ import annotations

import math

import pytest
import torch
from statm_slow import block, clip, look, loop, norm, redraw, statm_step
from torch import nn

from visus.errors import InputError
from visus.methods.statm.model.attention import TimePositions, sinusoid
from visus.methods.statm.model.predictors import FUSIONS, STATM, Past, SAViBlock

POSITIONS = (None, "learned", "sin", "relative")
EVERY = pytest.mark.parametrize(
    ("fusion", "pre_norm"), [(fusion, pre) for fusion in FUSIONS for pre in (False, True)]
)
CLOSE = {"atol": 1e-10, "rtol": 0}


def make(fusion="space_time_sum", pre_norm=False, *, seed=0, **past):
    predictor = STATM(
        8, heads=2, qkv=12, hidden=10, fusion=fusion, pre_norm=pre_norm, past=Past(span=4, **past)
    )
    return redraw(predictor, seed=seed)


# ---- formulas ---------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_every_fusion_is_its_formula(fusion, pre_norm, time):
    predictor, slots = make(fusion, pre_norm, time=time), clip(4)
    got = predictor.parallel(slots)
    for item in range(2):
        for frame in range(4):
            want = statm_step(predictor, slots[item, : frame + 1])
            torch.testing.assert_close(got[item, frame], want, **CLOSE)


@pytest.mark.parametrize("positions", POSITIONS[1:])
@pytest.mark.parametrize("time", ["corresponding", "all"])
@pytest.mark.parametrize("buffer", [None, 3])
def test_positions_and_buffers_are_their_formulas(positions, time, buffer):
    """Six frames with a span of four: the oldest ages share a place."""
    predictor, slots = make(positions=positions, time=time, buffer=buffer), clip(6, batch=1)
    got = predictor.parallel(slots)[0]
    for frame in (0, 3, 5):
        torch.testing.assert_close(got[frame], statm_step(predictor, slots[0, : frame + 1]), **CLOSE)


def test_one_frame_is_a_weighted_sum_with_weight_one():
    """xt = LN(Q + Wo Wv Q + b): the softmax over a single entry is 1, whatever query and keys are."""
    predictor, slots = make(buffer=1), clip(3)
    time = predictor.time_attention
    value = nn.functional.linear(slots, time.to_key_value.weight[12:], time.to_key_value.bias[12:])
    weight = time.to_out.weight @ time.to_key_value.weight[12:]
    bias = time.to_out.weight @ time.to_key_value.bias[12:] + time.to_out.bias
    torch.testing.assert_close(time.to_out(value), slots @ weight.T + bias, **CLOSE)
    got = predictor.parallel(slots)
    for item, frame in ((0, 0), (1, 2)):
        now = slots[item, frame]
        xs = [norm(q + look(predictor.space_attention, q, now), predictor.norms["space"]) for q in now]
        xt = [norm(q + weight @ q + bias, predictor.norms["time"]) for q in now]
        ys = [a + b for a, b in zip(xs, xt)]
        want = [norm(y + predictor.mlp(y), predictor.norms["mlp"]) for y in ys]
        torch.testing.assert_close(got[item, frame], torch.stack(want), atol=1e-6, rtol=0)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_savi_block_is_its_formula(pre_norm):
    predictor, slots = redraw(SAViBlock(8, heads=2, qkv=12, hidden=10, pre_norm=pre_norm)), clip(2)
    got = predictor.parallel(slots)
    for item in range(2):
        for frame in range(2):
            want = torch.stack(block(predictor.block, list(slots[item, frame])))
            torch.testing.assert_close(got[item, frame], want, **CLOSE)


def test_pre_norm_space_then_time_without_time_is_savis_block():
    """With the time branch's output at zero the residual stream is SAVi's, bit by bit."""
    statm = make("space_then_time", True)
    savi = redraw(SAViBlock(8, heads=2, qkv=12, hidden=10, pre_norm=True))
    savi.block.attention.load_state_dict(statm.space_attention.state_dict())
    savi.block.mlp.load_state_dict(statm.mlp.state_dict())
    savi.block.norm_attention.load_state_dict(statm.norms["space"].state_dict())
    savi.block.norm_mlp.load_state_dict(statm.norms["mlp"].state_dict())
    nn.init.zeros_(statm.time_attention.to_out.weight)
    nn.init.zeros_(statm.time_attention.to_out.bias)
    slots = clip(5)
    assert torch.equal(statm.parallel(slots), savi.parallel(slots))


# ---- one pass is the loop ---------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("buffer", [None, 1, 3])
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_one_pass_is_the_loop_and_so_are_pieces(fusion, pre_norm, positions, buffer, time):
    predictor = make(fusion, pre_norm, positions=positions, buffer=buffer, time=time)
    slots = clip()
    together, stepped = predictor.parallel(slots), loop(predictor, slots)[0]
    torch.testing.assert_close(together, stepped, **CLOSE)
    first, memory = predictor.advance(slots[:, :3], predictor.start(2, 3))
    second, _ = predictor.advance(slots[:, 3:], memory)
    torch.testing.assert_close(torch.cat([first, second], 1), together, **CLOSE)


def test_one_pass_is_the_loop_in_single_precision():
    predictor = STATM(128, past=Past(positions="sin", buffer=6))
    slots = clip(24, slots=11, size=128).float()
    torch.testing.assert_close(predictor.parallel(slots), loop(predictor, slots)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_the_future_is_not_seen(positions, time):
    predictor, slots = make(positions=positions, time=time), clip()
    before = predictor.parallel(slots)
    for frame in range(7):
        changed = slots.clone()
        changed[:, frame] += 1
        after = predictor.parallel(changed)
        assert torch.equal(after[:, :frame], before[:, :frame])
        assert (after[:, frame:] != before[:, frame:]).flatten(2).any(-1).all()


# ---- who sees whom ----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_permuting_slots_permutes_predictions(fusion, pre_norm, time):
    predictor, slots, order = make(fusion, pre_norm, time=time), clip(slots=4), torch.tensor([2, 0, 3, 1])
    straight, turned = predictor.parallel(slots), predictor.parallel(slots[:, :, order])
    torch.testing.assert_close(turned, straight[:, :, order], **CLOSE)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_a_slots_past_reaches_the_others_time_branch_only_if_all_are_looked_at(time, pre_norm, cache):
    """Exactly 0 difference for corresponding slots; and AS is AS in the pre-norm form, too."""
    predictor, slots = make(time=time, pre_norm=pre_norm, cache=cache), clip(5, slots=4)
    memory = predictor.advance(slots[:, :-1], predictor.start(2, 4))[1]
    entries = memory["entries"].clone()
    entries[:, 1] += 1
    before = predictor(slots[:, -1], memory)[0]
    after = predictor(slots[:, -1], type(memory)(entries=entries))[0]
    same = (before == after).all(-1).all(0)
    assert same.tolist() == ([True, False, True, True] if time == "corresponding" else [False] * 4)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_the_order_of_the_past_matters_only_with_positions(positions, time):
    predictor, slots = make(positions=positions, time=time), clip(4)
    turned = torch.cat([slots[:, [2, 0, 1]], slots[:, 3:]], 1)
    gap = (predictor.parallel(slots)[:, -1] - predictor.parallel(turned)[:, -1]).abs().max()
    assert gap < 1e-6 if positions is None else gap > 1e-3


def test_time_and_space_have_weights_of_their_own():
    predictor = STATM(8, heads=2, qkv=12)
    space, time = predictor.space_attention, predictor.time_attention
    for one, other in zip(space.parameters(), time.parameters(), strict=True):
        assert one.data_ptr() != other.data_ptr()
    assert not torch.equal(space.to_query.weight, time.to_query.weight)


@EVERY
@pytest.mark.parametrize("positions", POSITIONS)
def test_every_parameter_is_used(fusion, pre_norm, positions):
    predictor = make(fusion, pre_norm, positions=positions)
    predictor.parallel(clip()).square().sum().backward()
    idle = [
        name for name, p in predictor.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-12
    ]
    assert not idle


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("positions", POSITIONS)
def test_autocast(dtype, positions):
    predictor, slots = STATM(16, qkv=16, past=Past(positions=positions, buffer=3)), clip(5, size=16).float()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        together, stepped = predictor.parallel(slots), loop(predictor, slots)[0]
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, stepped, atol=1e-5 if dtype == torch.float32 else 0.1, rtol=0)


# ---- sizes, starts, refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fusion", "pre_norm", "norms"),
    [
        ("space_time_sum", False, 3),
        ("shared_residual", False, 2),
        ("space_then_time", False, 3),
        ("space_time_sum", True, 4),
        ("shared_residual", True, 4),
    ],
)
def test_parameters_by_hand(fusion, pre_norm, norms):
    """Two attentions of 4 (d q) weights and 3 q + d biases, an MLP, norms of 2 d; SAVi++'s sizes."""
    d, q, m = 128, 256, 1024
    attention, feed_forward = 4 * d * q + 3 * q + d, 2 * d * m + m + d
    predictor = STATM(d, qkv=q, hidden=m, fusion=fusion, pre_norm=pre_norm)
    count = sum(parameter.numel() for parameter in predictor.parameters())
    assert count == 2 * attention + feed_forward + norms * 2 * d


def test_layers_start_as_in_flax():
    torch.manual_seed(0)
    predictor = STATM(128, qkv=128, hidden=256)
    for layer in predictor.modules():
        if isinstance(layer, nn.Linear):
            wanted = layer.in_features**-0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.03)
            assert layer.weight.abs().max() <= 2 * wanted / 0.8796 + 1e-6
            assert not layer.bias.any()
        if isinstance(layer, nn.LayerNorm):
            assert layer.eps == 1e-6


def test_sinusoid_by_hand():
    want = [[math.sin(3), math.cos(3), math.sin(3 / 100), math.cos(3 / 100)]]
    torch.testing.assert_close(sinusoid(torch.tensor([3]), 4), torch.tensor(want))
    assert sinusoid(torch.arange(5), 7).shape == (5, 7)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: STATM(8, heads=3, qkv=8), "heads"),
        (lambda: STATM(8, fusion="sum"), "fusion"),
        (lambda: Past(time="some"), "time"),
        (lambda: Past(buffer=0), "buffer"),
        (lambda: STATM(8, past=Past(positions="cosine")), "time_positions"),
        (lambda: TimePositions("learned", size=8, heads=2, span=0), "span"),
        (lambda: STATM(8).parallel(torch.zeros(1, 2, 3, 9)), "slots"),
        (lambda: SAViBlock(8).parallel(torch.zeros(1, 0, 3, 8)), "slots"),
    ],
)
def test_what_cannot_be_is_refused(call, field):
    with pytest.raises(InputError, match=field):
        call()


def test_empty_batches_pass():
    predictor = STATM(8, qkv=8)
    assert predictor.parallel(torch.zeros(0, 4, 3, 8)).shape == (0, 4, 3, 8)

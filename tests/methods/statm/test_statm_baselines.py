"""The baselines against slow transcriptions, and what every predictor costs."""

from __future__ import annotations

import pytest
import torch
from statm_slow import (
    block,
    clip,
    dense,
    loop,
    lstm_sequence,
    norm,
    ocvp_par_step,
    ocvp_seq_step,
    redraw,
    slotformer_step,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from visus.errors import InputError
from visus.methods.statm.baselines import KINDS, build_predictor
from visus.methods.statm.model.cost import cost
from visus.methods.statm.model.predictors import Predictor

CLOSE = {"atol": 1e-10, "rtol": 0}
DEEP = {"slotformer": slotformer_step, "ocvp_seq": ocvp_seq_step, "ocvp_par": ocvp_par_step}
STATM_OPTIONS = [
    {},
    {"cache": False},
    {"buffer": 3},
    {"buffer": 3, "cache": False},
    {"time": "all"},
    {"time": "all", "cache": False, "fusion": "shared_residual"},
    {"time_positions": "sin"},
    {"time_positions": "learned", "time": "all", "pre_norm": True},
    {"time_positions": "relative", "fusion": "time_then_space"},
]
EVERY = [(kind, {}) for kind in KINDS] + [("statm", options) for options in STATM_OPTIONS[1:]]
EVERY += [(kind, {"buffer": 3}) for kind in DEEP] + [(kind, {"pre_norm": True}) for kind in ("mlp", "lstm")]


def make(kind, **options) -> Predictor:
    return redraw(build_predictor(kind, 8, heads=2, qkv=12, hidden=10, layers=2, **options))


# ---- formulas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("buffer", [None, 2])
def test_history_transformers_are_their_formulas(kind, buffer):
    predictor, slots = make(kind, buffer=buffer), clip(3)
    got = predictor.parallel(slots)
    for item in range(2):
        for frame in range(3):
            want = DEEP[kind](predictor, slots[item, : frame + 1])
            torch.testing.assert_close(got[item, frame], want, **CLOSE)


def test_slotformer_looks_back_six_frames_unless_told():
    assert make("slotformer").window == 6
    assert make("slotformer", buffer=3).window == 3
    assert make("ocvp_seq").window is None


@pytest.mark.parametrize("pre_norm", [False, True])
def test_mlp_predictor_is_its_formula(pre_norm):
    predictor, slots = make("mlp", pre_norm=pre_norm), clip(2)
    got = predictor.parallel(slots)
    for x, y in zip(slots.flatten(0, 2), got.flatten(0, 2)):
        if pre_norm:
            want = x + dense(norm(x, predictor.norm), predictor.mlp)
        else:
            want = norm(x + dense(x, predictor.mlp), predictor.norm)
        torch.testing.assert_close(y, want, **CLOSE)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_lstm_predictor_is_its_formula(pre_norm):
    predictor, slots = make("lstm", pre_norm=pre_norm), clip(4, batch=1)
    got = predictor.parallel(slots)[0]
    blocked = [block(predictor.block, list(frame)) for frame in slots[0]]
    for k in range(3):
        hidden = lstm_sequence(predictor.lstm, [frame[k] for frame in blocked])
        want = torch.stack([predictor.out.weight @ h + predictor.out.bias for h in hidden])
        torch.testing.assert_close(got[:, k], want, **CLOSE)


def test_constant_velocity_and_copy():
    places = torch.arange(6.0)[None, :, None, None] * torch.tensor([[1.0, -2.0], [0.5, 0.0]]) + 3
    ahead = make("velocity")
    predictor = build_predictor("velocity", 2)
    got = predictor.parallel(places)
    torch.testing.assert_close(got[:, 1:-1], places[:, 2:])
    assert torch.equal(got[:, 0], places[:, 0])
    assert torch.equal(build_predictor("copy", 2).parallel(places), places)
    assert ahead.start(1, 2).rows(0)["entries"].shape == (1, 2, 0, 8)


# ---- one interface ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_one_pass_is_the_loop_and_so_are_pieces(kind, options):
    predictor, slots = make(kind, **options), clip(9)
    together, stepped = predictor.parallel(slots), loop(predictor, slots)[0]
    torch.testing.assert_close(together, stepped, **CLOSE)
    first, memory = predictor.advance(slots[:, :5], predictor.start(2, 3))
    second, _ = predictor.advance(slots[:, 5:], memory)
    torch.testing.assert_close(torch.cat([first, second], 1), together, **CLOSE)
    torch.testing.assert_close(predictor.parallel(slots[1:]), together[1:], **CLOSE)


@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_slots_are_a_set_and_the_future_is_not_seen(kind, options):
    predictor, slots, order = make(kind, **options), clip(5), [2, 0, 1]
    before = predictor.parallel(slots)
    torch.testing.assert_close(predictor.parallel(slots[:, :, order]), before[:, :, order], **CLOSE)
    changed = slots.clone()
    changed[:, 3] += 1
    torch.testing.assert_close(predictor.parallel(changed)[:, :3], before[:, :3], **CLOSE)
    assert not torch.allclose(predictor.parallel(changed)[:, 3], before[:, 3])


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_used(kind):
    predictor = make(kind)
    predictor.parallel(clip(4)).square().sum().backward() if list(predictor.parameters()) else None
    assert not [name for name, p in predictor.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("kind", ["statm", "lstm", "slotformer", "ocvp_seq", "ocvp_par", "velocity"])
def test_the_past_matters_to_those_that_remember(kind):
    predictor, slots = make(kind), clip(5)
    changed = slots.clone()
    changed[:, 3] += 1
    assert not torch.allclose(predictor.parallel(slots)[:, 4], predictor.parallel(changed)[:, 4])


# ---- costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), EVERY)
def test_costs_are_what_is_counted(kind, options):
    """torch's counter gives two operations per multiply-add; the plain kernel is the one it sees through."""
    predictor, slots = make(kind, **options), clip(9, batch=1)
    memory = predictor.start(1, 3)
    for frame in range(9):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            _, memory = predictor(slots[:, frame], memory)
        told = cost(predictor, slots=3, length=frame + 1)
        assert counter.get_total_flops() == 2 * told.operations
        assert told.remembered == sum(field.numel() for field in memory.values())
    assert told.parameters == sum(parameter.numel() for parameter in predictor.parameters())


def growth(kind, slots, length, **options):
    """Multiply-adds one more frame in the past adds to a step."""
    predictor = build_predictor(kind, 128, **options)
    return [
        cost(predictor, slots=slots, length=n + 1).operations
        - cost(predictor, slots=slots, length=n).operations
        for n in length
    ]


def test_cost_grows_as_it_should():
    """Cached CS: 2 K L qkv, linear; AS: 2 K^2 L qkv; OCVP: L^2 K; all slots of all frames: (K L)^2."""
    assert growth("statm", 11, (1, 6, 23)) == [2 * 11 * 128] * 3
    assert growth("statm", 22, (6,)) == [2 * 22 * 128]
    assert growth("statm", 11, (1, 23), time="all") == [2 * 11 * 11 * 128] * 2
    restacked = growth("statm", 11, (1, 23), cache=False)
    assert restacked == [2 * 11 * 128 + 2 * 11 * 128 * 128] * 2
    assert growth("statm", 11, (6, 23), buffer=6) == [0, 0]
    quadratic = growth("ocvp_seq", 11, (5, 6, 7))
    assert quadratic[2] - quadratic[1] == quadratic[1] - quadratic[0] == 4 * 2 * 2 * 11 * 128
    window = build_predictor("slotformer", 128, buffer=24)
    pairs = [cost(window, slots=k, length=n).operations for k, n in ((11, 12), (11, 24), (22, 12))]
    assert pairs[1] - pairs[2] == pytest.approx(0, abs=2 * 12 * 11 * 128 * 128)
    looks = 4 * 2 * 128 * (11 * 24) ** 2
    assert pairs[1] > looks


def test_statm_costs_little_more_than_savis_block():
    predictors = {kind: build_predictor(kind, 128) for kind in ("statm", "savi", "slotformer", "ocvp_seq")}
    costs = {kind: cost(one, slots=11, length=24).operations for kind, one in predictors.items()}
    assert costs["savi"] < costs["statm"] < 2 * costs["savi"]
    assert costs["slotformer"] > 10 * costs["statm"]
    assert costs["ocvp_seq"] > 50 * costs["statm"]


def test_refusals():
    with pytest.raises(InputError, match="predictor: 'gru' is unknown"):
        build_predictor("gru", 8)
    for kind in ("statm", *DEEP):
        with pytest.raises(InputError, match="buffer"):
            build_predictor(kind, 8, qkv=8, buffer=0)
    with pytest.raises(InputError, match="length"):
        cost(build_predictor("savi", 8), slots=2, length=0)
    for kind in KINDS:
        with pytest.raises(InputError, match="slots"):
            make(kind).parallel(clip(2, size=5))

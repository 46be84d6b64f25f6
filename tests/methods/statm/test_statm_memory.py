"""The memory: an immutable value, the same results cached or not, gradients through all of it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from statm_slow import clip, loop, redraw

from visus.methods.statm.baselines import KINDS, build_predictor
from visus.methods.statm.model.memory import Memory, ages_of, join
from visus.methods.statm.model.predictors import FUSIONS, STATM, Past

CLOSE = {"atol": 1e-10, "rtol": 0}
REMEMBERING = [kind for kind in KINDS if kind not in ("savi", "mlp", "copy")]


def make(fusion="space_time_sum", pre_norm=False, **past):
    return redraw(STATM(8, heads=2, qkv=12, hidden=10, fusion=fusion, pre_norm=pre_norm, past=Past(**past)))


def of_kind(kind, **options):
    return redraw(build_predictor(kind, 8, heads=2, qkv=12, hidden=10, layers=2, **options))


# ---- the value --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_leaves_its_memory_as_it_was(kind):
    """Two futures from one memory."""
    predictor, slots = of_kind(kind, buffer=3), clip(6)
    memory = loop(predictor, slots[:, :4])[1]
    kept = {name: value.clone() for name, value in memory.items()}
    first = loop(predictor, slots[:, 4:], memory=memory)[0]
    loop(predictor, -slots[:, 4:], memory=memory)
    assert all(torch.equal(memory[name], kept[name]) for name in kept)
    assert torch.equal(loop(predictor, slots[:, 4:], memory=memory)[0], first)


@pytest.mark.parametrize("kind", REMEMBERING)
def test_memory_can_be_saved_split_and_put_together(kind, tmp_path):
    predictor, slots = of_kind(kind), clip(5)
    memory = loop(predictor, slots[:, :4])[1]
    save_file(dict(memory.contiguous()), tmp_path / "memory.safetensors")
    read = Memory(load_file(tmp_path / "memory.safetensors"))
    want = predictor(slots[:, 4], memory)[0]
    assert torch.equal(predictor(slots[:, 4], read)[0], want)
    second = predictor(slots[1:, 4], memory.rows([1]))[0]
    torch.testing.assert_close(second, want[1:], **CLOSE)
    again = Memory.stack([memory.rows(1), memory.rows(slice(0, 1))])
    torch.testing.assert_close(predictor(slots[[1, 0], 4], again)[0], want[[1, 0]], **CLOSE)
    assert memory.rows(-1)[next(iter(memory))].shape[0] == 1


def test_memory_as_a_mapping():
    memory = Memory(one=torch.ones(2, 3), two=torch.zeros(2, requires_grad=True))
    assert list(memory) == ["one", "two"]
    assert len(memory) == 2
    assert repr(memory) == "Memory(one: (2, 3), two: (2,))"
    assert memory.to(torch.float64)["one"].dtype == torch.float64
    assert memory["two"].requires_grad
    assert not memory.detach()["two"].requires_grad
    assert memory.to("meta")["one"].is_meta
    assert len(STATM(8, qkv=8).start(2, 3, device="meta", dtype=torch.bfloat16)) == 1
    with pytest.raises(TypeError):
        memory["one"] = torch.zeros(1)


def test_join_is_a_list_of_frames():
    for keep in (None, 1, 3, 9):
        memory, listed = torch.zeros(1, 2, 0, 4), []
        for length in (1, 4, 1, 1, 2):
            new = torch.randn(1, 2, length, 4)
            memory = join(memory, new, keep=keep)
            listed = (listed + list(new.unbind(2)))[-(keep or 99) :]
            assert torch.equal(memory, torch.stack(listed, 2))


def test_ages_count_back():
    assert ages_of(1, 4, device=torch.device("cpu")).tolist() == [[3, 2, 1, 0]]
    ages = ages_of(3, 5, device=torch.device("cpu"))
    assert all(ages[i, j] == (2 + i) - j for i in range(3) for j in range(5))


# ---- cached or stacked again ------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("positions", [None, "learned", "sin", "relative"])
@pytest.mark.parametrize("time", ["corresponding", "all"])
@pytest.mark.parametrize("buffer", [None, 3])
def test_cached_is_stacked_again(fusion, pre_norm, positions, time, buffer):
    """Outputs, and the gradients of every parameter and of the slots."""
    past = {"positions": positions, "time": time, "buffer": buffer}
    results = []
    for cache in (True, False):
        predictor = make(fusion, pre_norm, cache=cache, **past)
        slots = clip(5).requires_grad_()
        made = loop(predictor, slots)[0]
        (made * torch.linspace(-1, 1, made.numel(), dtype=made.dtype).view_as(made)).sum().backward()
        results.append([made.detach(), slots.grad, *(p.grad for p in predictor.parameters())])
    for cached, stacked in zip(*results, strict=True):
        torch.testing.assert_close(cached, stacked, atol=1e-9, rtol=1e-7)


def test_what_is_remembered_is_projected_once():
    cached, stacked = make(), make(cache=False)
    assert cached.start(2, 3)["entries"].shape == (2, 3, 0, 24)
    assert stacked.start(2, 3)["entries"].shape == (2, 3, 0, 8)
    memory = loop(cached, clip(4))[1]
    later = cached(clip(1)[:, 0], memory)[1]
    assert torch.equal(later["entries"][:, :, :4], memory["entries"])
    want = cached.time_attention.to_key_value(clip(4)).transpose(1, 2)
    torch.testing.assert_close(memory["entries"], want, **CLOSE)


# ---- how far back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [None, "learned", "sin", "relative"])
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("time", ["corresponding", "all"])
def test_a_buffer_of_six_is_the_last_six_frames(positions, cache, time):
    predictor, slots = make(positions=positions, cache=cache, time=time, buffer=6), clip(24)
    streamed, memory = loop(predictor, slots)
    assert memory["entries"].shape[2] == 6
    alone = loop(predictor, slots[:, -6:])[0]
    torch.testing.assert_close(streamed[:, -1], alone[:, -1], **CLOSE)
    assert not torch.allclose(streamed[:, -2], alone[:, -2])
    unbounded = make(positions=positions, cache=cache, time=time)
    torch.testing.assert_close(loop(unbounded, slots[:, -6:])[0][:, -1], streamed[:, -1], **CLOSE)
    assert not torch.allclose(loop(unbounded, slots)[0][:, -1], streamed[:, -1])


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("one_pass", [True, False])
@pytest.mark.parametrize(("buffer", "reached"), [(None, 6), (3, 3), (1, 1)])
def test_gradients_flow_through_the_whole_buffer(buffer, reached, cache, one_pass):
    """The slots of each frame are given, so nothing but the buffer leads from frame 0 to the loss at frame 5."""
    predictor, slots = make(buffer=buffer, cache=cache), clip(6).requires_grad_()
    made = predictor.parallel(slots) if one_pass else loop(predictor, slots)[0]
    made[:, 5].square().sum().backward()
    strength = slots.grad.abs().flatten(2).amax(-1)
    assert ((strength > 1e-9).sum(1) == reached).all()
    assert (strength[:, 6 - reached :] > 1e-9).all()


def test_a_detached_memory_stops_gradients():
    predictor, slots = make(), clip(3).requires_grad_()
    memory = loop(predictor, slots[:, :2])[1].detach()
    predictor(slots[:, 2], memory)[0].square().sum().backward()
    assert not slots.grad[:, :2].any()
    assert slots.grad[:, 2].any()

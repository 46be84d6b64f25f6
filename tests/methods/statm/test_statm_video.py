"""The video model: its sizes, what starts the slots, and that a stream is one pass."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from statm_models import film, hints, make
from torch import nn

from visus.errors import InputError
from visus.methods.statm.baselines import KINDS, build_predictor
from visus.methods.statm.model.predictors import STATM, Past
from visus.methods.statm.model.video import SIZES, FirstSlots, VideoState, slot_video

INITS = ("boxes", "points", "masks", "gaussian", "learned")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# ---- the recurrence ---------------------------------------------------------------------------------------


def test_it_is_its_parts_frame_after_frame():
    """The predictor's memory written out: it reads all corrected slots so far, the current ones included."""
    model, video, known = make(), film(), hints()
    found = model(video, known)
    slots, corrected = model.initializer.make(known["boxes"]), []
    for t in range(5):
        s, attention = model.corrector(model.encoder(video[:, t]), slots)
        corrected.append(s)
        slots = model.predictor.parallel(torch.stack(corrected, 1))[:, -1]
        painted = model.decoder(s)
        torch.testing.assert_close(found.slots[:, t], s)
        torch.testing.assert_close(found.predicted[:, t], slots)
        torch.testing.assert_close(found.attention[:, t], attention)
        torch.testing.assert_close(found.output[:, t], painted.output)
        torch.testing.assert_close(found.logits[:, t], painted.logits)
    assert torch.equal(found.state.slots, found.predicted[:, -1])
    assert found.state.frame == 5
    torch.testing.assert_close(found.attention.sum(2), torch.ones_like(found.attention[:, :, 0]))
    torch.testing.assert_close(found.masks.sum(2), torch.ones_like(found.logits[:, :, 0]))


@pytest.mark.parametrize(("kind", "options"), [*((k, {}) for k in KINDS), ("statm", {"buffer": 6})])
def test_a_stream_is_one_pass(kind, options):
    """24 frames at once, one at a time, and in uneven pieces."""
    model, video, known = make(kind=kind, **options), film(24), hints()
    with torch.no_grad():
        whole = model(video, known)
        for cuts in ([1] * 24, [5, 1, 11, 7]):
            state, pieces = None, []
            for piece in video.split(cuts, dim=1):
                pieces.append(model(piece, known if state is None else None, state=state))
                state = pieces[-1].state
            joined = [torch.cat([getattr(p, n) for p in pieces], 1) for n in ("slots", "output", "logits")]
            for got, want in zip(joined, (whole.slots, whole.output, whole.logits)):
                torch.testing.assert_close(got, want, atol=1e-10, rtol=0)
            assert state.frame == 24


def test_a_stream_is_one_pass_in_single_precision():
    model = slot_video("tiny", outputs=3, image=(32, 32)).eval()
    video, known = torch.rand(1, 24, 3, 32, 32), {"boxes": torch.rand(1, 5, 4)}
    with torch.no_grad():
        whole, state, slots = model(video, known), None, []
        for frame in video.split(1, dim=1):
            found = model(frame, known, state=state)
            state = found.state
            slots.append(found.slots)
    torch.testing.assert_close(torch.cat(slots, 1), whole.slots, atol=1e-5, rtol=0)


def test_forgetting_the_memory_between_pieces_is_another_result():
    """The mistake of an evaluation in slices: only the slots are passed on."""
    model, video, known = make(), film(6), hints()
    whole = model(video, known)
    first = model(video[:, :3], known)
    blank = VideoState(first.state.slots, model.predictor.start(2, 4), 3)
    assert not torch.allclose(model(video[:, 3:], state=blank).slots, whole.slots[:, 3:])


def test_a_state_can_be_split_and_moved():
    model, video, known = make(), film(6), hints()
    whole, first = model(video, known), model(video[:, :3], known)
    second = model(video[1:, 3:], state=first.state.rows([1]))
    torch.testing.assert_close(second.slots, whole.slots[1:, 3:])
    moved = first.state.to("meta")
    assert moved.slots.is_meta
    assert moved.memory["entries"].is_meta
    assert not first.state.detach().slots.requires_grad
    assert not first.state.detach().memory["entries"].requires_grad


def test_gradients_reach_the_first_frame_through_the_memory_alone():
    """The recurrence is cut after every frame; only the memory leads from frame 0 to the loss at frame 5."""
    model, video, known = make(), film(6), hints()
    slots = model.begin(2, known).slots.detach()
    corrected, memory = [], model.predictor.start(2, 4)
    for frame in video.unbind(1):
        s, _ = model.corrector(model.encoder(frame), slots)
        corrected.append(s.detach().requires_grad_())
        predicted, memory = model.predictor(corrected[-1], memory)
        slots = predicted.detach()
    predicted.square().sum().backward()
    assert all(s.grad.abs().max() > 1e-9 for s in corrected)


def test_every_parameter_is_used():
    for initializer in INITS:
        model = make(initializer=initializer)
        found = model(film(3), hints())
        (found.output.square().sum() + found.logits.square().sum()).backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle


def test_rounds_of_the_corrector():
    one, two = make(iterations=1), make(iterations=2)
    video, known = film(2), hints()
    s = two.begin(2, known).slots
    tokens = two.encoder(video[:, 0])
    want = two.corrector(tokens, two.corrector(tokens, s, iterations=1)[0], iterations=1)[0]
    torch.testing.assert_close(two(video, known).slots[:, 0], want)
    assert not torch.allclose(one(video, known).slots, two(video, known).slots)


def test_without_decoding():
    found = make()(film(2), hints(), decode=False)
    assert found.output is None
    assert found.logits is None
    with pytest.raises(InputError, match="was not decoded"):
        _ = found.masks


# ---- first slots ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", INITS)
def test_every_start_gives_slots_independent_of_batch_mates(kind):
    model, video, known = make(initializer=kind).eval(), film(2, batch=3), hints(3)
    found = model(video, known)
    assert found.slots.shape == (3, 2, 4, 8)
    alone = model(video[1:2], {name: value[1:2] for name, value in known.items()})
    torch.testing.assert_close(alone.slots, found.slots[1:2])
    assert torch.equal(model(video, known).slots, found.slots)


def test_noise_differs_in_training_and_follows_its_generator():
    start = FirstSlots("gaussian", 8, count=4)
    assert not torch.equal(start(2), start(2))
    first = start(2)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(
        start(2, generator=torch.Generator().manual_seed(3)),
        start(2, generator=torch.Generator().manual_seed(3)),
    )
    start.eval()
    assert torch.equal(start(2), start(2))


@pytest.mark.parametrize("kind", ["boxes", "points", "masks"])
def test_objects_that_are_not_there_are_further_backgrounds(kind):
    start = FirstSlots(kind, 8, count=4)
    nothing = {
        "boxes": torch.zeros(1, 3, 4),
        "points": -torch.ones(1, 3, 2),
        "masks": torch.ones(1, 8, 8).long(),
    }
    slots = start(1, nothing)[0]
    assert slots.shape == (4, 8)
    if kind == "masks":
        torch.testing.assert_close(slots[2], slots[3])
        assert not torch.allclose(slots[1], slots[2])
    else:
        torch.testing.assert_close(slots, slots[:1].expand(4, -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make()(film(2)), "hints, boxes: is absent"),
        (lambda: make(initializer="masks")(film(2), {"boxes": torch.zeros(2, 3, 4)}), "hints, masks"),
        (lambda: make()(film(2), hints(3)), "is for 3 clips, not 2"),
        (lambda: make()(film(2)[:, 0], hints()), "video: has shape"),
        (lambda: make()(film(0), hints()), "at least one frame"),
        (lambda: FirstSlots("circles", 8, count=3), "'circles' is unknown"),
        (lambda: FirstSlots("learned", 8, count=1), "slots: is 1"),
        (lambda: slot_video("large", outputs=3, image=(64, 64)), "'large' is unknown"),
        (lambda: slot_video("tiny", outputs=3, image=(32, 32), predictor=STATM(8)), "slots of 8 numbers"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


# ---- sizes ------------------------------------------------------------------------------------------------


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolution(inputs, outputs, kernel=5):
    return inputs * outputs * kernel**2 + outputs


def attention(d, q):
    return 4 * d * q + 3 * q + d


def dense(*sizes):
    return sum(a * b + b for a, b in pairwise(sizes))


def test_parameters_of_the_small_model_by_hand():
    model = slot_video("small", outputs=3, image=(64, 64))
    encoder = convolution(3, 32) + 3 * convolution(32, 32) + dense(2, 32) + 2 * 32 + dense(32, 64, 32)
    corrector = 2 * 32 + 2 * 128 + 128 * 128 + 2 * 32 * 128 + 3 * (128 * 128 + 128 * 128 + 2 * 128)
    predictor = 2 * attention(128, 128) + dense(128, 256, 128) + 3 * 2 * 128
    decoder = dense(2, 128) + convolution(128, 64) + 3 * convolution(64, 64) + dense(64, 1) + dense(64, 3)
    assert count(model.encoder) == encoder == 83_680
    assert count(model.corrector) == corrector == 123_968
    assert count(model.predictor) == predictor == 198_784
    assert count(model.decoder) == decoder == 512_900
    assert count(model.initializer) == dense(4, 256, 128) == 34_176
    assert count(model) == 953_508
    savi = slot_video("small", outputs=3, image=(64, 64), predictor=build_predictor("savi", 128))
    assert count(model) - count(savi) == attention(128, 128) + 2 * 128


def test_sizes_of_the_published_models():
    """Tokens, slots and outputs of both, without computing; SAVi++ has 16 x 16 tokens and two targets."""
    with torch.device("meta"):
        small = slot_video("small", outputs=3, image=(64, 64))
        plus = slot_video("plus", outputs=4, image=(128, 128), slots=24)
        found = small(torch.rand(1, 2, 3, 64, 64), {"boxes": torch.rand(1, 10, 4)})
        assert found.attention.shape == (1, 2, 11, 4096)
        assert found.output.shape == (1, 2, 3, 64, 64)
        found = plus(torch.rand(1, 1, 3, 128, 128), {"boxes": torch.rand(1, 23, 4)})
    assert found.attention.shape == (1, 1, 24, 256)
    assert found.output.shape == (1, 1, 4, 128, 128)
    assert found.logits.shape == (1, 1, 24, 128, 128)
    assert (small.corrector.iterations, plus.corrector.iterations) == (1, 2)
    assert plus.corrector.gru.input_size == 256
    assert plus.corrector.gru.hidden_size == 128
    assert plus.corrector.mlp is None
    assert count(plus.predictor) == 2 * attention(128, 256) + dense(128, 1024, 128) + 3 * 2 * 128
    assert small.decoder.grid == plus.decoder.grid == (8, 8)
    single = slot_video("tiny", outputs=4, image=(24, 32), iterations=3)
    assert single.corrector.iterations == 3
    assert single.decoder.image == (24, 32)


def test_the_predictor_can_be_chosen():
    model = slot_video(
        "tiny",
        outputs=3,
        image=(16, 16),
        predictor=STATM(SIZES["tiny"].slot, qkv=64, past=Past(buffer=2)),
        initializer="learned",
        slots=3,
    )
    found = model(torch.rand(2, 4, 3, 16, 16))
    assert found.slots.shape == (2, 4, 3, 64)
    assert found.state.memory["entries"].shape[2] == 2

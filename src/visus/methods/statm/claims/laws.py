"""What holds for every weight: order, independence, equal ways to the same prediction; in double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from visus.protocols import Scores, Trial

if TYPE_CHECKING:
    from visus.methods.statm.model.predictors import STATM

SIZE, HEADS, SLOTS, FRAMES, KEPT = 16, 4, 5, 24, 6
STATED: dict[str, float] = dict.fromkeys(
    (
        "equivariance",
        "leak_corresponding",
        "leak_all",
        "one_frame",
        "order_without_positions",
        "order_with_positions",
        "streaming",
        "caching",
        "bounded",
        "gradient_through_memory",
    ),
    0.0,
)


def measure_laws(trial: Trial, run: Any) -> Scores:
    """`stated`: that nothing differs; `built`: by how much random instances of this implementation do."""
    if trial.arm == "stated":
        return dict(STATED)
    with run.seeded("laws"):
        clip = torch.randn(2, FRAMES, SLOTS, SIZE, dtype=torch.float64)
        plain, everything, told = statm(), statm(time="all"), statm(positions="learned")
        streamed = streaming()
    with torch.no_grad():
        found = {
            "equivariance": equivariance(plain, clip),
            "leak_corresponding": leak(plain, clip),
            "leak_all": leak(everything, clip),
            "one_frame": far(plain.parallel(clip[:, :1]), one_frame_by_hand(plain, clip[:, :1])),
            "order_without_positions": order(plain, clip),
            "order_with_positions": order(told, clip),
            "streaming": streamed,
            "caching": caching(plain, clip),
            "bounded": bounded(plain, clip),
        }
    return {**found, "gradient_through_memory": gradient(plain, clip)}


def statm(*, cache: bool = True, **past: Any) -> STATM:
    """A predictor with weights from the global generator, positions in time large enough to matter."""
    from visus.methods.statm.model.predictors import STATM, Past

    made = STATM(SIZE, heads=HEADS, qkv=SIZE, hidden=2 * SIZE, past=Past(cache=cache, **past)).double().eval()
    if made.time_attention.positions is not None:
        for table in made.time_attention.positions.parameters():
            torch.nn.init.normal_(table)
    return made


def like(predictor: STATM, **past: Any) -> STATM:
    """The same weights, remembered in another way."""
    made = statm(**past)
    made.load_state_dict(predictor.state_dict())
    return made


def far(one: Tensor, other: Tensor) -> float:
    """Largest difference."""
    return float((one - other).abs().max())


def equivariance(predictor: STATM, clip: Tensor) -> float:
    """Predictions of exchanged slots against exchanged predictions."""
    swapped = [*range(1, SLOTS), 0]
    return far(predictor.parallel(clip[:, :, swapped]), predictor.parallel(clip)[:, :, swapped])


def leak(predictor: STATM, clip: Tensor) -> float:
    """Change of all other predictions when the past of slot 0 is replaced."""
    other = clip.clone()
    other[:, :-1, 0] = clip[:, :-1, 0].flip(1) + 1
    return far(predictor.parallel(clip)[:, -1, 1:], predictor.parallel(other)[:, -1, 1:])


def one_frame_by_hand(predictor: STATM, frame: Tensor) -> Tensor:
    """The prediction after one frame, with attention over time written as the linear map it then is."""
    norms, past = predictor.norms, predictor.time_attention
    value = past.to_key_value(frame)[..., past.qkv :]
    space = norms["space"](frame + predictor.space_attention(frame[:, 0], frame[:, 0])[:, None])
    both = space + norms["time"](frame + past.to_out(value))
    return norms["mlp"](both + predictor.mlp(both))


def order(predictor: STATM, clip: Tensor) -> float:
    """Change of the last prediction when the frames before the last come in another order."""
    mixed = torch.cat([clip[:, :-1].roll(5, dims=1).flip(1), clip[:, -1:]], dim=1)
    return far(predictor.parallel(clip)[:, -1], predictor.parallel(mixed)[:, -1])


def caching(predictor: STATM, clip: Tensor) -> float:
    """Remembered projections against slots that are projected again at every step."""
    again = like(predictor, cache=False)
    difference, memories = 0.0, [made.start(len(clip), SLOTS) for made in (predictor, again)]
    for frame in clip.unbind(1):
        one, memories[0] = predictor(frame, memories[0])
        other, memories[1] = again(frame, memories[1])
        difference = max(difference, far(one, other))
    return difference


def bounded(predictor: STATM, clip: Tensor) -> float:
    """A buffer of `KEPT` frames at the end of a clip, frame by frame, against the last `KEPT` frames alone."""
    short = like(predictor, buffer=KEPT)
    memory, predicted = short.start(len(clip), SLOTS), clip[:, 0]
    for frame in clip.unbind(1):
        predicted, memory = short(frame, memory)
    return far(predicted, predictor.parallel(clip[:, -KEPT:])[:, -1])


def streaming() -> float:
    """A whole video model, frame by frame with a carried state, against one pass over the clip."""
    from visus.methods.statm.model.video import slot_video

    model = slot_video("tiny", outputs=3, image=(16, 16)).double().eval()
    video, boxes = torch.rand(1, FRAMES, 3, 16, 16).double(), torch.rand(1, 4, 4).double()
    with torch.no_grad():
        whole = model(video, {"boxes": boxes})
        state, parts = None, []
        for frame in video.split(1, dim=1):
            part = model(frame, {"boxes": boxes}, state=state)
            state, parts = part.state, [*parts, part]
    slots = torch.cat([part.slots for part in parts], dim=1)
    logits = torch.cat([part.logits for part in parts], dim=1)
    assert whole.logits is not None
    return max(far(slots, whole.slots), far(logits, whole.logits))


def gradient(predictor: STATM, clip: Tensor) -> float:
    """Gradient of the prediction after frame 5 with respect to the slots of frame 0.

    The slots of every frame are given, none is made from another: only the memory connects them.
    """
    first = clip[:, :1].clone().requires_grad_()
    predicted = predictor.parallel(torch.cat([first, clip[:, 1:6]], dim=1))[:, 5]
    (slope,) = torch.autograd.grad((predicted * clip[:, 6]).sum(), first)
    return float(slope.abs().max())

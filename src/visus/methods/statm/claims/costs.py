"""What a step costs as the memory grows: multiply-adds that torch executes, and time."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from visus.protocols import Scores, Trial

if TYPE_CHECKING:
    from visus.methods.statm.model.memory import Memory
    from visus.methods.statm.model.predictors import Predictor

SLOTS, SIZE, LENGTH = 11, 128, 24
LAYERS = 1
"""Of the transformer over all slots of all frames: one, so that it is compared layer by layer."""
LONG = 96
REPEATS = {"smoke": 2, "demo": 30, "gpu": 60, "paper": 60}
BATCH = {"smoke": 1, "demo": 4, "gpu": 64, "paper": 64}
ARMS: dict[str, dict[str, Any]] = {
    "cs": {"kind": "statm"},
    "cs_restacked": {"kind": "statm", "cache": False},
    "as": {"kind": "statm", "time": "all"},
    "joint": {"kind": "slotformer", "buffer": LONG, "layers": LAYERS},
}
STATED = {
    "cs_per_frame": 2.0 * SLOTS * SIZE,
    "as_per_frame": 2.0 * SLOTS**2 * SIZE,
    "cs_curvature": 0.0,
    "joint_curvature": 4.0 * SLOTS**2 * SIZE * LAYERS,
    "miscounted": 0.0,
}


def predictor_of(arm: str) -> Predictor:
    """The predictor of an arm, at the size of the paper's small model."""
    from visus.methods.statm.baselines import build_predictor

    return build_predictor(size=SIZE, **ARMS[arm]).eval()


def measure_operations(trial: Trial, run: Any) -> Scores:
    """`stated`: the formulas; `counted`: what a step executes with 23, 24 and 25 frames in memory.

    `..._per_frame`: multiply-adds of one more frame; `..._curvature`: their second difference; `miscounted`:
    steps whose count differs from what the library states.
    """
    if trial.arm == "stated":
        return dict(STATED)
    scores, wrong = {}, 0
    for arm in ("cs", "as", "joint"):
        predictor = predictor_of(arm)
        counts = [executed(predictor, length) for length in (LENGTH - 1, LENGTH, LENGTH + 1)]
        stated = [predictor.operations(SLOTS, length) for length in (LENGTH - 1, LENGTH, LENGTH + 1)]
        wrong += sum(one != other for one, other in zip(counts, stated, strict=True))
        scores[f"{arm}_per_frame"] = float(counts[2] - counts[1])
        scores[f"{arm}_curvature"] = float(counts[2] - 2 * counts[1] + counts[0])
    return {**scores, "miscounted": float(wrong)}


def executed(predictor: Predictor, length: int) -> int:
    """Multiply-adds of the matrix products that torch runs in the step that sees frame number `length`."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    frame = torch.zeros(1, SLOTS, SIZE)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        memory = remembered(predictor, frame, length - 1)
        with FlopCounterMode(display=False) as counter:
            predictor(frame, memory)
    return counter.get_total_flops() // 2


def remembered(predictor: Predictor, frame: Float[Tensor, "b k d"], length: int) -> Memory:
    """The memory of a scene that stood still for `length` frames, without computing their predictions."""
    from visus.methods.statm.model.memory import Memory

    start = predictor.start(len(frame), SLOTS, device=frame.device)
    _, memory = predictor(frame, start)
    return Memory({name: value.repeat(1, 1, length, 1) for name, value in memory.items()})


def measure_time(trial: Trial, run: Any) -> Scores:
    """Milliseconds of a step with 24 and with 96 frames in memory, and their ratio `growth`."""
    with run.seeded("time"):
        predictor = predictor_of(trial.arm).to(run.device)
    batch, repeats = BATCH[trial.preset], REPEATS[trial.preset]
    found = [step_ms(predictor, length, batch, repeats, run.device) for length in (LENGTH, LONG)]
    return {"ms_24": found[0], "ms_96": found[1], "growth": found[1] / found[0]}


@torch.inference_mode()
def step_ms(predictor: Predictor, length: int, batch: int, repeats: int, device: torch.device) -> float:
    """Median time of the step that sees frame number `length`; processor time, or waiting time on a GPU."""
    frame = torch.randn(batch, SLOTS, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    memory = remembered(predictor, frame, length - 1)
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    times = []
    for _ in range(repeats + 2):
        began = clock()
        predictor(frame, memory)
        if on_gpu:
            torch.cuda.synchronize(device)
        times.append(1000 * (clock() - began))
    return statistics.median(times[2:])

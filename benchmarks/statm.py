"""Speed and memory of slot predictors, of the cache, and of the whole video model.

    python benchmarks/statm.py --out statm.json [--quick] [--device cuda]

- every predictor: milliseconds of one step with L frames in memory, for K slots of 128 numbers and one video;
  parameters, multiply-adds, numbers remembered, and the peak memory of the step beyond weights and input;
- a stream of T frames with projected keys and values kept, with slots kept and projected again in every frame,
  and with a naive port: a list of frames, stacked anew for every frame, and `torch.nn.MultiheadAttention`
  (written here, same weights, same outputs);
- a clip in one teacher-forced pass against the same clip frame by frame, forward and forward+backward;
- the small model on frames of 64 x 64: milliseconds per frame of a stream, by part.

On a CPU times are processor times of one thread (other programs disturb them less) and peak memory is that of
torch's allocations; on CUDA they are times on the wall and the allocator's peak.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.methods.statm.baselines import build_predictor
from visus.methods.statm.model.cost import cost
from visus.methods.statm.model.memory import Memory
from visus.methods.statm.model.predictors import STATM, Predictor
from visus.methods.statm.model.video import SlotVideo, slot_video

SIZE = 128
INNER = 5
"""Steps per reading: a single one would be charged for what its predecessor left in the processor's caches."""
GATE_FRAMES, GATE_SPEEDUP = 96, 1.2
PREDICTORS: dict[str, dict[str, Any]] = {
    "copy": {"kind": "copy"},
    "MLP": {"kind": "mlp"},
    "SAVi": {"kind": "savi"},
    "SAVi + LSTM": {"kind": "lstm"},
    "STATM T+S, CS": {"kind": "statm"},
    "STATM T+S, CS, sine": {"kind": "statm", "time_positions": "sin"},
    "STATM T+S, CS, relative": {"kind": "statm", "time_positions": "relative"},
    "STATM S then T": {"kind": "statm", "fusion": "space_then_time"},
    "STATM T then S": {"kind": "statm", "fusion": "time_then_space"},
    "STATM shared residual": {"kind": "statm", "fusion": "shared_residual"},
    "STATM T+S, AS": {"kind": "statm", "time": "all"},
    "STATM T+S, CS, buffer 6": {"kind": "statm", "buffer": 6},
    "SlotFormer, window 6": {"kind": "slotformer"},
    "SlotFormer, window 24": {"kind": "slotformer", "buffer": 24},
    "OCVP-Seq": {"kind": "ocvp_seq"},
    "OCVP-Par": {"kind": "ocvp_par"},
}


def clock_of(device: torch.device) -> Callable[[], float]:
    """Processor time on a CPU, time on the wall elsewhere."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def peak_bytes(call: Callable[[], Any], device: torch.device) -> int:
    """Most bytes of tensors at once during a call, beyond those that were there before."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    activity = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity], profile_memory=True) as profile:
        call()
    now = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


# ---- predictors -------------------------------------------------------------------------------------------


def filled(predictor: Predictor, slots: int, length: int, device: torch.device) -> tuple[Tensor, Memory]:
    """A frame's slots, and a memory of the `length - 1` frames before it."""
    clip = torch.randn(1, length, slots, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    memory = predictor.start(1, slots, device=device)
    for frame in clip[:, :-1].unbind(1):
        _, memory = predictor(frame, memory)
    return clip[:, -1], memory


def repeated(call: Callable[[], Any]) -> None:
    """A call, `INNER` times."""
    for _ in range(INNER):
        call()


@torch.inference_mode()
def predictors_case(slots: int, length: int, *, device: torch.device, seconds: float) -> dict[str, Any]:
    """One step of every predictor."""
    calls, rows = {}, {}
    for name, options in PREDICTORS.items():
        torch.manual_seed(0)
        predictor = build_predictor(size=SIZE, **options).to(device).eval()
        frame, memory = filled(predictor, slots, length, device)
        one = partial(predictor, frame, memory)
        calls[name] = partial(repeated, one)
        told = cost(predictor, slots=slots, length=length)
        rows[name] = {
            "parameters": told.parameters,
            "operations": told.operations,
            "remembered": told.remembered,
            "peak_bytes": peak_bytes(one, device),
        }
    times = measure(calls, repeats=50, warmup=3, seconds=seconds, clock=clock_of(device))
    for name, values in times.items():
        rows[name] |= summary([value / INNER for value in values])
    return {"slots": slots, "length": length, "predictors": rows}


# ---- streams ----------------------------------------------------------------------------------------------


class NaivePort(nn.Module):
    """T+S with corresponding slots as a port frame by frame writes it: a growing list, stacked every time."""

    def __init__(self, source: STATM) -> None:
        super().__init__()
        space, time = (copied(layer) for layer in (source.space_attention, source.time_attention))
        self.space, self.time, self.mlp, self.norms = space, time, source.mlp, source.norms

    def forward(self, clip: Tensor) -> Tensor:
        seen, made = [], []
        for t in range(clip.shape[1]):
            slots = clip[:, t]
            seen.append(slots)
            buffer = torch.stack(seen, dim=1)
            b, length, k, d = buffer.shape
            xs = self.norms["space"](slots + self.space(slots, slots, slots, need_weights=False)[0])
            keys = buffer.permute(0, 2, 1, 3).reshape(b * k, length, d)
            looked = self.time(slots.reshape(b * k, 1, d), keys, keys, need_weights=False)[0]
            y = xs + self.norms["time"](slots + looked.reshape(b, k, d))
            made.append(self.norms["mlp"](y + self.mlp(y)))
        return torch.stack(made, dim=1)


def copied(layer: nn.Module) -> nn.MultiheadAttention:
    """torch's layer with the weights of ours."""
    made = nn.MultiheadAttention(SIZE, layer.heads, batch_first=True)
    with torch.no_grad():
        made.in_proj_weight.copy_(torch.cat([layer.to_query.weight, layer.to_key_value.weight]))
        made.in_proj_bias.copy_(torch.cat([layer.to_query.bias, layer.to_key_value.bias]))
    made.out_proj.load_state_dict(layer.to_out.state_dict())
    return made


def stream(predictor: Predictor, clip: Tensor) -> Tensor:
    """A clip frame by frame."""
    memory, made = predictor.start(len(clip), clip.shape[2], device=clip.device), []
    for frame in clip.unbind(1):
        predicted, memory = predictor(frame, memory)
        made.append(predicted)
    return torch.stack(made, dim=1)


def alternatives(device: torch.device) -> dict[str, Callable[[Tensor], Tensor]]:
    """The same function four times."""
    torch.manual_seed(0)
    cached = build_predictor("statm", SIZE).to(device)
    stacked = build_predictor("statm", SIZE, cache=False).to(device)
    stacked.load_state_dict(cached.state_dict())
    assert isinstance(cached, STATM)
    naive = NaivePort(cached).to(device)
    return {
        "cached": lambda clip: stream(cached, clip),
        "re-stacked": lambda clip: stream(stacked, clip),
        "naive port": naive,
        "one pass": cached.parallel,
    }


def stream_case(
    frames: int, *, slots: int, batch: int, train: bool, device: torch.device, seconds: float
) -> dict[str, Any]:
    """A clip of slots, with and without gradients, and how far the alternatives differ from one another."""
    clip = torch.randn(batch, frames, slots, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    makers = alternatives(device)
    with torch.inference_mode():
        first, *others = [make(clip) for make in makers.values()]
        gap = max(float((first - other).abs().max()) for other in others)

    def called(make: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def call() -> None:
            with torch.inference_mode(not train):
                made = make(clip)
                if train:
                    made.square().mean().backward()

        return call

    calls = {name: called(make) for name, make in makers.items()}
    memory = {name: peak_bytes(call, device) for name, call in calls.items()}
    times = measure(calls, repeats=20, warmup=1, seconds=seconds, clock=clock_of(device))
    return {
        "frames": frames,
        "slots": slots,
        "batch": batch,
        "what": "forward+backward" if train else "forward",
        "largest_difference": gap,
        "times": {name: summary(values) for name, values in times.items()},
        "peak_bytes": memory,
        "speedup_of_cached": {name: ratio(times, name, "cached") for name in times},
        "speedup_of_one_pass": {name: ratio(times, name, "one pass") for name in times},
    }


# ---- the whole model --------------------------------------------------------------------------------------


@torch.inference_mode()
def model_case(kind: str, *, frames: int, device: torch.device, seconds: float) -> dict[str, Any]:
    """The small model in a stream: milliseconds per frame, frame number `frames`, by part and in all."""
    torch.manual_seed(0)
    predictor = build_predictor(kind, SIZE)
    model: SlotVideo = slot_video("small", outputs=3, image=(64, 64), predictor=predictor).to(device).eval()
    frame, boxes = torch.rand(1, 1, 3, 64, 64, device=device), torch.rand(1, 10, 4, device=device)
    state = model(frame, {"boxes": boxes}, decode=False).state
    _, memory = filled(model.predictor, 11, frames, device)
    state = state._replace(memory=memory, frame=frames - 1)
    tokens = model.encoder(frame[:, 0])
    slots = model.corrector(tokens, state.slots)[0]
    calls = {
        "all": lambda: model(frame, state=state),
        "encoder": lambda: model.encoder(frame[:, 0]),
        "corrector": lambda: model.corrector(tokens, state.slots),
        "predictor": lambda: model.predictor(slots, memory),
        "decoder": lambda: model.decoder(slots),
    }
    peak = peak_bytes(calls["all"], device)
    times = measure(calls, repeats=10, warmup=1, seconds=seconds, clock=clock_of(device))
    return {
        "predictor": kind,
        "frames": frames,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "peak_bytes": peak,
        "times": {name: summary(values) for name, values in times.items()},
    }


# ---- command ----------------------------------------------------------------------------------------------


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    for case in found["predictors"]:
        title = f"one step, {case['slots']} slots, frame {case['length']}"
        table = Table("predictor", "ms", "parameters", "multiply-adds", "remembered", "peak kB", title=title)
        for name, row in case["predictors"].items():
            counts = (f"{row[key]:,}" for key in ("parameters", "operations", "remembered"))
            table.add_row(name, f"{row['min_ms']:.3f}", *counts, f"{row['peak_bytes'] / 1e3:,.0f}")
        console.print(table)
    table = Table("clip", "way", "ms", "peak MB", "time / cached", "time / one pass", title="STATM T+S, CS")
    for case in found["streams"]:
        clip = f"{case['what']}, {case['frames']} frames, batch {case['batch']}"
        for name, times in case["times"].items():
            table.add_row(
                clip,
                name,
                f"{times['min_ms']:.2f}",
                f"{case['peak_bytes'][name] / 1e6:.2f}",
                f"{case['speedup_of_cached'][name]:.2f}",
                f"{case['speedup_of_one_pass'][name]:.2f}",
            )
    console.print(table)
    table = Table(
        "predictor", "frame", "all", "encoder", "corrector", "predictor", "decoder", "peak MB",
        title="small model at 64 x 64, ms per frame",
    )  # fmt: skip
    for case in found["models"]:
        times = (f"{values['min_ms']:.2f}" for values in case["times"].values())
        table.add_row(case["predictor"], str(case["frames"]), *times, f"{case['peak_bytes'] / 1e6:.0f}")
    console.print(table)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few sizes (under half a minute)")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser.parse_args()


def main() -> int:
    """Measure, print, write, and judge the gate."""
    options = parse()
    torch.set_num_threads(1)
    quick, device, console = options.quick, torch.device(options.device), Console()
    seconds = 1.0 if quick else 6.0
    grid = [(11, 24)] if quick else [(slots, length) for slots in (11, 24) for length in (1, 6, 24, 96)]
    clips = [(GATE_FRAMES, 1, False)] if quick else [(24, 1, False), (GATE_FRAMES, 1, False), (6, 16, True)]
    clips += [] if quick else [(24, 16, True)]
    found: dict[str, Any] = {
        "predictors": [predictors_case(*where, device=device, seconds=seconds) for where in grid],
        "streams": [
            stream_case(frames, slots=11, batch=batch, train=train, device=device, seconds=seconds)
            for frames, batch, train in clips
        ],
        "models": [
            model_case(kind, frames=24, device=device, seconds=seconds)
            for kind in (("statm",) if quick else ("savi", "statm", "slotformer", "ocvp_seq"))
        ],
    }
    show(found, console)
    case = next(case for case in found["streams"] if case["frames"] == GATE_FRAMES)
    gate = case["speedup_of_cached"]["naive port"]
    passed = gate >= GATE_SPEEDUP or device.type != "cpu"
    console.print(
        f"gate: a stream of {GATE_FRAMES} frames is {gate:.2f} times as fast with the cache as in a naive port "
        f"(at least {GATE_SPEEDUP} on a CPU): {'passed' if passed else 'FAILED'}"
    )
    if options.out:
        record = {
            "provenance": provenance(),
            "gate": {"speedup": gate, "needed": GATE_SPEEDUP, "passed": passed},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**record, **found}, indent=1) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

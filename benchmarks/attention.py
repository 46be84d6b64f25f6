"""Speed of the four kinds of attention against fused SDPA and torch.nn.MultiheadAttention, side by side in
one run.

    python benchmarks/attention.py [--quick] [--out attention.json] [--device cuda]

With one CPU thread (the default) processor time is taken, else time on the wall.
Ratios are times faster than `standard`, the fused module with one projection (not the slower
nn.MultiheadAttention). Exit code 1 if, on a CPU, Efficient attention is less than 1.3 times as fast as
`standard` at width 512, length 128.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.nn.attention import KINDS, build_attention, cost, super_limits

GATE_WIDTH, GATE_LENGTH, GATE_SPEEDUP = 512, 128, 1.3
TOKENS = 2048
FULL = [(width, length) for width in (64, 256, 512, 1024) for length in (128, 512, 2048)]
QUICK = [(256, 128), (512, 128), (512, 512)]
FULL_DECODE = [(512, 1024, 8), (1024, 2048, 1), (1024, 2048, 8)]
QUICK_DECODE = [(512, 1024, 8)]


def heads_of(width: int) -> int:
    """Heads of 64 numbers, but at least 4."""
    return max(4, width // 64)


def modules(width: int, length: int, device: torch.device) -> dict[str, Any]:
    """Every alternative, with the same width and (except for the one-head variant) heads."""
    heads = heads_of(width)
    made: dict[str, nn.Module] = {
        kind: build_attention(kind, width, num_heads=heads, length=length) for kind in KINDS
    }
    made["efficient, 1 head"] = build_attention("efficient", width, num_heads=1)
    made["nn.MultiheadAttention"] = nn.MultiheadAttention(width, heads, batch_first=True)
    return {name: module.to(device) for name, module in made.items()}


def forward_call(module: nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """One forward pass without gradients."""
    if isinstance(module, nn.MultiheadAttention):
        return torch.no_grad()(lambda: module(x, x, x, need_weights=False))
    return torch.no_grad()(lambda: module(x))


def training_call(module: nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """One forward and backward pass."""
    torch_module = isinstance(module, nn.MultiheadAttention)

    def call() -> None:
        out = module(x, x, x, need_weights=False)[0] if torch_module else module(x)
        out.sum().backward()

    return call


def decode_call(module: Any, past: torch.Tensor, token: torch.Tensor) -> Callable[[], Any]:
    """One more token after `past`; nn.MultiheadAttention has no cache and projects everything again."""
    if isinstance(module, nn.MultiheadAttention):
        every = torch.cat([past, token], dim=1)
        return torch.no_grad()(lambda: module(token, every, every, need_weights=False))
    batch, length, _ = past.shape
    cache = module.make_cache(batch, length + 1)
    with torch.no_grad():
        module(past, cache=cache)

    def call() -> None:
        cache.length = length
        with torch.no_grad():
            module(token, cache=cache)

    return call


def run_case(
    what: str, width: int, length: int, batch: int, *, device: torch.device, limit: float
) -> dict[str, Any]:
    """Time all alternatives on one size."""
    torch.manual_seed(0)
    made = modules(width, length + 1 if what == "decode" else length, device)
    x = torch.randn(batch, length, width, device=device)
    if what == "forward":
        calls = {name: forward_call(module, x) for name, module in made.items()}
    elif what == "forward+backward":
        x.requires_grad_()
        calls = {name: training_call(module, x) for name, module in made.items()}
    else:
        token = torch.randn(batch, 1, width, device=device)
        calls = {name: decode_call(module, x, token) for name, module in made.items()}
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times = measure(calls, repeats=40, warmup=2, seconds=limit, clock=clock)
    field = "decode_macs" if what == "decode" else "macs"
    counted = {kind: getattr(cost(kind, width=width, length=length, batch=batch), field) for kind in KINDS}
    return {
        "what": what,
        "width": width,
        "length": length,
        "batch": batch,
        "heads": heads_of(width),
        "times": {name: summary(seconds) for name, seconds in times.items()},
        "speedup": {name: ratio(times, "standard", name) for name in times},
        "macs_ratio": {kind: counted["standard"] / counted[kind] for kind in KINDS},
    }


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the rows, one table per kind of work."""
    for what in dict.fromkeys(row["what"] for row in rows):
        table = Table(
            title=f"{what}: times faster than fused standard (in brackets: by multiply-accumulates)"
        )
        names = [name for name in rows[0]["speedup"] if name != "standard"]
        for column in ("width", "length", "batch", "standard ms", *names, "Super cheaper up to length"):
            table.add_column(column, justify="right")
        for row in (row for row in rows if row["what"] == what):
            cells = [
                f"{row['speedup'][name]:.2f}"
                + (f" ({row['macs_ratio'][name]:.2f})" if name in row["macs_ratio"] else "")
                for name in names
            ]
            table.add_row(
                *(str(row[key]) for key in ("width", "length", "batch")),
                f"{row['times']['standard']['min_ms']:.2f}",
                *cells,
                str(super_limits(row["width"]).macs),
            )
        console.print(table)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three sizes instead of twelve (under a minute)")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--seconds", type=float, default=None, help="most seconds per table cell row")
    return parser.parse_args()


def main() -> int:
    """Measure, print, write, and judge the gate."""
    options = parse()
    torch.set_num_threads(options.threads)
    device, console = torch.device(options.device), Console()
    limit = options.seconds or (4.0 if options.quick else 15.0)
    rows = [
        run_case(what, width, length, max(1, TOKENS // length), device=device, limit=limit)
        for what in ("forward", "forward+backward")
        for width, length in (QUICK if options.quick else FULL)
    ]
    rows += [
        run_case("decode", width, length, batch, device=device, limit=limit)
        for width, length, batch in (QUICK_DECODE if options.quick else FULL_DECODE)
    ]
    show(rows, console)
    gate = next(
        row["speedup"]["efficient"]
        for row in rows
        if (row["what"], row["width"], row["length"]) == ("forward", GATE_WIDTH, GATE_LENGTH)
    )
    passed = gate >= GATE_SPEEDUP or device.type != "cpu"
    console.print(
        f"gate: Efficient forward at width {GATE_WIDTH}, length {GATE_LENGTH} is {gate:.2f} times as fast as "
        f"fused standard (at least {GATE_SPEEDUP} on a CPU): {'passed' if passed else 'FAILED'}"
    )
    if options.out:
        record = {
            "provenance": provenance(),
            "gate": {"speedup": gate, "needed": GATE_SPEEDUP, "passed": passed},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**record, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

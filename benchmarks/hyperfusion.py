"""Speed of per-sample weights: visus, a loop over the batch, and code in the style of hypnettorch.

    python benchmarks/hyperfusion.py --out hyperfusion.json

Three ways to the same numbers, side by side in one run, forward alone and with backward:

- `visus`: what `impl="auto"` finds fastest for the shape;
- `loop`: the weights of the whole batch in one product, applied sample by sample;
- `functional`: the style of hypernetwork libraries without a batch of weights: per sample one call of the
  hypernetwork and one call of a functional main network (written here for the comparison).

A ratio above 1 says how many times visus is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance
from visus.nn.hyper import HyperConv2d, HyperConv3d, HyperLinear

OTHERS = ("loop", "functional")


def cases() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """Name -> (layer maker, input shape with batch)."""
    return {
        "shortcut of the AD network, 1x1x1 stride 2, batch 32": (
            lambda: HyperConv3d(128, 256, 1, stride=2, cond_dim=8),
            (32, 128, 8, 12, 8),
        ),
        "3-D kernel 3, batch 8": (lambda: HyperConv3d(16, 32, 3, padding=1, cond_dim=8), (8, 16, 8, 12, 8)),
        "2-D kernel 3, small maps, batch 64": (
            lambda: HyperConv2d(16, 32, 3, padding=1, cond_dim=8),
            (64, 16, 8, 8),
        ),
        "2-D kernel 3, large maps, batch 16": (
            lambda: HyperConv2d(16, 16, 3, padding=1, cond_dim=8),
            (16, 16, 64, 64),
        ),
        "first FC layer, 256 to 64, batch 64": (lambda: HyperLinear(256, 64, cond_dim=8), (64, 256)),
        "first FC layer of the brain-age network, batch 64": (
            lambda: HyperLinear(39_424, 16, cond_dim=1),
            (64, 39_424),
        ),
    }


class Functional(nn.Module):
    """One sample at a time: the hypernetwork emits a list of weights, a functional main network takes it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def hypernetwork(self, row: Tensor) -> list[Tensor]:
        weight, bias = self.layer.emit(row[None])
        return [weight[0], bias[0]]

    def main_network(self, image: Tensor, weights: list[Tensor]) -> Tensor:
        if isinstance(self.layer, HyperLinear):
            return torch.nn.functional.linear(image, *weights)
        conv = {2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[self.layer.dims]
        return conv(image, *weights, stride=self.layer.stride, padding=self.layer.padding)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        pairs = zip(x, cond)
        return torch.cat([self.main_network(image[None], self.hypernetwork(row)) for image, row in pairs])


def work(layer: nn.Module, x: Tensor, cond: Tensor, backward: bool) -> Callable[[], None]:
    """The thing that is timed; on a GPU it waits for the result."""

    def once() -> None:
        if backward:
            layer(x, cond).square().mean().backward()
            layer.zero_grad(set_to_none=True)
        else:
            with torch.no_grad():
                layer(x, cond)
        if x.is_cuda:
            torch.cuda.synchronize()

    return once


def compare(make: Callable[[], nn.Module], shape: tuple[int, ...], device: str, repeats: int) -> dict:
    """Seconds and ratios of one case, after checking that the three ways agree."""
    torch.manual_seed(0)
    ours = make().to(device)
    loop = make().to(device)
    loop.load_state_dict(ours.state_dict())
    loop.impl = "loop"
    ways = {"visus": ours, "loop": loop, "functional": Functional(ours)}
    x = torch.randn(shape, device=device, requires_grad=True)
    cond = torch.randn(shape[0], ours.cond_dim, device=device)
    wanted = ours(x, cond)
    for name, way in ways.items():
        torch.testing.assert_close(way(x, cond), wanted, atol=1e-3, rtol=1e-3, msg=name)
    found = {}
    for kind, backward in (("forward", False), ("forward and backward", True)):
        seconds = measure({name: work(way, x, cond, backward) for name, way in ways.items()}, repeats=repeats)
        middle = {name: statistics.median(times) for name, times in seconds.items()}
        found[kind] = {
            "seconds": middle,
            "ratios": {name: middle[name] / middle["visus"] for name in OTHERS},
        }
    return found


def table(results: dict) -> str:
    """The results as a Markdown table."""
    head = ["case", "pass", "visus [ms]", *(f"{name} / visus" for name in OTHERS)]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for case, passes in results.items():
        for kind, found in passes.items():
            ratios = [f"{found['ratios'][name]:.2f}" for name in OTHERS]
            lines.append(" | ".join([case, kind, f"{1000 * found['seconds']['visus']:.2f}", *ratios]))
    return "\n".join(f"| {line} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(arguments)
    results = {
        name: compare(make, shape, given.device, given.repeats) for name, (make, shape) in cases().items()
    }
    print(table(results))
    if given.out:
        content = {"benchmark": "hyperfusion", "provenance": provenance(), "results": results}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Speed and memory of the chest X-ray reader beside MONAI's networks, and of its parts beside their plain forms.

    python benchmarks/chestxray.py [--quick] [--out chestxray.json] [--threads 2]

Everything is measured in one run:

- training steps and predictions per second of the dual-encoder network against a pair of MONAI's networks for the
  same two tasks (U-Net for the map, DenseNet-121 for the class), its U-Net as wide as brings both to one number of
  parameters; each with its peak of memory (on a processor in a process of its own);
- the memory format `channels_last` and the number format bfloat16 on the same network;
- density maps of readings against `scipy.ndimage.gaussian_filter` at native size, with the largest difference;
- the triplet loss of a batch against three loops;
- made-up radiographs with a reader's gaze per second.

Where there is a CUDA device the networks run there. Exit code 1 if the density maps or the triplet loss are not as
many times faster as the gate asks, or differ from their plain forms.
"""

from __future__ import annotations

import argparse
import bisect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.data.gaze.density import density_map
from visus.methods.chestxray.claims.laws import looped_triplets
from visus.methods.chestxray.losses import UncertaintyWeighting, saliency_kl, triplet
from visus.methods.chestxray.model import DualNet, build_backbone

DENSE = "densenet121" if find_spec("monai") else "compact"
CLASSES = 3
GATE = {"density": 5.0, "triplet": 20.0}
"""How many times faster than their plain forms the density maps and the triplet loss are to be."""


# ---- networks ---------------------------------------------------------------------------------------------


class Pair(nn.Module):
    """MONAI's U-Net (residual units) for the map beside its DenseNet for the class, each on its own."""

    def __init__(self, base: int) -> None:
        super().__init__()
        from monai.networks.nets.densenet import DenseNet121
        from monai.networks.nets.unet import UNet

        channels = tuple(base * 2**level for level in range(5))
        self.maps = UNet(2, 1, 1, channels=channels, strides=(2, 2, 2, 2), num_res_units=2)
        self.dense = DenseNet121(spatial_dims=2, in_channels=3, out_channels=CLASSES)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.maps(image)[:, 0]
        density = scores.float().flatten(1).log_softmax(1).view_as(scores)
        return self.dense(image.expand(-1, 3, -1, -1)), density


class Ours(nn.Module):
    """The dual-encoder network with the same face."""

    def __init__(self, base: int) -> None:
        super().__init__()
        self.net = DualNet(build_backbone(DENSE), classes=CLASSES, base_channels=base)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        reading = self.net(image)
        assert reading.logits is not None
        assert reading.log_density is not None
        return reading.logits, reading.log_density


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(weight.numel() for weight in module.parameters())


def matched_base(target: int) -> int:
    """Least base channels with which the pair has `target` parameters."""

    def parameters(base: int) -> int:
        with torch.device("meta"):
            return count(Pair(base))

    return bisect.bisect_left(range(257), target, lo=1, key=parameters)


class Work:
    """Steps and predictions of a network on one random batch."""

    def __init__(
        self,
        net: nn.Module,
        *,
        size: tuple[int, int],
        batch: int,
        device: str,
        half: bool = False,
        last: bool = False,
    ) -> None:
        layout = torch.channels_last if last else torch.contiguous_format
        placed: Any = net.to(device)
        self.net: nn.Module = placed.to(memory_format=layout)
        self.weights = UncertaintyWeighting().to(device)
        both = [*self.net.parameters(), *self.weights.parameters()]
        self.optimizer = torch.optim.Adam(both, lr=1e-4)
        self.image = torch.rand(batch, 1, *size, device=device).contiguous(memory_format=layout)
        gaze = torch.rand(batch, *size, device=device)
        self.gaze = gaze / gaze.sum((1, 2), keepdim=True)
        self.label = torch.arange(batch, device=device) % CLASSES
        self.seen = torch.ones(batch, dtype=torch.bool, device=device)
        self.half, self.device = half, device

    def step(self) -> None:
        """One step of training with both losses."""
        self.net.train()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            logits, density = self.net(self.image)
        loss = self.weights(
            F.cross_entropy(logits.float(), self.label), saliency_kl(density, self.gaze, self.seen).mean()
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def predict(self) -> None:
        """One batch of predictions."""
        self.net.eval()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            self.net(self.image)


def networks_case(
    *, base: int, size: tuple[int, int], batch: int, device: str, seconds: float
) -> dict[str, Any]:
    """Images per second of ours and of the pair, peak memory, and what layout and number format change."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"size": size, "batch": batch, "device": device}
    ours = Ours(base)
    works = {"ours": Work(ours, **settings)}
    found: dict[str, Any] = {"base": base, "size": list(size), "batch": batch, "device": device}
    found["parameters"] = {"ours": count(ours)}
    if find_spec("monai"):
        pair = Pair(matched_base(count(ours)))
        found["parameters"]["monai"] = count(pair)
        works["monai"] = Work(pair, **settings)
    for kind in ("step", "predict"):
        calls = {name: getattr(work, kind) for name, work in works.items()}
        found[kind] = rates(measure(calls, repeats=20, warmup=1, seconds=seconds), batch)
    formats = {
        "plain": works["ours"],
        "channels_last": Work(Ours(base), last=True, **settings),
        "bf16": Work(Ours(base), half=True, **settings),
        "bf16, channels_last": Work(Ours(base), half=True, last=True, **settings),
    }
    calls = {name: work.step for name, work in formats.items()}
    found["formats"] = rates(measure(calls, repeats=20, warmup=1, seconds=seconds), batch)
    found["peak_mib"] = {name: peak(name, base, settings) for name in works}
    return found


def rates(times: Mapping[str, list[float]], batch: int) -> dict[str, dict[str, float | int]]:
    """Times and images per second of the best round."""
    return {
        name: {**summary(values), "images_per_second": batch / min(values)} for name, values in times.items()
    }


def peak(name: str, base: int, settings: Mapping[str, Any]) -> float:
    """MiB that one step takes at most: on the device, or of a fresh process above what its imports take."""
    if settings["device"] == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        Work(network(name, base), **settings).step()
        return torch.cuda.max_memory_allocated() / 2**20
    told = json.dumps({"name": name, "base": base, **settings})
    done = subprocess.run(
        [sys.executable, __file__, "--peak", told], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def network(name: str, base: int) -> nn.Module:
    """Ours, or the pair of the same number of parameters."""
    ours = Ours(base)
    return ours if name == "ours" else Pair(matched_base(count(ours)))


def report_peak(told: str) -> None:
    """Print the growth of this process during one step in MiB; nan where the system does not tell."""
    settings = json.loads(told)
    torch.set_num_threads(1)
    net = network(settings.pop("name"), settings.pop("base"))
    work = Work(net, **{**settings, "size": tuple(settings["size"])})
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak of the imports
        before = resident("VmRSS")
        work.step()
        print(resident("VmHWM") - before)
    except OSError:
        print("nan")


def resident(field: str) -> float:
    """Memory of this process now (`VmRSS`) or at most (`VmHWM`), MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) / 2**10


# ---- parts ------------------------------------------------------------------------------------------------


def density_case(*, native: tuple[int, int], size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Maps of readings of 40 fixations: ours on the small grid, scipy's filter on the native one, added up."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    margin = 4 * (sigma := 0.0297 * native[1])
    places = [rng.uniform(margin, side - margin, 40) for side in (native[1], native[0])]
    looked = np.stack([*(np.floor(axis) + 0.5 for axis in places), rng.gamma(2, 0.15, 40)], 1)
    fold = (native[0] // size[0], native[1] // size[1])

    def plain() -> np.ndarray:
        hits = np.zeros(native)
        np.add.at(hits, (looked[:, 1].astype(int), looked[:, 0].astype(int)), looked[:, 2])
        blurred = gaussian_filter(hits, sigma, mode="constant", truncate=6)
        small = blurred.reshape(size[0], fold[0], size[1], fold[1]).sum((1, 3))
        return small / small.sum()

    def ours() -> Tensor:
        return density_map(looked, native=native, size=size, sigma_px=sigma)

    calls: dict[str, Callable[[], Any]] = {"density_map": ours, "gaussian_filter": plain}
    times = measure(calls, repeats=20, warmup=1, seconds=seconds, clock=time.process_time)
    expected = plain()
    return {
        "native": list(native),
        "size": list(size),
        "times": {name: summary(values) for name, values in times.items()},
        "maps_per_second": 1 / min(times["density_map"]),
        "speedup": ratio(times, "gaussian_filter", "density_map"),
        "error": float(np.abs(ours().double().numpy() - expected).max() / expected.max()),
    }


def triplet_case(*, batch: int, seconds: float) -> dict[str, Any]:
    """The triplet loss of a batch of embeddings, all triplets."""
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(batch, 160, generator=generator)
    labels = torch.arange(batch) % CLASSES
    calls: dict[str, Callable[[], Any]] = {
        "vectorized": lambda: triplet(embedding, labels),
        "three loops": lambda: looped_triplets(embedding, labels, margin=1.0),
    }
    times = measure(calls, repeats=10, warmup=1, seconds=seconds, clock=time.process_time)
    return {
        "batch": batch,
        "times": {name: summary(values) for name, values in times.items()},
        "speedup": ratio(times, "three loops", "vectorized"),
        "error": abs(float(triplet(embedding, labels)) - looped_triplets(embedding, labels, margin=1.0)),
    }


def world_case(*, images: int) -> dict[str, Any]:
    """Radiographs with gaze made per second of processor time."""
    from visus.methods.chestxray.claims.arms import DEMO
    from visus.methods.chestxray.claims.data import world

    begun = time.process_time()
    table = world(images, 1, DEMO, 9000).train
    batch = table.batch(range(images))
    return {
        "images": images,
        "size": list(batch["image"].shape[-2:]),
        "images_per_second": images / (time.process_time() - begun),
    }


# ---- command ----------------------------------------------------------------------------------------------


def judged(found: Mapping[str, Any]) -> dict[str, Any]:
    """The gate: how many times faster the parts are, and that they give the same numbers."""
    fast = {name: found[name]["speedup"] for name in GATE}
    right = found["density"]["error"] < 1e-2 and found["triplet"]["error"] < 1e-3
    passed = right and all(fast[name] >= least for name, least in GATE.items())
    return {"speedup": fast, "least": GATE, "equal": right, "passed": passed}


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    nets = found["networks"]
    rows = Table(
        "what",
        "which",
        "images/s",
        "best [ms]",
        title=f"networks, batch {nets['batch']} of {nets['size']} px",
    )
    for kind in ("step", "predict", "formats"):
        for name, row in nets[kind].items():
            rows.add_row(kind, name, f"{row['images_per_second']:.1f}", f"{row['min_ms']:.0f}")
    console.print(rows)
    console.print(
        "parameters " + ", ".join(f"{name} {value:,}" for name, value in nets["parameters"].items())
    )
    console.print("peak MiB " + ", ".join(f"{name} {value:,.0f}" for name, value in nets["peak_mib"].items()))
    density, loss, world = (found[name] for name in ("density", "triplet", "world"))
    console.print(
        f"density maps: {density['maps_per_second']:,.0f} per second, {density['speedup']:.0f} times gaussian_filter "
        f"at native size (largest difference {density['error']:.1g} of the peak)"
    )
    console.print(
        f"triplet loss, batch {loss['batch']}: {loss['speedup']:,.0f} times three loops ({loss['error']:.1g})"
    )
    console.print(
        f"world: {world['images_per_second']:.1f} radiographs with gaze per second ({world['size']} px)"
    )


def measured(*, quick: bool, threads: int, device: str) -> dict[str, Any]:
    """All cases; networks with `threads` threads, the rest with one."""
    seconds = 0.2 if quick else 20.0
    torch.set_num_threads(threads)
    sizes: dict[str, Any] = (
        {"base": 4, "size": (64, 64), "batch": 2} if quick else {"base": 16, "size": (320, 256), "batch": 8}
    )
    networks = networks_case(device=device, seconds=seconds, **sizes)
    torch.set_num_threads(1)
    native, size = ((240, 192), (60, 48)) if quick else ((3200, 2560), (640, 512))
    return {
        "networks": networks,
        "density": density_case(native=native, size=size, seconds=seconds),
        "triplet": triplet_case(batch=8 if quick else 32, seconds=seconds),
        "world": world_case(images=2 if quick else 30),
    }


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes; the gate is told, not judged")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--threads", type=int, default=2, help="threads of the networks")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, and judge the gate."""
    options = parse_options(arguments)
    if options.peak:
        report_peak(options.peak)
        return 0
    found = measured(quick=options.quick, threads=options.threads, device=options.device)
    console, gate = Console(), judged(found)
    show(found, console)
    judge = not options.quick
    if judge:
        console.print(f"gate {gate['least']}: {'passed' if gate['passed'] else 'FAILED'}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "benchmark": "chestxray",
            "provenance": provenance(),
            "threads": options.threads,
            "gate": {**gate, "judged": judge},
            **found,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if gate["passed"] or not judge else 1


if __name__ == "__main__":
    sys.exit(main())

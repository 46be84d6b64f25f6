"""Speed and memory of odd-one-out scores and of comparisons of dissimilarities, beside their plain forms.

    python benchmarks/alignment.py [--quick] [--out alignment.json] [--threads 2]

Everything is measured in one run, on made-up embeddings and judgments of the sizes of the published data:

- 4.7 million triplets of 1,854 objects with 768 features, read from a memory-mapped file: choices from one matrix of
  similarities against a loop over triplets and against batches of one-hot rows (both timed on a part of the triplets
  and scaled up), with the peak of memory of a process of its own; the same without the matrix, rows gathered;
- the noise ceiling of 20,000 repeated trials against a loop over the groups of pandas, and bootstrap intervals over
  unordered triplets against `visus.metrics.bootstrap_interval`;
- bootstrap over stimuli of 92 stimuli and 16 people, and the noise ceiling of people, against rsatoolbox.

Times are processor time of one thread, which other programs disturb least; the scores of all triplets also on the wall
with `--threads` threads. Exit code 1 if the full scores take longer, or anything is fewer times faster than its plain
form, than the gate asks, or if results differ.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.metrics import bootstrap_interval, mean_of_defined
from visus.metrics.odd_one_out import (
    KINDS,
    accuracy_interval,
    hits,
    noise_ceiling,
    pair_similarities,
    score_odd_one_out,
    unordered_triplets,
)
from visus.metrics.rdm import rdm_vectors
from visus.metrics.rsa import human_ceiling, resampled_agreements, rsa_interval, to_rsatoolbox

OBJECTS, WIDTH, TRIPLETS = 1854, 768, 4_700_000
PEOPLE, STIMULI = 16, 92
BATCH = 256
GATE_SECONDS = 10.0
GATE = {"loop": 100.0, "one-hot": 20.0, "groupby": 10.0, "interval": 5.0, "rsatoolbox": 5.0}
"""How many times faster than each plain form the scores are to be."""


# ---- triplets ---------------------------------------------------------------------------------------------


def embedding(objects: int, width: int) -> Tensor:
    """Made-up embeddings."""
    return torch.randn(objects, width, generator=torch.Generator().manual_seed(0))


def write_triplets(path: Path, count: int, objects: int) -> None:
    """Made-up triplets of distinct objects."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, objects, count, dtype=np.int32)
    steps = np.sort(rng.integers(1, objects - 1, (count, 2), dtype=np.int32), axis=1) + np.array([0, 1])
    np.save(path, np.column_stack([first, (first[:, None] + steps) % objects]).astype(np.int32))


def looped(x: Tensor, triplets: np.ndarray) -> Tensor:
    """One triplet after the other."""
    found = []
    for a, b, c in torch.from_numpy(np.array(triplets, dtype=np.int64)):
        one, other, third = x[a], x[b], x[c]
        found.append(torch.stack([one @ other, one @ third, other @ third]))
    return torch.stack(found)


def one_hot(x: Tensor, triplets: np.ndarray) -> Tensor:
    """Batches of one-hot rows times the embeddings, the way the published training code feeds triplets."""
    found = []
    for start in range(0, len(triplets), BATCH):
        rows = torch.from_numpy(np.array(triplets[start : start + BATCH], dtype=np.int64))
        picked = F.one_hot(rows, len(x)).to(x.dtype) @ x
        one, other, third = picked.unbind(1)
        found.append(torch.stack([(one * other).sum(1), (one * third).sum(1), (other * third).sum(1)], 1))
    return torch.cat(found)


def triplets_case(
    folder: Path, *, count: int, objects: int, width: int, threads: int, rounds: int
) -> dict[str, Any]:
    """Choices of all triplets, and the plain forms on as many as take about a second."""
    path = folder / "triplets.npy"
    write_triplets(path, count, objects)
    triplets, x = np.load(path, mmap_mode="r"), embedding(objects, width)
    few, some = triplets[: min(count, 10_000)], triplets[: min(count, 20 * BATCH)]
    part = triplets[: max(count // 50, 1)]
    calls: dict[str, Callable[[], Tensor]] = {
        kind: lambda kind=kind: hits(pair_similarities(x, triplets, kind=kind)) for kind in KINDS
    }
    times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
    plain = measure(
        {
            "loop": lambda: looped(x, few),
            "one-hot": lambda: one_hot(x, some),
            "rows": lambda: pair_similarities(x, part, kind="dot", limit_bytes=0),
        },
        repeats=3,
        warmup=1,
        clock=time.process_time,
    )
    scale = {"loop": count / len(few), "one-hot": count / len(some), "rows": count / len(part)}
    seconds = {name: min(values) * scale[name] for name, values in plain.items()}
    ours = min(times["dot"])
    kept = torch.get_num_threads()
    torch.set_num_threads(threads)
    wall = measure({kind: calls[kind] for kind in KINDS}, repeats=rounds, warmup=1)
    torch.set_num_threads(kept)
    begun = time.process_time()
    score_odd_one_out(x, triplets)
    report = time.process_time() - begun
    found = pair_similarities(x, few, kind="dot")
    error = max(float((plain - found).abs().max()) for plain in (looped(x, few), one_hot(x, few)))
    return {
        "triplets": count,
        "objects": objects,
        "width": width,
        "times": {name: summary(values) for name, values in times.items()},
        "wall": {name: summary(values) for name, values in wall.items()},
        "all_scores_seconds": report,
        "extrapolated_seconds": seconds,
        "timed_triplets": {"loop": len(few), "one-hot": len(some), "rows": len(part)},
        "speedup": {name: seconds[name] / ours for name in ("loop", "one-hot")},
        "error": error / float(found.abs().max()),
        "peak_mib": {name: peak(name, path, objects, width) for name in ("matrix", "rows")},
        "whole_gather_mib": 3 * count * width * 4 / 2**20,
    }


def peak(name: str, path: Path, objects: int, width: int) -> float:
    """MiB that the choices of all triplets take at most: of a fresh process, above what its imports take."""
    told = json.dumps({"name": name, "path": str(path), "objects": objects, "width": width})
    done = subprocess.run(
        [sys.executable, __file__, "--peak", told], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def report_peak(told: str) -> None:
    """Print the growth of this process in MiB, pages of the file included; nan where the system does not tell."""
    settings = json.loads(told)
    torch.set_num_threads(1)
    x, triplets = embedding(settings["objects"], settings["width"]), np.load(settings["path"], mmap_mode="r")
    rows = settings["name"] == "rows"
    if rows:  # as many as show the peak: what is gathered does not grow with their number
        triplets = triplets[: max(len(triplets) // 50, 1)]
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak of the imports
        before = resident("VmRSS")
        hits(pair_similarities(x, triplets, kind="dot", limit_bytes=0 if rows else 1 << 30))
        print(resident("VmHWM") - before)
    except OSError:
        print("nan")


def resident(field: str) -> float:
    """Memory of this process now (`VmRSS`) or at most (`VmHWM`), MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) / 2**10


# ---- repeated trials --------------------------------------------------------------------------------------


def repeated_trials(triplets: int, repeats: int, objects: int) -> np.ndarray:
    """Judgments (n, 3) of made-up people in random order, the odd one last."""
    rng = np.random.default_rng(1)
    three = np.stack([rng.choice(objects, 3, replace=False) for _ in range(triplets)])
    odd = np.stack([rng.choice(3, repeats, p=rng.dirichlet(np.ones(3))) for _ in range(triplets)])
    turned = (odd[:, :, None] + np.array([1, 2, 3])) % 3
    rows = np.take_along_axis(three[:, None].repeat(repeats, 1), turned, axis=2)
    return rng.permutation(rows.reshape(-1, 3))


def grouped_ceiling(rows: np.ndarray) -> float:
    """The ceiling by a loop over groups."""
    frame = pd.DataFrame(np.sort(rows, axis=1), columns=list("abc")).assign(odd=rows[:, 2])
    shares = [group["odd"].value_counts().iloc[0] / len(group) for _, group in frame.groupby(list("abc"))]
    return float(np.mean(shares))


def trials_case(*, triplets: int, rounds: int) -> dict[str, Any]:
    """Ceiling without its interval, as the loop has none; the interval of an accuracy over groups."""
    rows = repeated_trials(triplets, 20, 300)
    groups = unordered_triplets(rows)
    right = np.random.default_rng(2).random(len(rows)) < 0.6
    calls = {
        "ceiling": lambda: noise_ceiling(rows, resamples=1),
        "ceiling, 1000 resamples": lambda: noise_ceiling(rows),
        "groupby": lambda: grouped_ceiling(rows),
        "interval": lambda: accuracy_interval(right, groups),
        "bootstrap_interval": lambda: bootstrap_interval(mean_of_defined, right.astype(float), groups=groups),
    }
    times = measure(calls, repeats=rounds, warmup=1, clock=time.process_time)
    return {
        "trials": len(rows),
        "times": {name: summary(values) for name, values in times.items()},
        "speedup": {
            "groupby": ratio(times, "groupby", "ceiling"),
            "interval": ratio(times, "bootstrap_interval", "interval"),
        },
        "error": abs(noise_ceiling(rows).ceiling - grouped_ceiling(rows)),
    }


# ---- dissimilarities --------------------------------------------------------------------------------------


def judgments(people: int, stimuli: int) -> np.ndarray:
    """Dissimilarities (people, stimuli, stimuli) with something in common."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(stimuli, 5))
    noise = rng.gamma(2.0, 3.0, size=(people, stimuli, stimuli))
    shared = ((points[:, None] - points[None]) ** 2).sum(-1)
    return (shared + (noise + noise.transpose(0, 2, 1))) * (1 - np.eye(stimuli))


def dissimilarities_case(*, people: int, stimuli: int, resamples: int, theirs: int) -> dict[str, Any]:
    """Interval of one model over stimuli, without ceilings in the resamples; `theirs` resamples of rsatoolbox."""
    rdms = judgments(people + 1, stimuli)
    model, others = rdms[0], rdms[1:]
    calls: dict[str, Any] = {
        "interval": lambda: rsa_interval(model, others, resamples=resamples),
        "ceiling": lambda: human_ceiling(others),
    }
    found: dict[str, Any] = {"people": people, "stimuli": stimuli, "resamples": resamples, "rsatoolbox": None}
    if not find_spec("rsatoolbox"):
        times = measure(calls, repeats=3, warmup=1, clock=time.process_time)
        return {**found, "times": {name: summary(values) for name, values in times.items()}}
    from rsatoolbox.inference.evaluate import eval_bootstrap_pattern
    from rsatoolbox.inference.noise_ceiling import boot_noise_ceiling
    from rsatoolbox.model.model import ModelFixed
    from rsatoolbox.rdm.compare import compare

    data, fixed = to_rsatoolbox(others), ModelFixed("model", rdm_vectors(model)[0])

    def bootstrapped() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            eval_bootstrap_pattern(fixed, data, method="spearman", N=theirs, boot_noise_ceil=False)

    calls["rsatoolbox"] = bootstrapped
    calls["rsatoolbox, ceiling"] = lambda: boot_noise_ceiling(data, method="spearman")
    times = measure(calls, repeats=3, warmup=1, clock=time.process_time)
    counts = np.random.default_rng(0).multinomial(stimuli, np.full(stimuli, 1 / stimuli), size=1)
    drawn = np.repeat(np.arange(stimuli), counts[0])
    one, other = (to_rsatoolbox(rows).subsample_pattern("index", drawn) for rows in (model, others))
    same = resampled_agreements(rdm_vectors(model), rdm_vectors(others), counts, "spearman")[:, :, 0]
    bounds = np.subtract(human_ceiling(others), boot_noise_ceiling(data, method="spearman"))
    return {
        **found,
        "rsatoolbox": {"resamples": theirs},
        "times": {name: summary(values) for name, values in times.items()},
        "per_resample_ms": {
            "ours": 1e3 * min(times["interval"]) / resamples,
            "rsatoolbox": 1e3 * min(times["rsatoolbox"]) / theirs,
        },
        "speedup": {
            "rsatoolbox": ratio(times, "rsatoolbox", "interval") * resamples / theirs,
            "ceiling": ratio(times, "rsatoolbox, ceiling", "ceiling"),
        },
        "error": float(
            max(np.abs(same - compare(one, other, method="spearman")).max(), np.abs(bounds).max())
        ),
    }


# ---- command ----------------------------------------------------------------------------------------------


def judged(found: Mapping[str, Any]) -> dict[str, Any]:
    """The gate: seconds of the full scores, how many times faster than plain forms, and that results agree."""
    cases = [found[name] for name in ("triplets", "trials", "dissimilarities")]
    speedup = {
        name: value for case in cases for name, value in case.get("speedup", {}).items() if name in GATE
    }
    errors = [case.get("error", 0.0) for case in cases]
    equal = errors[0] < 1e-4 and max(errors[1:]) < 1e-6
    slowest = max(row["median_ms"] for row in found["triplets"]["times"].values()) / 1e3
    fast = all(value >= GATE[name] for name, value in speedup.items())
    return {
        "seconds": slowest,
        "most_seconds": GATE_SECONDS,
        "speedup": speedup,
        "least": GATE,
        "equal": equal,
        "passed": equal and fast and slowest < GATE_SECONDS,
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    triplets, trials, tables = (found[name] for name in ("triplets", "trials", "dissimilarities"))
    title = f"{triplets['triplets']:,} triplets of {triplets['objects']:,} objects x {triplets['width']}"
    rows = Table("similarity", "one thread [ms]", f"wall, {found['threads']} threads [ms]", title=title)
    for kind, row in triplets["times"].items():
        rows.add_row(kind, f"{row['min_ms']:.0f}", f"{triplets['wall'][kind]['min_ms']:.0f}")
    console.print(rows)
    plain = ", ".join(f"{name} {value:,.0f} s" for name, value in triplets["extrapolated_seconds"].items())
    console.print(
        f"extrapolated: {plain}; every score with its interval {triplets['all_scores_seconds']:.1f} s"
    )
    for name, value in judged(found)["speedup"].items():
        console.print(f"{value:,.0f} times as fast as {name}")
    peaks = ", ".join(f"{name} {value:,.0f}" for name, value in triplets["peak_mib"].items())
    console.print(f"peak MiB {peaks}; all rows at once would take {triplets['whole_gather_mib']:,.0f}")
    times = trials["times"]
    console.print(
        f"{trials['trials']:,} trials: ceiling {times['ceiling']['min_ms']:.1f} ms "
        f"(groupby {times['groupby']['min_ms']:,.0f}), interval {times['interval']['min_ms']:.1f} ms "
        f"(bootstrap_interval {times['bootstrap_interval']['min_ms']:,.0f})"
    )
    if tables["rsatoolbox"]:
        each = tables["per_resample_ms"]
        console.print(
            f"{tables['stimuli']} stimuli, {tables['people']} people: {each['ours']:.2f} ms a resample "
            f"(rsatoolbox {each['rsatoolbox']:.1f}); ceiling {tables['speedup']['ceiling']:.1f} times as fast"
        )


def measured(*, quick: bool, threads: int) -> dict[str, Any]:
    """All cases; one thread but for the times on the wall."""
    torch.set_num_threads(1)
    sizes = (20_000, 60, 16) if quick else (TRIPLETS, OBJECTS, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        count, objects, width = sizes
        triplets = triplets_case(
            Path(folder), count=count, objects=objects, width=width, threads=threads, rounds=3 if quick else 5
        )
    return {
        "threads": threads,
        "triplets": triplets,
        "trials": trials_case(triplets=50 if quick else 1000, rounds=3),
        "dissimilarities": dissimilarities_case(
            people=3 if quick else PEOPLE,
            stimuli=8 if quick else STIMULI,
            resamples=20 if quick else 1000,
            theirs=5 if quick else 30,
        ),
    }


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes; the gate is told, not judged")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--threads", type=int, default=2, help="threads of the times on the wall")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, and judge the gate."""
    options = parse_options(arguments)
    if options.peak:
        report_peak(options.peak)
        return 0
    found = measured(quick=options.quick, threads=options.threads)
    console, gate, judge = Console(), judged(found), not options.quick
    show(found, console)
    if judge:
        console.print(f"gate {gate['least']}: {'passed' if gate['passed'] else 'FAILED'}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "benchmark": "alignment",
            "provenance": provenance(),
            "gate": {**gate, "judged": judge},
            **found,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if gate["passed"] or not judge else 1


if __name__ == "__main__":
    sys.exit(main())

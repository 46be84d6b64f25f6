"""Speed of the architecture search against Optuna and against asking the layer model token by token.

    python benchmarks/gptnas.py [--quick] [--out gptnas.json] [--workers 2]

Everything is measured in one run: a sweep of all arms on NAS-Bench-201 with the training of its priors (time on
the wall with `--workers` processes), processor time per different evaluation of every arm, Optuna's TPE and
random sampler on the same table and budget, regrowth from tabulated conditionals against a call of the network
per token, the tracer on the 36 published networks, and training of the layer model against torch's own
transformer layers. Processor times are of one thread. Exit code 1 if the full sweep takes more than two minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance, ratio, summary
from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.corpora.nasbench201 import load_nasbench201
from visus.methods.gptnas.baselines import ARMS
from visus.methods.gptnas.model.gpt import LayerGPT, next_token_loss
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import ZOO, make_network, zoo_architecture
from visus.methods.gptnas.search.priors import Prior, TabulatedPrior
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Individual, Space
from visus.methods.gptnas.search.sweep import SWEEP_SETTINGS, prior_names, sweep, train_priors

GATE_SEEDS, GATE_SECONDS = 200, 120.0
SWEPT = tuple(arm for arm in ARMS if arm != "tpe")
QUICK_NETWORKS = ("resnet18", "googlenet", "shufflenet_v2_x0_5", "efficientnet_b0")
SAMPLERS = {"optuna TPE": optuna.samplers.TPESampler, "optuna random": optuna.samplers.RandomSampler}


# ---- sweep and peers ----------------------------------------------------------------------------------------


def sweep_case(*, seeds: int, steps: int, workers: int) -> dict[str, Any]:
    """All arms on CIFAR-100 with priors trained on CIFAR-10: seconds on the wall, and per evaluation."""
    begun = time.perf_counter()
    priors = train_priors(load_nasbench201("cifar10"), prior_names(SWEPT), steps=steps)
    trained = time.perf_counter() - begun
    table, budget = load_nasbench201("cifar100"), SWEEP_SETTINGS.budget
    curves = sweep(table, SWEPT, seeds=range(seeds), priors=priors, workers=workers)
    seconds = time.perf_counter() - begun
    timed = max(3, seeds // 10)
    return {
        "arms": list(SWEPT),
        "seeds": seeds,
        "evaluations": budget,
        "workers": workers,
        "prior_steps": steps,
        "prior_seconds": trained,
        "seconds": seconds,
        "score": {arm: curves.mean(arm, budget) for arm in SWEPT},
        "microseconds_per_evaluation": {
            arm: per_evaluation(table, arm, priors, seeds=timed) for arm in SWEPT
        },
    }


def per_evaluation(table: ArchitectureTable, arm: str, priors: Mapping[str, Prior], *, seeds: int) -> float:
    """Processor time [us] of one different evaluation: asking, looking up, telling."""
    begun = time.process_time()
    sweep(table, [arm], seeds=range(seeds), priors=priors)
    return 1e6 * (time.process_time() - begun) / (seeds * SWEEP_SETTINGS.budget)


def peers_case(*, seeds: int, budget: int, steps: int) -> list[dict[str, Any]]:
    """Optuna's samplers and our arms on CIFAR-100: time per evaluation, and the score of what was chosen.

    Optuna may draw a cell again and count it as a trial; ours count different cells only.
    """
    table = load_nasbench201("cifar100")
    priors = train_priors(load_nasbench201("cifar10"), ["gpt"], steps=steps)
    rows = []
    for name in SAMPLERS:
        begun = time.process_time()
        found = [optuna_search(table, name, seed=seed, budget=budget) for seed in range(seeds)]
        spent = time.process_time() - begun
        chosen = [max(rows, key=table.fitness.__getitem__) for rows in found]
        different = float(np.mean([len(set(rows)) for rows in found]))
        rows.append(_row(name, table.score[chosen], spent / (seeds * budget), different))
    for arm in ("ga", "gpt", "sampling", "random"):
        begun = time.process_time()
        settings = replace(SWEEP_SETTINGS, budget=budget)
        curves = sweep(table, [arm], seeds=range(seeds), settings=settings, priors=priors)
        spent = time.process_time() - begun
        rows.append(_row(arm, curves.at(arm, budget), spent / (seeds * budget), budget))
    return rows


def optuna_search(table: ArchitectureTable, name: str, *, seed: int, budget: int) -> list[int]:
    """Rows of the cells a study looked at."""
    rows: list[int] = []

    def look(trial: optuna.Trial) -> float:
        names = [trial.suggest_categorical(f"edge_{place}", table.symbols) for place in range(table.length)]
        rows.append(table.index([table.symbols.index(name) for name in names]))
        return float(table.fitness[rows[-1]])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](seed=seed))
    study.optimize(look, n_trials=budget)
    return rows


def _row(name: str, scores: np.ndarray, seconds: float, different: float) -> dict[str, Any]:
    error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    return {
        "name": name,
        "ms_per_evaluation": 1e3 * seconds,
        "score": float(scores.mean()),
        "standard_error": error,
        "different": different,
    }


# ---- regrowth -----------------------------------------------------------------------------------------------


class Asking:
    """The prior without a table: the network is called for every token."""

    information = 1.0

    def __init__(self, gpt: LayerGPT, space: Space) -> None:
        self.gpt, self.base = gpt, len(space.symbols)

    @torch.inference_mode()
    def distribution(self, prefix: Individual) -> np.ndarray:
        logits = self.gpt.next(torch.tensor([self.base, *prefix]))[: self.base]
        return logits.double().softmax(-1).numpy()


def regrow_case(*, seconds: float) -> dict[str, Any]:
    """One search of 100 evaluations with a tabulated prior, and with calls of the same network."""
    table = load_nasbench201("cifar100")
    space = Space.of_table(table)
    torch.manual_seed(0)
    gpt = LayerGPT(len(space.symbols) + 1, width=32, window=space.most + 1).eval()
    begun = time.process_time()
    tabulated = TabulatedPrior.of_gpt(gpt, space, information=1.0)
    once = time.process_time() - begun

    def search(prior: Prior) -> Callable[[], list[Individual]]:
        def call() -> list[Individual]:
            made, order = Search(space, SWEEP_SETTINGS, 0, prior), []
            while asked := made.ask():
                for individual in asked:
                    order.append(individual)
                    made.tell(individual, float(table.fitness[table.index(individual)]))
            return order

        return call

    calls = {"tabulated": search(tabulated), "per token": search(Asking(gpt, space))}
    same = calls["tabulated"]() == calls["per token"]()
    times = measure(calls, repeats=10, warmup=1, seconds=seconds, clock=time.process_time)
    return {
        "times": {name: summary(values) for name, values in times.items()},
        "speedup": ratio(times, "per token", "tabulated"),
        "tabulating_ms": 1e3 * once,
        "same_search": same,
    }


# ---- tracer and layer model ---------------------------------------------------------------------------------


def tracer_case(names: tuple[str, ...]) -> dict[str, Any]:
    """Processor time of tracing whole networks on the meta device."""
    rows, total, layers = {}, 0.0, 0
    for name in names:
        size = zoo_architecture(name).input_size
        with torch.device("meta"):
            network = make_network(name)
        begun = time.process_time()
        record = trace(network, size)
        spent = time.process_time() - begun
        rows[name] = {"ms": 1e3 * spent, "layers": len(record.layers)}
        total, layers = total + spent, layers + len(record.layers)
    return {"networks": rows, "seconds": total, "layers_per_second": layers / total}


class TorchGPT(nn.Module):
    """The same sizes from torch's own layers, as a yardstick."""

    def __init__(self, size: int, *, width: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        self.position = nn.Parameter(0.02 * torch.randn(window, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, size, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]
        return self.head(self.body(x, mask=mask, is_causal=True))


def training_case(*, width: int, batch: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """One training step on windows of 10 tokens of a vocabulary of 168."""
    size, window = 168, 10
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {
        "LayerGPT": LayerGPT(size, width=width, depth=4, heads=4, window=window).to(device),
        "torch.nn": TorchGPT(size, width=width, depth=4, heads=4, window=window).to(device),
    }
    tokens = torch.randint(size, (batch, window), device=device)
    calls = {name: _training_step(model, tokens) for name, model in models.items()}
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = measure(calls, repeats=20, warmup=2, seconds=seconds, clock=clock)
    return {
        "width": width,
        "batch": batch,
        "window": window,
        "times": {name: summary(values) for name, values in times.items()},
        "tokens_per_second": {name: batch * window / min(values) for name, values in times.items()},
        "speedup": ratio(times, "torch.nn", "LayerGPT"),
    }


def _training_step(model: nn.Module, tokens: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def call() -> None:
        optimizer.zero_grad()
        next_token_loss(model(tokens), tokens).backward()
        optimizer.step()

    return call


# ---- command ------------------------------------------------------------------------------------------------


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    swept = found["sweep"]
    title = (
        f"{swept['seeds']} searches of {swept['evaluations']} evaluations per arm on CIFAR-100 (NAS-Bench-201): "
        f"{swept['seconds']:.1f} s with {swept['workers']} processes, of which {swept['prior_seconds']:.1f} s "
        "train the priors"
    )
    table = Table("arm", "us per evaluation", "score", "standard error", title=title)
    for arm, (mean, error) in swept["score"].items():
        table.add_row(arm, f"{swept['microseconds_per_evaluation'][arm]:.0f}", f"{mean:.2f}", f"{error:.2f}")
    console.print(table)
    table = Table(
        "search", "ms per evaluation", "score", "standard error", "different cells",
        title=f"the same table, {found['peer_budget']} evaluations",
    )  # fmt: skip
    for row in found["peers"]:
        cells = (row["ms_per_evaluation"], row["score"], row["standard_error"], row["different"])
        table.add_row(
            row["name"], *(f"{value:.3g}" if i != 1 else f"{value:.2f}" for i, value in enumerate(cells))
        )
    console.print(table)
    regrown, traced = found["regrow"], found["tracer"]
    console.print(
        f"regrowth: {regrown['times']['tabulated']['min_ms']:.1f} ms per search from the table, "
        f"{regrown['times']['per token']['min_ms']:.0f} ms with a call per token ({regrown['speedup']:.0f} times; "
        f"the table takes {regrown['tabulating_ms']:.0f} ms once; same search: {regrown['same_search']})"
    )
    console.print(
        f"tracer: {len(traced['networks'])} networks in {traced['seconds']:.1f} s, "
        f"{traced['layers_per_second']:,.0f} layers per second"
    )
    for row in found["training"]:
        speeds = ", ".join(f"{name} {value:,.0f}" for name, value in row["tokens_per_second"].items())
        console.print(f"training, width {row['width']}, batch {row['batch']}: tokens per second: {speeds}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="few searches and networks (under half a minute)"
    )
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--workers", type=int, default=2, help="processes of the sweep")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for the layer model")
    return parser.parse_args()


def main() -> int:
    """Measure, print, write, and judge the gate."""
    options = parse()
    torch.set_num_threads(1)
    quick, console = options.quick, Console()
    seconds, device = (2.0 if quick else 10.0), torch.device(options.device)
    budget = 30 if quick else 100
    found: dict[str, Any] = {
        "sweep": sweep_case(
            seeds=8 if quick else GATE_SEEDS, steps=20 if quick else 400, workers=options.workers
        ),
        "peers": peers_case(seeds=3 if quick else 20, budget=budget, steps=20 if quick else 400),
        "peer_budget": budget,
        "regrow": regrow_case(seconds=seconds),
        "tracer": tracer_case(QUICK_NETWORKS if quick else ZOO),
        "training": [
            training_case(width=width, batch=128, seconds=seconds, device=device)
            for width in ((32,) if quick else (32, 128))
        ],
    }
    show(found, console)
    taken = found["sweep"]["seconds"]
    passed = quick or taken <= GATE_SECONDS
    if not quick:
        console.print(
            f"gate: the sweep of {GATE_SEEDS} seeds took {taken:.0f} s (at most {GATE_SECONDS:.0f}): "
            f"{'passed' if passed else 'FAILED'}"
        )
    if options.out:
        record = {
            "provenance": provenance(),
            "gate": {"seconds": taken, "allowed": GATE_SECONDS, "passed": passed, "judged": not quick},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**record, **found}, indent=1) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

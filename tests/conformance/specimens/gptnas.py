"""What the suite needs to know of `gptnas`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor

from visus.data import Subset, Tensors
from visus.methods.gptnas import GPTNAS
from visus.methods.gptnas.search import Search, SearchSettings, UniformPrior
from visus.methods.gptnas.training import cross_entropy
from visus.methods.gptnas.training.prior import network_space
from visus.methods.gptnas.training.sequences import block_loss, next_layer_loss
from visus.protocols import Prediction, Source


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    generator = torch.Generator().manual_seed(0)
    colored = torch.rand(29, 3, 13, 7, generator=generator)
    tiny = torch.rand(23, 2, 5, 3, generator=generator)
    return [
        (Tensors({"image": colored, "target": [str(i % 3) for i in range(29)]}), []),
        (
            Tensors({"image": tiny, "target": ["ab"[i % 2] for i in range(23)]}),
            ["image_size=[4,9]", "stages=3"],
        ),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"probabilities", "label", "name"}
    classes = found["probabilities"].shape[1]
    assert found["probabilities"].shape == (n, classes)
    assert classes >= 2
    assert found["label"].shape == (n,)
    assert found["label"].dtype == torch.int64
    assert 0 <= found["label"].min() <= found["label"].max() < classes
    assert len(found["name"]) == n
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))


def ingredient_off() -> tuple[Tensor, Tensor]:
    """The sequence of evaluated networks with elimination rate 0, and that of the plain genetic search."""
    space = network_space(least=2, most=5)
    found = []
    for rate, prior in ((0.0, UniformPrior(space)), (0.4, None)):
        search = Search(space, SearchSettings(budget=60, population=8, rate=rate), 5, prior)
        rows = []
        while asked := search.ask():
            for individual in asked:
                value = math.sin(sum((i + 1) * symbol for i, symbol in enumerate(individual)))
                search.tell(individual, value)
                rows.append([*individual, *[-1] * (space.most - len(individual)), value])
        found.append(torch.tensor(rows, dtype=torch.float64))
    return found[0], found[1]


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """Of the classes, of the next layer (at its place in the window), of the block behind a layer."""
    rng = np.random.default_rng(0)

    def slow(rows: Sequence[Sequence[float]], goals: Sequence[int]) -> Tensor:
        entropy = [
            -math.log(math.exp(row[goal]) / sum(math.exp(score) for score in row))
            for row, goal in zip(rows, goals, strict=True)
        ]
        return torch.tensor(entropy, dtype=torch.float64)

    scores, target = rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)
    logits, place = rng.normal(size=(6, 3, 4)), rng.integers(0, 3, size=6)
    goals = torch.from_numpy(target)
    chosen = [logits[i][where].tolist() for i, where in enumerate(place.tolist())]
    layer = next_layer_loss(torch.from_numpy(logits), torch.from_numpy(place), goals)
    return [
        (
            "cross_entropy",
            cross_entropy(torch.from_numpy(scores), goals),
            slow(scores.tolist(), target.tolist()),
        ),
        ("next_layer_loss", layer, slow(chosen, target.tolist())),
        ("block_loss", block_loss(torch.from_numpy(scores), goals), slow(scores.tolist(), target.tolist())),
    ]


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken pictures and tables, models and priors that do not fit, searches that make no sense."""
    model = commands[0][commands[0].index("--out") + 1]
    data, out = Path(commands[0][3]), folder / "out"
    picture = next((data / "test").rglob("*.png"))
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=argv, says=says))

    def fit(source: Path, *more: str) -> Sequence[str]:
        fixed = ["--preset", "smoke", "--device", "cpu", "--out", str(out)]
        return ["gptnas", "fit", str(source), *fixed, *more]

    def search(*more: str) -> Sequence[str]:
        return ["gptnas", "search", "--out", str(out), *more]

    def classes(name: str) -> Path:
        for label in ("a", "b"):
            target = folder / name / label
            target.mkdir(parents=True)
            for i in range(6):
                shutil.copy(picture, target / f"{i}.png")
        return folder / name

    def file(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    cut, holes, flat, wide = classes("cut"), classes("holes"), classes("flat"), classes("wide")
    (cut / "a" / "0.png").write_bytes(picture.read_bytes()[:40])
    np.save(holes / "a" / "9.npy", np.full((8, 8), np.nan, dtype=np.float32))
    np.save(flat / "a" / "9.npy", np.zeros((2, 3, 4, 5, 6), dtype=np.float32))
    np.save(wide / "a" / "9.npy", np.zeros((9, 8), dtype=np.float32))
    empty = folder / "empty"
    empty.mkdir()
    refuse("missing file", "folder", fit(folder / "nowhere"), "nowhere", "does not exist")
    absent = file("absent.csv", "path,label\nabsent.png,a\n")
    refuse("missing file", "picture of a table", fit(absent), "absent.csv", "line 2", "does not exist")
    refuse("missing file", "prior", fit(data, "--prior", str(folder / "no-prior")), "prior", "no-prior")
    refuse("empty set", "folder", fit(empty), "empty", "no sub-folders")
    refuse("empty set", "table", fit(file("header.csv", "path,label\n")), "header.csv")
    refuse("truncated file", "picture", fit(cut), "0.png")
    refuse("truncated file", "table", fit(file("broken.csv", b'path,label\na.png,"a\n')), "broken.csv")
    refuse("NaN", "pixels", fit(holes), "9.npy", "not finite")
    refuse("wrong shape", "picture of five axes", fit(flat), "9.npy")
    refuse("wrong shape", "picture of another size", fit(wide), "wide", "9x8", "image_size")
    refuse("wrong columns", "no pictures", fit(file("xy.csv", "x,y\n1,2\n")), "xy.csv", "column")
    one = file("one.csv", f"path,label\n{picture.resolve()},a\n{picture.resolve()},a\n")
    refuse("other", "one class", fit(one), "one.csv", "one class only")
    refuse("other", "unknown setting", fit(data, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "blocks", fit(data, "--set", "least_blocks=9"), "most_blocks", "least_blocks")
    refuse("other", "no workers", fit(data, "--workers", "0"), "--workers")
    strange = file("strange.csv", f"path,label\n{picture.resolve()},zebra\n")
    argv = ["gptnas", "evaluate", str(strange), "--model", model, "--out", str(folder / "s.json")]
    refuse("other", "class the model does not know", argv, "strange.csv", "zebra")
    argv = ["gptnas", "predict", str(data), "--model", str(empty), "--out", str(folder / "p.csv")]
    refuse("missing file", "model", argv, "config.json")
    refuse("other", "budget", search("--evals", "0"), "--evals")
    refuse("other", "share", search("--prior", "cifar10:best10"), "--prior", "cifar10:top10")
    refuse("other", "pictures for blocks", search("--space", "blocks"), "--images")
    refuse("other", "pictures for a table", search("--images", str(data)), "--images", "--space")
    refuse("other", "table of macro", search("--space", "macro"), "--table")
    refuse("truncated file", "tests", search("--tests", str(file("tests.json", '{"a": '))), "tests.json")
    refuse(
        "wrong columns",
        "proxy",
        search("--proxy", str(file("proxy.csv", "a,b\n1,2\n"))),
        "proxy.csv",
        "cellstr",
    )
    code = file("model.py", "raise SystemExit")
    refuse(
        "other",
        "Python module",
        ["gptnas", "trace", str(code), "--out", str(out)],
        "model.py",
        "not executed",
    )
    return cases


def few(part: Any) -> Source:
    """So few digits that many candidates can be trained."""
    return Subset(GPTNAS.example(part), range(90))


LEARNING = ["learning_rate=0.1", "candidate_epochs=3", "batch_size=24", "gpt_epochs=2", "chooser_epochs=2"]
"""Candidates that differ in what they are worth, so that the search's choices show in what it finds."""
DRAWN = [*LEARNING, "start=prior", "population=8", "evaluations=8", "most_blocks=6"]
"""Every candidate is written by the prior."""
EVOLVED = [*LEARNING, "population=3", "evaluations=12", "elimination=0.5"]
"""Most candidates are children."""
OF_PRIOR = (
    *("gpt_width", "gpt_depth", "gpt_heads", "gpt_window", "gpt_attention", "gpt_epochs", "gpt_batch"),
    *("gpt_rate", "chooser_width", "chooser_epochs", "chooser_rate", "networks", "prior", "start"),
    *("temperature", "top_k", "settled"),
)
OF_SEARCH = (
    *("population", "evaluations", "crossover", "mutation", "elimination", "unit"),
    *("candidate_epochs", "warmup", "trainable"),
)

SPECIMEN = Specimen(
    micro=["gpt_epochs=6", "networks=[resnet18,googlenet,shufflenet_v2_x0_5]"],
    steady=["batch_size=63", "gpt_batch=127"],
    overfit=Overfit(
        settings=[
            "epochs=120",
            "evaluations=2",
            "population=2",
            "width=8",
            "learning_rate=0.1",
            "batch_size=16",
        ],
        source=lambda: Subset(GPTNAS.example("train"), range(24)),
        metric="accuracy",
        at_least=1.0,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    alternatives={
        "prior": "uniform",
        "networks": ("resnet18", "resnet34"),
        "top_k": 1,
        "image_size": (6, 7),
        "least_blocks": 3,
        "chooser_epochs": 40,
        "chooser_rate": 0.1,
        "population": 2,
    },
    context={
        **dict.fromkeys(OF_PRIOR, DRAWN),
        **dict.fromkeys(OF_SEARCH, EVOLVED),
        "chooser_epochs": [*DRAWN, "chooser_rate=0.05"],
        "population": [*EVOLVED, "population=12"],
    },
    sources=dict.fromkeys((*OF_PRIOR, *OF_SEARCH), few),
    inert={"keep": "decides what stays on disk"},
)

"""What the suite needs to know of `polytopes`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor, nn
from watched import WatchedRun

from visus.data.tables.source import RowTable
from visus.engine.turn import StepTurn
from visus.methods.polytopes import Polytopes, PolytopesConfig
from visus.methods.polytopes.model.classifier import Classifier
from visus.methods.polytopes.training import absolute_weights, cross_entropy
from visus.protocols import Prediction, Source


def table(n: int, inputs: int, classes: int) -> RowTable:
    """Random rows with gaps, a column of text that no classifier of numbers can use, and persons."""
    rng = np.random.default_rng(n)
    frame = pd.DataFrame(rng.normal(3, 2, (n, inputs)), columns=[f"x{i}" for i in range(inputs)])
    frame = frame.mask(rng.random(frame.shape) < 0.1)
    frame["stage"] = rng.choice(["I", "II", "III"], n)
    frame["y"] = rng.integers(0, classes, n)
    return RowTable(frame, target="y")


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    return [
        (table(41, 3, 3), ["box=0", "hidden=[7,5]"]),
        (table(37, 4, 2), ["columns=[x3,x0,x2,x1]", "hidden=[5,5,3]", "shortcuts=true"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    counts = {"facets", "simplices", "volume", "inside"}
    assert set(found) == {"probabilities", "label", "name", *counts}
    classes = found["probabilities"].shape[1]
    assert found["probabilities"].shape == (n, classes)
    assert classes >= 2
    assert found["label"].dtype == found["facets"].dtype == found["simplices"].dtype == torch.int64
    assert found["volume"].dtype == torch.float64
    assert found["inside"].dtype == torch.bool
    assert all(found[name].shape == (n,) for name in ("label", *counts))
    assert len(found["name"]) == n
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))
    inside = found["inside"]
    assert (found["facets"][inside] >= 3).all()
    assert (found["simplices"][inside] >= 1).all()
    assert (found["volume"][inside] > 0).all()
    assert not found["volume"][~inside].any()


def ingredient_off() -> tuple[Tensor, Tensor]:
    """Counting cells leaves the training alone; without shortcuts the network is a plain stack, bit for bit."""
    scores = []
    test = Polytopes.example("test")
    for epochs in ((0, 1, 2), ()):
        config = PolytopesConfig(hidden=(6, 6), epochs=3, batch_size=64, census_epochs=epochs, dropout=0.2)
        model = Polytopes(config).fit(Polytopes.example("train"), WatchedRun())
        scores.append(model.predict(test)["probabilities"].flatten())
    torch.manual_seed(0)
    model = Classifier(3, (8, 8, 8), 2, shortcuts=False).double()
    x = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stack = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    stack.extend([nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)])
    stack.double().load_state_dict(
        {
            f"{2 * i}.{name}": value
            for i, layer in enumerate(model.linears())
            for name, value in layer.state_dict().items()
        }
    )
    scores[0], scores[1] = scores[0].double(), scores[1].double()
    pairs = ((scores[0], model(x).flatten()), (scores[1], stack(x).flatten()))
    return torch.cat(pairs[0]).detach(), torch.cat(pairs[1]).detach()


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """Cross-entropy per item and as the step's mean, and the sum of absolute weights."""
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(7, 3)), [0, 1, 2, 2, 0, 1, 1]
    slow = [
        -math.log(math.exp(row[goal]) / sum(math.exp(score) for score in row))
        for row, goal in zip(scores.tolist(), target)
    ]
    turn = StepTurn(WatchedRun().accelerator, {})
    turn.enter(micro=0, items=7, seed=0, phase="train", epoch=0, step=0, progress=0.0)
    fast = cross_entropy(torch.from_numpy(scores), torch.tensor(target))
    torch.manual_seed(0)
    model = Classifier(3, (5, 4), 2, bias=0.3).double()
    total = 0.0
    for name, weight in model.named_parameters():
        if name.endswith("weight"):
            total += sum(abs(value) for row in weight.tolist() for value in row)
    pairs: list[tuple[str, Tensor, float | list[float]]] = [
        ("cross-entropy", fast, slow),
        ("mean cross-entropy", turn.mean(fast), sum(slow) / 7),
        ("absolute weights", absolute_weights(model).detach(), total),
    ]
    return [(name, quick, torch.tensor(value, dtype=torch.float64)) for name, quick, value in pairs]


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken tables and weights, columns and boxes that cannot be used, networks that are no polytopes."""
    by_verb = {command[2]: command for command in commands}
    model, train = by_verb["fit"][by_verb["fit"].index("--out") + 1], Path(by_verb["fit"][3])
    frame = pd.read_csv(train).head(20)
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=["polytopes", *argv], says=says))

    def table(name: str, changed: pd.DataFrame | str) -> str:
        text = changed if isinstance(changed, str) else changed.to_csv(index=False)
        (folder / name).write_text(text)
        return str(folder / name)

    def fit(source: str, *more: str, target: str = "region") -> list[str]:
        flags = ["--target", target, "--preset", "smoke", "--device", "cpu", "--out", str(folder / "out")]
        return ["fit", source, *flags, *more]

    def predict(source: str, run: str = model) -> list[str]:
        return ["predict", source, "--model", run, "--out", str(folder / "p.csv")]

    def census(weights: str, *more: str) -> list[str]:
        return ["census", weights, "--out", str(folder / "census"), "--device", "cpu", *more]

    fine = table("fine.csv", frame)
    refuse("missing file", "table", fit(str(folder / "nowhere.csv")), "nowhere.csv", "does not exist")
    refuse("missing file", "model", predict(fine, str(folder / "empty")), "empty")
    refuse(
        "missing file", "weights", census(str(folder / "no.safetensors")), "no.safetensors", "does not exist"
    )
    quote = table("quote.csv", frame.to_csv(index=False) + '"1,2,in\n')
    refuse("truncated file", "table", fit(quote), "quote.csv", "line 22")
    whole = (example / by_verb["census"][3]) if by_verb["census"][3].endswith("tensors") else None
    stored = whole or next(example.rglob("network.safetensors"))
    (folder / "cut.safetensors").write_bytes(stored.read_bytes()[:-40])
    refuse(
        "truncated file", "weights", census(str(folder / "cut.safetensors")), "cut.safetensors", "complete"
    )
    holes = frame.assign(region=[*frame["region"][:19], None])
    refuse("NaN", "target", fit(table("holes.csv", holes)), "holes.csv", "region", "line 21")
    np.savez(folder / "nan.npz", W0=np.full((4, 2), np.nan), b0=np.zeros(4))
    refuse("NaN", "weights", census(str(folder / "nan.npz")), "nan.npz", "tensor W0", "finite")
    np.savez(folder / "odd.npz", W0=np.ones((4, 2)), b0=np.zeros(4), W1=np.ones((3, 5)), b1=np.zeros(3))
    refuse(
        "wrong shape", "weights that do not chain", census(str(folder / "odd.npz")), "odd.npz", "W1", "5", "4"
    )
    np.save(folder / "flat.npy", np.zeros((3, 7)))
    points = ["--points", str(folder / "flat.npy"), "--out", str(folder / "census"), "--device", "cpu"]
    refuse("wrong shape", "points", ["slice", str(stored), *points], "flat.npy", "equal")
    np.save(folder / "wide.npy", np.random.default_rng(0).normal(size=(3, 7)))
    points[1] = str(folder / "wide.npy")
    refuse("wrong shape", "points of another network", ["slice", str(stored), *points], "7")
    refuse("wrong columns", "target", fit(fine, target="regio"), "fine.csv", "regio", "region")
    refuse("wrong columns", "input", fit(fine, "--columns", "x", "w"), "fine.csv", "column w", "x, y")
    words = table("words.csv", frame.assign(x=["left", *frame["x"][1:]]))
    refuse(
        "wrong columns", "text", fit(words, "--columns", "x", "y"), "words.csv", "column x, line 2", "'left'"
    )
    five = table("five.csv", frame.assign(a=frame["x"] * 2, b=frame["y"] + 1, c=frame["x"] + 3))
    refuse("wrong columns", "five", fit(five), "five.csv", "5 numeric columns", "2 to 4")
    lone = table("lone.csv", frame.drop(columns="y"))
    refuse("wrong columns", "one", fit(lone), "lone.csv", "1 numeric columns (x)")
    refuse("wrong columns", "of the model", predict(lone), "lone.csv", "y")
    refuse("empty set", "table", fit(table("header.csv", frame.head(0))), "header.csv", "no rows")
    refuse(
        "other",
        "constant column",
        fit(table("same.csv", frame.assign(x=1.5)), "--columns", "x", "y"),
        "column x",
    )
    refuse("other", "one class", fit(table("one.csv", frame.assign(region="in"))), "one.csv", "one class")
    refuse("other", "unknown setting", fit(fine, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "setting out of bounds", fit(fine, "--set", "box=-1"), "box", "is -1")
    strange = table("strange.csv", frame.assign(region=["zebra", *frame["region"][1:]]))
    argv = ["evaluate", strange, "--model", model, "--out", str(folder / "s.json")]
    refuse("other", "class the model does not know", argv, "strange.csv", "zebra")
    refuse("other", "box upside down", census(str(stored), "--box", "1", "-1"), "box", "1 to -1")
    refuse("other", "box of three numbers", census(str(stored), "--box", "0", "1", "2"), "--box", "3 numbers")
    smooth = folder / "smooth.safetensors"
    from visus.data.formats.weights import write_network

    write_network(smooth, nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1)))
    refuse("other", "smooth activation", census(str(smooth)), "sigmoid", "smooth")
    digits = str(next(example.rglob("digits.safetensors")))
    refuse("other", "too many inputs", census(digits), "64 inputs", "slice")
    return cases


SPECIMEN = Specimen(
    micro=["epochs=5"],
    steady=["batch_size=63"],
    overfit=Overfit(
        settings=["epochs=150", "hidden=[16,16]", "census_epochs=[]"],
        source=lambda: Polytopes.example("train").subset(range(24)),
        metric="loss",
        at_most=0.02,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        "three": ["hidden=[9,9,9]", "shortcuts=true", "dropout=0.1", "l1=0.001"],
        **{init: [f"init={init}"] for init in ("xavier_normal", "kaiming", "orthogonal")},
    },
    alternatives={
        "columns": ("y", "x"),
        "hidden": (8, 8),
        "census_epochs": (0, 1),
        "max_cells": 10,
        "batch_size": 32,
        "weight_decay": 0.3,
        "validation": 0.3,
    },
    context={"shortcuts": ["hidden=[8,8]"]},
    inert={
        "census_epochs": "says when cells are counted, not what is learned",
        "rule": "changes how many simplices a cell is cut into, a whole number, and nothing that is learned",
    },
)

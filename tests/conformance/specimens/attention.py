"""What the suite needs to know of `attention`."""

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
from visus.methods.attention import AttentionClassifier, AttentionConfig
from visus.methods.attention.model import Classifier, Patches
from visus.methods.attention.training import cross_entropy
from visus.protocols import Prediction, Source


def texts(part: Any) -> Source:
    return Subset(AttentionClassifier.example(part, task="text"), range(300))


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    images = torch.rand(23, 3, 13, 7, generator=torch.Generator().manual_seed(0))
    return [
        (Tensors({"image": images, "target": [str(i % 3) for i in range(23)]}), ["image_size=9", "patch=3"]),
        (Subset(texts("train"), range(37)), ["length=7", "vocabulary=50"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"probabilities", "label", "name"}
    classes = found["probabilities"].shape[1]
    assert found["probabilities"].shape == (n, classes)
    assert found["label"].shape == (n,)
    assert classes >= 2
    assert found["label"].dtype == torch.int64
    assert 0 <= found["label"].min() <= found["label"].max() < classes
    assert len(found["name"]) == n
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))


def ingredient_off() -> tuple[Tensor, Tensor]:
    """Super attention whose W_A is the identity, and Efficient attention."""
    outputs = []
    state: dict[str, Tensor] = {}
    for settings in ({"kind": "efficient"}, {"kind": "super", "wa_init": "eye"}):
        torch.manual_seed(0)
        config = AttentionConfig(width=16, num_heads=2, layers=2, **settings)
        model = Classifier(config, Patches(config, channels=1), classes=3).double().eval()
        state = state or model.state_dict()
        absent = set(model.state_dict()) - set(state)
        assert all(name.endswith(".wa") for name in absent)
        model.load_state_dict(state, strict=False)
        image = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
        outputs.append(model(image).detach())
    return outputs[1], outputs[0]


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)
    slow = [
        -math.log(math.exp(row[goal]) / sum(math.exp(x) for x in row))
        for row, goal in zip(scores.tolist(), target.tolist(), strict=True)
    ]
    fast = cross_entropy(torch.from_numpy(scores), torch.from_numpy(target))
    return [("cross_entropy", fast, torch.tensor(slow, dtype=torch.float64))]


def fit(source: Path, out: Path, *more: str) -> Sequence[str]:
    fixed = ["--preset", "smoke", "--device", "cpu", "--out", str(out)]
    return ["attention", "fit", str(source), *fixed, *more]


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken pictures, broken tables of texts, and models that do not fit the data."""
    model = commands[0][commands[0].index("--out") + 1]
    data, out = Path(commands[0][3]), folder / "out"
    picture = next((data / "test").rglob("*.png"))
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=argv, says=says))

    def classes(name: str) -> Path:
        for label in ("a", "b"):
            target = folder / name / label
            target.mkdir(parents=True)
            for i in range(6):
                shutil.copy(picture, target / f"{i}.png")
        return folder / name

    def table(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    cut, holes, flat = classes("cut"), classes("holes"), classes("flat")
    (cut / "a" / "0.png").write_bytes(picture.read_bytes()[:40])
    np.save(holes / "a" / "9.npy", np.full((8, 8), np.nan, dtype=np.float32))
    np.save(flat / "a" / "9.npy", np.zeros((2, 3, 4, 5, 6), dtype=np.float32))
    empty = folder / "empty"
    empty.mkdir()
    refuse("missing file", "folder", fit(folder / "nowhere", out), "nowhere", "does not exist")
    absent = table("absent.csv", "path,label\nabsent.png,a\n")
    refuse("missing file", "picture of a table", fit(absent, out), "absent.csv", "line 2", "does not exist")
    refuse("empty set", "folder", fit(empty, out), "empty", "no sub-folders")
    refuse("empty set", "table", fit(table("header.csv", "text,label\n"), out), "header.csv")
    refuse("truncated file", "picture", fit(cut, out), "0.png")
    broken = table("broken.csv", b'text,label\ngood film,a\n"a film,b\n')
    refuse("truncated file", "text table", fit(broken, out), "broken.csv", "line 3")
    refuse("NaN", "pixels", fit(holes, out), "9.npy", "not finite")
    refuse("wrong shape", "picture of five axes", fit(flat, out), "9.npy")
    refuse("wrong columns", "table of neither", fit(table("xy.csv", "x,y\n1,2\n"), out), "xy.csv", "column")
    named = fit(table("named.csv", "text,label\nfilm,a\n"), out, "--text-column", "body")
    refuse("wrong columns", "named column", named, "named.csv", "body")
    one = table("one.csv", "text,label\ngood film,a\nfine film,a\n")
    refuse("other", "one class", fit(one, out), "one class only")
    gap = table("gap.csv", "text,label\ngood film,a\nbad film,\n")
    refuse("other", "text without label", fit(gap, out), "gap.csv", "label", "line 3")
    refuse("other", "unknown setting", fit(data, out, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "patches that do not fit", fit(data, out, "--set", "patch=3"), "patch", "multiple")
    strange = table("strange.csv", f"path,label\n{picture.resolve()},zebra\n")
    scores, words = str(folder / "s.json"), str(folder / "p.csv")
    argv = ["attention", "evaluate", str(strange), "--model", model, "--out", scores]
    refuse("other", "class the model does not know", argv, "zebra")
    argv = ["attention", "predict", str(data), "--model", str(empty), "--out", words]
    refuse("missing file", "model", argv, "config.json")
    argv = ["attention", "predict", str(one), "--model", model, "--out", words]
    refuse("other", "texts for a model of pictures", argv, "image")
    return cases


KINDS = ("standard", "optimized", "efficient", "efficient_mixed", "mqa", "gqa", "linformer", "mixer")

SPECIMEN = Specimen(
    micro=["epochs=2", "batch_size=64", "width=8"],
    steady=["dropout=0.0", "batch_size=63"],
    overfit=Overfit(
        settings=["epochs=80", "dropout=0.0", "validation=0.0", "width=32", "learning_rate=0.005"],
        source=lambda: Subset(AttentionClassifier.example("train"), range(24)),
        metric="loss",
        at_most=0.05,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        **{kind: [f"kind={kind}"] for kind in KINDS},
        "pre": ["norm=pre", "head=5", "wa_bias=true", "layers=2"],
    },
    alternatives={
        "image_size": 12,
        "patch": 4,
        "num_heads": 1,
        "head": 5,
        "batch_size": 32,
        "weight_decay": 0.5,
    },
    sources={"vocabulary": texts, "length": texts, "keep": texts},
    context={"vocabulary": ["vocabulary=40"], "keep": ["length=5"]},
)

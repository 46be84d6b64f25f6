"""What the suite needs to know of `hyperfusion`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor, nn
from watched import WatchedRun

from visus.data.image_table import ImageTable
from visus.data.worlds import digits
from visus.engine.turn import StepTurn
from visus.methods.hyperfusion import HyperFusion
from visus.methods.hyperfusion.model import AgeNet, FusionResNet, Sizes, conditioned_layers
from visus.methods.hyperfusion.training import item_losses
from visus.protocols import Prediction, Source


@functools.cache
def gaps(part: str) -> Source:
    """Digits with three columns, two fifths of their cells empty."""
    world = digits.make("xor", n=300, n_test=100, seed=0, missing=0.4, nuisance=2)
    return world.train if part == "train" else world.test


def clinic(n: int, space: tuple[int, ...], channels: int, target: str) -> ImageTable:
    """Random people with gaps in their table, two pictures each."""
    rng = np.random.default_rng(n)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, n).round(1),
            "stage": rng.choice(["I", "II", "III"], n).astype(object),
            "smoker": rng.choice([0.0, 1.0], n),
            "patient": [f"p{i // 2}" for i in range(n)],
        }
    )
    for column in ("age", "stage", "smoker"):
        frame[column] = frame[column].mask(rng.random(n) < 0.2)
    frame["y"] = rng.choice(["ill", "well", "unclear"], n) if target == "class" else rng.normal(3, 2, n)
    images = torch.from_numpy(rng.random((n, channels, *space)).astype(np.float32))
    return ImageTable(frame, images=images, target="y", group="patient")


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    return [
        (clinic(41, (13, 7), 3, "class"), ["stem_pool=true"]),
        (clinic(37, (7, 9, 5), 1, "number"), ["position=paper_ad"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    if "value" in found:
        assert set(found) == {"value"}
        assert found["value"].shape == (n,)
        return
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
    """Networks whose generators are zero, and the image-only network with the same weights, bit for bit.

    Places where the shortcut is emitted are left out: there the paper changes the order of the shortcut too.
    """
    small = Sizes(channels=1, columns=3, outputs=2, space=(8, 8))
    large = Sizes(channels=1, columns=3, outputs=1, space=(36, 36))
    pairs = []
    for position in ("fc1", "fc2", "last_TFF", "last_TTF", "paper_age"):
        sizes = large if position == "paper_age" else small
        torch.manual_seed(0)
        if position == "paper_age":
            plain: nn.Module = AgeNet(sizes, fusion="image", width=4)
            hyper: nn.Module = AgeNet(sizes, fusion="hyper", width=4)
        else:
            options = {"width": 4, "blocks": 3, "stem_pool": False}
            plain = FusionResNet(sizes, fusion="image", **options)
            hyper = FusionResNet(sizes, fusion="hyper", position=position, **options)
        pairs.append(_switched_off(hyper, plain, sizes))
    return torch.cat([one for one, _ in pairs]), torch.cat([other for _, other in pairs])


@torch.no_grad()
def _switched_off(hyper: nn.Module, plain: nn.Module, sizes: Sizes) -> tuple[Tensor, Tensor]:
    emitting = {
        name: layer for name, layer in hyper.named_modules() if layer in dict(conditioned_layers(hyper))
    }
    assert emitting
    absent, extra = hyper.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith((*emitting, "embedding")) for name in absent)
    assert {name.rpartition(".")[0] for name in extra} == set(emitting)
    for name, layer in emitting.items():
        layer.start_from(plain.get_submodule(name).weight, plain.get_submodule(name).bias)
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(5, 1, *sizes.space, generator=generator)
    table = torch.randn(5, sizes.columns, generator=generator)
    return hyper.eval()(image, table).flatten(), plain.eval()(image, table).flatten()


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """Cross-entropy with and without class weights, and squared error: per item and as the step's mean."""
    rng = np.random.default_rng(0)
    scores, target, weights = rng.normal(size=(7, 3)), [0, 1, 2, 2, 0, 1, 1], [1.1, 0.6962, 1.4]
    values, truth = rng.normal(size=(7, 1)), rng.normal(size=7)
    turn = StepTurn(WatchedRun().accelerator, {})
    turn.enter(micro=0, items=7, seed=0, phase="train", epoch=0, step=0, progress=0.0)

    def fast(output: np.ndarray, goal: Any, weight: Any, *, regression: bool) -> tuple[Tensor, Tensor]:
        given = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        found, share = item_losses(
            torch.from_numpy(output), torch.as_tensor(goal), weights=given, regression=regression
        )
        return found, turn.mean(found, share)

    entropy = [
        -math.log(math.exp(row[goal]) / sum(math.exp(score) for score in row))
        for row, goal in zip(scores.tolist(), target)
    ]
    square = [(row[0] - goal) ** 2 for row, goal in zip(values.tolist(), truth.tolist())]
    above = below = 0.0
    for one, goal in zip(entropy, target):
        above += weights[goal] * one
        below += weights[goal]
    items, mean = fast(scores, target, None, regression=False)
    weighted = fast(scores, target, weights, regression=False)[1]
    squares, mean_square = fast(values, truth, None, regression=True)
    pairs: list[tuple[str, Tensor, Any]] = [
        ("cross-entropy", items, entropy),
        ("mean cross-entropy", mean, sum(entropy) / 7),
        ("weighted cross-entropy", weighted, above / below),
        ("squared error", squares, square),
        ("mean squared error", mean_square, sum(square) / 7),
    ]
    return [(name, quick, torch.tensor(slow, dtype=torch.float64)) for name, quick, slow in pairs]


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken tables, broken pictures and volumes, and tables that do not fit the model."""
    train = Path(commands[0][commands[0].index("--table") + 1])
    run = commands[0][commands[0].index("--out") + 1]
    frame = pd.read_csv(train).head(12).assign(y=["no", "yes"] * 6)
    frame["image"] = [str((train.parent / name).resolve()) for name in frame["image"]]
    pixels = Path(frame["image"][0]).read_bytes()
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=["hyperfusion", *argv], says=says))

    def table(name: str, changed: pd.DataFrame = frame) -> Path:
        changed.to_csv(folder / name, index=False)
        return folder / name

    def with_picture(name: str, content: bytes | np.ndarray | None, row: int = 5) -> Path:
        """The table with one picture replaced: by bytes, by an array, by a path to nothing."""
        picture = folder / f"{name}.{'npy' if isinstance(content, np.ndarray) else 'png'}"
        if isinstance(content, np.ndarray):
            np.save(picture, content)
        elif content is not None:
            picture.write_bytes(content)
        changed = frame.copy()
        changed.loc[row, "image"] = str(picture)
        return table(f"{name}.csv", changed)

    def fit(source: Path, *more: str, target: str = "y", column: str = "image") -> Sequence[str]:
        flags = ["--image-column", column, "--target", target, "--preset", "smoke", "--device", "cpu"]
        return ["fit", "--table", str(source), *flags, "--out", str(folder / "out"), *more]

    def predict(source: Path, model: str = run) -> Sequence[str]:
        return ["predict", "--model", model, "--table", str(source), "--out", str(folder / "p.csv")]

    refuse("missing file", "table", fit(folder / "nowhere.csv"), "nowhere.csv", "does not exist")
    refuse("missing file", "picture", fit(with_picture("absent", None)), "absent.csv", "line 7", "absent.png")
    refuse("missing file", "model", predict(table("fine.csv"), str(folder / "empty")), "empty")
    refuse("truncated file", "picture", fit(with_picture("cut", pixels[:40])), "cut.csv", "line 7", "cut.png")
    refuse("truncated file", "picture to predict", predict(with_picture("cut2", pixels[:40])), "cut2.png")
    quote = table("quote.csv")
    quote.write_text(quote.read_text() + '"open,1,yes\n')
    refuse("truncated file", "table", fit(quote), "quote.csv", "line 14")
    holes = with_picture("holes", np.full((8, 8), np.nan, dtype=np.float32))
    refuse("NaN", "pixels", fit(holes), "holes.csv", "line 7", "holes.npy", "not finite")
    target = table("target.csv", frame.assign(y=[*frame["y"][:11], None]))
    refuse("NaN", "target", fit(target), "target.csv", "y", "line 13")
    wide = with_picture("wide", np.zeros((9, 8), dtype=np.float32))
    refuse("wrong shape", "picture of another size", fit(wide), "wide.csv", "line 7", "image_size")
    volume = with_picture("volume", np.zeros((4, 4, 4, 8, 8), dtype=np.float32))
    refuse("wrong shape", "picture of five axes", fit(volume), "volume.csv", "line 7", "volume.npy")
    solid = with_picture("solid", np.zeros((8, 8, 8), dtype=np.float32), row=0)
    refuse(
        "wrong shape",
        "volume for a model of pictures",
        predict(table("one.csv", pd.read_csv(solid).head(1))),
        "image",
    )
    refuse("wrong columns", "target", fit(table("a.csv"), target="why"), "a.csv", "why")
    refuse("wrong columns", "images", fit(table("a.csv"), column="imgae"), "a.csv", "imgae", "image")
    refuse("wrong columns", "kind", fit(table("a.csv"), "--columns", "key=colour"), "key", "categorical")
    refuse("wrong columns", "declared", fit(table("a.csv"), "--columns", "kye=binary"), "kye", "key")
    lacks = table("lacks.csv", frame.drop(columns="key"))
    refuse("wrong columns", "of the model", predict(lacks), "lacks.csv", "key")
    refuse("empty set", "table", fit(table("header.csv", frame.head(0))), "header.csv", "no rows")
    refuse("other", "one class", fit(table("same.csv", frame.assign(y="no"))), "same.csv", "class")
    refuse("other", "unknown setting", fit(train, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "axis that is not there", fit(table("a.csv"), "--set", "hemispheres=2"), "hemispheres")
    odd_one = table("zebra.csv", frame.assign(y=["zebra", *frame["y"][1:]]))
    argv = ["evaluate", "--model", run, "--table", str(odd_one), "--out", str(folder / "s.json")]
    refuse("other", "class the model does not know", argv, "zebra.csv", "zebra")
    return cases


FUSIONS = ("image", "tabular", "concat", "concat_matched", "film", "daft", "film_centered", "daft_centered")

SPECIMEN = Specimen(
    micro=["width=2", "blocks=2"],
    steady=["dropout=0.0", "batch_size=31"],
    overfit=Overfit(
        settings=["epochs=60", "dropout=0.0", "validation=0.0", "width=4", "learning_rate=0.01"],
        source=lambda: HyperFusion.example("train").subset(range(24)),
        metric="balanced_accuracy",
        at_least=1.0,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        **{fusion: [f"fusion={fusion}"] for fusion in FUSIONS},
        **{position: [f"position={position}"] for position in ("fc2", "paper_ad", "block1", "last_TTT")},
        "paper_age": ["position=paper_age", "image_size=[36,36]"],
        "pretrained": ["embedding_epochs=1", "hemispheres=1"],
    },
    alternatives={
        "task": "regression",
        "classes": ("1", "0"),
        "columns": {"key": "continuous"},
        "blocks": 3,
        "impl": "loop",
        "image_size": (6, 6),
        "flips": (1,),
        "hemispheres": 1,
        "weight_decay": 0.1,
        "embedding_epochs": 1,
    },
    context={"standardize_target": ["task=regression"], "trees": ["fusion=gbm"]},
    sources={"missing": gaps, "imputer": gaps},
    inert={"impl": "the same sums in another order"},
)

"""What the suite needs to know of `alignment`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor
from watched import WatchedRun

from visus.data.triplets import OddOneOutData
from visus.engine.turn import StepTurn
from visus.methods.alignment import Aligner, AlignmentConfig
from visus.methods.alignment.losses import contrastive_losses, pair_dots, penalty, triplet_losses
from visus.methods.alignment.model import LinearAligner
from visus.methods.alignment.training import AlignerTraining, Stream
from visus.metrics.odd_one_out import pair_similarities
from visus.protocols import Prediction, Source


def judged(objects: int, width: int, count: int, *, reference: int = 0) -> OddOneOutData:
    """Random features of random scale, one of them dead, random judgments, and a reference that features tell."""
    rng = np.random.default_rng(objects)
    features = rng.normal(3, 2, (objects, width))
    features[:, 0] = 1.5
    rows = np.stack([rng.choice(objects, 3, replace=False) for _ in range(count)])
    known = features[:, 1 : reference + 1] * 0.4 - 1 if reference else None
    return OddOneOutData(features.astype(np.float32), rows, reference=known)


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    return [
        (judged(41, 7, 501), ["bias=true", "batch_size=37"]),
        (judged(29, 13, 307, reference=3), ["aligner=ridge", "similarity=cosine"]),
        (judged(17, 5, 211), ["aligner=glocal", "contrastive_batch=5", "validation=0.5", "temperature=fit"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"probabilities", "label", "similarities"}
    assert found["probabilities"].shape == found["similarities"].shape == (n, 3)
    assert found["label"].shape == (n,)
    assert found["label"].dtype == torch.int64
    assert -1 <= found["label"].min() <= found["label"].max() <= 2
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))
    decided = found["label"] >= 0
    assert torch.equal(found["probabilities"].argmax(1)[decided], found["label"][decided])


def ingredient_off() -> tuple[Tensor, Tensor]:
    """Without a map the features are compared as they are; gLocal without its term is the probe, bit for bit."""
    train, test = Aligner.example("train"), Aligner.example("test")
    settings = {"epochs": 1, "batch_size": 64, "penalty_weight": 0.01, "learning_rate": 0.01}
    plain = Aligner(AlignmentConfig(aligner="none")).fit(train, WatchedRun()).predict(test)["similarities"]
    direct = pair_similarities(test.features, test.triplets, kind="cosine")
    glocal = AlignmentConfig(aligner="glocal", contrastive_weight=0.0, **settings)
    probes = [
        Aligner(config).fit(train, WatchedRun()).predict(test)["similarities"]
        for config in (glocal, AlignmentConfig(**settings))
    ]
    return torch.cat([plain, probes[0]]), torch.cat([direct, probes[1]])


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """Triplet cross-entropy, every penalty, the contrastive term, and a whole step of gLocal."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 4)), rng.normal(size=(4, 4))
    rows = np.stack([rng.choice(8, 3, replace=False) for _ in range(6)])
    z, mean = x @ w, np.trace(w) / 4
    surprise, dots = [], []
    for a, b, odd_one in rows.tolist():
        three = [float(z[i] @ z[j]) for i, j in ((a, b), (a, odd_one), (b, odd_one))]
        dots.append(three)
        surprise.append(-math.log(math.exp(three[0]) / sum(math.exp(dot) for dot in three)))
    norm = math.sqrt(sum(value**2 for row in w.tolist() for value in row))
    away = sum((w[i, j] - (mean if i == j else 0.0)) ** 2 for i in range(4) for j in range(4))
    contrast = _contrast(x, z, 0.1)
    fast_w = torch.from_numpy(w)
    whole = 0.75 * sum(surprise) / 6 + 0.25 * sum(contrast) / 8 + 0.3 * away
    pairs: list[tuple[str, Tensor, float | list]] = [
        ("dot products", pair_dots(torch.from_numpy(z), torch.from_numpy(rows)), dots),
        (
            "triplet cross-entropy",
            triplet_losses(pair_dots(torch.from_numpy(z), torch.from_numpy(rows))),
            surprise,
        ),
        ("Frobenius norm", penalty(fast_w, "fro"), norm),
        ("squared Frobenius norm", penalty(fast_w, "fro2"), norm**2),
        ("distance from the identity", penalty(fast_w, "identity"), away),
        (
            "contrastive cross-entropy",
            contrastive_losses(torch.from_numpy(x), torch.from_numpy(z), temperature=0.1),
            contrast,
        ),
        ("a step of gLocal", _step(torch.from_numpy(x), fast_w, torch.from_numpy(rows)), whole),
    ]
    return [(name, quick, torch.tensor(value, dtype=torch.float64)) for name, quick, value in pairs]


def _contrast(x: np.ndarray, z: np.ndarray, tau: float) -> list[float]:
    def shares(points: np.ndarray, i: int) -> dict[int, float]:
        norms = np.sqrt((points**2).sum(1))
        weights = {
            j: math.exp(float(points[i] @ points[j]) / (norms[i] * norms[j]) / tau)
            for j in range(len(points))
            if j != i
        }
        return {j: weight / sum(weights.values()) for j, weight in weights.items()}

    found = []
    for i in range(len(x)):
        teacher, student = shares(x, i), shares(z, i)
        found.append(-sum(teacher[j] * math.log(student[j]) for j in teacher))
    return found


def _step(x: Tensor, w: Tensor, rows: Tensor) -> Tensor:
    """The loss of one training step over all rows and all images."""
    net = LinearAligner(4, 4).double()
    with torch.no_grad():
        net.weight.copy_(w)
    config = AlignmentConfig(aligner="glocal", penalty_weight=0.3, batch_size=6, learning_rate=1e-9)
    training = AlignerTraining(net, config, x, Stream(rows, batch_size=6, steps=0, seed=0), unrelated=x)
    turn = StepTurn(WatchedRun().accelerator, training.optimizers())
    turn.enter(micro=0, items=6, seed=0, phase="train", epoch=0, step=0, progress=0.0)
    loss = training.step({"place": torch.arange(6)}, turn)["loss"]
    assert isinstance(loss, Tensor)
    return loss.detach()


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken triplets, embeddings and transforms, and files that do not belong together."""
    by_verb = {command[2]: command for command in commands}
    train, run = (by_verb["fit"][by_verb["fit"].index(flag) + 1] for flag in ("--triplets", "--out"))
    fine, reference = by_verb["fit"][3], str(next(example.rglob("reference.npy")))
    trials = next(example.rglob("trials.tsv")).read_text().splitlines()
    values = np.load(fine)
    rows = np.load(train)
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=["alignment", *argv], says=says))

    def matrix(name: str, array: np.ndarray) -> str:
        np.save(folder / name, array)
        return str(folder / name)

    def text(name: str, lines: Sequence[str]) -> str:
        (folder / name).write_text("\n".join(lines) + "\n")
        return str(folder / name)

    def fit(embeddings: str = fine, triplets: str = train, *more: str) -> list[str]:
        flags = ["--preset", "smoke", "--device", "cpu", "--out", str(folder / "out")]
        return ["fit", embeddings, "--triplets", triplets, *flags, *more]

    def apply(transform: str, embeddings: str = fine) -> list[str]:
        return ["apply", transform, embeddings, "--out", str(folder / "mapped.npy")]

    def evaluate(embeddings: str, model: str = run) -> list[str]:
        return [
            "evaluate",
            embeddings,
            "--model",
            model,
            "--triplets",
            train,
            "--out",
            str(folder / "s.json"),
        ]

    refuse("missing file", "embeddings", fit(str(folder / "no.npy")), "no.npy", "does not exist")
    refuse("missing file", "triplets", fit(fine, str(folder / "no.txt")), "no.txt", "does not exist")
    refuse("missing file", "model", evaluate(fine, str(folder / "nowhere")), "nowhere")
    cut = Path(matrix("cut.npy", values))
    cut.write_bytes(cut.read_bytes()[:-100])
    refuse("truncated file", "embeddings", fit(str(cut)), "cut.npy", "complete")
    np.savez(folder / "half.npz", weights=np.eye(32), mean=0.0, std=1.0)
    (folder / "half.npz").write_bytes((folder / "half.npz").read_bytes()[:200])
    refuse("truncated file", "transform", apply(str(folder / "half.npz")), "half.npz", "complete")
    torn = text("torn.tsv", [*trials[:20], trials[20][:3]])
    refuse("truncated file", "trials", fit(fine, torn), "torn.tsv", "21")
    holes = values.copy()
    holes[7, 3] = np.nan
    refuse("NaN", "embeddings", fit(matrix("holes.npy", holes)), "holes.npy", "finite")
    np.savez(folder / "nan.npz", weights=np.full((32, 32), np.nan), mean=0.0, std=1.0)
    refuse("NaN", "transform", apply(str(folder / "nan.npz")), "nan.npz", "weights", "finite")
    refuse("wrong shape", "embeddings", fit(matrix("cube.npy", values[None])), "cube.npy")
    refuse(
        "wrong shape", "too few rows", fit(matrix("few.npy", values[:50])), "train_90.npy", "outside 0..49"
    )
    refuse(
        "wrong shape", "reference", fit(fine, train, "--aligner", "ridge", "--reference", str(cut)), "cut.npy"
    )
    refuse("wrong shape", "width of the model", evaluate(matrix("narrow.npy", values[:, :9])), "9", "32")
    refuse("wrong shape", "width of the transform", apply(run, matrix("slim.npy", values[:, :9])), "9", "32")
    refuse(
        "wrong columns", "triplets", fit(fine, matrix("four.npy", np.tile(rows, 2)[:, :5])), "four.npy", "3"
    )
    refuse(
        "wrong columns",
        "object twice",
        fit(fine, matrix("twice.npy", rows[:, [0, 0, 2]])),
        "twice.npy",
        "twice",
    )
    refuse(
        "wrong columns",
        "counted from 1",
        fit(fine, matrix("one.npy", rows + 1), "--base", "0"),
        "one.npy",
        "120",
    )
    wrong = text("choice.tsv", [*trials[:9], "\t".join([*trials[9].split("\t")[:3], "7", "p"])])
    refuse("wrong columns", "choice", fit(fine, wrong, "--base", "1"), "choice.tsv", "7")
    np.savez(folder / "bare.npz", weights=np.eye(32))
    refuse("wrong columns", "transform", apply(str(folder / "bare.npz")), "bare.npz", "mean")
    refuse("empty set", "triplets", fit(fine, matrix("none.npy", rows[:0])), "none.npy")
    refuse("other", "unknown setting", fit(fine, train, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "setting out of bounds", fit(fine, train, "--set", "validation=1.5"), "validation", "1.5")
    refuse("other", "no reference", fit(fine, train, "--aligner", "ridge"), "--reference", "missing")
    refuse("other", "too few triplets", fit(fine, matrix("three.npy", rows[:3]), "--base", "0"), "none of 3")
    refuse("other", "equal features", fit(matrix("same.npy", np.ones_like(values))), "equal")
    argv = ["concepts", fine, "--triplets", train, "--reference", reference, "--top", "99"]
    refuse("other", "top", [*argv, "--out", str(folder / "c")], "top", "99")
    return cases


SPECIMEN = Specimen(
    micro=["epochs=1", "check_every=6"],
    steady=["batch_size=63"],
    overfit=Overfit(
        settings=["steps=300", "penalty=none", "learning_rate=0.05"],
        source=lambda: Aligner.example("train").subset(range(24)),
        metric="cross_entropy",
        at_most=0.02,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        "glocal": ["aligner=glocal", "bias=true"],
        "paper": ["penalty=fro", "init=gaussian", "optimizer=sgd"],
        "squared": ["penalty=fro2", "start_rate=0.3", "clip=0.0"],
    },
    alternatives={
        "aligner": "ridge",
        "penalty": "fro2",
        "steps": 7,
        "check_every": 4,
        "patience": 1,
        "min_delta": 10.0,
        "clip": 0.001,
        "start_rate": 0.5,
        "contrastive_batch": 9,
        "ridge_alphas": (3e3, 1e5),
        "ridge_folds": 2,
        "similarity": "cosine",
        "temperature": 0.5,
    },
    context={
        "patience": ["learning_rate=0.3", "patience=6", "epochs=3"],
        "contrastive_weight": ["aligner=glocal"],
        "contrastive_temperature": ["aligner=glocal"],
        "contrastive_batch": ["aligner=glocal"],
        "ridge_alphas": ["aligner=ridge"],
        "ridge_folds": ["aligner=ridge", "ridge_alphas=[0.01,0.03,0.1,0.3,0.6,1.0,1.5,2.0,3.0,5.0,9.0]"],
        "epochs": ["validation=0.0"],
    },
)

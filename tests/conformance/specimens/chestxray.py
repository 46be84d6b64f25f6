"""What the suite needs to know of `chestxray`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor

from visus.data.gaze.table import GazeTable
from visus.methods.chestxray import ChestXrayConfig, ChestXrayReader
from visus.methods.chestxray.baselines import DenseClassifier
from visus.methods.chestxray.estimator import build
from visus.methods.chestxray.losses import UncertaintyWeighting, saliency_kl, supcon, triplet
from visus.methods.chestxray.model import build_backbone
from visus.protocols import Prediction, Source
from visus.records import override


def clinic(n: int, size: tuple[int, int], classes: Sequence[str], *, read: float = 0.5) -> GazeTable:
    """Noise with a class per picture, two pictures a patient; the share `read` of them was looked at."""
    rng = np.random.default_rng(n)
    frame = pd.DataFrame(
        {
            "name": [f"image{i}" for i in range(n)],
            "patient": [f"p{i // 2}" for i in range(n)],
            "finding": [classes[i % len(classes)] for i in range(n)],
        }
    )
    looked = [
        rng.random((int(rng.integers(1, 9)), 3)) * [size[1], size[0], 1] if rng.random() < read else None
        for _ in range(n)
    ]
    images = torch.from_numpy(rng.random((n, 1, *size)).astype(np.float32))
    return GazeTable(frame, images=images, fixations=looked, target="finding", group="patient")


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    return [
        (clinic(41, (45, 37), ("ill", "well")), ["image_size=[45,37]", "final_batch=7"]),
        (
            clinic(37, (33, 70), ("a", "b", "c", "d")),
            ["image_size=[39,51]", "network=mtunet", "batch_size=9"],
        ),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"probabilities", "label", "name", "logits", "density"}
    classes = found["probabilities"].shape[1]
    assert found["probabilities"].shape == found["logits"].shape == (n, classes)
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))
    assert found["label"].shape == (n,)
    assert found["label"].dtype == torch.int64
    assert torch.equal(found["label"], found["logits"].argmax(1))
    assert len(found["name"]) == n
    assert found["density"].ndim == 3
    assert len(found["density"]) == n
    assert bool((found["density"] >= 0).all())
    torch.testing.assert_close(found["density"].sum((1, 2)), torch.ones(n))


def ingredient_off() -> tuple[Tensor, Tensor]:
    """The network without what it learns gaze by is the dense classifier, bit for bit; and a loss with both
    uncertainties at 1 is that of fixed weights."""
    torch.manual_seed(0)
    dual = build(override(ChestXrayConfig(), ["backbone=compact", "base_channels=4"]), 3).eval()
    plain = DenseClassifier(build_backbone("compact"), classes=3).eval()
    absent, extra = plain.load_state_dict(
        {name.replace("dense_head.", "head."): value for name, value in dual.state_dict().items()},
        strict=False,
    )
    assert not absent
    assert {name.partition(".")[0] for name in extra} == {"encoder", "decoder", "saliency", "fusion"}
    image = torch.rand(3, 1, 64, 96)
    entropy, divergence = torch.rand(2, dtype=torch.float64)
    with torch.no_grad():
        both = dual.classify(image).logits.flatten(), plain(image).logits.flatten()  # pyright: ignore[reportCallIssue]
        weighed = UncertaintyWeighting().double()(entropy, divergence)[None]
    one = torch.ones(1, dtype=torch.float64).log1p()
    fixed = entropy + divergence / 2 + one + one
    return torch.cat([both[0], weighed]), torch.cat([both[1], fixed])


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """Every loss by loops over items, pixels and triples."""
    rng = np.random.default_rng(0)
    logs = F.log_softmax(torch.from_numpy(rng.normal(size=(4, 12))), 1).view(4, 3, 4)
    gaze = torch.from_numpy(rng.random((4, 3, 4)))
    gaze[1, 0, 0] = 0.0
    seen = torch.tensor([True, True, False, True])
    points, labels = torch.from_numpy(rng.normal(size=(7, 5))), torch.tensor([0, 0, 1, 1, 2, 0, 1])
    weighting = UncertaintyWeighting(learn_saliency=True).double()
    with torch.no_grad():
        weighting.log_sigma_class.fill_(0.3)
        weighting.log_sigma_saliency.fill_(-0.2)
    entropy, divergence = torch.tensor([0.7, 1.9], dtype=torch.float64)
    s, t = math.exp(0.3), math.exp(-0.2)
    weighed = 0.7 / s**2 + math.log(s + 1) + 1.9 / (2 * t**2) + math.log(t + 1)
    mined = {
        mining: triplet(points, labels, margin=2.0, mining=mining) for mining in ("all", "hard", "semi_hard")
    }
    slow = {
        "saliency": [_divergence(q, p) if on else 0.0 for q, p, on in zip(logs.exp(), gaze, seen.tolist())],
        "supcon": _supcon(points, labels.tolist(), 0.2),
        "uncertainty": weighed,
        **{mining: _triplet(points, labels.tolist(), 2.0, mining) for mining in mined},
    }
    fast = {
        "saliency": saliency_kl(logs, gaze, seen),
        "supcon": supcon(points, labels, temperature=0.2),
        "uncertainty": weighting(entropy, divergence).detach(),
        **mined,
    }
    return [(name, fast[name], torch.tensor(slow[name], dtype=torch.float64)) for name in fast]


def _divergence(q: Tensor, p: Tensor) -> float:
    """sum p log(p / q)."""
    total = sum(p.flatten().tolist())
    shares = [value / total for value in p.flatten().tolist()]
    return sum(a * math.log(a / b) for a, b in zip(shares, q.flatten().tolist()) if a > 0)


def _triplet(points: Tensor, labels: list[int], margin: float, mining: str) -> float:
    """Mean over the triplets that the rule names."""
    count = range(len(labels))
    far = {(i, j): math.dist(points[i].tolist(), points[j].tolist()) for i in count for j in count}
    found = []
    for a in count:
        near = [far[a, p] for p in count if p != a and labels[p] == labels[a]]
        away = [far[a, n] for n in count if labels[n] != labels[a]]
        if not near or not away:
            continue
        if mining == "all":
            found += [max(0.0, one - other + margin) for one in near for other in away]
        elif mining == "hard":
            found.append(max(0.0, max(near) - min(away) + margin))
        else:
            for one in near:
                farther = [other for other in away if other > one]
                found.append(max(0.0, one - (min(farther) if farther else max(away)) + margin))
    return sum(found) / len(found)


def _supcon(points: Tensor, labels: list[int], tau: float) -> float:
    """Mean over the anchors that have a positive."""
    unit = [[x / math.hypot(*row) for x in row] for row in points.tolist()]
    count = range(len(labels))
    score = [[sum(a * b for a, b in zip(unit[i], unit[j])) / tau for j in count] for i in count]
    found = []
    for i in count:
        others = [p for p in count if p != i and labels[p] == labels[i]]
        if others:
            below = math.log(sum(math.exp(score[i][a]) for a in count if a != i))
            found.append(-sum(score[i][p] - below for p in others) / len(others))
    return sum(found) / len(found)


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken tables, pictures and sheets, in both layouts, and data that do not fit the model."""
    fit_argv = next(command for command in commands if command[2] == "fit")
    files = Path(next(command for command in commands if command[2] == "evaluate")[3])
    sheets, run = Path(fit_argv[3]), fit_argv[fit_argv.index("--out") + 1]
    labels, fixations = pd.read_csv(files / "labels.csv"), pd.read_csv(files / "fixations.csv")
    first = str(labels["image"].tolist()[5])
    pixels = (files / "images" / first).read_bytes()
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=["chestxray", *argv], says=says))

    def own(name: str, told: pd.DataFrame = labels, looked: pd.DataFrame = fixations) -> Path:
        """The example's pictures with other tables."""
        made = folder / name
        shutil.copytree(files, made)
        told.to_csv(made / "labels.csv", index=False)
        looked.to_csv(made / "fixations.csv", index=False)
        return made

    def with_picture(name: str, content: bytes | np.ndarray | None) -> Path:
        """The example with one picture replaced: by bytes, by an array, by nothing."""
        if not isinstance(content, np.ndarray):
            made = own(name)
            picture = made / "images" / first
            picture.unlink() if content is None else picture.write_bytes(content)
            return made
        old, new = first, f"{name}.npy"
        made = own(name, labels.replace({"image": {old: new}}), fixations.replace({"image": {old: new}}))
        np.save(made / "images" / new, content)
        return made

    def fit(source: Path, *more: str) -> Sequence[str]:
        flags = ["--preset", "smoke", "--device", "cpu", "--out", str(folder / "out")]
        return ["fit", str(source), *flags, *more]

    def evaluate(source: Path, model: str = run) -> Sequence[str]:
        return ["evaluate", str(source), "--model", model, "--out", str(folder / "scores")]

    refuse("missing file", "data", fit(folder / "nowhere"), "nowhere")
    refuse("missing file", "picture", fit(with_picture("absent", None)), "absent", first)
    refuse("missing file", "model", evaluate(files, str(folder / "empty")), "empty")
    refuse(
        "missing file", "table", fit(files, "--labels", str(folder / "no.csv")), "no.csv", "does not exist"
    )
    refuse("truncated file", "picture", fit(with_picture("cut", pixels[:60])), "cut", first)
    refuse("truncated file", "picture to judge", evaluate(with_picture("cut2", pixels[:60])), "cut2", first)
    quote = own("quote")
    with (quote / "labels.csv").open("a") as stream:
        stream.write('"open,CHF,p1\n')
    refuse("truncated file", "table", fit(quote), "labels.csv", f"line {len(labels) + 2}")
    holes = with_picture("holes", np.full((64, 64), np.nan, dtype=np.float32))
    refuse("NaN", "pixels", fit(holes), "holes.npy", "not finite")
    gaps = own("gaps", labels.assign(label=[None, *labels["label"][1:]]))
    refuse("NaN", "diagnosis", fit(gaps), "labels.csv", "label", "line 2")
    solid = with_picture("solid", np.zeros((3, 4, 64, 64), dtype=np.float32))
    refuse("wrong shape", "volume", fit(solid), "solid.npy")
    refuse("wrong columns", "places", fit(own("a", looked=fixations.drop(columns="x"))), "fixations.csv", "x")
    refuse("wrong columns", "diagnosis", fit(own("b", labels.drop(columns="label"))), "labels.csv", "label")
    sheet = folder / "sheet"
    shutil.copytree(sheets, sheet)
    master = next(sheet.rglob("master_sheet.csv"))
    pd.read_csv(master).drop(columns="CHF").to_csv(master, index=False)
    refuse("wrong columns", "sheet", fit(sheet), "master_sheet.csv", "CHF")
    refuse("empty set", "table", fit(own("c", labels.head(0))), "labels.csv")
    (folder / "void").mkdir()
    refuse(
        "empty set",
        "folder",
        ["predict", str(folder / "void"), "--model", run, "--out", str(folder / "p.csv")],
        "void",
    )
    refuse("other", "one class", fit(own("same", labels.assign(label="CHF"))), "same class")
    refuse("other", "unknown setting", fit(files, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "setting out of bounds", fit(files, "--set", "batch_size=1"), "batch_size")
    refuse(
        "other", "backbone that is not there", fit(files, "--set", "backbone=resnet"), "backbone", "compact"
    )
    unseen = own("unseen", looked=fixations.assign(x=-9.0))
    refuse("other", "gaze alone without gaze", fit(unseen, "--set", "network=unet"), "gaze")
    zebra = own("zebra", labels.assign(label=["zebra", *labels["label"][1:]]))
    refuse("other", "class the model does not know", evaluate(zebra), "zebra")
    return cases


NOISY = ("saliency_epochs=8", "learning_rate=0.03")
"""Validation losses that rise and fall."""

SPECIMEN = Specimen(
    micro=["image_size=[32,32]", "hidden=8", "classify_epochs=1", "saliency_epochs=2", "final_epochs=1"],
    steady=[
        "batch_size=15",
        "contrastive_batch=15",
        "final_batch=15",
        "dropout=0.0",
        "image_size=[64,64]",
        "learning_rate=0.000005",
    ],
    overfit=Overfit(
        settings=[
            "schedule=joint",
            "final_epochs=80",
            "final_batch=6",
            "dropout=0.0",
            "validation=0.0",
            "learning_rate=0.01",
            "base_channels=8",
        ],
        source=lambda: ChestXrayReader.example("train").subset(range(12)),
        metric="kl",
        at_most=0.3,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        "head": ["final_stage=head"],
        "supcon": ["contrastive=supcon"],
        "hard": ["mining=hard", "normalize=true"],
        "fixed": ["weighting=fixed", "fit=stretch"],
        "sigma": ["learn_saliency_sigma=true"],
        "joint mtunet": ["network=mtunet", "schedule=joint"],
        "mtunet": ["network=mtunet"],
        "res_se": ["network=res_se"],
        "unet": ["network=unet"],
        "dense": ["network=dense"],
        "gaze_mtl": ["network=gaze_mtl"],
    },
    alternatives={
        "classes": ("pneumonia", "Normal", "CHF"),
        "image_size": (32, 24),
        "backbone": "efficientnet_lite0",
        "backbone_weights": "imagenet",
        "contrastive_size": (32, 32),
        "class_weights": {"Normal": 1, "CHF": 2, "pneumonia": 3},
        "network": "mtunet",
        "patience": 1,
        "sigma_px": 6.0,
        "classify_epochs": 0,
        "final_epochs": 0,
        "learning_rate": 1e-3,
    },
    context={
        "backbone_weights": ["backbone=efficientnet_lite0"],
        "temperature": ["contrastive=supcon"],
        "fit": ["image_size=[48,32]"],
        "saliency_weight": ["weighting=fixed"],
        "patience": NOISY,
        "plateau": NOISY,
    },
)

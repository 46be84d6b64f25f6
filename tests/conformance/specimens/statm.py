"""What the suite needs to know of `statm`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor

from visus.data import Tensors
from visus.data.formats.frame_files import write_mask
from visus.data.loader import Subset
from visus.methods.statm import STATM, StatmTracker
from visus.methods.statm.losses import rollout_losses, squared_error
from visus.methods.statm.model.predictors import SAViBlock
from visus.protocols import Prediction, Source


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    """Colors alone, of an odd size; segments of objects, from which boxes are made."""
    random = torch.Generator().manual_seed(0)
    plain = torch.randint(0, 256, (9, 5, 3, 13, 17), generator=random, dtype=torch.uint8)
    color = torch.randint(0, 256, (7, 5, 3, 11, 9), generator=random, dtype=torch.uint8)
    ids = torch.zeros(7, 5, 11, 9, dtype=torch.uint8)
    for t in range(5):
        ids[:, t, 2:5, t : t + 3] = 1
        ids[:, t, 7:10, 5 - t : 8 - t] = 2
    return [
        (Tensors({"video": plain}), ["slots=4"]),
        (Tensors({"video": color, "segmentation": ids}), ["image_size=[10,14]", "max_instances=3"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"segmentation", "boxes", "slots"}
    ids, boxes, slots = (found[name] for name in ("segmentation", "boxes", "slots"))
    frames = ids.shape[1]
    assert ids.dtype == torch.uint8
    assert ids.ndim == 4
    assert len(ids) == n
    assert boxes.shape[:2] == slots.shape[:2] == (n, frames)
    assert boxes.shape[3] == 4
    # the slot of the background has no box
    assert slots.shape[2] - boxes.shape[2] in (0, 1)
    assert int(ids.max()) <= boxes.shape[2]
    assert bool(((boxes >= 0) & (boxes <= 1)).all())
    assert bool((boxes[..., :2] <= boxes[..., 2:]).all())


def ingredient_off() -> tuple[Tensor, Tensor]:
    """STATM whose attention over time weighs nothing, and SAVi's block."""
    torch.manual_seed(0)
    statm, savi = (kind(16, qkv=16, hidden=24).double() for kind in (STATM, SAViBlock))
    for value in (statm.norms["time"].weight, statm.norms["time"].bias):
        torch.nn.init.zeros_(value)
    for own, other in (
        (statm.space_attention, savi.block.attention),
        (statm.norms["space"], savi.block.norm_attention),
        (statm.mlp, savi.block.mlp),
        (statm.norms["mlp"], savi.block.norm_mlp),
    ):
        other.load_state_dict(own.state_dict())
    slots = torch.randn(2, 5, 3, 16, dtype=torch.float64)
    return statm.parallel(slots).detach(), savi.parallel(slots).detach()


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(2, 3, 2, 4, 2, 3))
    slots, came = rng.normal(size=(2, 3, 2, 4, 5))

    def total(one: np.ndarray, other: np.ndarray) -> float:
        return sum((float(a) - float(b)) ** 2 for a, b in zip(one.flat, other.flat, strict=True))

    sums = [total(a, b) for a, b in zip(made, real)]
    arrays = (torch.from_numpy(array) for array in (slots, came, made, real))
    found = rollout_losses(*arrays)
    return [
        (
            "squared error",
            squared_error(torch.from_numpy(made), torch.from_numpy(real)),
            _doubles(sums),
        ),
        ("slots", found["slots"], _doubles([total(a, b) / a.size for a, b in zip(slots, came)])),
        ("frames", found["frames"], _doubles([value / made[0].size for value in sums])),
    ]


def _doubles(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken videos, tables of boxes and masks that cannot be right, settings that make no sense."""
    data = Path(commands[0][3])
    model = commands[0][commands[0].index("--out") + 1]
    video = sorted((data / "test").glob("*.mp4"))[0].resolve()
    out = folder / "out"
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=argv, says=says))

    def fit(source: Path, *more: str) -> Sequence[str]:
        fixed = ["--preset", "smoke", "--device", "cpu", "--out", str(out)]
        return ["statm", "fit", str(source), *fixed, *more]

    def track(*more: str, source: Path = video) -> Sequence[str]:
        return ["statm", "track", str(source), "--model", model, "--device", "cpu", "--out", str(out), *more]

    def boxes(name: str, text: str) -> list[str]:
        (folder / name).write_text(text)
        return ["--boxes", str(folder / name)]

    head = "frame,object,ymin,xmin,ymax,xmax\n"
    (folder / "empty").mkdir()
    (folder / "cut").mkdir()
    (folder / "cut" / "a.mp4").write_bytes(video.read_bytes()[:-400])
    (folder / "text").mkdir()
    (folder / "text" / "a.mp4").write_text("no video")
    (folder / "alone").mkdir()
    alone = Path(shutil.copy(video, folder / "alone" / "a.mp4"))
    (folder / "full").mkdir()
    (folder / "full" / "kept.txt").write_text("kept")
    write_mask(folder / "small.png", np.ones((5, 6), np.uint8))
    refuse("missing file", "folder", fit(folder / "nowhere"), "nowhere", "does not exist")
    refuse("missing file", "boxes", track("--boxes", str(folder / "no.csv")), "no.csv", "does not exist")
    refuse("missing file", "video", track(source=folder / "no.mp4"), "no.mp4", "does not exist")
    argv = ["statm", "predict", str(data), "--model", str(folder / "empty"), "--out", str(folder / "p.csv")]
    refuse("missing file", "model", argv, "config.json")
    refuse("empty set", "folder", fit(folder / "empty"), "empty", "no videos")
    refuse("truncated file", "video", fit(folder / "cut"), "a.mp4", "cut off")
    refuse("truncated file", "no video", fit(folder / "text"), "a.mp4")
    columns = boxes("columns.csv", "frame,object,top,left,bottom,right\n0,1,0,0,1,1\n")
    refuse("wrong columns", "boxes", track(*columns), "columns.csv", "ymin")
    nan = boxes("nan.csv", head + "0,1,0.1,nan,0.5,0.5\n")
    refuse("NaN", "box", track(*nan), "nan.csv", "xmin", "line 2")
    blank = boxes("blank.csv", head + "0,1,0.1,0.1,0.5,0.5\n0,2,,,,\n")
    refuse("other", "object without a box", track(*blank), "blank.csv", "line 3")
    corners = boxes("corners.csv", head + "0,1,0.6,0.1,0.2,0.5\n")
    refuse("other", "box that ends before it begins", track(*corners), "corners.csv", "line 2", "ymin < ymax")
    late = boxes("late.csv", head + "3,1,0.1,0.1,0.5,0.5\n")
    refuse("other", "no box in the first frame", track(*late), "late.csv", "frame 0")
    refuse("other", "no boxes at all", track(source=alone), "a.mp4", "--boxes")
    refuse("wrong shape", "mask", track("--mask", str(folder / "small.png")), "small.png", "5x6")
    refuse("other", "folder that holds something", [*track()[:-1], str(folder / "full")], "full", "not empty")
    refuse("other", "no memory", track("--memory", "0"), "--memory")
    refuse("other", "unknown setting", fit(data, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "videos too short", fit(data, "--set", "clip_length=50"), "50 frames")
    refuse("other", "no flow", fit(data, "--set", "targets=flow"), "backward_flow", "targets=rgb")
    refuse(
        "other",
        "nothing to train",
        fit(data, "--predictor", "copy", "--set", "future_steps=3"),
        "future_steps",
    )
    refuse("other", "too short a roll-out", fit(data, "--set", "future_steps=3", "horizon=40"), "46 frames")
    return cases


def clips() -> dict[str, Tensor]:
    """Two clips with their boxes and flow."""
    batch = Subset(StatmTracker.example("train"), range(2)).batch(range(2))
    return {key: batch[key] for key in ("video", "boxes", "backward_flow")}


SPECIMEN = Specimen(
    micro=[
        "image_size=[12,12]",
        "max_instances=2",
        "clip_length=3",
        "steps=14",
        "batch_size=4",
        "future_steps=8",
        "burn_in=2",
        "horizon=2",
    ],
    steady=["batch_size=5"],
    overfit=Overfit(
        settings=["steps=120", "future_steps=0", "validation=0.0", "learning_rate=0.003", "clip_length=4"],
        source=lambda: Tensors({key: value[:, :4] for key, value in clips().items()}),
        metric="loss",
        at_most=10.0,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        **{
            name: [f"predictor={name}"]
            for name in ("savi", "mlp", "lstm", "slotformer", "ocvp_seq", "ocvp_par")
        },
        "points": ["init=points", "time_positions=learned"],
        "masks": ["init=masks", "time_positions=relative", "fusion=shared_residual"],
        "none": ["init=none", "time=all", "pre_norm=true"],
        "copy": ["predictor=copy", "future_steps=0", "targets=flow+depth"],
    },
    alternatives={
        "time_positions": "sin",
        "buffer": 1,
        "init": "none",
        "targets": "rgb",
        "image_size": (12, 16),
        "clip_norm": 0.0,
        "validation": 0.4,
        "check_every": 1,
    },
    context={
        "slots": ["init=none"],
        "warmup": ["warmup=0.5"],
        "check_every": [
            "learning_rate=0.05",
            "batch_size=24",
            "steps=15",
            "future_steps=0",
            "validation=0.3",
        ],
    },
)

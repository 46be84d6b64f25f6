"""What the suite needs to know of `nsi`."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor

from visus.data import Subset, Tensors
from visus.methods.nsi import NSI, Categorical, Continuous, Schema, bilevel_scores
from visus.methods.nsi.losses import contrastive, generator_loss, reconstruction
from visus.methods.nsi.model.generator import Emissions
from visus.protocols import Prediction, Source


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    """Gray pictures of odd sides whose objects lack attributes, and features on a grid that is not square."""
    generator = torch.Generator().manual_seed(0)
    objects = [
        [{"kind": "ab"[(i + j) % 2], **({"at": (0.1 * i, float(j))} if i % 3 else {})} for j in range(i % 4)]
        for i in range(37)
    ]
    pictures = {"image": torch.rand(37, 1, 13, 7, generator=generator), "objects": objects}
    features = {"features": torch.randn(37, 12, 10, generator=generator), "objects": objects}
    return [
        (Tensors(pictures), ["image_size=19", "decoder=broadcast", "slots=3", "batch_size=16"]),
        (Tensors(features), ["slots=1", "batch_size=9"]),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"slots", "embeddings", "masks", "objects", "program", "slot", "score"}
    count = found["slots"].shape[1]
    assert found["slots"].ndim == found["embeddings"].ndim == 3
    assert found["embeddings"].shape[:2] == found["masks"].shape[:2] == (n, count)
    torch.testing.assert_close(found["masks"].sum(1), torch.ones_like(found["masks"][:, 0]))
    assert found["slot"].shape == found["score"].shape
    assert len(found["objects"]) == len(found["program"]) == len(found["slot"]) == n
    for scene, slots, scores in zip(found["objects"], found["slot"], found["score"]):
        written = len(scene)
        assert (slots[:written] >= 0).all()
        assert (slots[:written] < count).all()
        assert (slots[written:] == -1).all()
        assert (scores[:written] > 0.5).all()
        assert (scores[written:] <= 0.5).all()


def ingredient_off() -> tuple[Tensor, Tensor]:
    """With one slot there is nothing to choose: the score is the product of a pooled picture with its program."""
    generator = torch.Generator().manual_seed(0)
    slots = torch.randn(5, 1, 6, generator=generator, dtype=torch.float64)
    primitives = torch.randn(4, 3, 6, generator=generator, dtype=torch.float64)
    length = torch.tensor([3, 1, 2, 3])
    pooled = slots[:, 0]
    products = (pooled @ primitives.flatten(0, 1).T).view(5, 4, 3)
    mask = torch.arange(3) < length[:, None]
    return bilevel_scores(slots, primitives, length), products.masked_fill(~mask, 0.0).sum(-1)


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    scores, tau, n = draw(5, 5), 0.3, 5
    slow = 0.0
    for i in range(n):
        row = sum(math.exp(scores[i, j] / tau) for j in range(n))
        column = sum(math.exp(scores[j, i] / tau) for j in range(n))
        slow -= (2 * float(scores[i, i]) / tau - math.log(row) - math.log(column)) / (2 * n)
    output, target = draw(2, 3, 4), draw(2, 3, 4)
    squares = [
        sum(float((output[b, i, c] - target[b, i, c]) ** 2) for c in range(4))
        for b in range(2)
        for i in range(3)
    ]
    fast_written, slow_written = written(draw)
    return [
        ("contrastive", contrastive(scores, temperature=tau), torch.tensor(slow, dtype=torch.float64)),
        (
            "reconstruction",
            reconstruction(output, target),
            torch.tensor(sum(squares) / 6, dtype=torch.float64),
        ),
        ("generator", fast_written, slow_written),
    ]


def written(draw) -> tuple[Tensor, Tensor]:
    """Two slots with one candidate each; the first object belongs to slot 1, the second to slot 0."""
    schema = Schema((Categorical("kind", ("a", "b", "c")), Continuous("x", 1, (0.0,), (1.0,))), most=2)
    programs = schema.encode([[{"kind": "c", "x": 0.25}, {"kind": "a", "x": 0.75}]])
    emissions = Emissions(
        presence=draw(1, 2),
        categories=(draw(1, 2, 3),),
        mean=draw(1, 2, 1),
        log_variance=draw(1, 2, 1),
        given=torch.full((1, 2, 2), torch.inf, dtype=torch.float64),
        slot=torch.arange(2),
    )
    slow = 0.0
    for candidate, kind, x in ((1, 2, 0.25), (0, 0, 0.75)):
        slow += math.log(1 + math.exp(-float(emissions.presence[0, candidate])))
        logits = emissions.categories[0][0, candidate].tolist()
        slow += math.log(sum(map(math.exp, logits))) - logits[kind]
        mean, log_variance = float(emissions.mean[0, candidate]), float(emissions.log_variance[0, candidate])
        density = math.exp(-((x - mean) ** 2) / (2 * math.exp(log_variance)))
        slow -= math.log(density / math.sqrt(2 * math.pi * math.exp(log_variance)))
    fast = generator_loss(emissions, programs, schema, torch.tensor([[1, 0]])).total
    return fast, torch.tensor(slow, dtype=torch.float64)


def fit(source: Path, out: Path, *more: str) -> Sequence[str]:
    fixed = ["--preset", "smoke", "--device", "cpu", "--out", str(out)]
    return ["nsi", "fit", str(source), *fixed, *more]


PROGRAM = "<scene><object><kind>a</kind><at>(0.5,1.0)</at></object></scene>"


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken pictures, programs, tables, masks, queries and models."""
    model = commands[0][commands[0].index("--out") + 1]
    data, out = Path(commands[0][3]), folder / "out"
    picture = next((data / "test").glob("*.png"))
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=argv, says=says))

    def pictures(name: str, program: str = PROGRAM, count: int = 6) -> Path:
        made = folder / name
        made.mkdir()
        for i in range(count):
            shutil.copy(picture, made / f"{i}.png")
            (made / f"{i}.xml").write_text(PROGRAM)
        (made / "3.xml").write_text(program)
        return made

    def table(name: str, *lines: object) -> Path:
        made = pictures(name)
        for file in made.glob("*.xml"):
            file.unlink()
        (made / "programs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
        return made

    cut, cut_program = pictures("cut"), pictures("cut-program", PROGRAM[:40])
    (cut / "4.png").write_bytes(picture.read_bytes()[:60])
    empty = folder / "empty"
    empty.mkdir()
    masked = pictures("masked")
    (masked / "masks").mkdir()
    for i in range(6):
        Image.new("L", (3, 3)).save(masked / "masks" / f"{i}.png")
    lonely, unpaired = pictures("lonely"), pictures("unpaired")
    (lonely / "2.xml").unlink()
    (unpaired / "2.png").unlink()
    refuse("missing file", "folder", fit(folder / "nowhere", out), "nowhere", "does not exist")
    refuse("missing file", "program", fit(lonely, out), "2.png", "no program")
    refuse("missing file", "picture", fit(unpaired, out), "2.xml", "no picture")
    absent = table("absent", {"image": "9.png", "objects": []})
    refuse("missing file", "picture of a table", fit(absent, out), "programs.jsonl", "line 1", "9.png")
    refuse("empty set", "folder", fit(empty, out), "empty", "no pictures with programs")
    refuse("empty set", "no objects", fit(pictures_without(folder, picture), out), "objects", "described")
    refuse("truncated file", "picture", fit(cut, out), "4.png")
    refuse("truncated file", "program", fit(cut_program, out), "3.xml", "line 1", "well-formed")
    refuse("wrong shape", "mask", fit(masked, out), "0.png", "(3, 3)")
    short = pictures("short", PROGRAM.replace("(0.5,1.0)", "(0.5,1.0,2.0)"))
    refuse("wrong shape", "vector", fit(short, out), "3.png", "at", "vector of 3")
    holes = pictures("holes", PROGRAM.replace("0.5,", "nan,"))
    refuse("NaN", "number in a program", fit(holes, out), "3.png", "at", "nan")
    nans = table("nans", *({"image": f"{i}.png", "objects": [{"x": math.nan}]} for i in range(6)))
    refuse("NaN", "number in a table", fit(nans, out), "0.png", "x", "nan")
    nameless = table("nameless", {"picture": "0.png", "objects": []})
    refuse("wrong columns", "table", fit(nameless, out), "programs.jsonl", "line 1", "image")
    other = pictures("other", "<scene><object><kind>a</kind><b></b><c>1</c></object></scene>")
    refuse("wrong columns", "empty tag", fit(other, out), "3.png", "b")
    inside = pictures("inside", PROGRAM.replace("<kind>", "<kind x='1'>"))
    refuse("other", "attribute inside a tag", fit(inside, out), "3.xml", "line 1", "<kind>")
    refuse("other", "unknown attribute", fit(data, out, "--set", "attributes=[colour]"), "colour", "color")
    refuse("other", "unknown setting", fit(data, out, "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "heads", fit(data, out, "--set", "program_heads=5"), "program_heads", "divide")
    few = pictures("few", count=4)
    (few / "0.png").unlink()
    (few / "0.xml").unlink()
    refuse("other", "too few", fit(few, out), "3 items")
    argv = ["nsi", "evaluate", str(data), "--model", str(empty), "--out", str(folder / "s.json")]
    refuse("missing file", "model", argv, "config.json")
    argv = ["nsi", "predict", str(cut), "--model", model, "--out", str(folder / "p.csv")]
    refuse("truncated file", "picture to predict", argv, "4.png")
    index = str(Path(commands[0][3]).parent / "index")
    ask = ["nsi", "retrieve", "--model", model, "--index", index, "--query"]
    refuse("other", "query without values", [*ask, "red"], "red", "query")
    refuse("other", "query of an unknown value", [*ask, "color=rde"], "rde", "red")
    argv = ["nsi", "retrieve", "--model", model, "--index", str(empty), "--query", "color=red"]
    refuse("missing file", "index", argv, "empty", "index")
    argv = [
        "nsi",
        "fewshot",
        str(data.parent / "kinds"),
        "--model",
        model,
        "--shots",
        "500",
        "--out",
        str(out),
    ]
    refuse("other", "more shots than pictures", argv, "shots", "at most")
    return cases


def pictures_without(folder: Path, picture: Path) -> Path:
    """Six pictures, nothing in any of them."""
    made = folder / "nothing"
    made.mkdir()
    for i in range(6):
        shutil.copy(picture, made / f"{i}.png")
        (made / f"{i}.xml").write_text("<scene></scene>")
    return made


SPECIMEN = Specimen(
    micro=["channels=8", "strides=[2,2,2]", "partial=0.3"],
    steady=["dropout=0.0", "batch_size=31"],
    overfit=Overfit(
        settings=[
            "epochs=300",
            "generator_epochs=1",
            "batch_size=16",
            "dropout=0.0",
            "validation=0.0",
            "partial=0.0",
        ],
        source=lambda: Subset(NSI.example("train"), range(8)),
        metric="image_to_program@1",
        at_least=1.0,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={
        "hungarian": ["assign=hungarian", "reduce=mean"],
        "softmax": ["assign=softmax", "normalize=true"],
        "broadcast": ["decoder=broadcast", "pretrain_epochs=1"],
        "alone": ["program_blocks=0", "legacy_padding=true"],
        "bare": ["decoder=none", "beta=0"],
    },
    alternatives={
        "image_size": 16,
        "attributes": ("shape", "color"),
        "strides": (2, 2),
        "batch_size": 16,
        "warmup": 0.5,
        "clip_norm": 0.0,
    },
    context={"halve_after": ["learning_rate=0.1", "epochs=8"]},
)

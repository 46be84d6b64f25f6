"""What the suite needs to know of `vgloss`."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from specimen import BadInput, BadKind, Overfit, Specimen
from torch import Tensor

from visus.data.worlds.captions import KINDS, CaptionedThings
from visus.engine.seeds import seeded
from visus.methods.vgloss import ClassTexts, SeenClasses, VGlossClassifier, VGlossConfig
from visus.methods.vgloss.estimator.example import Pictures
from visus.methods.vgloss.losses import contrastive
from visus.methods.vgloss.model.towers import Sizes, SmallTowers, build_clip, learn_merges, vocabulary
from visus.protocols import Prediction, Source

_FOLDERS = tempfile.TemporaryDirectory()
SIZES = Sizes(
    image_size=32,
    patch=8,
    width=16,
    layers=1,
    heads=4,
    text_layers=1,
    text_width=16,
    text_length=77,
    joint=12,
)


@functools.cache
def clip_folder(name: str) -> str:
    """A CLIP folder with random weights, named after its seed."""
    captions = ["a large red cube", "a small blue ball that is shiny", "a photo of a thing"] * 2
    merges = learn_merges(captions, most=40)
    with seeded(0, name):
        model = build_clip(SIZES, vocabulary_size=len(vocabulary(merges)))
    folder = Path(_FOLDERS.name) / name
    SmallTowers(model, merges).export(folder)
    return str(folder)


@functools.cache
def bridged(part: str) -> Source | ClassTexts:
    """For training, the example's classes beside twelve whose visual prototypes are known; its test pictures."""
    source = VGlossClassifier.example("test")
    if part == "test":
        return source
    seen = ClassTexts.of({f"kind {i}": [f"a {' '.join(kind)}"] for i, kind in enumerate(KINDS[::25])})
    prototypes = torch.randn(len(seen), SIZES.joint, generator=torch.Generator().manual_seed(0))
    return replace(source.classes, seen=SeenClasses(seen, prototypes))


@functools.cache
def alike(part: str) -> Source:
    """Pictures of which many have the same caption."""
    source = VGlossClassifier.example("train")
    captions = [["a red cube", "a blue ball"][i % 2] for i in range(len(source))]
    return Pictures({**source.fields, "caption": captions}, source.classes)


def few() -> Source:
    """One picture of each of twelve kinds, which are the classes; described by the captions themselves."""
    source = CaptionedThings(12, kinds=KINDS[::25])
    batch = source.batch(range(12))
    classes = ClassTexts(tuple(map(str, range(12))), tuple(tuple(told) for told in batch["caption"]))
    return Pictures({name: batch[name] for name in ("image", "caption", "target")}, classes)


def odd() -> Sequence[tuple[Source, Sequence[str]]]:
    """Gray pictures of odd sides with one caption each, one of them in another script, a class without texts' name
    apart; and one class alone."""
    generator = torch.Generator().manual_seed(0)
    gray = torch.rand(37, 1, 13, 7, generator=generator)
    captions = ["ein Würfel", "两个红色的球", "a ring, 3 cm", "x"]
    told = [captions[i % 4] for i in range(37)]
    color = torch.rand(23, 3, 45, 31, generator=generator)
    several = [[f"picture {i}", "a thing"][: 1 + i % 2] for i in range(23)]
    classes = ClassTexts.of({"Würfel": ["ein Würfel", "a cube"], "球": ["球"], "ring": ["a ring"]})
    return [
        (Pictures({"image": gray, "caption": told}, classes), ["image_size=24", "batch_size=16"]),
        (
            Pictures({"image": color, "caption": several}, ClassTexts.of({"thing": ["a thing"]})),
            ["batch_size=9", "pooling=max", "follow_up=3"],
        ),
    ]


def check_prediction(found: Prediction, n: int) -> None:
    assert set(found) == {"probabilities", "logits", "label", "name"}
    classes = found["probabilities"].shape[1]
    assert found["probabilities"].shape == found["logits"].shape == (n, classes)
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(n))
    assert found["label"].shape == (n,)
    assert found["label"].dtype == torch.int64
    assert torch.equal(found["label"], found["logits"].argmax(1))
    assert len(found["name"]) == n


def ingredient_off() -> tuple[Tensor, Tensor]:
    """Described by one template, the classes are those of CLIP's own zero-shot recipe in plain transformers."""
    from transformers import AutoTokenizer, CLIPModel

    names, folder = ["cube", "ball", "ring"], clip_folder("plain")
    texts = [f"a photo of a {name}." for name in names]
    images = VGlossClassifier.example("test").batch(range(5))["image"]
    method = VGlossClassifier(VGlossConfig(model=folder, logit_scale=100.0))
    method.fit({name: [text] for name, text in zip(names, texts)})
    rows = method.features({"image": images})
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt"))
    found = getattr(found, "pooler_output", found)
    unit = found / found.norm(dim=-1, keepdim=True)
    unit = unit / unit.norm(dim=-1, keepdim=True)  # once more after the mean over the one template
    pictures = rows / rows.norm(dim=-1, keepdim=True)
    return method.predict({"features": rows})["logits"], 100.0 * (pictures @ unit.T)


def losses() -> Sequence[tuple[str, Tensor, Tensor]]:
    """The contrastive loss by loops: every caption its own, and with captions that occur twice."""
    rng = np.random.default_rng(0)
    images, texts = (torch.from_numpy(rng.normal(size=(6, 4))) for _ in range(2))
    told = ["a", "b", "a", "c", "a", "c"]
    texts = texts[[told.index(each) for each in told]]
    same = torch.tensor([[one == other for one in told] for other in told])
    alone = _slow(images.tolist(), texts.tolist(), 7.0, list("abcdef"))
    shared = _slow(images.tolist(), texts.tolist(), 7.0, told)
    return [
        ("published", contrastive(images, texts, 7.0), torch.tensor(alone, dtype=torch.float64)),
        ("shared", contrastive(images, texts, 7.0, same), torch.tensor(shared, dtype=torch.float64)),
    ]


def _slow(images: list[list[float]], texts: list[list[float]], scale: float, told: list[str]) -> float:
    count, total = range(len(told)), 0.0
    cosine = [
        [sum(a * b for a, b in zip(one, other)) / math.hypot(*one) / math.hypot(*other) for other in texts]
        for one in images
    ]
    for i in count:
        mates = [j for j in count if told[j] == told[i]]
        row = sum(math.exp(scale * cosine[i][j]) for j in count)
        column = sum(math.exp(scale * cosine[j][i]) for j in count)
        for j in mates:
            total -= (scale * cosine[i][j] - math.log(row)) / len(mates)
            total -= (scale * cosine[j][i] - math.log(column)) / len(mates)
    return total / (2 * len(told))


def bad_inputs(folder: Path, example: Path, commands: Sequence[Sequence[str]]) -> Sequence[BadInput]:
    """Broken tables, pictures and class files, and data that do not fit the model."""
    by_verb = {command[2]: command for command in commands}
    fit_argv, judged = by_verb["fit"], Path(by_verb["evaluate"][3])
    run, classes = (fit_argv[fit_argv.index(flag) + 1] for flag in ("--out", "--classes"))
    table = Path(fit_argv[3])
    lines = table.read_text(encoding="utf-8").splitlines()
    silver = json.loads(Path(classes).read_text(encoding="utf-8"))
    picture = next(path for path in sorted(judged.rglob("*.png")))
    cases: list[BadInput] = []

    def refuse(kind: BadKind, name: str, argv: Sequence[str], *says: str) -> None:
        cases.append(BadInput(kind=kind, name=name, argv=["vgloss", *argv], says=says))

    def text(name: str, content: str) -> str:
        (folder / name).write_text(content, encoding="utf-8")
        return str(folder / name)

    def told(name: str, rows: Sequence[str]) -> str:
        """A captions table beside the example's, so that its pictures are found."""
        return text(name, "\n".join(rows).replace("pictures/", f"{table.parent.resolve()}/pictures/") + "\n")

    def fit(captions: str = str(table), *more: str, of: str = classes) -> list[str]:
        flags = ["--classes", of, "--preset", "smoke", "--device", "cpu", "--out", str(folder / "out")]
        return ["fit", captions, *flags, *more]

    def predict(source: str, model: str = run) -> list[str]:
        return ["predict", source, "--model", model, "--out", str(folder / "p.csv")]

    refuse("missing file", "captions", fit(str(folder / "no.csv")), "no.csv", "does not exist")
    refuse("missing file", "classes", fit(of=str(folder / "no.json")), "no.json", "does not exist")
    refuse("missing file", "model", predict(str(judged), str(folder / "nowhere")), "nowhere")
    gone = told("gone.csv", [lines[0], lines[1].replace(".png", "_.png"), *lines[2:]])
    refuse("missing file", "picture", fit(gone), "does not exist")
    cut = folder / "cut"
    cut.mkdir()
    (cut / "one.png").write_bytes(picture.read_bytes()[:90])
    refuse("truncated file", "picture", predict(str(cut)), "one.png")
    half = text("half.json", json.dumps(silver)[:-40])
    refuse("truncated file", "classes", fit(of=half), "half.json", "JSON")
    holes = folder / "holes"
    holes.mkdir()
    np.save(holes / "nan.npy", np.full((3, 32, 32), np.nan, dtype=np.float32))
    refuse("NaN", "pixels", predict(str(holes)), "nan.npy", "finite")
    solid = folder / "solid"
    solid.mkdir()
    np.save(solid / "cube.npy", np.zeros((2, 3, 4, 32), dtype=np.float32))
    refuse("wrong shape", "picture", predict(str(solid)), "cube.npy")
    renamed = told("renamed.csv", [lines[0].replace("caption", "sentence"), *lines[1:]])
    refuse("wrong columns", "captions", fit(renamed), "renamed.csv", "caption")
    refuse("empty set", "captions", fit(told("none.csv", lines[:1])), "none.csv")
    refuse("empty set", "classes", fit(of=text("empty.json", '{"classes": {}}')), "empty.json", "classes")
    (folder / "void").mkdir()
    refuse("empty set", "folder", predict(str(folder / "void")), "void")
    refuse("other", "unknown setting", fit(str(table), "--set", "speed=9"), "speed", "no such setting")
    refuse("other", "heads", fit(str(table), "--set", "heads=5"), "heads", "divides")
    refuse("other", "template", fit(str(table), "--set", "templates=[photo]"), "templates", "{c}")
    wide = folder / "wide"
    wide.mkdir()
    Image.new("RGB", (8, 8)).save(wide / "fine.png")
    (wide / "broken.png").write_bytes(b"no picture")
    refuse("other", "no picture", predict(str(wide)), "broken.png")
    return cases


A, B = clip_folder("one"), clip_folder("two")

SPECIMEN = Specimen(
    micro=["width=16", "joint=16", "layers=1"],
    steady=["batch_size=31", "learning_rate=0.0005"],
    overfit=Overfit(
        settings=["epochs=60", "batch_size=12", "flips=false", "width=32", "joint=32"],
        source=few,
        metric="top1",
        at_least=0.95,
    ),
    odd=odd,
    check_prediction=check_prediction,
    ingredient_off=ingredient_off,
    losses=losses,
    bad_inputs=bad_inputs,
    variants={"apart": ["identical=apart"], "deep": ["text_layers=2", "layers=2", "flips=false"]},
    alternatives={
        "model": A,
        "text_model": B,
        "ridge": 0.5,
        "form": "{c}: {description}",
        "templates": ("a photo of a {c}.",),
        "pooling": "similarity_mean",
        "follow_up": 8,
        "logit_scale": 50.0,
        "image_size": 16,
        "vocabulary": 20,
        "warmup": 0.5,
        "clip_norm": 0.01,
        "weight_decay": 0.5,
    },
    context={
        "text_model": [f"model={A}"],
        "kernel": [f"model={A}"],
        "ridge": [f"model={A}"],
        "ensemble": ['templates=["a photo of a {c}.", "a {c}"]'],
    },
    sources={"text_model": bridged, "kernel": bridged, "ridge": bridged, "identical": alike},
)

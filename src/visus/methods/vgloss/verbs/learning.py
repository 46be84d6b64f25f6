"""`visus vgloss fit | evaluate`: a small CLIP trained from scratch, and scores of a classifier."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.vgloss.verbs.captions import read_captioned
from visus.methods.vgloss.verbs.encoders import open_classifier
from visus.methods.vgloss.verbs.labeled import Labeled, Part, read_labeled
from visus.methods.vgloss.verbs.shared import Ticker, percents
from visus.methods.vgloss.verbs.texts import read_texts
from visus.outputs import check_inputs, check_out, finite, say

if TYPE_CHECKING:
    from torch import Tensor

    from visus.methods.vgloss.estimator import VGlossClassifier

RESAMPLES = 1000


def fit(
    data: Path,
    /,
    *,
    classes: Path,
    out: Path,
    preset: Literal["smoke", "demo", "gpu"] = "demo",
    set: list[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Train a small CLIP on captioned pictures and make a classifier of descriptions; run again to resume.

    For a field of your own for which no trained CLIP exists. The captions need not be of the classes. OUT/model is the
    classifier, OUT/clip the trained encoders as an ordinary CLIP folder, which transformers reads.

    Args:
        data: table with the columns path and caption (a row per caption), a folder with such a captions.csv, or a
            folder of pictures with NAME.txt beside each.
        classes: descriptions of the classes: what describe wrote, or a file of CuPL or DCLIP.
        out: folder for the run.
        preset: sizes and training time.
        set: settings to change, as key=value (for example image_size=64 epochs=20 use=both).
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision: no, bf16 or fp16.
        tensorboard: also write TensorBoard event files.
    """
    from visus.engine import Run
    from visus.methods.vgloss.config import SCRATCH, check
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.records import leaving_nothing, override

    config = override(VGlossClassifier.preset(preset), set or [])
    check(config)
    if config.model != SCRATCH:
        raise InputError("is trained already", field="model", remedy="use `visus vgloss build`")
    check_out(out, kind="folder", inputs=[data, classes])
    source = read_captioned(data, read_texts(classes), size=config.image_size)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        made = VGlossClassifier(config).fit(source, run)
    if not run.is_main:
        return
    made.save(out / "model")
    shutil.rmtree(out / "clip", ignore_errors=True)
    made.export_clip(out / "clip")
    count = sum(weight.numel() for weight in made.parts()["clip"].parameters())
    print(f"learned from {len(source)} captioned pictures with {count:,} parameters")
    print(f"classifier of {len(made.classes_)} classes: {out / 'model'}")
    print(f"CLIP folder: {out / 'clip'}")


def evaluate(
    data: Path,
    /,
    *,
    model: Path,
    out: Path | None = None,
    part: Part = "test",
    cache: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, float]:
    """Score a classifier on pictures with known classes.

    Args:
        data: one folder of pictures per class; ImageNet, STL-10, CIFAR, Flowers-102 or FGVC-Aircraft as published; a
            table with the columns path and label; or a .npz with features of the model's encoder and label.
        model: what build or fit wrote.
        out: also write the scores to this file (.json).
        part: of a data set that comes in parts.
        cache: folder where features are kept.
        seed: of the bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.methods.vgloss.estimator.scoring import scores_of
    from visus.methods.vgloss.model.confusion import ConfusionFinder
    from visus.metrics import accuracy
    from visus.metrics.intervals import bootstrap_interval
    from visus.records import write_json

    check_inputs(model=model)
    check_out(out, kind="file", inputs=[data])
    labeled = read_labeled(data, part=part)
    made = open_classifier(model, device)
    target = targets_in(labeled, made, data)
    logits = made.predict({"features": features_in(labeled, made, cache)})["logits"]
    pairs = ConfusionFinder().from_weights(made.bank_.weights.cpu())
    scores = scores_of(logits, target, pairs)
    low, high = bootstrap_interval(accuracy, target, logits.argmax(1), n=RESAMPLES, seed=seed)
    scores |= {"top1_low": low, "top1_high": high}
    print(
        f"{len(labeled)} pictures of {len(set(labeled.labels))} classes, {len(made.classes_)} to choose from"
    )
    rows = [("top-1", percents(scores["top1"], (low, high))), ("top-5", percents(scores["top5"]))]
    rows.append(("mean over classes", percents(scores["mean_per_class"])))
    if "pairs" in scores:
        rows.append(("between confusable classes", percents(scores["pairs"])))
    say([*rows, ("chance", percents(1 / len(made.classes_)))])
    if out is not None:
        write_json(out, finite(scores))
        print(f"scores: {out}")
    return scores


def targets_in(labeled: Labeled, made: VGlossClassifier, data: Path) -> Tensor:
    """The classifier's class number of each picture, by key or by name.

    Raises
    ------
    InputError : a class of the pictures is none of the classifier's.
    """
    import torch

    classes = made.classes_
    number = {name: i for i, name in reversed(list(enumerate(classes.called)))}
    number |= {name: i for i, name in enumerate(classes.names)}
    loose = {name.replace("_", " ").lower(): i for name, i in number.items()}
    found: dict[int, int] = {}
    for label in sorted({*labeled.labels}):
        spellings = (labeled.keys[label], labeled.names[label])
        known = [number[name] for name in spellings if name in number]
        known += [loose[word] for name in spellings if (word := name.replace("_", " ").lower()) in loose]
        if not known:
            shown = ", ".join(classes.called[:5]) + (", ..." if len(classes) > 5 else "")
            problem = f"{labeled.names[label]!r} is no class of this classifier"
            raise InputError(problem, file=data, field="label", remedy=f"its classes: {shown}")
        found[label] = known[0]
    return torch.tensor([found[label] for label in labeled.labels])


def features_in(labeled: Labeled, made: VGlossClassifier, cache: Path | None) -> Any:
    """Features as given, or by the classifier's encoder."""
    from visus.data.features import FeatureCache

    if labeled.features is not None:
        return made.features({"features": labeled.features})
    kept = None if cache is None else FeatureCache(cache)
    with Ticker("encoding pictures") as ticker:
        return made.features(list(labeled.pictures), cache=kept, progress=ticker)

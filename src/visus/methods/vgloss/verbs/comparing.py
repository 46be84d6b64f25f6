"""`visus vgloss compare`: description sets against each other and against controls, on pictures with known classes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from visus.methods.vgloss.verbs.arms import Arms, TextArm, make_arms, read_sets
from visus.methods.vgloss.verbs.judging import Judge, Shown, open_judge
from visus.methods.vgloss.verbs.labeled import Part, read_labeled
from visus.methods.vgloss.verbs.shared import check_numbers, percents, points
from visus.outputs import check_out, emptied, finite, say

if TYPE_CHECKING:
    from visus.metrics.paired import PairedComparison

SURE = 0.05
"""Corrected p-values below this tell a difference from zero."""


@dataclass(frozen=True)
class Judged:
    """What one arm reached; hits (n,) are 0 or 1 per picture."""

    arm: TextArm
    top1: float
    interval: tuple[float, float]
    top5: float
    per_class: float
    hits: np.ndarray


@dataclass(frozen=True)
class Difference:
    """First less second arm; `p` is Holm's over all pairs."""

    first: str
    second: str
    found: PairedComparison
    p: float

    @property
    def sure(self) -> bool:
        """Told from zero after correction."""
        return self.p < SURE


def compare(
    *,
    images: Path,
    descriptions: list[str],
    model: str,
    out: Path,
    text_model: str | None = None,
    count: int = 0,
    dictionary: bool = True,
    over: Literal["pictures", "classes"] = "pictures",
    folds: int = 5,
    part: Part = "test",
    dataset: str | None = None,
    resamples: int = 1000,
    cache: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Compare description sets on pictures with known classes: every set against every other.

    Added to the sets: each at equal counts, WordNet's own texts, and controls that should not help: names in
    templates, random words in equal number, every set with its classes exchanged. OUT gets index.html, arms.csv,
    differences.csv, classes.csv, summary.json and features/, from which a stopped command goes on.

    Args:
        images: one folder of pictures per class; ImageNet, STL-10, CIFAR, Flowers-102 or FGVC-Aircraft as published; a
            table with the columns path and label; or a .npz with features, wnid or label, and optionally classifier.
        descriptions: name=file per set: what describe wrote (file#contrastive and file#both for other than the normal
            texts), or files of CuPL or DCLIP.
        model: CLIP or SigLIP folder or hub id; what build or fit wrote; with --text-model, an encoder of pictures
            (efficientnet_lite0). For a .npz with features, a text encoder alone (minilm).
        out: folder to write to.
        text_model: encoder of the texts where MODEL has none; texts then go to the pictures' space by a map that is
            learned, fold by fold, from classes outside the fold.
        count: texts per class at equal counts; 0 takes the smallest number that any set has.
        dictionary: add WordNet's texts where the classes have ids.
        over: what intervals and tests draw: pictures, or classes with all their pictures.
        folds: of that map.
        part: of a data set that comes in parts.
        dataset: which set of a description file that holds several.
        resamples: of the bootstrap.
        cache: folder for features, instead of OUT/features.
        seed: of controls, folds and bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.data.features import FeatureCache
    from visus.methods.vgloss.verbs.comparison_page import write_comparison
    from visus.methods.vgloss.verbs.encoders import place

    check_numbers(count=(count, 0, 10_000), folds=(folds, 2, 100), resamples=(resamples, 10, 1_000_000))
    sets = read_sets(descriptions)
    check_out(out, kind="folder", inputs=[images, model, text_model, *(each.path for each in sets.values())])
    data = read_labeled(images, part=part)
    arms = make_arms(data, sets, count=count, dictionary=dictionary, dataset=dataset, seed=seed)
    with emptied(out):
        kept = FeatureCache(cache or out / "features")
        judge, shown = open_judge(
            data,
            arms.keys,
            model=model,
            text_model=text_model,
            folds=folds,
            cache=kept,
            device=place(device),
            seed=seed,
        )
        judged = judge_arms(arms, judge, shown, over=over, resamples=resamples, seed=seed)
    differences = every_difference(judged, shown, over=over, resamples=resamples, seed=seed)
    named = dict(zip(data.keys, data.names, strict=True))
    tell(arms, judge, shown, judged, differences)
    write_comparison(out, arms, judge, shown, (judged, differences), title=str(images), named=named)
    print(f"page: {out / 'index.html'}")
    return [{"arm": each.arm.name, "top1": each.top1, "top5": each.top5} for each in judged]


def judge_arms(
    arms: Arms, judge: Judge, shown: Shown, *, over: str, resamples: int, seed: int
) -> list[Judged]:
    """Every arm's accuracy on the same pictures."""
    import torch

    from visus.methods.vgloss.verbs.shared import Ticker
    from visus.metrics import accuracy, recall_per_class
    from visus.metrics.intervals import bootstrap_interval

    judge.prepare(list(dict.fromkeys(t for arm in arms.arms for own in arm.texts.values() for t in own)))
    target = torch.tensor(shown.labels)
    groups = target.numpy() if over == "classes" else None
    found = []
    with Ticker("judging") as ticker:
        for number, arm in enumerate(arms.arms, 1):
            order = judge.logits(arm.texts).argsort(dim=1, descending=True, stable=True)
            place = (order == target[:, None]).long().argmax(1)
            label = order[:, 0]
            interval = bootstrap_interval(accuracy, target, label, groups=groups, n=resamples, seed=seed)
            recalls = recall_per_class(target, label).values()
            hits = (place == 0).double().numpy()
            top5 = float((place < 5).double().mean())
            per_class = float(np.mean(list(recalls)))
            found.append(Judged(arm, float(hits.mean()), interval, top5, per_class, hits))
            ticker(number, len(arms.arms))
    return found


def every_difference(
    judged: Sequence[Judged], shown: Shown, *, over: str, resamples: int, seed: int
) -> list[Difference]:
    """Every arm against every other, the better one first, with Holm's correction over all pairs."""
    from visus.metrics.paired import compare_paired, holm

    groups = np.array(shown.labels) if over == "classes" else None
    found: list[tuple[str, str, PairedComparison]] = []
    for one, other in itertools.combinations(judged, 2):
        first, second = (one, other) if one.top1 >= other.top1 else (other, one)
        paired = compare_paired(first.hits, second.hits, groups=groups, n=resamples, seed=seed)
        found.append((first.arm.name, second.arm.name, paired))
    corrected = holm([paired.permutation_p for _, _, paired in found])
    return [Difference(*each, p) for each, p in zip(found, corrected, strict=True)]


def tell(
    arms: Arms, judge: Judge, shown: Shown, judged: Sequence[Judged], differences: Sequence[Difference]
) -> None:
    """Accuracies on the terminal, and what the given sets are worth against the controls."""
    for note in arms.notes:
        print(f"note: {note}")
    print(f"{len(shown.labels)} pictures of {len(set(shown.labels))} classes; {judge.how}")
    ordered = sorted(judged, key=lambda each: -each.top1)
    say(
        [
            (each.arm.name, each.arm.kind, percents(each.top1, each.interval), f"top-5 {percents(each.top5)}")
            for each in ordered
        ]
    )
    sure = sum(each.sure for each in differences)
    print(
        f"{sure} of {len(differences)} differences are told from zero (Holm, 0.05); chance {percents(judge.chance)}"
    )


def summary(
    arms: Arms, judge: Judge, shown: Shown, judged: Sequence[Judged], differences: Sequence[Difference]
) -> dict[str, Any]:
    """All numbers as plain data."""
    return finite(
        {
            "pictures": len(shown.labels),
            "classes": len(shown.keys),
            "how": judge.how,
            "chance": judge.chance,
            "equal_count": arms.count,
            "notes": arms.notes,
            "arms": [
                {
                    "name": each.arm.name,
                    "kind": each.arm.kind,
                    "texts_per_class": each.arm.per_class,
                    "top1": each.top1,
                    "interval": each.interval,
                    "top5": each.top5,
                    "mean_per_class": each.per_class,
                }
                for each in judged
            ],
            "differences": [
                {
                    "first": each.first,
                    "second": each.second,
                    "difference": each.found.difference,
                    "interval": each.found.interval,
                    "p_holm": each.p,
                }
                for each in differences
            ],
        }
    )


def told(each: Difference) -> str:
    """A difference in points with its interval."""
    return points(each.found.difference, each.found.interval)

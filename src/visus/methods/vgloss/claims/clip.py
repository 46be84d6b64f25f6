"""A small CLIP that we train on captioned pictures, and classes it has never seen, under names that say nothing."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visus.methods.vgloss import baselines
from visus.methods.vgloss.claims.arms import CHANCE, COUNT, Size
from visus.methods.vgloss.claims.sharing import made_once
from visus.methods.vgloss.estimator import VGlossClassifier
from visus.methods.vgloss.estimator.example import Pictures, captioned
from visus.methods.vgloss.model.classes import ClassTexts
from visus.methods.vgloss.model.confusion import Pairs
from visus.protocols import Scores
from visus.records import to_plain

FIRST_SEED = 83_000
"""Of the pictures. Sizes were chosen on others than these seeds draw."""
SHOWN = 8
"""Pictures whose decisions are kept."""


def measured(arm: str, size: Size, run: Any) -> tuple[Scores, VGlossClassifier | None]:
    """Scores of an arm, and its classifier; all arms of a seed share the trained network."""
    if arm == CHANCE:
        return {"top1": 1 / size.unseen, "pair_accuracy": 0.5}, None
    judged = pictures("test", size, run.seed)
    model = trained(size, run).rebuild(classes_of(arm, judged.classes, seed=run.seed))
    scores = model.evaluate(judged, pairs=pairs_of(judged.classes))
    return {"top1": scores["top1"], "pair_accuracy": scores["pairs"]}, model


@functools.lru_cache(maxsize=2)
def pictures(part: Any, size: Size, seed: int) -> Pictures:
    """Captioned pictures to learn from, or those of unseen kinds, in the world of solids."""
    count = {"train": size.captioned, "test": size.judged}[part]
    return captioned(part, count, unseen=size.unseen, seed=FIRST_SEED + seed, size=size.towers.image_size)


def trained(size: Size, run: Any) -> VGlossClassifier:
    """The network of a seed, trained once per study."""
    settings = [to_plain(size.towers), size.captioned, size.unseen, FIRST_SEED + run.seed]
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def make(folder: Path) -> None:
        model = VGlossClassifier(size.towers)
        model.fit(pictures("train", size, run.seed), run.child("towers")).save(folder)

    return VGlossClassifier.load(made_once(run.cache / "towers" / name, make))


def classes_of(arm: str, classes: ClassTexts, *, seed: int) -> ClassTexts:
    """The unseen kinds with the texts of an arm."""
    names = classes.names
    told = dict(zip(names, map(list, classes.normal)))
    if arm == "contrastive":
        against = {name: [t for texts in classes.against(name).values() for t in texts] for name in names}
        told = baselines.joined(told, against)
    arms = {
        "name": lambda: baselines.bare(names),
        "template": lambda: baselines.templates(names),
        "shuffled": lambda: baselines.shuffled(told, seed=seed),
        "waffle": lambda: baselines.waffle(names, COUNT, seed=seed),
        "ensemble": lambda: baselines.joined(told, baselines.templates(names)),
    }
    found = arms[arm]() if arm in arms else told
    return ClassTexts(names, tuple(tuple(found[name]) for name in names))


def pairs_of(classes: ClassTexts) -> Pairs:
    """Kinds that differ in two attributes at most."""
    number = {name: i for i, name in enumerate(classes.names)}
    return frozenset((number[a], number[b]) for a, b in classes.contrastive if number[a] < number[b])


def decided(model: VGlossClassifier, size: Size, seed: int) -> list[dict[str, Any]]:
    """Some pictures with what they were taken for, and what each text did for that."""
    judged = pictures("test", size, seed)
    batch = judged.batch(range(min(SHOWN, len(judged))))
    names = [judged.classes.names[int(i)] for i in batch["target"]]
    return [{**asdict(told), "target": name} for told, name in zip(model.explain(batch), names)]

"""Sentences that tell confusable classes apart: in a world where everything is known, and on real photographs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from visus.data.features import FeatureCache
from visus.data.loader import Tensors
from visus.methods.vgloss.claims.arms import Size
from visus.methods.vgloss.claims.data import Real, encoded, folds, others, real_classes, text_encoder
from visus.methods.vgloss.claims.proxy import learned
from visus.methods.vgloss.claims.sharing import alone
from visus.methods.vgloss.claims.texts import keeping_all, lexical
from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.estimator import EncoderPair, VGlossClassifier
from visus.methods.vgloss.model.classes import ClassTexts, SeenClasses
from visus.methods.vgloss.model.confusion import ConfusionFinder, Pairs
from visus.methods.vgloss.model.describe import add_contrast
from visus.methods.vgloss.model.languages import Decoding, open_language
from visus.methods.vgloss.model.planted import plant
from visus.methods.vgloss.model.silver import Silver
from visus.protocols import Scores

WORLD = 83_000
"""Of the planted worlds. Sizes were chosen on others than these draw."""
BEST = 5
"""Classes that are looked at again in arm `follow_up`."""


def settings_of(arm: str, *, alone_too: bool = True) -> VGlossConfig:
    """The classifier of an arm.

    Parameters
    ----------
    alone_too : whether arm `contrastive` uses contrastive texts without normal ones.
    """
    base = VGlossConfig(model="given")
    changes: dict[str, Any] = {
        "normal": {},
        "both": {"use": "both"},
        "swapped": {"use": "both"},
        "contrastive": {"use": "contrastive" if alone_too else "both"},
        "follow_up": {"follow_up": BEST},
    }
    return replace(base, **changes[arm])


def swapped(classes: ClassTexts) -> ClassTexts:
    """The classes with every contrastive sentence on the wrong side of its pair."""
    wrong = {(other, one): told for (one, other), told in classes.contrastive.items()}
    return replace(classes, contrastive=wrong)


def planted_scores(arm: str, size: Size, seed: int) -> Scores:
    """An arm in the planted world; contrastive texts are added to the normal ones."""
    world = plant(pairs=size.pairs, pictures=size.pictures, seed=WORLD + seed)
    classes = swapped(world.classes) if arm == "swapped" else world.classes
    model = VGlossClassifier(settings_of(arm, alone_too=False)).fit(classes, encoder=world.encoder)
    return _named(model.evaluate(world.pictures, pairs=world.pairs))


def confusable_scores(arm: str, size: Size, run: Any) -> Scores:
    """An arm on unseen real classes: photographs and classifier rows are the pictures; the mean over some folds."""
    real, found = real_classes(size.classes), []
    silver = lexical(real, size)
    rows = encoded(silver.texts(), run.cache).weights
    for unseen in folds(len(real), run.seed)[: size.confused]:
        bridge = learned(rows, real, unseen, size)
        pairs = ConfusionFinder(k=size.neighbors).from_weights(bridge(rows[unseen]))
        labels = [real.names[i] for i in unseen.tolist()]
        classes = told_apart(silver.restricted_to(labels), real, unseen.tolist(), pairs)
        seen = others(unseen, len(real))
        shown = silver.restricted_to([real.names[i] for i in seen.tolist()])
        known = SeenClasses(ClassTexts.of(shown), real.prototypes[seen])
        config = replace(settings_of(arm), ridge=size.ridge)
        with alone(run.cache, "confusable"):
            model = VGlossClassifier(config).fit(
                swapped(classes) if arm == "swapped" else classes,
                run.child(f"fold-{len(found)}"),
                seen=known,
                encoder=EncoderPair(text_encoder()),
                cache=FeatureCache(run.cache),
            )
        pictures = torch.cat([real.photos[unseen], real.prototypes[unseen]])
        items = Tensors({"features": pictures, "target": torch.arange(len(unseen)).repeat(2)})
        found.append(_named(model.evaluate(items, pairs=pairs)))
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


def told_apart(silver: Silver, real: Real, unseen: list[int], pairs: Pairs) -> ClassTexts:
    """The classes with sentences on what tells each of the pairs apart, by `LexicalLM`."""
    keys = list(silver.classes)
    told = add_contrast(
        silver,
        [real.concepts[i] for i in unseen],
        open_language("lexical"),
        {frozenset((keys[i], keys[j])) for i, j in pairs},
        cleaner=keeping_all(),
        decoding=Decoding(temperature=0.0),
    )
    return ClassTexts.of(told)


def _named(scores: Scores) -> Scores:
    return {"pair_accuracy": scores["pairs"], "top1": scores["top1"]}

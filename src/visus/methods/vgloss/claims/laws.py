"""What holds for any encoder and any texts: identities of the classifier, the contrast, the cache and the formats."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from visus.methods.vgloss.baselines import bare, templates
from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.estimator import VGlossClassifier
from visus.methods.vgloss.model.builder import EmptyClassWarning, TextClassifierBuilder
from visus.methods.vgloss.model.classes import ClassTexts
from visus.methods.vgloss.model.cleaner import DescriptionCleaner
from visus.methods.vgloss.model.concept import Concept
from visus.methods.vgloss.model.confusion import ConfusionFinder, Pairs
from visus.methods.vgloss.model.describe import add_contrast, describe
from visus.methods.vgloss.model.exchange import (
    FuddPair,
    named_classes,
    read_descriptions,
    read_fudd,
    to_fudd,
    with_descriptions,
    with_fudd,
    write_descriptions,
    write_fudd,
)
from visus.methods.vgloss.model.languages import CachedLM, Decoding, open_language
from visus.methods.vgloss.model.silver import Silver
from visus.methods.vgloss.model.visual import VisualLexicon

CLASSES, TEXTS, PICTURES, WIDTH, NEIGHBORS = 12, 5, 40, 24, 2
ROUNDING = 1e-5
"""Below this a single-precision difference is rounding, and counts as none."""
PROMPTS = 4
STATED: dict[str, float] = {
    **dict.fromkeys(
        (
            "one_template_error",
            "many_templates_error",
            "repetition_error",
            "order_error",
            "length_error",
            "class_order_error",
            "scaled_labels",
            "empty_class_error",
            "similarity_error",
            "prompts_too_many",
            "prompts_outside",
            "foreign_sentences",
            "without_pairs",
            "replayed_bytes",
            "replayed_prompts",
            "exchanged",
            "unlisted",
        ),
        0.0,
    ),
    "asked_again": float(PROMPTS),
}


class Hashed:
    """A text encoder without a model: every text has a direction of its own. Satisfies `TextEncoder`."""

    identity, width, max_tokens = "hashed", WIDTH, 77

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "b e"]:
        """Rows drawn by the text's hash, of different lengths."""
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(WIDTH) * (1 + seed % 3) for seed in seeds]
        return torch.from_numpy(np.stack(rows)).float()

    def count_tokens(self, text: str) -> int:
        """Words and two."""
        return len(text.split()) + 2


def measured(run: Any) -> dict[str, float]:
    """What the implementation does, under the names of `STATED`; rounding counts as nothing."""
    found = {**row_laws(), **class_laws(), **contrast_laws(), **cache_laws(run.folder / "answers")}
    found |= exchange_laws(run.folder / "exchange")
    return {name: 0.0 if abs(value) < ROUNDING else float(value) for name, value in found.items()}


# ---- classifier


def descriptions() -> dict[str, list[str]]:
    """Classes with texts that mean nothing."""
    return {f"class {i}": [f"text {j} of class {i}" for j in range(TEXTS)] for i in range(CLASSES)}


def pictures() -> Float[Tensor, "n e"]:
    """Random features."""
    return torch.randn(PICTURES, WIDTH, generator=torch.Generator().manual_seed(7))


def looped(names: Sequence[str], sentences: Sequence[str]) -> Float[Tensor, "c e"]:
    """Rows of the usual builder, class by class: shared templates, normalized, averaged, normalized."""
    rows = []
    for name in names:
        each = Hashed().texts([sentence.replace("{c}", name) for sentence in sentences]).double()
        mean = (each / each.norm(dim=1, keepdim=True)).mean(0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def row_laws() -> dict[str, float]:
    """Of the rows that descriptions become."""
    build, texts = TextClassifierBuilder(Hashed()).build, descriptions()
    names, shared = list(texts), [f"sentence {i} with a {{c}}" for i in range(80)]
    rows = build(texts).weights
    similar = TextClassifierBuilder(Hashed(), pooling="similarity_mean").build(texts)
    units = F.normalize(pictures(), dim=-1)
    means = torch.stack(
        [(units @ F.normalize(Hashed().texts(told), dim=-1).T).mean(1) for told in texts.values()], 1
    )
    order = list(reversed(names))
    turned = build({name: texts[name] for name in order}).weights
    return {
        "one_template_error": _far(build(templates(names)).weights, looped(names, ["a photo of a {c}."])),
        "many_templates_error": _far(build(templates(names, shared)).weights, looped(names, shared)),
        "repetition_error": _far(build({name: told * 2 for name, told in texts.items()}).weights, rows),
        "order_error": _far(build({name: told[::-1] for name, told in texts.items()}).weights, rows),
        "length_error": _far(rows.norm(dim=1), torch.ones(CLASSES)),
        "class_order_error": _far(turned.flip(0), rows),
        "similarity_error": _far(similar.similarities(pictures()), means),
    }


def class_laws() -> dict[str, float]:
    """Of whole classifiers: the scale moves no label, and a class without texts goes by its name."""
    classes = ClassTexts.of(descriptions())
    labels = [
        VGlossClassifier(VGlossConfig(model="given", logit_scale=scale))
        .fit(classes, encoder=Hashed())
        .predict({"features": pictures()})["label"]
        for scale in (1.0, 100.0)
    ]
    texts = {**descriptions(), "class 3": ["  "]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = TextClassifierBuilder(Hashed()).build(texts).weights
    told = any(issubclass(each.category, EmptyClassWarning) for each in caught)
    alone = TextClassifierBuilder(Hashed()).build(bare(["class 3"])).weights
    return {
        "scaled_labels": float((labels[0] != labels[1]).sum()),
        "empty_class_error": _far(rows[3:4], alone) if told else 1.0,
    }


# ---- contrast


def concepts() -> list[Concept]:
    """Made-up concepts, all different."""
    return [
        Concept(f"thing{i}", gloss=f"round thing with {i} red legs", lemmas=(f"thing{i}",), how="given")
        for i in range(CLASSES)
    ]


class Counting:
    """The model-free generator, counting what it is asked."""

    def __init__(self) -> None:
        self.lm = open_language("lexical")
        self.identity, self.asked = self.lm.identity, list[str]()

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[list[str]]:
        """See `LanguageModel.generate`."""
        self.asked += prompts
        return self.lm.generate(prompts, **settings)


def contrast_laws() -> dict[str, float]:
    """Of contrastive descriptions: one prompt per unordered pair, sentences on their own side, none without pairs."""
    lm, made = Counting(), concepts()
    silver = described(made, lm)
    before = len(lm.asked)
    rows = TextClassifierBuilder(Hashed()).build(silver.texts()).weights
    pairs = ConfusionFinder(k=NEIGHBORS, quantile=0.5).from_weights(rows)
    told = contrasted(silver, made, lm, pairs)
    asked, names = lm.asked[before:], [concept.label for concept in made]
    wanted = {frozenset((names[i], names[j])) for i, j in pairs}
    foreign = sum(
        name != key
        for key, each in told.classes.items()
        for texts in each.contrastive.values()
        for text in texts
        for name in re.findall(r"thing\d+", text)
    )
    nothing = contrasted(silver, made, lm, ConfusionFinder(threshold=1.01).from_weights(rows))
    changed = TextClassifierBuilder(Hashed()).build(nothing.texts("both")).weights
    return {
        "prompts_too_many": max(0, len(asked) - CLASSES * NEIGHBORS) + abs(len(asked) - len(pairs)),
        "prompts_outside": len(told.pairs() - wanted) + len(set(asked)) - len(asked),
        "foreign_sentences": float(foreign) if told.pairs() else float("nan"),
        "without_pairs": _far(changed, rows),
    }


def described(made: Sequence[Concept], lm: Any, temperature: float = 0.0) -> Silver:
    """Normal descriptions."""
    return describe(made, lm, cleaner=_cleaner(), n=1, decoding=Decoding(temperature=temperature))


def contrasted(silver: Silver, made: Sequence[Concept], lm: Any, pairs: Pairs) -> Silver:
    """With contrastive sentences for these pairs."""
    keys = list(silver.classes)
    named = {frozenset((keys[i], keys[j])) for i, j in pairs}
    greedy = Decoding(temperature=0.0)
    return add_contrast(silver, made, lm, named, cleaner=_cleaner(), decoding=greedy)


def _cleaner() -> DescriptionCleaner:
    """Independent of the files that a machine has."""
    return DescriptionCleaner(visual_filter=False, lexicon=VisualLexicon.built_in())


# ---- cache and formats


def cache_laws(folder: Path) -> dict[str, float]:
    """A replay needs no model and gives the same bytes; another temperature asks anew."""
    made, first = concepts()[:PROMPTS], Counting()
    text = described(made, CachedLM(first, folder)).to_json()
    replay = CachedLM(first.identity, folder)
    again = described(made, replay).to_json()
    warmer = Counting()
    described(made, CachedLM(warmer, folder), temperature=0.9)
    return {
        "replayed_bytes": sum(a != b for a, b in zip(text, again)) + abs(len(text) - len(again)),
        "replayed_prompts": replay.misses,
        "asked_again": len(warmer.asked),
    }


def exchange_laws(folder: Path) -> dict[str, float]:
    """Published forms of description sets come back from their files unchanged, and what is missing is listed."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {f"class {i}": [f"text {j}" for j in range(2 + i % 4)] for i in range(CLASSES)}
    write_descriptions(folder / "texts.json", told)
    back = read_descriptions(folder / "texts.json")
    filled, _ = with_descriptions(named_classes(list(told)), back)
    pairs = [
        FuddPair(classes=(i, i + 1), prompts=(("visual", f"a {i}", f"b {i}"), ("visual", f"c {i}", f"d {i}")))
        for i in range(CLASSES - 1)
    ]
    write_fudd(folder / "pairs.json", pairs)
    again = to_fudd(with_fudd(named_classes(list(told)), read_fudd(folder / "pairs.json", classes=CLASSES)))
    strange = ["class 1", "class 1", "absent"]
    matched = with_descriptions(named_classes(strange), told)[1]
    listed = {"absent"} == set(matched.missing) and {"class 1"} == set(matched.doubled)
    return {
        "exchanged": float(back != told) + float(filled.texts() != told) + float(again != pairs),
        "unlisted": float(not listed),
    }


def _far(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).abs().max())

"""What the method is compared with: other texts for the same classes, and controls that should not help.

An arm is a mapping from class to texts, for `TextClassifierBuilder.build` or `ClassTexts.with_texts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import sentence, with_article

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concept import Concept

Texts = dict[str, list[str]]
TEMPLATE = "a photo of a {c}."
SEVEN = (
    "itap of a {c}.",
    "a bad photo of the {c}.",
    "a origami {c}.",
    "a photo of the large {c}.",
    "a {c} in a video game.",
    "art of the {c}.",
    "a photo of the small {c}.",
)
"""The seven sentences that CLIP's authors found best together on ImageNet."""
WORDS = (
    *("anchor", "basket", "candle", "desert", "engine", "feather", "garden", "hammer", "island", "jacket"),
    *("kettle", "ladder", "marble", "needle", "orchard", "pepper", "quarry", "ribbon", "saddle", "tunnel"),
    *("umbrella", "velvet", "window", "yogurt", "zipper", "amber", "breeze", "copper", "dusty", "eager"),
    *("foggy", "gentle", "hollow", "icy", "jagged", "keen", "loud", "misty", "narrow", "oval"),
    *("patient", "quiet", "rough", "silent", "tender", "urgent", "vivid", "weary", "young", "zesty"),
    *("argue", "borrow", "climb", "dance", "escape", "forgive", "gather", "hover", "invent", "juggle"),
)
"""Common words with nothing in common, for texts that say nothing."""
_WAFFLE, _SHUFFLE, _MATCH = 53, 59, 61


def bare(names: Sequence[str]) -> Texts:
    """The name alone.

    >>> bare(["crane"])
    {'crane': ['crane']}
    """
    return {name: [name] for name in names}


def templates(names: Sequence[str], sentences: Sequence[str] = (TEMPLATE,)) -> Texts:
    """The name in every sentence, `{c}` being its place: one, `SEVEN`, or `labels.published_templates(...)`.

    >>> templates(["crane"])
    {'crane': ['a photo of a crane.']}
    """
    for each in sentences:
        if "{c}" not in each:
            raise InputError(f"{each!r} has no {{c}}", field="sentences", remedy="write {c} for the name")
    return {name: [each.replace("{c}", name) for each in sentences] for name in names}


def synonyms(concepts: Sequence[Concept]) -> Texts:
    """All names of the concept in one text: "a photo of a crane, derrick."."""
    return {each.label: [f"a photo of {with_article(', '.join(_names(each)))}."] for each in concepts}


def glosses(concepts: Sequence[Concept]) -> Texts:
    """The dictionary's definition; the name where there is none."""
    return {each.label: [each.gloss or each.name] for each in concepts}


def kinds(concepts: Sequence[Concept]) -> Texts:
    """Name and hypernym: "a crane, a kind of wading bird."."""
    return {each.label: [f"{_kind(each)}."] for each in concepts}


def kinds_and_glosses(concepts: Sequence[Concept]) -> Texts:
    """Name, hypernym and definition: "a crane, a kind of wading bird: large long-necked ..."."""
    return {each.label: [_whole(each, each)] for each in concepts}


def shuffled_glosses(concepts: Sequence[Concept], *, seed: int = 0) -> Texts:
    """As `kinds_and_glosses`, with hypernym and definition of another class: what wrong texts do."""
    order = derangement(len(concepts), seed=seed)
    return {each.label: [_whole(each, concepts[order[i]])] for i, each in enumerate(concepts)}


def shuffled(descriptions: Mapping[str, Sequence[str]], *, seed: int = 0) -> Texts:
    """Every class with the texts of another one; no class keeps its own."""
    names = list(descriptions)
    order = derangement(len(names), seed=seed)
    return {name: list(descriptions[names[order[i]]]) for i, name in enumerate(names)}


def waffle(
    names: Sequence[str], count: int, *, seed: int = 0, words: Sequence[str] = WORDS, per_text: int = 2
) -> Texts:
    """Names with random words: "a photo of a crane, which has quiet candle.".

    Parameters
    ----------
    count : texts per class, half with words and half with letters (one more with words if odd).
    words : to draw from, for example all lemmas of a WordNet.
    per_text : words per text.

    Source: WaffleCLIP (Roth et al. 2023); every class gets the same draws, as there.

    Raises
    ------
    InputError : no texts asked for, or no words.
    """
    if count < 1 or not words:
        raise InputError("needs a count and words", field="waffle", remedy="ask for at least one text")
    rng = np.random.default_rng((seed, _WAFFLE))
    ends = []
    for i in range(count):
        drawn = [words[int(rng.integers(len(words)))] for _ in range(per_text)]
        if i % 2:
            drawn = [
                "".join(chr(97 + int(rng.integers(26))) for _ in range(max(3, len(word)))) for word in drawn
            ]
        ends.append(" ".join(drawn))
    return {name: [f"a photo of {with_article(name)}, which has {end}." for end in ends] for name in names}


def matched(descriptions: Mapping[str, Sequence[str]], count: int, *, seed: int = 0) -> Texts:
    """Exactly `count` texts per class: a random choice in the order given, or the list repeated where it is short.

    Arms with other numbers of texts differ by that alone: compare them at equal counts.

    Raises
    ------
    InputError : a class without texts, or a count below 1.
    """
    if count < 1:
        raise InputError(f"is {count}", field="count", remedy="ask for at least one text")
    found: Texts = {}
    for number, (name, told) in enumerate(descriptions.items()):
        texts = list(told)
        if not texts:
            raise InputError("has no texts", field=f"class {name}", remedy="give every class a text")
        rng = np.random.default_rng((seed, _MATCH, number))
        kept = sorted(rng.permutation(len(texts))[:count].tolist())
        found[name] = [texts[kept[i % len(kept)]] for i in range(count)]
    return found


def joined(*arms: Mapping[str, Sequence[str]]) -> Texts:
    """All texts of several arms in one list per class; `builder.average` is the other way to join arms.

    Raises
    ------
    InputError : arms of different classes.
    """
    names = list(arms[0]) if arms else []
    if not arms or any(list(arm) != names for arm in arms):
        raise InputError("have different classes", field="arms", remedy="give arms of the same classes")
    return {name: [text for arm in arms for text in arm[name]] for name in names}


def subclasses(concepts: Sequence[Concept], *, template: str = TEMPLATE) -> Texts:
    """Names of a class's kinds (its hyponyms), or its own name where it has none.

    Built with pooling `max`, a picture belongs to the class of the sub-class it is nearest to: CHiLS without its
    reweighting, see `map_up`.
    """
    return {
        each.label: [template.replace("{c}", name) for name in each.hyponyms or (each.name,)]
        for each in concepts
    }


def map_up(
    sub_logits: Float[Tensor, "b s"], owner: Int64[Tensor, " s"], logits: Float[Tensor, "b c"]
) -> Float[Tensor, "b c"]:
    """CHiLS: the best sub-class decides, weighed by its class: max_{s in c} softmax(sub)_s softmax(logits)_c.

    Source: CHiLS (Novack et al. 2023), sets of sub-classes with reweighting.

    >>> map_up(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([1, 0, 0]), torch.zeros(1, 2)).argmax(1)
    tensor([1])
    """
    each = sub_logits.softmax(1)
    best = torch.zeros_like(logits).scatter_reduce(1, owner.expand_as(each), each, "amax")
    return best * logits.softmax(1)


def derangement(count: int, *, seed: int = 0) -> list[int]:
    """A random permutation that leaves nothing in its place.

    >>> any(i == j for i, j in enumerate(derangement(50)))
    False
    """
    if count < 2:
        raise InputError("is one", field="number of classes", remedy="give two or more to exchange texts")
    # one cycle through all classes in a random order
    order = np.random.default_rng((seed, _SHUFFLE)).permutation(count).tolist()
    found = [0] * count
    for here, there in zip(order, order[1:] + order[:1]):
        found[here] = there
    return found


def _names(concept: Concept) -> tuple[str, ...]:
    return tuple(dict.fromkeys(concept.lemmas)) or (concept.name,)


def _kind(concept: Concept, other: Concept | None = None) -> str:
    above = (other or concept).hypernyms
    return f"{_names(concept)[0]}, a kind of {above[0]}" if above else _names(concept)[0]


def _whole(concept: Concept, other: Concept) -> str:
    told = _kind(concept, other)
    return f"{told}: {other.gloss}" if other.gloss else sentence(told)

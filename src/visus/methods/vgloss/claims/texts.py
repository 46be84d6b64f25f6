"""What every arm says of the real classes."""

from __future__ import annotations

import functools
import warnings

from visus.data.provided import provided
from visus.methods.vgloss import baselines
from visus.methods.vgloss.baselines import Texts
from visus.methods.vgloss.claims.arms import COUNT, Size
from visus.methods.vgloss.claims.data import Real
from visus.methods.vgloss.model.cleaner import DescriptionCleaner
from visus.methods.vgloss.model.describe import describe
from visus.methods.vgloss.model.exchange import dclip_sentence, match_names, read_descriptions
from visus.methods.vgloss.model.labels import published_file
from visus.methods.vgloss.model.languages import Decoding, open_language
from visus.methods.vgloss.model.silver import Silver
from visus.methods.vgloss.model.visual import VisualLexicon, visual_lexicon

CUPL, DCLIP = "cupl_prompts.json", "descriptions/dclip_imagenet.json"


def texts_of(arm: str, real: Real, size: Size) -> Texts:
    """Label -> texts.

    Raises
    ------
    MissingData : the published texts of `cupl4` or `dclip4` are not there.
    """
    concepts, names = real.concepts, real.names
    plain = {
        "name": lambda: baselines.bare(names),
        "template": lambda: baselines.templates(names),
        "ensemble7": lambda: baselines.templates(names, baselines.SEVEN),
        "synonyms": lambda: baselines.synonyms(concepts),
        "gloss": lambda: baselines.glosses(concepts),
        "hypernym": lambda: baselines.kinds(concepts),
        "semantic": lambda: baselines.kinds_and_glosses(concepts),
        "shuffled": lambda: baselines.shuffled_glosses(concepts),
        "waffle": lambda: baselines.waffle(names, COUNT),
        "chils": lambda: baselines.subclasses(concepts),
        "cupl4": lambda: cupl(real),
        "dclip4": lambda: dclip(real),
        "lexical": lambda: lexical(real, size).texts(),
        "semantic4": lambda: four_facts(real),
    }
    return plain[arm]()


def four_facts(real: Real) -> Texts:
    """Name, hypernym and gloss in four texts: the name in a sentence, with its kind, the gloss, and all in one."""
    concepts = real.concepts
    return baselines.joined(
        baselines.templates(real.names),
        baselines.kinds(concepts),
        baselines.glosses(concepts),
        baselines.kinds_and_glosses(concepts),
    )


@functools.lru_cache(maxsize=2)
def cupl(real: Real) -> Texts:
    """Four of each class's CuPL sentences, chosen at random: neighbors in the file answer one question."""
    return _published(real, read_descriptions(published_file(CUPL)))


@functools.lru_cache(maxsize=2)
def dclip(real: Real) -> Texts:
    """At most four of each class's DCLIP descriptors, as sentences."""
    found = read_descriptions(provided(DCLIP))
    sentences = {
        name: [dclip_sentence(name, each) for each in descriptors] for name, descriptors in found.items()
    }
    chosen = _published(real, sentences)
    return {label: list(dict.fromkeys(texts)) for label, texts in chosen.items()}


@functools.lru_cache(maxsize=2)
def lexical(real: Real, size: Size) -> Silver:
    """What the model-free generator writes; glosses are rarely about looks, so all sentences stay."""
    decoding = Decoding(greedy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class that falls back says what its entry says
        return describe(
            real.concepts,
            open_language("lexical"),
            cleaner=keeping_all(),
            n=size.lexical,
            decoding=decoding,
            keys=real.names,
        )


def keeping_all() -> DescriptionCleaner:
    """A cleaner that keeps sentences on what cannot be seen."""
    return DescriptionCleaner(visual_filter=False, lexicon=lexicon())


@functools.lru_cache(maxsize=1)
def lexicon() -> VisualLexicon:
    """The visual words, gathered from WordNet once per process."""
    return visual_lexicon()


def _published(real: Real, found: dict[str, list[str]]) -> Texts:
    """Four texts of each class; a class that the set knows by another name goes by its template."""
    matched = match_names(found, list(real.published))
    told = {
        label: found[matched.found[i]] if i in matched.found else baselines.templates([label])[label]
        for i, label in enumerate(real.names)
    }
    return baselines.matched(told, COUNT)

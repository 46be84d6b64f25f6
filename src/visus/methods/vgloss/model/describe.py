"""Concepts to descriptions: prompt, generate, clean, and beside each other where classes are easily confused."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.vgloss.model.cleaner import DescriptionCleaner
from visus.methods.vgloss.model.contrast import ordered_pairs, split_sides
from visus.methods.vgloss.model.languages.entry import FIELDS, entry_of
from visus.methods.vgloss.model.languages.lexical import describe_entry
from visus.methods.vgloss.model.languages.protocol import Decoding, LanguageModel
from visus.methods.vgloss.model.prompter import SemanticPrompter
from visus.methods.vgloss.model.silver import Silver, SilverClass
from visus.records import to_plain

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concepts import Concept

Progress = Callable[[int, int], None]
"""Called with the number of prompts answered and of all."""
GROUP = 16
"""Prompts between two calls of `progress`."""
SIDES = 2


def describe(
    concepts: Sequence[Concept],
    lm: LanguageModel,
    *,
    prompter: SemanticPrompter | None = None,
    cleaner: DescriptionCleaner | None = None,
    n: int = 5,
    decoding: Decoding | None = None,
    pairs: Iterable[frozenset[str]] | None = None,
    keys: Sequence[str] | None = None,
    progress: Progress | None = None,
    created: str | None = None,
) -> Silver:
    """Let a language model describe every concept, and what tells the members of each pair apart.

    Give a `CachedLM` to go on where an interrupted call stopped: every answered group of prompts is on disk, and
    nothing else is written here. A class without a usable description gets its dictionary entry in a sentence.

    Parameters
    ----------
    prompter : aimed at these concepts here, so that no worked example is one of them.
    n : drawn answers per prompt; one greedy answer comes first, see `Decoding`.
    pairs : unordered pairs of keys that are easily confused; one contrastive prompt each.
    keys : of the classes; by default `class_keys`.
    created : put into the meta data as it is; nothing is taken from the clock, so equal answers give equal bytes.

    Raises
    ------
    InputError : no concepts, keys that are not unique, a pair of unknown classes, or what the model refuses.

    Warns
    -----
    UserWarning : names the classes that fell back to their dictionary entry.
    """
    concepts, keys = list(concepts), _checked(concepts, keys)
    prompter = (prompter or SemanticPrompter()).aimed_at(concepts)
    cleaner, decoding = cleaner or DescriptionCleaner(), decoding or Decoding()
    todo = ordered_pairs(pairs or (), keys)
    asked = _Asked(lm, decoding, n, _Steps(len(concepts) + len(todo), progress))
    classes: dict[str, SilverClass] = {}
    tally: Counter[str] = Counter()
    fallback, blind = [], []
    prompts = [prompter.prompt(concept) for concept in concepts]
    for concept, key, prompt, raw in zip(concepts, keys, prompts, asked(prompts, prompter.stop)):
        cleaned = cleaner.clean(raw, concept, prompt=prompt)
        tally.update(cleaned.reasons)
        tally["answers"] += len(raw)
        blind += [key] * cleaned.blind
        fallback += [key] * (not cleaned.kept)
        classes[key] = _silver_class(concept, cleaned.kept or (fallback_text(concept),))
    if fallback:
        names = [classes[key].name for key in fallback[:GROUP]]
        shown = ", ".join(names) + (", ..." if len(fallback) > GROUP else "")
        warnings.warn(f"no usable description of {shown}: the dictionary's words stand in", stacklevel=2)
    meta = {
        "resource": _resource(concepts),
        "lm": lm.identity,
        "decoding": {**to_plain(decoding), "n": n},
        "created": created,
        "prompting": {"exemplars": list(prompter.used()), "fields": list(prompter.fields)},
        "cleaning": _settings(cleaner),
        "answers": tally.pop("answers"),
        "dropped": dict(tally),
        "fallback": fallback,
        "blind": blind,
    }
    silver = Silver(classes=classes, meta=meta)
    return _contrasted(silver, dict(zip(keys, concepts)), todo, prompter, cleaner, asked)


def add_contrast(
    silver: Silver,
    concepts: Sequence[Concept],
    lm: LanguageModel,
    pairs: Iterable[frozenset[str]],
    *,
    prompter: SemanticPrompter | None = None,
    cleaner: DescriptionCleaner | None = None,
    n: int = 1,
    decoding: Decoding | None = None,
    progress: Progress | None = None,
) -> Silver:
    """A described set with contrastive sentences for these pairs in place of those it has.

    The pairs often come from the embeddings of the normal descriptions, so they are known only after `describe`.
    `concepts` are in the order of the set's classes. See `describe` for the rest.
    """
    if len(concepts) != len(silver.classes):
        raise InputError(f"are {len(concepts)} for {len(silver.classes)} classes", field="concepts")
    prompter = (prompter or SemanticPrompter()).aimed_at(concepts)
    todo = ordered_pairs(pairs, list(silver.classes))
    asked = _Asked(lm, decoding or Decoding(), n, _Steps(len(todo), progress))
    named = dict(zip(silver.classes, concepts, strict=True))
    return _contrasted(silver, named, todo, prompter, cleaner or DescriptionCleaner(), asked)


def class_keys(concepts: Sequence[Concept]) -> list[str]:
    """One key per class: ImageNet's id where WordNet 3.0 knows the concept, the label otherwise.

    Raises
    ------
    InputError : two classes would have one key; names them.
    """
    made: list[str] = []
    for concept in concepts:
        numbered = concept.synset is not None and _version(concept) == "3.0"
        made.append(concept.synset.wnid if numbered and concept.synset else concept.label)
    if twice := [key for key, count in Counter(made).items() if count > 1]:
        labels = [concept.label for concept, key in zip(concepts, made, strict=True) if key == twice[0]]
        raise InputError(
            f"the classes {' and '.join(map(repr, labels))} have the same key {twice[0]!r}",
            field="concepts",
            remedy="give the classes different names, or keys",
        )
    return made


def fallback_text(concept: Concept) -> str:
    """The dictionary entry of a concept in a sentence; the name alone where there is no entry."""
    return describe_entry(entry_of(concept, FIELDS))[0]


def _contrasted(
    silver: Silver,
    concepts: Mapping[str, Concept],
    pairs: Sequence[tuple[str, str]],
    prompter: SemanticPrompter,
    cleaner: DescriptionCleaner,
    asked: _Asked,
) -> Silver:
    """Ask about every pair once; each side's sentences go to its own class alone."""
    made: dict[str, dict[str, tuple[str, ...]]] = {key: {} for key in silver.classes}
    tally: Counter[str] = Counter()
    count = 0
    prompts = [prompter.contrast(concepts[one], concepts[other]) for one, other in pairs]
    answers = asked(prompts, prompter.contrast_stop, room=SIDES)
    for (one, other), prompt, raw in zip(pairs, prompts, answers):
        sides = [split_sides(text, concepts[one], concepts[other]) for text in raw]
        count += SIDES * len(raw)
        tally.update(fault for each in sides for _, _, fault in each.dropped)
        for key, foreign, texts in (
            (one, other, [each.one for each in sides]),
            (other, one, [each.other for each in sides]),
        ):
            cleaned = cleaner.clean(filter(None, texts), concepts[key], prompt=prompt)
            tally.update(cleaned.reasons)
            if cleaned.kept:
                made[key][foreign] = cleaned.kept
    classes = {key: dataclasses.replace(each, contrastive=made[key]) for key, each in silver.classes.items()}
    meta = {**silver.meta, "contrast": {"pairs": len(pairs), "sides": count, "dropped": dict(tally)}}
    return Silver(classes=classes, meta=meta)


@dataclass
class _Steps:
    """Counts answered prompts for the caller."""

    total: int
    report: Progress | None
    done: int = 0

    def advance(self, count: int) -> None:
        self.done += count
        if self.report:
            self.report(self.done, self.total)


@dataclass(frozen=True)
class _Asked:
    """Asks a model in groups, the greedy answer first."""

    lm: LanguageModel
    decoding: Decoding
    n: int
    steps: _Steps

    def __call__(self, prompts: Sequence[str], stop: Sequence[str], *, room: int = 1) -> Iterator[list[str]]:
        """Answers to each prompt; `room` times the usual tokens. A drawn answer equal to the greedy one is left out."""
        common: dict[str, Any] = {
            "max_new_tokens": self.decoding.max_new_tokens * room,
            "stop": tuple(stop),
            "seed": self.decoding.seed,
        }
        drawn: dict[str, Any] = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p}
        for start in range(0, len(prompts), GROUP):
            part = prompts[start : start + GROUP]
            greedy: list[list[str]] = [[] for _ in part]
            if self.decoding.greedy or self.decoding.temperature == 0:
                greedy = self.lm.generate(part, n=1, temperature=0.0, top_p=1.0, **common)
            more: list[list[str]] = [[] for _ in part]
            if self.decoding.temperature > 0 and self.n > 0:
                more = self.lm.generate(part, n=self.n, **drawn, **common)
            self.steps.advance(len(part))
            for first, others in zip(greedy, more, strict=True):
                yield [*first, *(text for text in others if text not in first)]


def _checked(concepts: Sequence[Concept], keys: Sequence[str] | None) -> list[str]:
    if not concepts:
        raise InputError("is empty", field="concepts", remedy="give at least one class")
    if keys is None:
        return class_keys(concepts)
    if len(keys) != len(concepts) or len(set(keys)) != len(keys):
        raise InputError(f"must be {len(concepts)} different keys", field="keys")
    return list(keys)


def _silver_class(concept: Concept, texts: tuple[str, ...]) -> SilverClass:
    return SilverClass(
        name=concept.name,
        synset=concept.synset.name if concept.synset else None,
        lemmas=tuple(concept.lemmas),
        gloss=concept.gloss,
        normal=texts,
    )


def _version(concept: Concept) -> str | None:
    return concept.synset.wordnet.version if concept.synset else None


def _resource(concepts: Sequence[Concept]) -> str | None:
    """Where the concepts are from."""
    found = sorted({version for concept in concepts if (version := _version(concept))})
    return f"WordNet {', '.join(found)}" if found else None


def _settings(cleaner: DescriptionCleaner) -> dict[str, Any]:
    assert cleaner.lexicon is not None  # set when made
    return {
        "max_tokens": cleaner.max_tokens,
        "visual_filter": cleaner.visual_filter,
        "name_prefix": cleaner.name_prefix,
        "lexicon": cleaner.lexicon.origin,
    }

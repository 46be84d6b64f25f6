"""Descriptions without a language model: the dictionary entry of the prompt, put into sentences."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import (
    NameIndex,
    be,
    folded,
    have,
    is_plural,
    listed,
    sentence,
    with_article,
    word_set,
)
from visus.methods.vgloss.model.languages.entry import Entry, read_entries
from visus.methods.vgloss.model.languages.protocol import LINE, check_settings

NOT_A_NOUN = word_set(
    "used made having consisting being of in for relating pertaining capable containing belonging on with by to "
    "involving characterized resembling covered"
)
DOES = word_set("has holds lifts contains includes produces removes makes consists")
"""Verbs with which some glosses begin; none of them is also the plural of a noun that glosses begin with."""
DOMAIN = re.compile(r"^\([^)]*\)\s*")


class LexicalLM:
    """Verbalizes the last dictionary entry of a prompt; the fields that the prompter left out are not used.

    A prompt that ends with `NAME:` behind two entries is one for a contrast: the answer is a line for each of the
    two, of what one has and the other lacks. All answers are the same whatever temperature and seed.

    >>> LexicalLM().generate(["Name: crane\\nKind of: wading bird\\nMeaning: large wading bird\\nIn a photo:"])
    [['A crane, a large wading bird, a kind of wading bird.']]
    """

    identity = "lexical-2"

    def generate(
        self,
        prompts: Sequence[str],
        *,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 50,
        stop: Sequence[str] = LINE,
        seed: int = 0,
    ) -> list[list[str]]:
        """At most `n` different sentences for every prompt, fewer where the entry says less.

        Raises
        ------
        InputError : a prompt holds no dictionary entry.
        """
        check_settings(n=n, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens)
        return [self._answers(prompt)[:n] for prompt in prompts]

    def _answers(self, prompt: str) -> list[str]:
        entries = read_entries(prompt)
        if not entries:
            raise InputError(
                "holds no dictionary entry (a line `Name: ...`)",
                field="prompt",
                remedy="make the prompt with SemanticPrompter",
            )
        asked = prompt.rstrip().rsplit("\n", 1)[-1]
        if len(entries) > 1 and asked == f"{entries[-2].name}:":
            one, other = differences(*entries[-2:])
            return [f"{one}\n{entries[-1].name}: {other}"]
        return describe_entry(entries[-1])


def describe_entry(entry: Entry) -> list[str]:
    """Different sentences on one entry, the fullest first; never empty.

    >>> describe_entry(Entry(name="amber eyes", parts=("iris",)))
    ['Amber eyes.', 'Amber eyes have an iris.']
    """
    made = (sentence(text) for text in _sentences(entry))
    return list(dict.fromkeys(made))


def differences(one: Entry, other: Entry) -> tuple[str, str]:
    """A sentence on each of two entries, of what the other entry does not say; neither names the other.

    A side about which nothing is left to say is an empty text.
    """
    return _difference(one, other), _difference(other, one)


def noun_phrase(gloss: str) -> str:
    """A gloss as a noun phrase with its article.

    >>> noun_phrase("(zoology) large wading bird"), noun_phrase("used for digging"), noun_phrase("amber eyes")
    ('a large wading bird', 'something used for digging', 'amber eyes')
    >>> noun_phrase("lifts and moves heavy objects")
    'something that lifts and moves heavy objects'
    """
    gloss = DOMAIN.sub("", gloss).strip().rstrip(".")
    if not gloss:
        return ""
    if gloss.split()[0].lower() in NOT_A_NOUN:
        return f"something {gloss}"
    if gloss.split()[0].lower() in DOES:
        return f"something that {gloss}"
    return with_article(gloss)


def _meaning(entry: Entry) -> str:
    """The meaning as a noun phrase that agrees with the name in number."""
    phrase = noun_phrase(entry.meaning)
    if phrase and is_plural(phrase) and not is_plural(entry.name):
        return f"one of {phrase if phrase.startswith(('the ', 'those ')) else f'the {phrase}'}"
    return phrase


def _sentences(entry: Entry) -> Iterator[str]:
    name, meaning = with_article(entry.name), _meaning(entry)
    kind = _kind(entry.kinds, entry.name)
    yield ", ".join(filter(None, (name, meaning, kind)))
    if meaning:
        yield f"{name} {be(entry.name)} {meaning}"
    if kind:
        called = f", also called {listed(entry.synonyms, 'or')}," if entry.synonyms else ""
        yield f"{name}{called} {be(entry.name)} {kind}"
    elif entry.synonyms:
        yield f"{name} {be(entry.name)} also called {listed(entry.synonyms, 'or')}"
    if entry.parts:
        yield f"{name} {have(entry.name)} {_parts(entry.parts)}"
    if entry.parts and kind:
        yield f"a photo of {name}, {kind} with {_parts(entry.parts)}"
    if entry.narrower:
        yield f"{listed([with_article(each) for each in entry.narrower])} {be('kinds')} kinds of {entry.name}"


def _kind(kinds: Sequence[str], name: str) -> str:
    if not kinds:
        return ""
    return f"{'kinds' if is_plural(name) else 'a kind'} of {kinds[0]}"


def _parts(parts: Sequence[str]) -> str:
    return listed([with_article(part) for part in parts])


def _difference(entry: Entry, other: Entry) -> str:
    theirs = NameIndex({"other": (other.name, *other.synonyms), "own": (entry.name, *entry.synonyms)})

    def own(item: str, shared: Sequence[str]) -> bool:
        return folded(item) not in {folded(each) for each in shared} and theirs.found(item) != {"other"}

    kinds = [kind for kind in entry.kinds if own(kind, other.kinds)]
    parts = [part for part in entry.parts if own(part, other.parts)]
    told = re.split(r";\s*", other.meaning)
    clauses = [clause for clause in re.split(r";\s*", entry.meaning) if clause and own(clause, told)]
    name = with_article(entry.name)
    meaning = _meaning(dataclasses.replace(entry, meaning="; ".join(clauses)))
    facts = [meaning] if meaning else []
    if kinds:
        facts.append(_kind(kinds, entry.name))
    body = f"{be(entry.name)} {', '.join(facts)}" if facts else ""
    if parts:
        body = f"{body} with {_parts(parts)}" if body else f"{have(entry.name)} {_parts(parts)}"
    return sentence(f"{name} {body}") if body else ""

"""A little English: articles, plurals, lists, sentences, and which names a text mentions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for lists that read better as lines."""
    return frozenset(text.split())


DETERMINERS = word_set(
    "a an the any all some each every either one two three four several many various most no this that these "
    "those its their his her someone something anyone anything usually often"
)
PLURALS = word_set("feet teeth men women children mice geese people oxen cattle lice dice police")
SINGULARS = word_set(
    "lens gas canvas atlas bias alias chaos cosmos rhinoceros christmas cyclops biceps triceps pancreas pathos "
    "asbestos mattress hippopotamus series species sassafras pampas madras herpes rabies diabetes caucasus kudos "
    "thermos perhaps always texas paris mars swiss"
)
MASS = word_set(
    "water wood metal fur grass hair coloration plumage sand snow ice glass gold silver iron steel bronze copper "
    "brass cotton wool silk leather paper plastic rubber smoke fire mud soil clay foam foliage vegetation scenery "
    "furniture equipment clothing jewelry food bread rice pasta cheese butter milk honey sugar salt meat beef pork "
    "broccoli spinach lettuce guacamole spaghetti corn coffee tea wine beer rain fog lightning skin flesh bark "
    "ivory marble granite wax cardboard concrete armor mail seaweed moss ivy wheat barley hay"
)
ONE_ONLY = word_set("a an one each every either this that")
"""Determiners of a singular noun."""
HEAD_ENDS = word_set(
    "of in on at with without that which who whose having for from by to used as into when where and or made "
    "consisting containing found between under over near resembling covered is are has have it especially "
    "formerly often usually typically commonly located situated worn such like than about against"
)
"""Words after which a noun phrase no longer holds its head noun."""
AN_AFTER_ALL = re.compile(r"(?:hour|honest|honou?r|heir)")
A_AFTER_ALL = re.compile(
    r"(?:uni(?!n|m|d)|unid?i(?:rect|mens)|use|usu|usa|ute|uti|uto|uku|ubi|ur[aei]|eu|ewe|ewer|one\b|one-|"
    r"once|ouija|u-)"
)
AN_LETTERS = frozenset("AEFHILMNORSX")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’)]?\s+(?=[\"“‘(]?[A-Z0-9])")
ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|approx|ca|cf|vs|ft|sp|spp|var|no|dr|mr|mrs|st|[A-Z]))\.$", re.I
)


def plain(name: str) -> str:
    """A name with spaces for underscores and single spaces.

    >>> plain(" bell_cote ")
    'bell cote'
    """
    return " ".join(name.replace("_", " ").split())


def article(phrase: str) -> str:
    """The indefinite article a noun phrase takes: "a", "an", or "" (plurals, mass nouns, determiners).

    Differs: published code for descriptors asks whether the text starts with the letter a; here the sound of
    the first word and the number of the head noun decide.

    >>> [article(phrase) for phrase in ("crane", "amber eyes", "hour hand", "unicorn", "orange beak", "X-ray")]
    ['a', '', 'an', 'a', 'an', 'an']
    """
    words = phrase.split()
    if not words or words[0].lower().strip(",;:") in DETERMINERS or is_plural(phrase):
        return ""
    if head(phrase) in MASS:
        return ""
    return "an" if _vowel_sound(words[0].strip("\"'“‘(")) else "a"


def with_article(phrase: str) -> str:
    """A noun phrase behind its indefinite article.

    >>> with_article("amber eyes"), with_article("honest owl"), with_article("the sun")
    ('amber eyes', 'an honest owl', 'the sun')
    """
    found = article(phrase)
    return f"{found} {phrase}" if found else phrase


def head(phrase: str) -> str:
    """The head noun of a noun phrase, lower case: the last word before a preposition, a clause or a comma.

    >>> head("thick lips of a fish"), head("large long-necked wading bird, often grey")
    ('lips', 'bird')
    >>> head("small crustaceans living in shells")
    'crustaceans'
    """
    found, words = "", phrase.lower().split()
    for i, raw in enumerate(words):
        word, after = raw.strip(",;:.()\"'"), words[i + 1] if i + 1 < len(words) else ""
        participle = word.endswith(("ing", "ed")) and (after in HEAD_ENDS or after in DETERMINERS)
        if i and (word in HEAD_ENDS or participle):
            break
        found = word or found
        if i and raw[-1] in ",;:" and word not in {"long", "large", "small", "short"}:
            break
    return found


def is_plural(phrase: str) -> bool:
    """Whether the head noun of a noun phrase is plural, by its form.

    >>> is_plural("long legs with claws"), is_plural("glass"), is_plural("cactus"), is_plural("webbed feet")
    (True, False, False, True)
    >>> is_plural("a machine (outside some banks)")
    False
    """
    if phrase.split(maxsplit=1)[:1] and phrase.split(maxsplit=1)[0].lower() in ONE_ONLY:
        return False
    word = head(phrase).rsplit("-", 1)[-1]
    if word in PLURALS:
        return True
    if word in SINGULARS or len(word) < 4:
        return False
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "'s", "’s"))


def be(phrase: str) -> str:
    """ "is" or "are"."""
    return "are" if is_plural(phrase) else "is"


def have(phrase: str) -> str:
    """ "has" or "have"."""
    return "have" if is_plural(phrase) else "has"


def listed(items: Sequence[str], last: str = "and") -> str:
    """Items as a list in words.

    >>> listed(["a beak", "wings", "a tail"])
    'a beak, wings and a tail'
    """
    return f" {last} ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def sentence(text: str) -> str:
    """The text with a capital at the start and a full stop at the end.

    >>> sentence("a crane is a bird")
    'A crane is a bird.'
    """
    text = " ".join(text.split())
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text.rstrip(',;:')}."


def sentences(text: str) -> list[str]:
    """The sentences of a text; abbreviations and initials do not end one.

    >>> sentences("It is approx. 3 ft. Long legs, e.g. Pink. Wings!")
    ['It is approx. 3 ft. Long legs, e.g. Pink.', 'Wings!']
    """
    made: list[str] = []
    for part in SENTENCE_END.split(text.strip()):
        if made and ABBREVIATION.search(made[-1]):
            made[-1] += f" {part}"
        elif part:
            made.append(part)
    return made


def folded(text: str) -> tuple[str, ...]:
    """A text's words for comparing: lower case, plurals without their ending, hyphens as spaces.

    >>> folded("Tiger-sharks and foxes")
    ('tiger', 'shark', 'and', 'fox')
    """
    return tuple(_singular(word) for word in WORD.findall(plain(text).replace("-", " ").lower()))


class NameIndex(Generic[K]):
    """Which of many names a text mentions.

    Whole words are compared, plurals count, and the longest name wins: "a tiger shark" mentions the tiger shark
    and not the shark. One pass over the text's words, however many names there are.

    Parameters
    ----------
    names : key -> its names. A name that several keys share stands for all of them.

    >>> index = NameIndex({"n1": ["shark"], "n2": ["tiger shark"]})
    >>> sorted(index.found("two tiger sharks and a shark")), sorted(index.found("a tiger shark"))
    (['n1', 'n2'], ['n2'])
    """

    def __init__(self, names: Mapping[K, Iterable[str]]) -> None:
        self._keys: dict[tuple[str, ...], set[K]] = {}
        for key, each in names.items():
            for name in each:
                if words := folded(name):
                    self._keys.setdefault(words, set()).add(key)
        self._longest: dict[str, int] = {}
        for words in self._keys:
            self._longest[words[0]] = max(self._longest.get(words[0], 0), len(words))

    def found(self, text: str) -> set[K]:
        """The keys of all names the text mentions."""
        words, place, keys = folded(text), 0, set()
        while place < len(words):
            step = 1
            for length in range(self._longest.get(words[place], 0), 0, -1):
                if match := self._keys.get(words[place : place + length]):
                    keys |= match
                    step = length
                    break
            place += step
        return keys


def _singular(word: str) -> str:
    if word in SINGULARS or len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    return word.removesuffix("'s").removesuffix("’s").removesuffix("s")


def _vowel_sound(word: str) -> bool:
    lead = re.split(r"[-/.]", word)[0]
    if lead[:1].isdigit():
        return lead.startswith("8") or re.match(r"1[18](?!\d)", lead) is not None
    if lead.isupper() and (len(lead) <= 3 or not re.search("[AEIOU]", lead)):
        return lead[0] in AN_LETTERS  # spelled out, letter by letter
    lower = word.lower()
    if AN_AFTER_ALL.match(lower):
        return True
    return lower[:1] in "aeiou" and not A_AFTER_ALL.match(lower)

"""From what a language model wrote to descriptions that can be used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import NameIndex, folded, plain, sentence, sentences
from visus.methods.vgloss.model.languages.entry import LABELS, read_entries
from visus.methods.vgloss.model.prompter import CUE
from visus.methods.vgloss.model.visual import VisualLexicon, visual_lexicon

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concepts import Concept

Reason: TypeAlias = Literal[
    "empty", "prompt echo", "refusal", "duplicate", "nothing visible", "too long", "repetitive"
]
CLIP_TOKENS = 77
LOOPS = 3
"""Times the same three words make a text repetitive."""

SPECIAL = re.compile(r"<\|[^|>]*\|>|</?s>|<(?:bos|eos|pad|unk)>|\[/?INST\]", re.I)
NUMBERING = re.compile(r"^\s*(?:(?:[-*•–—>#]+|\(?\d{1,2}[.):]|\(?[a-zA-Z][.)])(?:\s+|$))+")
LEAD = re.compile(
    r"^\s*(?:description|answer|output|assistant|sentence|caption|photo|in (?:a|the) photo)\s*:\s*", re.I
)
PREAMBLE = re.compile(r"^(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|yes)\b[^.]*[:!]\s*$", re.I)
REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|don't have|do not have|apologi[sz]e)|"
    r"as an? (?:ai|language model|assistant)|language model|(?:is|are) not (?:provided|available)|"
    r"please provide|i need more)\b",
    re.I,
)
UNSEEN = re.compile(
    r"\b(?:native to|found (?:in|on|throughout|across)|lives? in|inhabits?|used (?:for|to|as|in|by)|invented|"
    r"originat\w+|known for|symbol of|popular|history|historic\w*|endangered|feeds? on|eats?|belongs? to)\b",
    re.I,
)
"""How sentences on habitat, use and history speak."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What became of the raw texts of one class."""

    kept: tuple[str, ...]
    dropped: tuple[tuple[str, Reason], ...] = ()
    """Raw text and why it is not among the kept."""
    shortened: int = 0
    """Kept texts that were cut to the encoder's length."""
    blind: bool = False
    """Nothing visible was said at all, so that the filter let the texts pass."""

    @property
    def reasons(self) -> Counter[str]:
        """How many texts each reason removed."""
        return Counter(reason for _, reason in self.dropped)

    @property
    def share_dropped(self) -> float:
        """Share of the raw texts that were not kept."""
        return len(self.dropped) / max(len(self.dropped) + len(self.kept), 1)


@dataclass
class DescriptionCleaner:
    """Keeps the first sentence of every raw text, without what surrounds it, if it describes something visible.

    Numbering, prompt echo, refusals, empty and repetitive texts and duplicates go; a text longer than the encoder
    reads is cut at a comma or a word, so that nothing is cut off silently later. Texts on habitat, use or history,
    and texts without a word of the visual lexicon go unless nothing would be left.

    Parameters
    ----------
    count_tokens : the encoder's own count, special tokens included; None counts words and marks, which is close
        to CLIP's count of common words.
    max_tokens : most tokens the encoder reads.
    visual_filter : whether texts without anything visible are dropped.
    name_prefix : put "name: " in front of a text that does not mention its class.
    lexicon : visual words; None takes WordNet's if it can be found, the built-in ones otherwise.
    """

    count_tokens: Callable[[str], int] | None = None
    max_tokens: int = CLIP_TOKENS
    visual_filter: bool = True
    name_prefix: bool = False
    lexicon: VisualLexicon | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.max_tokens < 4:
            raise InputError(f"must be at least 4, got {self.max_tokens}", field="max_tokens")
        if self.lexicon is None:
            self.lexicon = visual_lexicon()

    def clean(self, texts: Iterable[str], concept: Concept, *, prompt: str = "") -> Cleaned:
        """The descriptions in raw `texts` of one concept, in their order.

        Parameters
        ----------
        prompt : what the model was asked; an answer that repeats its lines, or speaks of a worked example and not of
            the concept, is an echo.
        """
        echo, examples = _repeatable(prompt), NameIndex({"one": _examples(prompt)})
        names = NameIndex({"own": (concept.label, *concept.lemmas)})
        kept: list[tuple[str, str]] = []
        dropped: list[tuple[str, Reason]] = []
        known: set[tuple[str, ...]] = set()
        shortened = 0
        for raw in texts:
            text, reason = _first_sentence(raw, echo)
            reason = reason or _fault(text, concept)
            if examples.found(text) and not names.found(text):
                reason = "prompt echo"
            fitted = "" if reason else self._fitted(self._prefixed(text, concept, names))
            if not reason and folded(fitted) in known:
                reason = "duplicate"
            elif not reason and not fitted:
                reason = "too long"
            if reason:
                dropped.append((raw, reason))
                continue
            known.add(folded(fitted))
            kept.append((raw, fitted))
            shortened += not fitted.endswith(text)
        unseen = [pair for pair in kept if not self.visible(pair[1])] if self.visual_filter else []
        if blind := bool(unseen) and len(unseen) == len(kept):
            unseen = []
        dropped.extend((raw, "nothing visible") for raw, _ in unseen)
        left = tuple(text for raw, text in kept if (raw, text) not in unseen)
        return Cleaned(kept=left, dropped=tuple(dropped), shortened=shortened, blind=blind)

    def visible(self, text: str) -> bool:
        """Whether a text names something that can be seen; of a sentence on habitat, use or history at least two."""
        assert self.lexicon is not None  # set when made
        return len(self.lexicon.seen(text)) >= (2 if UNSEEN.search(text) else 1)

    def tokens(self, text: str) -> int:
        """The length of a text as the encoder counts it."""
        if self.count_tokens is not None:
            return self.count_tokens(text)
        return len(re.findall(r"\w+|[^\w\s]", text)) + 2

    def _prefixed(self, text: str, concept: Concept, names: NameIndex[str]) -> str:
        if not self.name_prefix or names.found(text):
            return text
        return f"{plain(concept.label)}: {text}"

    def _fitted(self, text: str) -> str:
        """The text, or its longest beginning that the encoder reads whole, preferably up to a comma; or nothing."""
        if self.tokens(text) <= self.max_tokens:
            return text
        words = text.split()
        fits, over = 0, len(words)
        while over - fits > 1:
            middle = (fits + over) // 2
            if self.tokens(sentence(" ".join(words[:middle]))) <= self.max_tokens:
                fits = middle
            else:
                over = middle
        clause = next((i for i in range(fits, fits // 2, -1) if words[i - 1].endswith((",", ";", ":"))), fits)
        return sentence(" ".join(words[:clause])) if fits else ""


def repeats(text: str) -> bool:
    """Whether a text runs in circles: three of its words in a row stand in it three times.

    >>> repeats("a white and tall bird on a white and tall pole with a white and tall hat"), repeats("a tall bird")
    (True, False)
    """
    words = folded(text)
    return max(Counter(zip(words, words[1:], words[2:])).values(), default=0) >= LOOPS


def _fault(text: str, concept: Concept) -> Reason | Literal[""]:
    """Why a sentence says nothing: it is a name alone, or goes round in circles."""
    if folded(text) in {folded(name) for name in (concept.label, *concept.lemmas)}:
        return "empty"
    return "repetitive" if repeats(text) else ""


def _first_sentence(raw: str, echo: frozenset[str]) -> tuple[str, Reason | Literal[""]]:
    """The first sentence of an answer and why it cannot be used, if so."""
    reason: Reason = "empty"
    for line in SPECIAL.sub("", raw).splitlines():
        line = line.strip()
        if line.lower() in echo or line.startswith(tuple(f"{label}: " for label in LABELS.values())):
            reason = "prompt echo"
            continue
        line = line.removeprefix(CUE)
        while (bare := LEAD.sub("", NUMBERING.sub("", line.strip()))) != line:
            line = bare
        line = re.sub(r"\*\*|__|`", "", line).strip().strip('"“”').strip()
        if not re.search(r"[^\W\d_]{2}", line) or PREAMBLE.match(line):
            continue
        if REFUSAL.search(line):
            return "", "refusal"
        text = " ".join(sentences(line)[0].strip('"“”').split()).rstrip(",;: ")
        return ("", "prompt echo") if text.lower().rstrip(".") in echo else (text, "")
    return "", reason


def _examples(prompt: str) -> list[str]:
    """Names of the prompt's worked examples: of the entries in all blocks but the last."""
    return [entry.name for entry in read_entries(prompt.rpartition("\n\n")[0])]


def _repeatable(prompt: str) -> frozenset[str]:
    """What an answer may have copied: the prompt's lines, and the worked examples' sentences, in lower case."""
    found: set[str] = set()
    for line in filter(None, map(str.strip, prompt.lower().splitlines())):
        found.add(line)
        if not line.startswith(tuple(f"{label.lower()}: " for label in LABELS.values())):
            found |= {each.rstrip(".") for each in sentences(line.partition(": ")[2])}
    return frozenset(found)

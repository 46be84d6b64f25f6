"""Words to numbers for models that learn their own vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from visus.errors import InputError

PADDING, UNKNOWN = 0, 1
RESERVED = 2

_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|(?:(?![{_IDEOGRAPH}])[^\W_])+(?:['’](?:(?![{_IDEOGRAPH}])[^\W_])+)*")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def words(text: str, *, lowercase: bool = True) -> list[str]:
    """A text's words, without punctuation and `<br />` tags; Chinese and Japanese signs one by one.

    >>> words("It's <br /><br />GOOD, isn't it?")
    ["it's", 'good', "isn't", 'it']
    """
    text = _BREAK.sub(" ", text)
    return _WORD.findall(text.lower() if lowercase else text)


class WordTokenizer:
    """A vocabulary of the most frequent words of the training texts.

    Token 0 is padding, 1 stands for every word outside the vocabulary; words follow by falling frequency
    (alphabetically within one frequency, so the order of texts has no influence).

    Parameters
    ----------
    size : most tokens, the two reserved ones included.
    length : tokens per text: longer texts are cut, shorter ones padded on the right; None pads to the longest
        text of a call (a text's shape then depends on its neighbors; its valid tokens do not).
    keep : which end of a long text stays.
    lowercase : fold case.

    Source: 2403.01643's text experiments use 20,000 words and 32 tokens.
    Differs: padding on the right, so that a learned mixing over positions (Super attention) sees the first
    valid token always at the same place.

    >>> tokenizer = WordTokenizer(length=4).fit(["a good film", "a bad film"])
    >>> tokenizer.encode(["a film unseen"])["tokens"].tolist()
    [[2, 3, 1, 0]]
    """

    def __init__(
        self,
        *,
        size: int = 20_000,
        length: int | None = None,
        keep: Literal["first", "last"] = "first",
        lowercase: bool = True,
    ) -> None:
        if size <= RESERVED:
            raise InputError(f"must be above {RESERVED}, got {size}", field="size")
        if length is not None and length < 1:
            raise InputError(f"must be at least 1, got {length}", field="length")
        if keep not in ("first", "last"):
            raise InputError(f"must be first or last, got {keep}", field="keep")
        self.size, self.length, self.keep, self.lowercase = size, length, keep, lowercase
        self.vocabulary_: list[str] = []
        self._number: dict[str, int] = {}

    def fit(self, texts: Iterable[str]) -> WordTokenizer:
        """Choose the vocabulary. Give training texts only."""
        counts: Counter[str] = Counter()
        for i, text in enumerate(texts):
            counts.update(words(_checked(text, i), lowercase=self.lowercase))
        if not counts:
            raise InputError("holds no words", field="texts", remedy="give at least one text with a word")
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        self._set(ordered[: self.size - RESERVED])
        return self

    def __len__(self) -> int:
        """Number of different tokens: the rows an embedding needs."""
        return RESERVED + len(self.vocabulary_)

    def encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Texts as {"tokens": (b, n) int64, "padding": (b, n) bool}, `padding` being true at padded places.

        A text without words becomes one unknown token, so that no row is all padding.
        """
        if not self.vocabulary_:
            raise InputError("is not fitted", field="tokenizer", remedy="call fit with the training texts")
        rows = [self._row(_checked(text, i)) for i, text in enumerate(texts)]
        length = self.length or max((len(row) for row in rows), default=1)
        tokens: Int64[Tensor, "b n"] = torch.full((len(rows), length), PADDING)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = torch.tensor(row)
        padding: Bool[Tensor, "b n"] = tokens == PADDING
        return {"tokens": tokens, "padding": padding}

    def decode(self, tokens: Int64[Tensor, "b n"]) -> list[str]:
        """Token rows as words joined by spaces; padding is left out, unknown words are `?`."""
        names = ["", "?", *self.vocabulary_]
        return [" ".join(names[token] for token in row if token != PADDING) for row in tokens.tolist()]

    def state(self) -> dict[str, Any]:
        """All that `from_state` needs, ready for JSON."""
        return {
            "size": self.size,
            "length": self.length,
            "keep": self.keep,
            "lowercase": self.lowercase,
            "vocabulary": list(self.vocabulary_),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> WordTokenizer:
        """The tokenizer whose `state` this is."""
        try:
            settings = {name: state[name] for name in ("size", "length", "keep", "lowercase")}
            vocabulary = [str(word) for word in state["vocabulary"]]
        except (KeyError, TypeError):
            raise InputError("is not the state of a tokenizer", field="state") from None
        if len(set(vocabulary)) != len(vocabulary) or len(vocabulary) > settings["size"] - RESERVED:
            raise InputError("has doubled or too many words", field="vocabulary")
        tokenizer = cls(**settings)
        tokenizer._set(vocabulary)
        return tokenizer

    def _set(self, vocabulary: list[str]) -> None:
        self.vocabulary_ = vocabulary
        self._number = {word: i + RESERVED for i, word in enumerate(vocabulary)}

    def _row(self, text: str) -> list[int]:
        found = [self._number.get(word, UNKNOWN) for word in words(text, lowercase=self.lowercase)] or [
            UNKNOWN
        ]
        if self.length is None:
            return found
        return found[: self.length] if self.keep == "first" else found[-self.length :]


def _checked(text: Any, place: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"text {place} is {type(text).__name__}, not text", field="texts")
    return text

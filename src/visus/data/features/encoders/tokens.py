"""Texts to tokens; a text that is cut off is never cut off in silence."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from torch import Tensor

from visus.data.features.identity import hash_of
from visus.errors import InputError

Padding = Literal["longest", "max_length"]
_announced: ContextVar[bool] = ContextVar("_announced", default=False)


class TruncationWarning(UserWarning):
    """Texts are longer than an encoder reads; their ends do not count."""


@contextmanager
def announced() -> Iterator[None]:
    """Encoders do not warn of cut texts inside: who calls them has done it for all texts at once."""
    token = _announced.set(True)
    try:
        yield
    finally:
        _announced.reset(token)


def warn_of_cut(count: int, total: int, max_tokens: int) -> None:
    """Warn that `count` of `total` texts are cut off."""
    if count and not _announced.get():
        what = f"{count} of {total} texts are longer than {max_tokens} tokens: what follows does not count"
        warnings.warn(what, TruncationWarning, stacklevel=3)


class Tokens:
    """A transformers tokenizer with a limit.

    Parameters
    ----------
    max_tokens : most tokens per text, those the tokenizer adds included.
    padding : `longest` pads to the longest text of a call, `max_length` always to the limit.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, padding: Padding = "longest") -> None:
        self.tokenizer, self.padding, self.max_tokens = tokenizer, padding, max_tokens

    @property
    def identity(self) -> str:
        """Hash of vocabulary, rules and limit."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        if fast is None:
            rules: Any = {"class": type(self.tokenizer).__name__, "vocabulary": self.tokenizer.get_vocab()}
        else:
            rules = json.loads(fast.to_str())
            # the two that calls leave behind
            rules = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}
        return hash_of([rules, self.max_tokens, self.padding])

    def count(self, text: str) -> int:
        """Tokens of a text, those the tokenizer adds included, before anything is cut off."""
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def batch(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` (b, n) and, if the tokenizer makes them, `attention_mask` and `token_type_ids`.

        Raises
        ------
        InputError : no text, or something that is no text.
        """
        if not texts:
            raise InputError("there are none", field="texts", remedy="give at least one")
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {place} is {type(text).__name__}, not text", field="texts")
        whole = self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        warn_of_cut(sum(len(ids) > self.max_tokens for ids in whole), len(texts), self.max_tokens)
        made = self.tokenizer(
            list(texts),
            padding=self.padding,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        return dict(made)

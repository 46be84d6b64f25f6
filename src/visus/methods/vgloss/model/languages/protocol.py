"""What a language model promises here, and how it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from visus.errors import InputError
from visus.records import record

LINE = ("\n",)
"""Stop at the end of the line."""


@runtime_checkable
class LanguageModel(Protocol):
    """Text in, texts out."""

    @property
    def identity(self) -> str:
        """What answered: changes with the weights, the tokenizer and the way prompts are wrapped."""
        ...

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
        """For every prompt at most `n` continuations; one if `temperature` is 0 (greedy).

        A continuation ends before the first of the `stop` strings; blanks in front of it do not count. It is a
        function of its prompt and the settings, not of the other prompts of the call.
        """
        ...


@record
class Decoding:
    """How answers are drawn; every field is part of the cache's key.

    Differs: the paper's settings are not public; few-shot prompting at a low temperature with one greedy answer
    is this project's choice.
    """

    temperature: float = 0.7
    """0 is greedy: one answer."""
    top_p: float = 0.95
    """Draw from the fewest tokens that hold this share of the probability."""
    max_new_tokens: int = 50
    seed: int = 0
    greedy: bool = True
    """One greedy answer in addition to the drawn ones."""


def check_settings(*, n: int, temperature: float, top_p: float, max_new_tokens: int) -> None:
    """Refuse settings that no model can follow, by name.

    Raises
    ------
    InputError : n or max_new_tokens below 1, temperature below 0, top_p outside (0, 1].
    """
    if n < 1:
        raise InputError(f"must be at least 1, got {n}", field="n")
    if max_new_tokens < 1:
        raise InputError(f"must be at least 1, got {max_new_tokens}", field="max_new_tokens")
    if not temperature >= 0:
        raise InputError(f"must not be below 0, got {temperature}", field="temperature")
    if not 0 < top_p <= 1:
        raise InputError(f"must be above 0 and at most 1, got {top_p}", field="top_p")


def stops(text: str, stop: Sequence[str]) -> bool:
    """Whether one of the `stop` strings has appeared after the first visible character."""
    text = text.lstrip()
    return any(mark in text for mark in stop)


def cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the `stop` strings, without blanks around it.

    >>> cut(" a tall bird\\nName: heron", ["\\n"])
    'a tall bird'
    """
    text = text.lstrip()
    ends = [place for mark in stop if mark and (place := text.find(mark)) >= 0]
    return text[: min(ends, default=len(text))].strip()


def settings_key(settings: dict[str, Any]) -> dict[str, Any]:
    """Decoding settings as plain JSON values, in one order and one type each."""
    return {
        "n": int(settings["n"]),
        "temperature": float(settings["temperature"]),
        "top_p": float(settings["top_p"]),
        "max_new_tokens": int(settings["max_new_tokens"]),
        "stop": list(settings["stop"]),
        "seed": int(settings["seed"]),
    }

"""Base forms of inflected words: exception lists first, then endings.

Source: morphy(7WN) of WordNet 3.0.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "n": (
        *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
        *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    ),
    "v": (
        *(("s", ""), ("ies", "y"), ("es", "e"), ("es", "")),
        *(("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}
"""Part of speech -> endings and what replaces them, in the order they are tried."""


def base_forms(
    word: str, pos: str, exceptions: Mapping[str, Sequence[str]], known: Container[str]
) -> tuple[str, ...]:
    """Forms of `word` that are `known`, the word itself first.

    A word in the exception list takes its forms from there and no ending is cut off.
    Differs: f -> ves (`wolves`) is one rule of the nouns here, as in NLTK; the manual leaves it to the list.

    >>> base_forms("axes", "n", {}, {"axe", "ax"})
    ('axe', 'ax')
    >>> base_forms("geese", "n", {"geese": ["goose"]}, {"goose"})
    ('goose',)
    """
    if word in exceptions:
        forms = list(exceptions[word])
    else:
        forms = [word.removesuffix(old) + new for old, new in ENDINGS[pos] if word.endswith(old)]
    return tuple(dict.fromkeys(form for form in (word, *forms) if form in known))

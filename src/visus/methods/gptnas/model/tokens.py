"""Layers as words, and the numbers of the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from visus.errors import InputError
from visus.methods.gptnas.model.records import Architecture, Layer

PAD, BOS, EOS, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")


def token_of(layer: Layer) -> str:
    """The word for a layer: what it is, without its sizes.

    Convolutions: kernel, stride, padding, dilation (if any), groups (1, `dw` depthwise, `gr` other), bias, ratio
    of channels. Pools: type and window, or the size they adapt to. Linear maps: bias and ratio. Others: name,
    and the number of tensors they join.

    The ratio is out / in rounded to the nearest power of two (halves of the exponent up): x1/4, x1, x2.
    Every size a network is scaled to keeps its word, and the words stay few.

    Paper: 2305.05351 counts 168 structures after collation, which leaves no room for sizes.
    Differs: which fields it collates is not stated; the choice above is ours.

    >>> from visus.methods.gptnas.model.records import SOURCE
    >>> token_of(Layer(family="fc", id=0, in_size=(512,), out_size=(10,), inputs=(SOURCE,), bias_used=True))
    'fc bias x1/64'
    """
    return " ".join(part for part in _parts(layer) if part)


def _parts(layer: Layer) -> Iterable[str]:
    settings = layer.settings
    if layer.family == "other":
        yield str(layer.name)
        yield f"of{len(layer.inputs)}" if len(layer.inputs) > 1 else ""
        return
    yield f"{layer.family} {layer.type or ''}".strip()
    if settings.get("transposed"):
        yield "transposed"
    if layer.kernel is not None:
        yield "k" + _size(layer.kernel)
        yield "s" + _size(layer.stride or ())
        yield "p" + ",".join(map(str, _short(layer.padding or ())))
        yield "d" + _size(layer.dilation or ()) if set(layer.dilation or ()) != {1} else ""
    elif layer.family == "pool":
        yield "to" + _size(settings.get("output", (1,)))  # type: ignore[arg-type]
    if layer.family == "conv":
        groups = layer.groups or 1
        yield "" if groups == 1 else "dw" if groups == layer.in_size[0] else "gr"
    if layer.family in ("conv", "fc"):
        yield "bias" if layer.bias_used else ""
        channel = 0 if layer.family == "conv" else -1
        yield _ratio(layer.out_size[channel] / layer.in_size[channel])


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _short(padding: Sequence[int]) -> Sequence[int]:
    return padding[:1] if len(set(padding)) == 1 else padding


def _ratio(ratio: float) -> str:
    power = math.floor(math.log2(ratio) + 0.5)
    return f"x{2**power}" if power >= 0 else f"x1/{2**-power}"


class Vocabulary:
    """The words of a corpus and their numbers.

    0 pads, 1 begins, 2 ends, 3 stands for a word that was not in the corpus; the words follow in alphabetical
    order, so the numbers depend on the corpus as a set and on nothing else.

    >>> vocabulary = Vocabulary(["b", "a"])
    >>> len(vocabulary), vocabulary.words[-2:]
    (6, ('a', 'b'))
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = (*SPECIAL, *sorted(set(words) - set(SPECIAL)))
        self._ids = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def fit(cls, architectures: Iterable[Architecture]) -> Vocabulary:
        """The words of all layers of these networks."""
        return cls(token_of(layer) for network in architectures for layer in network.layers)

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"

    def token(self, layer: Layer) -> int:
        """The number of a layer's word; `UNKNOWN` for a word not in the corpus."""
        return self._ids.get(token_of(layer), UNKNOWN)

    def tokens(self, layers: Iterable[Layer]) -> list[int]:
        """The numbers of several layers' words."""
        return [self.token(layer) for layer in layers]

    def sentence(self, network: Architecture) -> list[int]:
        """A whole network, from `BOS` to `EOS`."""
        return [BOS, *self.tokens(network.layers), EOS]

    def describe(self, tokens: Iterable[int]) -> list[str]:
        """The words of numbers."""
        return [self.words[token] for token in tokens]

    def to_plain(self) -> dict[str, Any]:
        """As plain data (JSON)."""
        return {"words": list(self.words[len(SPECIAL) :])}

    @classmethod
    def from_plain(cls, plain: Any, *, file: str | None = None) -> Vocabulary:
        """Read what `to_plain` gave; `InputError` if it is something else."""
        words = plain.get("words") if isinstance(plain, Mapping) else None
        good = isinstance(words, list) and all(isinstance(word, str) for word in words)
        if not good or len(set(words) | set(SPECIAL)) != len(words) + len(SPECIAL):  # type: ignore[arg-type]
            raise InputError(
                "is no vocabulary", file=file, field="words", remedy="give a list of different words"
            )
        return cls(words)  # type: ignore[arg-type]

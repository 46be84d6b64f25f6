"""What a method's file in `specimens/` tells the suite: the few things that cannot be read off its protocols."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from visus.protocols import Prediction, Source

BadKind = Literal[
    "missing file", "wrong shape", "NaN", "truncated file", "wrong columns", "empty set", "other"
]
REQUIRED_KINDS = frozenset(get_args(BadKind)) - {"other"}


@dataclass(frozen=True, kw_only=True)
class BadInput:
    """A command line that must be refused: exit code 2, a message with every fragment, no file left anywhere.

    kind: what is wrong with it; a method shows every kind but `other`, which is for more of its own.
    argv: words after `visus`.
    says: fragments of the message: the file, the field or line, what is wrong.
    """

    kind: BadKind
    name: str
    argv: Sequence[str]
    says: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Overfit:
    """One small batch the method must learn by heart: `metric` ends at least or at most at the stated score."""

    settings: Sequence[str]
    source: Callable[[], Source]
    metric: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """Test-side facts of one method.

    micro: settings on top of preset `smoke` for a fit of at least 20 steps in a second or two.
    steady: further settings for one and two processes: an odd batch size, and nothing that legitimately differs
        between process counts (dropout).
    overfit: a batch to learn by heart.
    odd: sources of odd sizes (odd image side, odd length, odd count) and the settings each needs.
    check_prediction: asserts documented keys and shapes for a prediction of n items.
    ingredient_off: two tensors that must be equal: the method with its ingredient switched off, and the baseline.
    losses: (name, fast, slow) with fast and slow values of every loss in float64.
    bad_inputs: (folder for broken files, folder of the example, its commands) -> command lines to refuse.
    variants: settings of other networks in which every parameter must get a gradient too.
    alternatives: config field -> another legal value where the suite cannot guess one.
    context: config field -> settings under which that field matters.
    sources: config field -> (part -> source) on which that field matters, where the example is not such a source.
    inert: config field -> why it leaves predictions as they are, up to rounding.
    without_gradient: parameter name prefix -> why it gets none.
    """

    micro: Sequence[str]
    steady: Sequence[str] = ()
    overfit: Overfit
    odd: Callable[[], Sequence[tuple[Source, Sequence[str]]]]
    check_prediction: Callable[[Prediction, int], None]
    ingredient_off: Callable[[], tuple[Tensor, Tensor]]
    losses: Callable[[], Sequence[tuple[str, Tensor, Tensor]]]
    bad_inputs: Callable[[Path, Path, Sequence[Sequence[str]]], Sequence[BadInput]]
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    alternatives: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: Mapping[str, Callable[[str], Source]] = field(default_factory=dict)
    inert: Mapping[str, str] = field(default_factory=dict)
    without_gradient: Mapping[str, str] = field(default_factory=dict)


def specimen(slug: str) -> Specimen:
    """The specimen of a method; a missing one says what to write."""
    try:
        return importlib.import_module(f"specimens.{slug}").SPECIMEN
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("specimens"):
            raise AssertionError(
                f"method {slug!r} is in the catalogue as working: write tests/conformance/specimens/{slug}.py with "
                "SPECIMEN = Specimen(...); tests/conformance/specimen.py documents its fields"
            ) from None
        raise

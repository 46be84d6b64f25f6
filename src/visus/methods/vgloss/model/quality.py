"""Are these descriptions fit for use? Numbers over a description set, and warnings where they are out of bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import WORD, NameIndex, folded, word_set
from visus.methods.vgloss.model.silver import Silver
from visus.methods.vgloss.model.visual import VisualLexicon, visual_lexicon
from visus.records import record

SHOWN = 3
"""Examples a warning names."""
EMPTY_WORDS = word_set(
    "a an the of in on at with without and or to for from by as is are was it its that this these those which who "
    "than more most very often usually any some other many one two photo has have like kind"
)


@record
class Thresholds:
    """Bounds beyond which a number becomes a warning."""

    leakage: float = 0.05
    """Most texts that name another class."""
    duplicates: float = 0.10
    """Most texts that stand somewhere else in the set as well."""
    overlap: float = 0.90
    """Most mean cosine between two classes' text embeddings; encoders differ, compare sets under one."""
    visual: float = 0.70
    """Least texts with a word of something visible."""
    unrelated: float = 0.30
    """Most texts that share no word with their class's name, synonyms or gloss."""
    dropped: float = 0.50
    """Most raw answers, and most sides of contrastive ones, that could not be used."""
    shortest: float = 4.0
    """Least words of a text, in the mean."""
    longest: float = 40.0
    """Most words of a text, in the mean."""


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """What a description set is like. Shares are of all texts, between 0 and 1."""

    classes: int
    texts: int
    per_class: tuple[int, float, int]
    """Fewest, mean and most texts of a class."""
    words: tuple[int, float, int]
    """Fewest, mean and most words of a text."""
    duplicates: float
    leakage: float
    leaks: tuple[tuple[str, str, str], ...]
    """(Class, the other class it names, text) of every leak."""
    visual: float
    unrelated: float | None
    """None where no class has a gloss."""
    overlap: float | None
    """Mean off-diagonal of W W^T; None without an encoder."""
    closest: tuple[str, str, float] | None
    """The two classes whose texts are most alike, and how much."""
    empty: tuple[str, ...]
    """Classes without a text."""
    fallback: tuple[str, ...]
    """Classes whose text is the gloss, because nothing the model wrote could be used."""
    dropped: Mapping[str, float] = field(default_factory=dict)
    """Reason -> share of the raw answers the cleaner removed for it."""
    contrast_dropped: float | None = None
    """Share of the sides of contrastive answers that could not be used; None where no pair was asked about."""
    warnings: tuple[str, ...] = ()

    @property
    def distinctness(self) -> float | None:
        """1 - overlap."""
        return None if self.overlap is None else 1.0 - self.overlap

    def rows(self) -> list[tuple[str, str]]:
        """The numbers as a table: what, how much."""
        made = [
            ("classes", str(self.classes)),
            ("texts", str(self.texts)),
            ("texts per class", _spread(self.per_class)),
            ("words per text", _spread(self.words)),
            ("duplicate texts", f"{self.duplicates:.1%}"),
            ("texts naming another class", f"{self.leakage:.1%}"),
            ("texts with something visible", f"{self.visual:.1%}"),
        ]
        if self.unrelated is not None:
            made.append(("texts unrelated to the gloss", f"{self.unrelated:.1%}"))
        if self.overlap is not None and self.closest is not None:
            made.append(("mean cosine between classes", f"{self.overlap:.3f}"))
            made.append(("closest classes", "{} and {} ({:.3f})".format(*self.closest)))
        made += [(f"answers dropped: {reason}", f"{share:.1%}") for reason, share in self.dropped.items()]
        if self.contrast_dropped is not None:
            made.append(("contrastive sentences dropped", f"{self.contrast_dropped:.1%}"))
        return made


def quality_report(
    descriptions: Silver | Mapping[str, Sequence[str]],
    names: Mapping[str, Sequence[str]] | None = None,
    *,
    similarity: ArrayLike | None = None,
    thresholds: Thresholds | None = None,
    lexicon: VisualLexicon | None = None,
) -> QualityReport:
    """Measure a description set.

    Parameters
    ----------
    descriptions : a silver set (all its texts, contrastive ones too), or class key -> texts.
    names : class key -> the names by which a text may give it away; by default the name in the silver set, or
        the key.
    similarity : (classes, classes) W W^T of unit class embeddings, in the order of the classes.
    lexicon : visual words; by default `visual_lexicon()`.

    Raises
    ------
    InputError : no classes, or a similarity of another size.
    """
    silver = descriptions if isinstance(descriptions, Silver) else None
    texts: Mapping[str, Sequence[str]] = (
        descriptions.texts("both") if isinstance(descriptions, Silver) else descriptions
    )
    if not texts:
        raise InputError("holds no classes", field="descriptions")
    if names is None:
        names = {key: [silver.classes[key].name if silver else key] for key in texts}
    flat = [(key, text) for key, each in texts.items() for text in each]
    leaks = _leaks(flat, names)
    counts = Counter(folded(text) for _, text in flat)
    lexicon = lexicon or visual_lexicon()
    overlap, closest = _overlap(similarity, list(texts))
    meta = silver.meta if silver else {}
    report: dict[str, Any] = {
        "classes": len(texts),
        "texts": len(flat),
        "per_class": _range([len(each) for each in texts.values()]),
        "words": _range([len(WORD.findall(text)) for _, text in flat]),
        "duplicates": _share(counts[folded(text)] > 1 for _, text in flat),
        "leakage": len({(key, text) for key, _, text in leaks}) / max(len(set(flat)), 1),
        "leaks": leaks,
        "visual": _share(bool(lexicon.seen(text)) for _, text in flat),
        "unrelated": _unrelated(silver, flat),
        "overlap": overlap,
        "closest": closest,
        "empty": tuple(key for key, each in texts.items() if not each),
        "fallback": tuple(meta.get("fallback", ())),
        "dropped": _dropped(meta.get("dropped"), meta.get("answers")),
        "contrast_dropped": _contrast_dropped(meta.get("contrast")),
    }
    return QualityReport(**report, warnings=tuple(_warnings(report, thresholds or Thresholds(), names)))


def _leaks(
    flat: Sequence[tuple[str, str]], names: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, str, str], ...]:
    index = NameIndex(names)
    own = {key: {folded(name) for name in each} for key, each in names.items()}
    made = []
    for key, text in flat:
        for other in sorted(index.found(text) - {key}):
            if not own[other] & own.get(key, set()):
                made.append((key, other, text))
    return tuple(made)


def _unrelated(silver: Silver | None, flat: Sequence[tuple[str, str]]) -> float | None:
    """Share of texts without a content word of the class's own entry."""
    if silver is None or not any(each.gloss for each in silver.classes.values()):
        return None
    known = {
        key: set(folded(" ".join((each.name, *each.lemmas, each.gloss)))) - EMPTY_WORDS
        for key, each in silver.classes.items()
    }
    return _share(not known[key] & set(folded(text)) for key, text in flat)


def _overlap(
    similarity: ArrayLike | None, keys: Sequence[str]
) -> tuple[float | None, tuple[str, str, float] | None]:
    if similarity is None or len(keys) < 2:
        return None, None
    matrix: Float[np.ndarray, "c c"] = np.array(similarity, np.float64)
    if matrix.shape != (len(keys), len(keys)):
        raise InputError(f"has the shape {matrix.shape} for {len(keys)} classes", field="similarity")
    if not np.isfinite(matrix).all():
        raise InputError("holds values that are not finite", field="similarity")
    np.fill_diagonal(matrix, -np.inf)
    i, j = (int(place) for place in np.unravel_index(matrix.argmax(), matrix.shape))
    off = matrix[~np.eye(len(keys), dtype=bool)]
    return float(off.mean()), (keys[min(i, j)], keys[max(i, j)], float(matrix[i, j]))


def _contrast_dropped(meta: Any) -> float | None:
    if not isinstance(meta, Mapping) or not meta.get("sides"):
        return None
    return sum(_dropped(meta.get("dropped"), meta["sides"]).values())


def _dropped(counts: Any, raw: Any) -> dict[str, float]:
    if not isinstance(counts, Mapping) or not isinstance(raw, int) or raw < 1:
        return {}
    return {str(reason): int(count) / raw for reason, count in sorted(counts.items())}


def _warnings(report: Mapping[str, Any], bounds: Thresholds, names: Mapping[str, Sequence[str]]) -> list[str]:
    def called(key: str) -> str:
        return next(iter(names.get(key, ())), key)

    made = []
    if report["empty"]:
        made.append(
            f"{len(report['empty'])} classes have no text ({', '.join(map(called, report['empty'][:SHOWN]))})"
        )
    if report["fallback"]:
        shown = ", ".join(map(called, report["fallback"][:SHOWN]))
        made.append(f"{len(report['fallback'])} classes have their gloss only ({shown})")
    if report["leakage"] > bounds.leakage:
        shown = "; ".join(f"{called(key)} names {called(other)}" for key, other, _ in report["leaks"][:SHOWN])
        made.append(f"{report['leakage']:.0%} of the texts name another class ({shown})")
    if report["duplicates"] > bounds.duplicates:
        made.append(f"{report['duplicates']:.0%} of the texts are duplicates")
    if report["texts"] and report["visual"] < bounds.visual:
        made.append(f"only {report['visual']:.0%} of the texts say anything visible")
    if report["unrelated"] is not None and report["unrelated"] > bounds.unrelated:
        made.append(f"{report['unrelated']:.0%} of the texts share no word with what the class means")
    if report["overlap"] is not None and report["overlap"] > bounds.overlap:
        made.append(
            f"the classes' texts are nearly alike to the encoder (mean cosine {report['overlap']:.2f})"
        )
    if sum(report["dropped"].values()) > bounds.dropped:
        made.append(f"{sum(report['dropped'].values()):.0%} of the model's answers could not be used")
    if (report["contrast_dropped"] or 0) > bounds.dropped:
        made.append(f"{report['contrast_dropped']:.0%} of the contrastive sentences could not be used")
    mean = report["words"][1]
    if report["texts"] and not bounds.shortest <= mean <= bounds.longest:
        made.append(f"the texts have {mean:.1f} words in the mean")
    return made


def _range(values: Sequence[int]) -> tuple[int, float, int]:
    return (min(values), sum(values) / len(values), max(values)) if values else (0, 0.0, 0)


def _share(flags: Any) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0


def _spread(values: tuple[int, float, int]) -> str:
    return f"{values[1]:.1f} ({values[0]} to {values[2]})"

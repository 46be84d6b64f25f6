"""One claim's evidence, put into words and numbers once for the HTML page, the plots and the digest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from visus.protocols import Claim, Evidence, PaperEvidence
from visus.report import format as text
from visus.report.words import MARKS, counted, explanation, words

VERDICTS = ("holds", "fails", "undecided")
OUTCOMES = (*VERDICTS, "not_measured")
"""What a person is told of a claim: its verdict, or that the preset leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of the arms table; every number is already text."""

    name: str
    role: str
    """`candidate`, `reference` or nothing."""
    role_word: str
    mean: str
    deviation: str
    count: int
    values: tuple[str, ...]
    """One per seed, in the order of seeds; a dash where a seed has none."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a person reads of one claim, in one language."""

    claim: Claim
    statement: str
    origin: str
    verdict: str
    verdict_word: str
    mark: str
    formula: str
    """`candidate - reference` or `candidate ÷ reference`."""
    effect: str
    interval: str
    smallest: str
    condition: str
    why: str
    caveat: str
    """What would explain a failure, or a note on an exact claim or one that the preset leaves out."""
    caveat_word: str
    """What stands before the caveat."""
    arms: tuple[Arm, ...]
    seeds: int
    """The largest number of seeds of any arm, with a value or not."""
    paired: int
    """Seeds with a value in both arms that are compared."""
    places: int | None


def neutral(claim: Claim) -> float:
    """The effect that means no difference: 0, or 1 for a ratio."""
    return 1.0 if claim.comparison == "ratio" else 0.0


def finite(values: Sequence[float]) -> list[float]:
    """The values of the seeds that have one."""
    return [value for value in values if math.isfinite(value)]


def pairs(evidence: Evidence) -> list[tuple[int, float, float]]:
    """(seed, candidate, reference) of every seed with a value in both; empty if seeds do not correspond."""
    claim = evidence.claim
    ours, theirs = evidence.arms.get(claim.candidate, []), evidence.arms.get(claim.reference, [])
    if len(ours) != len(theirs):
        return []
    both = enumerate(zip(ours, theirs, strict=True))
    return [(place, a, b) for place, (a, b) in both if math.isfinite(a) and math.isfinite(b)]


def per_seed(evidence: Evidence) -> list[float]:
    """The effect of every seed with a value in both arms."""
    if evidence.claim.comparison == "difference":
        return [a - b for _, a, b in pairs(evidence)]
    return [a / b for _, a, b in pairs(evidence) if b]


def places_of(evidence: Evidence) -> int | None:
    """Decimal places for the numbers of a claim; None prints each as it is, so whole numbers stay whole."""
    claim = evidence.claim
    values = [value for column in evidence.arms.values() for value in finite(column)]
    if claim.exact or not values or all(float(value).is_integer() for value in values):
        return None
    if claim.comparison == "ratio":
        return text.places_for(max(abs(value) for value in values) / 100)
    return text.places_for(abs(claim.smallest_effect) or max(abs(value) for value in values) / 100)


def read(evidence: Evidence, lang: str) -> Reading:
    """Put one claim's evidence into words."""
    claim, table, places = evidence.claim, words(lang), places_of(evidence)
    ratio = claim.comparison == "ratio"
    effect_places = 3 if ratio and not claim.exact else places
    sign = "÷" if ratio else text.MINUS
    chinese = lang == "zh"
    return Reading(
        claim=claim,
        statement=(claim.statement_zh if chinese else claim.statement) or claim.statement,
        origin=table[f"origin_{claim.origin}"],
        verdict=evidence.verdict,
        verdict_word=table[outcome(evidence)],
        mark=MARKS[outcome(evidence)],
        formula=f"{claim.candidate} {sign} {claim.reference}",
        effect=text.number(evidence.effect, effect_places, signed=not ratio),
        interval=text.span(evidence.interval, effect_places, signed=not ratio),
        smallest=_smallest(claim),
        condition=_condition(claim, sign),
        why=explanation(evidence.why, lang),
        caveat=_caveat(evidence, chinese),
        caveat_word=table["note" if _is_note(evidence) else "caveat"],
        arms=tuple(_arm(claim, name, values, places, table) for name, values in evidence.arms.items()),
        seeds=max((len(values) for values in evidence.arms.values()), default=0),
        paired=len(pairs(evidence)),
        places=places,
    )


def measured(evidence: Evidence) -> bool:
    """Whether any arm has a value; an experiment may be left out of a preset."""
    return any(finite(values) for values in evidence.arms.values())


def outcome(evidence: Evidence) -> str:
    """The verdict; `not_measured` for a claim that the preset leaves out, whose verdict is `undecided`."""
    return evidence.verdict if evidence.arms else "not_measured"


def _is_note(evidence: Evidence) -> bool:
    return outcome(evidence) == "not_measured" or (evidence.claim.exact and evidence.verdict == "holds")


def _caveat(evidence: Evidence, chinese: bool) -> str:
    if not _is_note(evidence) and (evidence.verdict == "holds" or not measured(evidence)):
        return ""
    return (evidence.claim.caveat_zh if chinese else "") or evidence.claim.caveat


def _arm(claim: Claim, name: str, values: Sequence[float], places: int | None, table: dict[str, str]) -> Arm:
    role = "candidate" if name == claim.candidate else "reference" if name == claim.reference else ""
    found = finite(values)
    return Arm(
        name=name,
        role=role,
        role_word=table[role] if role else "",
        mean=text.number(text.mean(found), places),
        deviation=text.number(text.deviation(found), places),
        count=len(found),
        values=tuple(text.number(value if math.isfinite(value) else None, places) for value in values),
    )


def _bound(claim: Claim, value: float) -> str:
    return text.number(value, signed=claim.comparison == "difference" and value != 0)


def _smallest(claim: Claim) -> str:
    value = text.number(claim.smallest_effect)
    return f"× {value}" if claim.comparison == "ratio" else value


def _condition(claim: Claim, sign: str) -> str:
    """What must be so; strict but for exact claims, as the verdict has it."""
    low, high = claim.region
    formula = f"{claim.candidate} {sign} {claim.reference}"
    strict = not claim.exact or claim.smallest_effect == neutral(claim)
    if math.isinf(high):
        return f"{formula} {'>' if strict else '≥'} {_bound(claim, low)}"
    if math.isinf(low):
        return f"{formula} {'<' if strict else '≤'} {_bound(claim, high)}"
    if low == high:
        return f"{formula} = {_bound(claim, low)}"
    less = "≤" if claim.exact else "<"
    return f"{_bound(claim, low)} {less} {formula} {less} {_bound(claim, high)}"


def counts(papers: Sequence[PaperEvidence]) -> dict[str, int]:
    """How many claims hold, fail, are undecided and are left out of the preset, over some papers."""
    found = [outcome(evidence) for paper in papers for evidence in paper.claims]
    return {each: found.count(each) for each in OUTCOMES}


def tally(papers: Sequence[PaperEvidence], lang: str) -> list[str]:
    """The counts in words; what the preset leaves out only where there is such a claim."""
    found = counts(papers).items()
    return [counted(lang, f"count_{each}", n) for each, n in found if n or each in VERDICTS]

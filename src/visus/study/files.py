"""Evidence as JSON: written, read, and brought up to date in part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from visus.errors import InputError
from visus.protocols import Claim, Evidence, Figure, PaperEvidence
from visus.records import from_plain
from visus.study.provenance import provenance

SCHEMA = 1
_ORIGIN = ("visus", "commit", "device", "packages")  # a claim measured under another of these says so


@dataclass(frozen=True, kw_only=True)
class _ClaimRow:
    """A claim with its numbers, as the file has it. What only newer files carry has a default."""

    id: str
    statement: str
    metric: str
    direction: Literal["higher", "lower", "equal"]
    smallest_effect: float
    arms: dict[str, list[float | None]]
    effect: float | None
    interval: tuple[float, float] | None
    verdict: Literal["holds", "fails", "undecided"]
    statement_zh: str = ""
    experiment: str = ""
    candidate: str | None = None
    reference: str | None = None
    comparison: Literal["difference", "ratio"] = "difference"
    exact: bool = False
    origin: Literal["paper", "ours"] = "paper"
    caveat: str = ""
    caveat_zh: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class _FigureRow:
    name: str
    svg: str
    caption: str
    caption_zh: str


@dataclass(frozen=True, kw_only=True)
class _PaperRow:
    slug: str
    arxiv: str
    claims: list[_ClaimRow]
    figures: list[_FigureRow] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    experiments: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Document:
    schema: Literal[1]
    papers: list[_PaperRow]


def to_json(
    papers: Sequence[PaperEvidence], *, preset: str, device: str, threads: int | None = None
) -> dict[str, Any]:
    """The evidence with its provenance, as plain data; a value that is not finite becomes null.

    Parameters
    ----------
    papers : what was measured.
    preset : the preset it was measured with.
    device : the device asked for (`auto`, `cpu`, `cuda`); the file tells what it was.
    threads : threads the study had; None = all CPUs.
    """
    header = provenance(device=device, threads=threads)
    return {"schema": SCHEMA, "preset": preset, **header, "papers": [_paper_row(paper) for paper in papers]}


def from_json(plain: Any, *, file: str | Path | None = None) -> list[PaperEvidence]:
    """The evidence in a document of `to_json`; unknown keys are passed over.

    Raises
    ------
    visus.errors.InputError : the document is malformed; names `file` and the field.
    """
    if not isinstance(plain, dict):
        raise InputError("is no evidence", file=file, remedy="give an evidence.json written by visus")
    if plain.get("schema") != SCHEMA:
        remedy = f"this version of visus reads schema {SCHEMA}"
        raise InputError(f"{plain.get('schema')!r} is not readable", file=file, field="schema", remedy=remedy)
    document = from_plain(_Document, plain, file=file)
    return [
        PaperEvidence(
            slug=paper.slug,
            arxiv=paper.arxiv,
            claims=[_evidence(row, f"{paper.slug}.{row.id}", file) for row in paper.claims],
            figures=[Figure(**asdict(figure)) for figure in paper.figures],
            failures=paper.failures,
            seconds=paper.seconds,
            experiments=paper.experiments,
        )
        for paper in document.papers
    ]


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Bring a document up to date with one that measured a part again.

    Papers and claims of `new` replace those of `old`; the others stay in their places, and say under `from`
    with which version, commit, device and packages they were measured if not with those of `new`.

    Raises
    ------
    visus.errors.InputError : a document is malformed, or the presets differ.
    """
    from_json(old)
    from_json(new)
    if old.get("preset") != new.get("preset"):
        raise InputError(
            f"evidence of presets {old.get('preset')!r} and {new.get('preset')!r} cannot be mixed",
            field="preset",
            remedy="write to another folder",
        )
    origin = None
    if any(old.get(key) != new.get(key) for key in _ORIGIN):
        origin = {key: old.get(key) for key in (*_ORIGIN, "date")}
    fresh = {paper["slug"]: paper for paper in new["papers"]}
    papers = [_merge_paper(paper, fresh.pop(paper["slug"], None), origin) for paper in old["papers"]]
    return {**new, "papers": papers + list(fresh.values())}


def _merge_paper(
    old: dict[str, Any], new: dict[str, Any] | None, origin: dict[str, Any] | None
) -> dict[str, Any]:
    fresh = {claim["id"]: claim for claim in new["claims"]} if new else {}
    again = {claim.get("experiment") for claim in fresh.values()}
    claims = []
    for claim in old["claims"]:
        if claim["id"] in fresh:
            claims.append(fresh.pop(claim["id"]))
        else:
            claims.append({**claim, "from": claim.get("from", origin)} if origin else claim)
    failures = {
        name: text for name, text in old.get("failures", {}).items() if name.split("/")[0] not in again
    }
    if new is None:
        return {**old, "claims": claims}
    return {
        **old,
        **new,
        "claims": claims + list(fresh.values()),
        "figures": new.get("figures") or old.get("figures", []),
        "failures": {**failures, **new.get("failures", {})},
        "experiments": {**old.get("experiments", {}), **new.get("experiments", {})},
    }


def _paper_row(paper: PaperEvidence) -> dict[str, Any]:
    return {
        "slug": paper.slug,
        "arxiv": paper.arxiv,
        "seconds": paper.seconds,
        "experiments": {name: dict(facts) for name, facts in paper.experiments.items()},
        "claims": [
            _claim_row(evidence, paper.experiments.get(evidence.claim.experiment, {}))
            for evidence in paper.claims
        ],
        "figures": [asdict(figure) for figure in paper.figures],
        "failures": dict(paper.failures),
    }


def _claim_row(evidence: Evidence, experiment: Mapping[str, str]) -> dict[str, Any]:
    finite = evidence.interval is not None and all(math.isfinite(bound) for bound in evidence.interval)
    return {
        **asdict(evidence.claim),
        "budget": experiment.get("budget", ""),
        "arms": {arm: [_finite(value) for value in values] for arm, values in evidence.arms.items()},
        "effect": _finite(evidence.effect),
        "interval": list(evidence.interval) if finite and evidence.interval else None,
        "verdict": evidence.verdict,
        "why": evidence.why,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _evidence(row: _ClaimRow, place: str, file: str | Path | None) -> Evidence:
    names = [*row.arms, "", ""]
    if row.verdict != "undecided" and len(row.arms) < 2 and row.candidate is None:
        remedy = "give the values of both arms"
        raise InputError("a verdict without two arms", file=file, field=f"{place}.arms", remedy=remedy)
    claim = Claim(
        id=row.id,
        statement=row.statement,
        statement_zh=row.statement_zh or row.statement,
        experiment=row.experiment,
        candidate=names[0] if row.candidate is None else row.candidate,
        reference=names[1] if row.reference is None else row.reference,
        metric=row.metric,
        direction=row.direction,
        smallest_effect=row.smallest_effect,
        comparison=row.comparison,
        exact=row.exact,
        origin=row.origin,
        caveat=row.caveat,
        caveat_zh=row.caveat_zh,
    )
    return Evidence(
        claim=claim,
        arms={
            arm: [math.nan if value is None else value for value in column]
            for arm, column in row.arms.items()
        },
        effect=row.effect,
        interval=row.interval,
        verdict=row.verdict,
        why=row.why,
    )

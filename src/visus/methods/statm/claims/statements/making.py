"""Claims of the same kind share their settings."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SMALL = "One block of 64 numbers, trained for seconds; a longer training may move the ratio."
_SMALL_ZH = "单个 64 维模块，只训练数秒；更长的训练可能改变该比值。"


def law(id: str, metric: str, statement: str, statement_zh: str, **more: Any) -> Claim:
    """What a random instance does, against what is stated, to rounding of double precision."""
    settings: dict[str, Any] = {
        "experiment": "laws",
        "candidate": "built",
        "direction": "equal",
        "smallest_effect": 1e-9,
        "origin": "ours",
        **more,
    }
    return Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        reference="stated",
        metric=metric,
        exact=True,
        **settings,
    )


def ratio(id: str, pair: tuple[str, str], metric: str, factor: float, **rest: Any) -> Claim:
    """`pair`: candidate and reference; the candidate's error is below `factor` times the reference's."""
    settings: dict[str, Any] = {
        "experiment": "tokens",
        "direction": "lower",
        "origin": "ours",
        "caveat": _SMALL,
        "caveat_zh": _SMALL_ZH,
        **rest,
    }
    candidate, reference = pair
    return Claim(
        id=id,
        candidate=candidate,
        reference=reference,
        metric=metric,
        smallest_effect=factor,
        comparison="ratio",
        **settings,
    )

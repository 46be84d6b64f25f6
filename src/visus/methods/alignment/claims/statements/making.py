"""Claims of the same kind share their settings."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim


def law(id: str, metric: str, statement: str, statement_zh: str, **more: Any) -> Claim:
    """What random instances of the implementation do, against what is stated."""
    settings: dict[str, Any] = {"direction": "equal", "smallest_effect": 0.0, "origin": "ours", **more}
    return Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        experiment="laws",
        candidate="built",
        reference="stated",
        metric=metric,
        exact=True,
        **settings,
    )


def better(id: str, pair: tuple[str, str], metric: str, effect: float, **rest: Any) -> Claim:
    """`pair`: candidate and reference; a difference, the candidate higher unless told otherwise."""
    candidate, reference = pair
    settings: dict[str, Any] = {"direction": "higher", "origin": "ours", **rest}
    return Claim(
        id=id, candidate=candidate, reference=reference, metric=metric, smallest_effect=effect, **settings
    )

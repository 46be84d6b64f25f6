"""Claims of the same kind share their settings."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim


def law(
    id: str, metric: str, statement: str, statement_zh: str, *, experiment: str = "laws", **more: Any
) -> Claim:
    """What the implementation does, against what is stated."""
    settings: dict[str, Any] = {"direction": "equal", "smallest_effect": 0.0, "origin": "ours", **more}
    return Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        experiment=experiment,
        candidate="built",
        reference="stated",
        metric=metric,
        exact=True,
        **settings,
    )


def compared(
    id: str, pair: tuple[str, str], metric: str, effect: float, told: tuple[str, str], **rest: Any
) -> Claim:
    """`pair`: candidate and reference; `told`: the statement in both languages. A difference, the candidate higher,
    unless told otherwise."""
    settings: dict[str, Any] = {"direction": "higher", "origin": "ours", **rest}
    candidate, reference = pair
    return Claim(
        id=id,
        candidate=candidate,
        reference=reference,
        metric=metric,
        smallest_effect=effect,
        statement=told[0],
        statement_zh=told[1],
        **settings,
    )

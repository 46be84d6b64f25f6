"""Claims of the same kind share their settings."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SMALL = (
    "A small network on made-up radiographs, its dense encoder without ImageNet weights: the paper's gain may rest on "
    "those weights and on real images."
)
_SMALL_ZH = "合成胸片上的小网络，稠密编码器没有 ImageNet 权重：论文的增益可能依赖这些权重和真实影像。"


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
    settings: dict[str, Any] = {
        "experiment": "stages",
        "direction": "higher",
        "caveat": _SMALL,
        "caveat_zh": _SMALL_ZH,
        **rest,
    }
    candidate, reference = pair
    return Claim(
        id=id, candidate=candidate, reference=reference, metric=metric, smallest_effect=effect, **settings
    )

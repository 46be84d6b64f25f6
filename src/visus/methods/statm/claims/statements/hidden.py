"""Memory under occlusion where perception is not in question: slots that see true boxes."""

from __future__ import annotations

from typing import Any

from visus.methods.statm.claims.statements.making import ratio

_BOXES: dict[str, Any] = {
    "experiment": "hidden",
    "caveat": "True boxes and a recurrent cell per object stand in for encoder and Slot Attention: SAVi's slots can "
    "carry a speed through the gap too.",
    "caveat_zh": "以真实边界框和逐物体的循环单元代替编码器与 Slot Attention：SAVi 的槽同样可以把速度带过遮挡期。",
}

HIDDEN = (
    ratio(
        "hidden-memory-finds-again",
        ("cs", "savi"),
        "after_gap",
        0.95,
        origin="paper",
        statement="Where a hidden object comes out again is foretold with at most 0.95 of SAVi's error.",
        statement_zh="被遮挡物体再次出现的位置，预测误差至多为 SAVi 的 0.95 倍。",
        **_BOXES,
    ),
    ratio(
        "hidden-order-finds-again",
        ("cs_time", "savi"),
        "after_gap",
        0.9,
        statement="With a position in time the memory foretells it with at most 0.9 of SAVi's error.",
        statement_zh="带时间位置编码时，该误差至多为 SAVi 的 0.9 倍。",
        **_BOXES,
    ),
    ratio(
        "hidden-beats-straight-lines",
        ("cs_time", "same_speed"),
        "after_gap",
        0.8,
        statement="The memory does better than going on straight: at most 0.8 of that error.",
        statement_zh="记忆优于匀速外推：误差至多为其 0.8 倍。",
        **_BOXES,
    ),
    ratio(
        "hidden-in-view-is-a-tie",
        ("cs", "savi"),
        "in_view",
        1.1,
        direction="equal",
        statement="Control: while objects stay in view memory changes little, within a factor of 1.1.",
        statement_zh="对照：物体始终可见时记忆作用不大，误差相差不超过 1.1 倍。",
        **_BOXES,
    ),
)

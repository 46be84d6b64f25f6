"""What needs no training: laws, operations, time."""

from __future__ import annotations

from typing import Any

from visus.methods.statm.claims.statements.making import law, ratio

_CLOCK = "Timings of small matrices depend on the machine and on what else runs on it."
_CLOCK_ZH = "小矩阵的计时取决于机器及其负载。"

LAWS = (
    law(
        "slots-have-no-order",
        "equivariance",
        "Exchanging slots in a frame and in the memory exchanges the predictions and changes nothing else.",
        "在当前帧和记忆中交换槽，预测也随之交换，此外不变。",
    ),
    law(
        "corresponding-sees-itself",
        "leak_corresponding",
        "Attention over time of corresponding slots (CS) never sees another slot: changing the others' memory "
        "changes not one bit.",
        "对应槽时间注意力（CS）看不到其他槽：改变其他槽的记忆，结果一位都不变。",
        smallest_effect=0.0,
        origin="paper",
    ),
    law(
        "all-sees-others",
        "leak_all",
        "Attention over time of all slots (AS) does see the others' memory.",
        "全部槽时间注意力（AS）会看到其他槽的记忆。",
        direction="higher",
        smallest_effect=1e-3,
        origin="paper",
    ),
    law(
        "one-frame-is-linear",
        "one_frame",
        "With one frame in memory, attention over time is a fixed linear map of the slot: it has nothing to "
        "choose from.",
        "记忆中只有一帧时，时间注意力就是槽的固定线性映射：没有可选择的内容。",
    ),
    law(
        "memory-is-order-blind",
        "order_without_positions",
        "As published, attention over the memory is blind to order: any permutation of the past frames gives "
        "the same prediction.",
        "按论文的实现，对记忆的注意力不分先后：任意打乱过去的帧，预测都相同。",
    ),
    law(
        "positions-tell-order",
        "order_with_positions",
        "With a position in time, the order of the past frames changes the prediction.",
        "加入时间位置编码后，过去各帧的顺序会改变预测。",
        direction="higher",
        smallest_effect=1e-3,
    ),
    law(
        "stream-is-clip",
        "streaming",
        "Frame by frame with a carried memory gives what one pass over 24 frames gives.",
        "携带记忆逐帧处理，与一次处理 24 帧的结果相同。",
    ),
    law(
        "kept-projections-are-exact",
        "caching",
        "Keeping projected keys and values instead of slots changes no prediction.",
        "保存投影后的键和值（而不是槽）不改变任何预测。",
    ),
    law(
        "bounded-is-last-six",
        "bounded",
        "A buffer of 6 frames at the end of a clip of 24 gives what the last 6 frames alone give.",
        "容量为 6 帧的缓冲在 24 帧片段结尾处的预测，与只给最后 6 帧的预测相同。",
    ),
    law(
        "gradient-through-memory",
        "gradient_through_memory",
        "The loss five frames later reaches the first frame's slots through the memory alone.",
        "五帧之后的损失仅通过记忆就能传回第一帧的槽。",
        direction="higher",
        smallest_effect=0.0,
        origin="paper",
    ),
)

_COUNTED: dict[str, Any] = {"experiment": "operations", "candidate": "counted", "smallest_effect": 0.0}

COUNTS = (
    law(
        "cs-grows-linearly",
        "cs_per_frame",
        "One more frame in memory costs a CS step 2 K d multiply-adds (K slots, d numbers): O(K^2 + K L) in all.",
        "记忆每多一帧，CS 的一步多 2Kd 次乘加（K 个槽，d 维）：总计 O(K^2 + KL)。",
        **_COUNTED,
        origin="paper",
    ),
    law(
        "as-grows-with-all-slots",
        "as_per_frame",
        "One more frame in memory costs an AS step 2 K^2 d multiply-adds, K times as many as a CS step.",
        "记忆每多一帧，AS 的一步多 2K^2d 次乘加，是 CS 的 K 倍。",
        **_COUNTED,
    ),
    law(
        "cs-has-no-square",
        "cs_curvature",
        "The cost of a CS step has no term in L^2.",
        "CS 一步的代价没有 L^2 项。",
        **_COUNTED,
        origin="paper",
    ),
    law(
        "joint-attention-is-quadratic",
        "joint_curvature",
        "A transformer over all slots of all frames grows with (K L)^2: its second difference in L is 4 K^2 d "
        "per layer.",
        "在全部帧的全部槽上的变换器按 (KL)^2 增长：对 L 的二阶差分为每层 4K^2d。",
        **_COUNTED,
        origin="paper",
    ),
    law(
        "count-is-what-runs",
        "miscounted",
        "The multiply-adds that the library states for a step are those that torch executes.",
        "本库给出的每步乘加数就是 torch 实际执行的数目。",
        **_COUNTED,
    ),
)

_VS_TIME: dict[str, Any] = {"experiment": "time", "caveat": _CLOCK, "caveat_zh": _CLOCK_ZH}

TIMES = (
    ratio(
        "cs-step-is-cheap",
        ("cs", "joint"),
        "ms_24",
        1 / 3,
        statement="With 11 slots and 24 frames remembered, a CS step takes less than a third of the time of one "
        "layer over all slots of all frames.",
        statement_zh="11 个槽、记忆 24 帧时，CS 一步的耗时不到单层全帧全槽变换器的三分之一。",
        **_VS_TIME | {"origin": "paper"},
    ),
    ratio(
        "cs-time-hardly-grows",
        ("cs", "joint"),
        "growth",
        0.5,
        statement="From 24 to 96 frames, the time of a CS step grows less than half as much as that of one layer "
        "over everything.",
        statement_zh="从 24 帧到 96 帧，CS 一步耗时的增长不到单层全帧全槽变换器的一半。",
        **_VS_TIME | {"origin": "paper"},
    ),
    ratio(
        "keeping-projections-pays",
        ("cs", "cs_restacked"),
        "ms_96",
        0.9,
        statement="With 96 frames remembered, keeping projected keys and values saves a tenth of a step or more.",
        statement_zh="记忆 96 帧时，保存投影后的键和值可节省一步耗时的十分之一以上。",
        **_VS_TIME,
    ),
)

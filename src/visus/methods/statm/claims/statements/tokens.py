"""Colliding balls as tokens: what memory alone is worth."""

from __future__ import annotations

from typing import Any

from visus.methods.statm.claims.statements.making import ratio

_TOKENS = (
    "Tokens hold a place and no speed, so memory is the only source of it; slots of a trained video model may "
    "carry speed already, and the gain there is smaller."
)
_TOKENS_ZH = (
    "这里的标记只有位置、没有速度，记忆是唯一的速度来源；训练好的视频模型的槽可能已含速度，增益会更小。"
)

_BORROWED = (
    "The paper says this of the segmentation of videos; here it is measured on predictions of tokens, with one block "
    "of 64 numbers."
)
_BORROWED_ZH = "论文的说法针对视频分割；这里用单个 64 维模块在标记预测上测量。"
_PAPER_DESIGN: dict[str, Any] = {"origin": "paper", "caveat": _BORROWED, "caveat_zh": _BORROWED_ZH}

_PAPER_TOKENS: dict[str, Any] = {"origin": "paper", "caveat": _TOKENS, "caveat_zh": _TOKENS_ZH}

TOKENS = (
    ratio(
        "memory-predicts",
        ("cs", "savi"),
        "one_step",
        0.8,
        statement="A memory of past slots predicts the next step better than SAVi's block, which sees one frame: "
        "at most 0.8 times the error.",
        statement_zh="记住过去的槽，对下一步的预测优于只看一帧的 SAVi 模块：误差至多为其 0.8 倍。",
        **_PAPER_TOKENS,
    ),
    ratio(
        "memory-rolls-out",
        ("cs", "savi"),
        "roll_out",
        0.95,
        statement="A memory of past slots rolls out 6 steps better than SAVi's block: at most 0.95 times the error.",
        statement_zh="推演 6 步时，记住过去的槽也优于 SAVi 模块：误差至多为其 0.95 倍。",
        **_PAPER_TOKENS,
    ),
    ratio(
        "ordered-memory-predicts",
        ("cs_time", "savi"),
        "one_step",
        0.6,
        statement="With a position in time, the memory's error in one step is at most 0.6 times that of SAVi's "
        "block.",
        statement_zh="加入时间位置编码后，一步误差至多为 SAVi 模块的 0.6 倍。",
        caveat=_TOKENS,
        caveat_zh=_TOKENS_ZH,
    ),
    ratio(
        "ordered-memory-rolls-out",
        ("cs_time", "savi"),
        "roll_out",
        0.85,
        statement="With a position in time, the error over 6 steps is at most 0.85 times that of SAVi's block.",
        statement_zh="加入时间位置编码后，6 步推演误差至多为 SAVi 模块的 0.85 倍。",
        caveat=_TOKENS,
        caveat_zh=_TOKENS_ZH,
    ),
    ratio(
        "order-helps",
        ("cs_time", "cs"),
        "one_step",
        0.85,
        statement="The published memory lacks a position in time: with one, its error in one step is at most "
        "0.85 times as large.",
        statement_zh="论文的记忆缺少时间位置编码：加入后一步误差至多为原来的 0.85 倍。",
    ),
    ratio(
        "long-blind-memory-hurts",
        ("cs", "cs_2"),
        "one_step",
        1.15,
        direction="higher",
        statement="Without positions, a long memory is worse than two frames: at least 1.15 times the error.",
        statement_zh="没有位置编码时，长记忆不如只记两帧：误差至少为其 1.15 倍。",
    ),
    ratio(
        "all-slots-no-better",
        ("as", "cs"),
        "one_step",
        1.02,
        direction="higher",
        **_PAPER_DESIGN,
        statement="Looking at all slots of the past (AS) predicts worse than looking at the corresponding one "
        "(CS): at least 1.02 times the error in one step.",
        statement_zh="看过去的全部槽（AS）不如只看对应槽（CS）：一步误差至少为其 1.02 倍。",
    ),
    ratio(
        "all-slots-equal-with-order",
        ("as_time", "cs_time"),
        "roll_out",
        1.1,
        direction="equal",
        statement="With a position in time, AS and CS roll out equally well, within a tenth.",
        statement_zh="加入时间位置编码后，AS 与 CS 的推演误差相差在一成以内。",
    ),
    ratio(
        "recurrence-knows-order",
        ("lstm", "cs"),
        "one_step",
        0.9,
        statement="A recurrent cell per slot, which knows the order, predicts better than the order-blind memory: "
        "at most 0.9 times the error.",
        statement_zh="每个槽一个循环单元（知道先后）优于不分先后的记忆：误差至多为其 0.9 倍。",
    ),
    ratio(
        "ordered-memory-against-recurrence",
        ("cs_time", "lstm"),
        "roll_out",
        1.1,
        statement="The memory with positions in time rolls out no worse than a recurrent cell per slot: less "
        "than 1.1 times its error.",
        statement_zh="带时间位置编码的记忆，推演不逊于每个槽一个循环单元：误差小于其 1.1 倍。",
    ),
    ratio(
        "one-frame-tells-no-speed",
        ("savi", "copy"),
        "one_step",
        1.05,
        direction="equal",
        statement="Control: where one frame tells no speed, SAVi's block does what copying does, within a "
        "twentieth.",
        statement_zh="对照：单帧不含速度时，SAVi 模块与直接复制相当，误差相差在二十分之一以内。",
    ),
    ratio(
        "other-slots-tell-no-speed",
        ("savi", "mlp"),
        "one_step",
        1.05,
        direction="equal",
        statement="Control: without memory, looking at the other balls changes nothing, within a twentieth.",
        statement_zh="对照：没有记忆时，是否看其他球没有影响，误差相差在二十分之一以内。",
    ),
    ratio(
        "collisions-are-learned",
        ("cs_time", "same_speed"),
        "one_step",
        0.85,
        statement="The memory with positions learns more than speed: at most 0.85 times the error of going on at "
        "the same speed.",
        statement_zh="带位置编码的记忆学到的不只是速度：误差至多为匀速外推的 0.85 倍。",
    ),
)

_LONG: dict[str, Any] = {"experiment": "designs"}

DESIGNS = (
    ratio(
        "sum-against-space-then-time",
        ("sum", "space_then_time"),
        "one_step",
        1.03,
        **_PAPER_DESIGN,
        statement="Summing attention over space and time (T+S) predicts no worse than space, then time: less "
        "than 1.03 times its error.",
        statement_zh="空间与时间注意力相加（T+S）不逊于先空间后时间：误差小于其 1.03 倍。",
        **_LONG,
    ),
    ratio(
        "sum-against-time-then-space",
        ("sum", "time_then_space"),
        "one_step",
        1.03,
        **_PAPER_DESIGN,
        statement="Summing attention over space and time (T+S) predicts no worse than time, then space: less than "
        "1.03 times its error.",
        statement_zh="空间与时间注意力相加（T+S）不逊于先时间后空间：误差小于其 1.03 倍。",
        **_LONG,
    ),
    ratio(
        "sum-against-shared-residual",
        ("sum", "shared_residual"),
        "one_step",
        1.03,
        **_PAPER_DESIGN,
        statement="Summing attention over space and time (T+S) predicts no worse than one shared residual: less than "
        "1.03 times its error.",
        statement_zh="空间与时间注意力相加（T+S）不逊于共用一个残差：误差小于其 1.03 倍。",
        **_LONG,
    ),
    ratio(
        "longer-buffer-predicts",
        ("sum", "buffer_6"),
        "one_step",
        0.99,
        **_PAPER_DESIGN,
        statement="As published (order-blind), remembering all frames predicts better than remembering six: less than "
        "0.99 times the error.",
        statement_zh="按论文的实现（不分先后），记住全部帧优于只记六帧：误差小于其 0.99 倍。",
        **_LONG,
    ),
    ratio(
        "one-frame-buffer-is-no-memory",
        ("buffer_1", "buffer_2"),
        "one_step",
        1.5,
        direction="higher",
        statement="Control: a buffer that holds the current frame alone has at least 1.5 times the error of one "
        "that holds two.",
        statement_zh="对照：只含当前帧的缓冲，误差至少为含两帧时的 1.5 倍。",
        **_LONG,
    ),
    ratio(
        "two-ordered-frames-suffice",
        ("buffer_2_time", "all_time"),
        "one_step",
        1.05,
        direction="equal",
        statement="With positions in time, two frames predict as well as all of them, within a twentieth.",
        statement_zh="带时间位置编码时，两帧与全部帧相当，误差相差在二十分之一以内。",
        **_LONG,
    ),
    ratio(
        "fixed-positions-suffice",
        ("all_sin", "all_time"),
        "one_step",
        1.1,
        direction="equal",
        statement="Fixed sines tell the order as well as learned positions, within a tenth.",
        statement_zh="固定的正弦位置与学习的位置相当，误差相差在一成以内。",
        **_LONG,
    ),
    ratio(
        "against-slotformer",
        ("all_time", "slotformer"),
        "roll_out",
        1.1,
        statement="One CS block with positions rolls out no worse than four layers over all slots of the last "
        "six frames (SlotFormer): less than 1.1 times its error.",
        statement_zh="单个带位置编码的 CS 模块，推演不逊于在最近六帧全部槽上的四层变换器（SlotFormer）：误差小于其 "
        "1.1 倍。",
        **_LONG,
    ),
    ratio(
        "against-ocvp",
        ("all_time", "ocvp"),
        "roll_out",
        1.1,
        statement="One CS block with positions rolls out no worse than four layers of separate attention over slots "
        "and frames (OCVP): less than 1.1 times its error.",
        statement_zh="单个带位置编码的 CS 模块，推演不逊于四层槽、帧分离的注意力（OCVP）：误差小于其 1.1 倍。",
        **_LONG,
    ),
)

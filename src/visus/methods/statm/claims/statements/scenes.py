"""Whole video models on scenes with occluders."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_VIDEO = (
    "Small networks on made-up scenes of 64x64 pixels, and far fewer steps than the paper's; slot models "
    "differ by several points from seed to seed."
)
_VIDEO_ZH = "64x64 合成场景上的小网络，训练步数远少于论文；槽模型在不同随机种子之间会相差数个百分点。"


def video(id: str, pair: tuple[str, str], metric: str, effect: float, **rest: Any) -> Claim:
    """`pair`: candidate and reference; an effect in shares of 1."""
    settings: dict[str, Any] = {
        "direction": "higher",
        "origin": "paper",
        "caveat": _VIDEO,
        "caveat_zh": _VIDEO_ZH,
        **rest,
    }
    candidate, reference = pair
    return Claim(
        id=id,
        experiment="occlusion",
        candidate=candidate,
        reference=reference,
        metric=metric,
        smallest_effect=effect,
        **settings,
    )


_SWITCH: dict[str, Any] = {"direction": "lower"}
_OURS: dict[str, Any] = {"origin": "ours"}

OCCLUSION = (
    video(
        "memory-segments",
        ("cs", "savi"),
        "fg_ari",
        0.02,
        statement="With the memory, video FG-ARI on scenes with occluders is at least 2 points above SAVi's.",
        statement_zh="有记忆时，遮挡场景视频的 FG-ARI 比 SAVi 至少高 2 个百分点。",
    ),
    video(
        "memory-finds-again",
        ("cs", "savi"),
        "miou_after",
        0.02,
        statement="After an object has been hidden and comes out again, its own slot covers it better than in "
        "SAVi: at least 2 points of IoU.",
        statement_zh="物体被遮挡后再次出现时，它自己的槽比 SAVi 覆盖得更好：IoU 至少高 2 个百分点。",
    ),
    video(
        "memory-keeps-identity",
        ("cs", "savi"),
        "lost_after",
        0.02,
        statement="After an object has been hidden, another slot than its own covers it in fewer frames than in SAVi: "
        "2 in 100 fewer or better.",
        statement_zh="物体被遮挡后再次出现时，被其他槽占据的帧比 SAVi 少：每 100 帧至少少 2 帧。",
        **_SWITCH,
    ),
    video(
        "clear-view-is-a-tie",
        ("cs", "savi"),
        "fg_ari_clear",
        0.02,
        direction="equal",
        statement="Control: where every object stays in view, both segment equally well, within 2 points.",
        statement_zh="对照：所有物体始终可见时，两者分割效果相当，相差 2 个百分点以内。",
        **_OURS,
    ),
    video(
        "order-finds-again",
        ("cs_time", "cs"),
        "miou_after",
        0.01,
        statement="A position in time finds objects again better than the published memory: 1 point or more.",
        statement_zh="带时间位置编码的记忆比论文的记忆更能找回物体：1 个百分点以上。",
        **_OURS,
    ),
    video(
        "own-past-tracks-better",
        ("cs", "as"),
        "miou_conditioned",
        0.01,
        statement="Looking at the slot's own past (CS) tracks better than looking at all slots (AS): 1 point of "
        "IoU or more.",
        statement_zh="只看自己的过去（CS）比看全部槽（AS）跟踪得更好：IoU 高 1 个百分点以上。",
    ),
    video(
        "boxes-are-used",
        ("cs", "unchanged"),
        "lost_by_shuffle",
        0.1,
        statement="Control: giving each object the box of another in the first frame costs 10 points of IoU or "
        "more.",
        statement_zh="对照：把首帧中各物体的框互换，IoU 至少下降 10 个百分点。",
        **_OURS,
    ),
    video(
        "long-memory-is-used",
        ("cs", "unchanged"),
        "lost_by_forgetting",
        0.005,
        statement="The trained model does use its long memory: keeping 2 frames instead of all costs half a point "
        "of IoU or more.",
        statement_zh="训练好的模型确实使用长记忆：只保留 2 帧而非全部，IoU 至少下降 0.5 个百分点。",
    ),
    video(
        "memory-foretells-places",
        ("cs", "savi"),
        "position_error",
        0.005,
        statement="Rolled out for 10 frames without seeing, objects stay nearer to where they are: half a "
        "percent of the picture's diagonal or more.",
        statement_zh="不看画面推演 10 帧，物体位置更准：至少小画面对角线的 0.5%。",
        **_SWITCH,
    ),
)

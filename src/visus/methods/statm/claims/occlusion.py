"""Video models on scenes in which objects vanish behind panels and come out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from visus.data.videos import Clip, Videos, Whole, cut, fingerprint
from visus.methods.statm.config import GPU, SMOKE, StatmConfig
from visus.protocols import Batch, Scores, Trial

if TYPE_CHECKING:
    from torch import Tensor

    from visus.methods.statm.estimator import StatmTracker

ARMS: Mapping[str, Mapping[str, Any]] = {
    "savi": {"predictor": "savi"},
    "cs": {},
    "cs_time": {"time_positions": "learned"},
    "as": {"time": "all"},
}
"""What an arm changes."""
MEASURED = ("fg_ari", "miou_conditioned", "miou_after", "lost_after", "fg_ari_clear")
CHANGES = ("lost_by_shuffle", "lost_by_forgetting")
FORGETFUL = 2
"""Frames that a memory keeps in `lost_by_forgetting`."""
FIRST_SEED = 100
"""Claims are measured on seeds from here on."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Videos of a preset."""

    train: int
    test: int
    frames: int
    burn_in: int
    steps: int
    """Of a roll-out."""


SIZES: Mapping[str, Size] = {
    "smoke": Size(train=3, test=2, frames=14, burn_in=4, steps=3),
    "gpu": Size(train=600, test=100, frames=24, burn_in=6, steps=10),
    "paper": Size(train=600, test=100, frames=24, burn_in=6, steps=10),
}
_LEARN: dict[str, Any] = {
    "max_instances": 5,
    "slots": 6,
    "validation": 0.0,
    "targets": "flow",
    "init": "boxes",
}
CONFIGS: Mapping[str, StatmConfig] = {
    "smoke": replace(SMOKE, **_LEARN, steps=2, batch_size=2, future_steps=1, burn_in=4, horizon=3),
    "gpu": replace(GPU, **_LEARN, steps=6000, future_steps=1500, burn_in=6, horizon=10),
    "paper": replace(GPU, **_LEARN, steps=6000, future_steps=1500, burn_in=6, horizon=10),
}


def measure_occlusion(trial: Trial, run: Any) -> Scores:
    """One predictor inside the same video model, trained on 6-frame clips, judged on whole videos.

    See `judge`. `unchanged`: nothing is lost, the reference of what is.
    """
    if trial.arm == "unchanged":
        return dict.fromkeys(CHANGES, 0.0)
    from visus.methods.statm.estimator import StatmTracker

    size, config = SIZES[trial.preset], replace(CONFIGS[trial.preset], **ARMS[trial.arm])
    made = StatmTracker(config).fit(world(trial, "train", size.train), run)
    hidden = world(trial, "test", size.test)
    scores = judge(made, hidden) | {"fg_ari_clear": clear_view(made, world(trial, "test", size.test, False))}
    if trial.arm != "savi":
        short = judge(made.remembering(FORGETFUL), hidden)["miou_conditioned"]
        scores["lost_by_forgetting"] = scores["miou_conditioned"] - short
    shuffled = judge(made, hidden, shuffle=True)["miou_conditioned"]
    scores["lost_by_shuffle"] = scores["miou_conditioned"] - shuffled
    future = made.evaluate_future(hidden, burn_in=size.burn_in, steps=size.steps)
    return {**scores, "position_error": future["position_error"]}


class Rendered:
    """Videos that are drawn once, all of them, and kept."""

    def __init__(self, videos: Videos) -> None:
        self.names = list(videos.names)
        self.clips = [videos.read(index) for index in range(len(videos))]
        self.drawn_from = fingerprint(videos)

    def __len__(self) -> int:
        return len(self.clips)

    def num_frames(self, index: int) -> int:
        """Length of a video."""
        return len(self.clips[index]["video"])

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        """Frames of a video, as views."""
        return cut(self.clips[index], start, stop)

    def fingerprint(self) -> str:
        """That of the videos."""
        return self.drawn_from


def world(trial: Trial, part: Literal["train", "test"], count: int, occlusion: bool = True) -> Rendered:
    """Scenes of 2 to 5 objects; the same for all arms."""
    from visus.data.worlds.scenes import SceneVideos

    videos = SceneVideos(
        count,
        frames=SIZES[trial.preset].frames,
        seed=FIRST_SEED + trial.seed,
        part=part,
        size=CONFIGS[trial.preset].image_size[0],
        objects=(2, 5),
        occlusion=occlusion,
    )
    return Rendered(videos)


def judge(made: StatmTracker, videos: Videos, *, shuffle: bool = False) -> Scores:
    """Scores of followed objects, means over videos.

    `miou_...` are of object i and slot i + 1; `..._after`: in the frames that show an object which had been
    hidden. `lost_after` is the share of these frames in which another slot (the background's, too) covers it
    more than its own, over all videos together; `switches_after` the share of gaps after which another object's
    slot has it.
    """
    import torch

    from visus.metrics import foreground_ari, identity_switches, lost_after_gap, mean_iou, reappeared

    found: dict[str, list[Tensor]] = {name: [] for name in ("fg_ari", "miou_conditioned", "miou_after")}
    shown, lost, gaps, switched = 0.0, 0.0, 0.0, 0.0
    for index in range(len(videos)):
        batch = one(videos, index)
        truth, objects = batch["segmentation"], batch["visibility"].shape[2]
        said = made.predict(shuffled(batch) if shuffle else batch)["segmentation"]
        after = reappeared(batch["visibility"])
        found["fg_ari"].append(foreground_ari(truth, said))
        found["miou_conditioned"].append(mean_iou(truth, said, matching="conditioned"))
        found["miou_after"].append(mean_iou(truth, said, matching="conditioned", counted=after))
        again = lost_after_gap(truth, said)
        shown += float(again.chances.sum())
        lost += float(again.count.sum())
        switches = identity_switches(truth, said, objects=objects, background=0)
        gaps += float(switches.chances_after_gap.sum())
        switched += float(switches.count_after_gap.sum())
    scores = {name: float(torch.cat(values).nanmean()) for name, values in found.items()}
    shares = {"lost_after": (lost, shown), "switches_after": (switched, gaps)}
    return scores | {name: part / whole if whole else float("nan") for name, (part, whole) in shares.items()}


def clear_view(made: StatmTracker, videos: Videos) -> float:
    """Mean FG-ARI of the videos in which every object is seen in every frame; nan if there is none."""
    import torch

    from visus.metrics import foreground_ari

    scores = []
    for index in range(len(videos)):
        batch = one(videos, index)
        if (batch["visibility"][:, :, : int(batch["num_instances"][0])] > 0).all():
            scores.append(foreground_ari(batch["segmentation"], made.predict(batch)["segmentation"]))
    return float(torch.cat(scores).mean()) if scores else float("nan")


def one(videos: Videos, index: int) -> Batch:
    """One video as a batch."""
    return Whole(videos).batch([index])


def shuffled(batch: Batch) -> Batch:
    """The batch with the boxes of the objects seen in its first frame passed on in a ring."""
    boxes = batch["boxes"].clone()
    for row in boxes:
        seen = (row[0] != 0).any(-1).nonzero()[:, 0]
        row[:, seen] = row[:, seen.roll(1)]
    return {**batch, "boxes": boxes}

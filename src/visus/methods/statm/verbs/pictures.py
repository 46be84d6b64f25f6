"""What `evaluate` writes of single videos: a table of all scores, and drawings of the best, a middling, the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visus.records import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from visus.data.videos import Videos
    from visus.methods.statm.estimator import StatmTracker

RANKED = ("miou_conditioned", "miou_hungarian", "box_iou", "psnr")
"""The first of these scores that is known puts the videos in order; more is better in each."""


def write_pictures(
    folder: Path, made: StatmTracker, videos: Videos, each: Mapping[str, Tensor]
) -> list[tuple[str, str, float]]:
    """FOLDER/videos.csv, and per chosen video a strip of frames and, where the truth is known, a timeline.

    Parameters
    ----------
    each : score -> one value per video.

    Returns
    -------
    Which video was drawn under which name, with its score: (name of the picture, name of the video, score).
    """
    import pandas as pd

    from visus.data.formats.table import write_table

    columns = {name: values.numpy() for name, values in each.items()}
    write_table(folder / "videos.csv", pd.DataFrame({"video": list(videos.names), **columns}))
    name = next((name for name in RANKED if name in each and not each[name].isnan().all()), None)
    if name is None:
        return []
    chosen = choose(each[name].tolist())
    for picture, index in chosen.items():
        title = f"{videos.names[index]}: {name} {float(each[name][index]):.3f}"
        _draw(folder, picture, made, videos, index, title=title)
    return [(picture, videos.names[i], float(each[name][i])) for picture, i in chosen.items()]


def choose(scores: Sequence[float]) -> dict[str, int]:
    """Which videos to draw: the worst, the middle one and the best, each once; nan counts as unknown.

    >>> choose([0.2, 0.9, float("nan"), 0.5])
    {'worst': 0, 'middle': 3, 'best': 1}
    >>> choose([0.2])
    {'worst': 0}
    """
    order = sorted((score, index) for index, score in enumerate(scores) if score == score)
    places = {"worst": 0, "middle": len(order) // 2, "best": len(order) - 1}
    chosen: dict[str, int] = {}
    for picture, place in places.items():
        if order and order[place][1] not in chosen.values():
            chosen[picture] = order[place][1]
    return chosen


def _draw(folder: Path, picture: str, made: StatmTracker, videos: Videos, index: int, *, title: str) -> None:
    import torch

    from visus.methods.statm.figures import draw_strip, draw_timeline

    found = torch.cat([part.segmentation[0].cpu() for part in made.follow_video(videos, index)])
    clip, rows = videos.read(index), {"found": found}
    most = made.settings.max_instances
    truth = clip.get("segmentation")
    if truth is not None:
        truth = truth.masked_fill(truth > most, 0)
        rows = {"truth": truth, **rows}
    write_atomically(folder / f"{picture}.svg", draw_strip(clip["video"], rows, title=title))
    # slots that start from noise stand for no object in particular: their colors would say nothing
    if truth is not None and truth.any() and made.init_ != "none":
        write_atomically(
            folder / f"{picture}-timeline.svg", draw_timeline(truth, {"found": found}, title=title)
        )

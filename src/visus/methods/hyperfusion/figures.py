"""Pictures: what the claims are measured on, and how predictions change with the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visus.drawing import drawing, svg
from visus.methods.hyperfusion.estimator.explain import Response
from visus.protocols import Figure, PaperEvidence

COLORS = ("#1f6f8b", "#c8553d", "#6a8d3a", "#7b5ea7", "#8a6d3b", "#3c3c3c")


def figures(paper: PaperEvidence) -> list[Figure]:
    """Inputs of the experiments in `paper`, so that a reader sees what was asked of every arm."""
    measured = {evidence.claim.experiment for evidence in paper.claims if any(evidence.arms.values())}
    return [
        *([digits_figure()] if measured & {"xor", "four_rules", "gaps"} else []),
        *([heads_figure()] if measured & {"phantom_age", "phantom_clinic"} else []),
    ]


def digits_figure(count: int = 8) -> Figure:
    """Some digits of the XOR experiment with their table column and label."""
    from visus.data.worlds import digits

    part = digits.make("xor", n=40, n_test=40).train
    keys, labels = part.frame["key"].tolist(), part.targets
    shown = [i for key in (0, 1) for i in range(len(part)) if keys[i] == key][:: len(part) // count][:count]
    pictures = [part.batch([i])["image"][0, 0].numpy() for i in shown]
    titles = [f"key {keys[i]:g}\ny = {labels[i]}" for i in shown]
    return Figure(
        name="hyperfusion-digits",
        svg=_gallery(pictures, titles, columns=4),
        caption="Inputs of the XOR experiment: y = (digit >= 5) xor key. Neither the picture nor the key alone says "
        "anything about y.",
        caption_zh="异或实验的输入：y =（数字 ≥ 5）异或 key。单看图像或单看 key 都无法得知 y。",
    )


def heads_figure(count: int = 4) -> Figure:
    """Axial slices of head phantoms with age and sex."""
    from visus.data.worlds import phantom

    world = phantom.make("age", n=40, n_test=8, shape=(32, 40, 32))
    truth = world.train_truth
    ages = [float(age) for age in world.train.targets]
    chosen = []
    for sex in sorted(set(truth["sex"])):
        order = sorted((i for i in range(len(ages)) if truth["sex"].iloc[i] == sex), key=ages.__getitem__)
        chosen += [order[round(step * (len(order) - 1) / (count // 2 - 1))] for step in range(count // 2)]
    volumes = [world.train.batch([i])["image"][0, 0] for i in chosen]
    pictures = [volume[volume.shape[0] * 9 // 16].flip(0).numpy() for volume in volumes]
    titles = [
        f"{ages[i]:.0f} years, {truth['sex'].iloc[i]}\n{truth['ventricle_ml'].iloc[i]:.0f} ml" for i in chosen
    ]
    return Figure(
        name="hyperfusion-heads",
        svg=_gallery(pictures, titles, columns=4),
        caption="Head phantoms of the age experiment (axial slice; age, sex, ventricle volume). The ventricles grow at "
        "a rate that depends on sex, and sex is in the table only.",
        caption_zh="年龄实验中的头部仿体（轴位切片；年龄、性别、脑室体积）。脑室的增长速度取决于性别，而性别只出现在表格中。",
    )


def _gallery(pictures: Sequence[Any], titles: Sequence[str], *, columns: int) -> str:
    """Gray pictures with titles, as SVG text."""
    rows = math.ceil(len(pictures) / columns)
    with drawing(1.75 * rows, width=5.4) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, picture, title in zip(panels, pictures, titles):
            panel.imshow(picture, cmap="gray", interpolation="nearest")
            panel.set_title(title, fontsize=9, loc="center")
        for panel in panels:
            panel.set_axis_off()
        return svg(figure)


def draw_responses(responses: Sequence[Response], outputs: Sequence[str], file: str | Path) -> Path:
    """One panel per column: the mean curve per output, and every item's behind it. SVG, PNG or PDF by suffix.

    `outputs`: names of the classes, or the target's name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = min(3, len(responses))
    high = math.ceil(len(responses) / wide)
    figure = Figure(figsize=(3.6 * wide, 2.9 * high + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(high, wide, squeeze=False, sharey=True).ravel()
    for panel, response in zip(panels, responses):
        _panel(panel, response, len(outputs))
    for panel in panels[len(responses) :]:
        panel.set_axis_off()
    what = {1: outputs[0], 2: f"probability of {outputs[-1]}"}.get(len(outputs), "probability")
    panels[0].set_ylabel(what)
    if len(outputs) > 2:
        colors = [COLORS[i % len(COLORS)] for i in range(len(outputs))]
        handles = [panels[0].plot([], [], color=c, label=name)[0] for c, name in zip(colors, outputs)]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(outputs), frameon=False)
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=160)
    return file


def _panel(panel: Any, response: Response, outputs: int) -> None:
    known = [i for i, value in enumerate(response.values) if value is not None]
    absent = [i for i, value in enumerate(response.values) if value is None]
    numeric = response.kind == "continuous"
    places = [float(response.values[i]) if numeric else float(n) for n, i in enumerate(known)]
    span = places[-1] - places[0]
    step = 0.25 * span if numeric else 1.0  # room between the last value and "missing"
    apart = [places[-1] + (step or 1.0)] * len(absent)
    shown = range(outputs) if outputs != 2 else (1,)
    for k in shown:
        color = COLORS[k % len(COLORS)]
        curves, mean = response.curves[:, :, k].numpy(), response.mean[:, k].numpy()
        style = "-" if numeric else "o-"
        if outputs <= 2:
            panel.plot(places, curves[known], color=color, alpha=0.12, linewidth=0.8)
        panel.plot(places, mean[known], style, color=color, linewidth=2, markersize=5)
        panel.plot(apart, mean[absent], "D", color=color, markersize=6, fillstyle="none")
    panel.set_title(response.column, fontsize=10, loc="left")
    panel.spines[["top", "right"]].set_visible(False)
    if numeric and not absent:
        return
    middle = places[len(places) // 2]
    ticks = sorted({places[0], middle, places[-1]}) if numeric else places
    labels = [f"{tick:.3g}" for tick in ticks] if numeric else [str(response.values[i]) for i in known]
    panel.set_xticks([*ticks, *apart], [*labels, *["missing"] * len(absent)], fontsize=8)

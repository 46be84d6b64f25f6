"""Three balls that collide in a unit box: motion that one frame does not tell and two do."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

BALLS = 3
RADIUS = 0.12
FASTEST = 0.076
"""Largest speed along an axis at the start, box widths per frame."""
SUBSTEPS = 8


def roll_balls(clips: int, frames: int, *, seed: int) -> Float[Tensor, "b t 3 2"]:
    """Centers (x, y) of equal balls in the box [0, 1]^2, frame by frame, float32.

    They start apart from each other with velocities uniform in a square, keep their energy, bounce off the
    walls and off each other. The speeds are constants of the clip, so the frames before tell what is to come.
    """
    rng = np.random.default_rng([seed, clips, frames])
    place, speed = _apart(rng, clips), rng.uniform(-FASTEST, FASTEST, (clips, BALLS, 2))
    seen = np.empty((clips, frames, BALLS, 2))
    for frame in range(frames):
        seen[:, frame] = place
        for _ in range(SUBSTEPS):
            place = place + speed / SUBSTEPS
            outside = ((place < RADIUS) & (speed < 0)) | ((place > 1 - RADIUS) & (speed > 0))
            speed = np.where(outside, -speed, speed)
            speed = _strike(place, speed)
    return torch.from_numpy(seen).float()


def _apart(rng: np.random.Generator, clips: int) -> np.ndarray:
    """Starts that do not overlap: clips in which some do are drawn again."""
    place = np.empty((clips, BALLS, 2))
    again = np.ones(clips, bool)
    while again.any():
        place[again] = rng.uniform(RADIUS, 1 - RADIUS, (int(again.sum()), BALLS, 2))
        gap = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1) + 9 * np.eye(BALLS)
        again = (gap < 2 * RADIUS).any((1, 2))
    return place


def _strike(place: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Balls that touch and approach exchange their velocities along the line of their centers."""
    for i in range(BALLS):
        for j in range(i):
            line = place[:, i] - place[:, j]
            gap = np.linalg.norm(line, axis=-1, keepdims=True)
            line = line / np.maximum(gap, 1e-9)
            closing = ((speed[:, i] - speed[:, j]) * line).sum(-1, keepdims=True)
            push = np.where((gap < 2 * RADIUS) & (closing < 0), closing, 0.0) * line
            speed = speed.copy()
            speed[:, i] -= push
            speed[:, j] += push
    return speed

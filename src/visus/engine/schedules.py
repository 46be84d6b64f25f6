"""Learning-rate factors as pure functions of a phase's progress: resuming needs no scheduler state."""

from __future__ import annotations

import math

from visus.protocols import Phase


def rate_factor(phase: Phase, step: int, total: int) -> float:
    """Factor on every optimizer's own learning rate at `step` (0-based) of `total`.

    Warm-up rises linearly over the first `phase.warmup` share of the steps; then `constant`, `linear` to
    zero, or `cosine` to zero.

    >>> [round(rate_factor(Phase(schedule="linear", warmup=0.2), step, 10), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.12]
    """
    rising = round(phase.warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if phase.schedule == "linear":
        return 1.0 - done
    if phase.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    return 1.0

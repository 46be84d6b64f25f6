"""Labels kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def spread(
    places: Sequence[float], least: float, *, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Places moved as little as needed (least squares) so that neighbors are at least `least` apart.

    The order is kept; equal places keep the order given. All stay between `low` and `high` where these leave
    enough room, else above `low`.

    >>> spread([0.0, 0.0, 5.0], 1.0)
    [-0.5, 0.5, 5.0]
    >>> spread([0.0, 0.0, 5.0], 1.0, low=0.0)
    [0.0, 1.0, 5.0]
    """
    order = np.argsort(places, kind="stable")
    groups: list[tuple[float, int]] = []  # mean of (place - rank * least), how many
    for rank, index in enumerate(order):
        mean, count = float(places[index]) - rank * least, 1
        while groups and groups[-1][0] > mean:  # pool adjacent violators
            before, many = groups.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        groups.append((mean, count))
    flat = [
        max(low, min(mean, high - (len(order) - 1) * least)) for mean, count in groups for _ in range(count)
    ]
    found = [0.0] * len(places)
    for rank, index in enumerate(order):
        found[index] = flat[rank] + rank * least
    return found

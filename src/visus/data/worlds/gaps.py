"""Missing values, at random or depending on the value that is missing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from visus.errors import InputError

Mechanism = Literal["mcar", "mnar"]
STEEPNESS = 1.5
"""Log odds per standard deviation with which a larger value goes missing under `mnar`."""


def gaps(
    values: Float[np.ndarray, " n"],
    share: float,
    *,
    mechanism: Mechanism,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Which of `values` go missing: exactly round(share * n) of them.

    `mcar`: each as likely as any other. `mnar`: drawn without replacement with weights exp(1.5 z), z the
    standardized value, so large values are missing more often and a gap says something about the value.
    """
    if not 0 <= share < 1:
        raise InputError(
            f"a share of {share} cannot be missing", field="missing", remedy="give 0 <= missing < 1"
        )
    if mechanism not in ("mcar", "mnar"):
        raise InputError(f"unknown mechanism {mechanism!r}", field="mechanism", remedy="use mcar or mnar")
    spread = values.std()
    z = (values - values.mean()) / spread if mechanism == "mnar" and spread > 0 else np.zeros(len(values))
    # The largest of weight * exponential-race keys: sampling without replacement (Gumbel top-k).
    keys = STEEPNESS * z + rng.gumbel(size=len(values))
    missing = np.zeros(len(values), dtype=bool)
    count = round(share * len(values))
    if count:
        missing[np.argsort(-keys, kind="stable")[:count]] = True
    return missing

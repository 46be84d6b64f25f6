"""What the interpreter is compared with, built from the same parts and used in the same way."""

from visus.methods.nsi.baselines.boxes import Boxed, box_means
from visus.methods.nsi.baselines.contender import Contender, Grounded, Patches, Ungrounded
from visus.methods.nsi.baselines.pooled import Pooled
from visus.methods.nsi.baselines.prediction import (
    SetPredictor,
    least_matching,
    matching_table,
    pairwise_costs,
)

__all__ = [
    "Boxed",
    "Contender",
    "Grounded",
    "Patches",
    "Pooled",
    "SetPredictor",
    "Ungrounded",
    "box_means",
    "least_matching",
    "matching_table",
    "pairwise_costs",
]

"""`ChestXrayReader` and the networks it can train."""

from visus.methods.chestxray.estimator.building import build, view_of
from visus.methods.chestxray.estimator.inputs import to_native
from visus.methods.chestxray.estimator.reader import ChestXrayReader
from visus.methods.chestxray.estimator.scores import ItemScores, interval_scores, mean_scores

__all__ = [
    "ChestXrayReader",
    "ItemScores",
    "build",
    "interval_scores",
    "mean_scores",
    "to_native",
    "view_of",
]

"""The estimators: the slot interpreter, its index of scenes, and the few-shot classifier on its slots."""

from visus.methods.nsi.estimator.features import FrozenFeatures
from visus.methods.nsi.estimator.fewshot import NSIFewShot
from visus.methods.nsi.estimator.index import Hits, SceneIndex
from visus.methods.nsi.estimator.nsi import NSI

__all__ = ["NSI", "FrozenFeatures", "Hits", "NSIFewShot", "SceneIndex"]

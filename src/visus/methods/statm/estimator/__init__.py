"""`StatmTracker` and what it answers with."""

from visus.methods.statm.estimator.following import Following
from visus.methods.statm.estimator.segments import Segments
from visus.methods.statm.estimator.tracker import StatmTracker

__all__ = ["Following", "Segments", "StatmTracker"]

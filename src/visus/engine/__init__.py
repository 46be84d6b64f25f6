"""Training: the only room that knows Accelerate. It names no method.

`Run` is a folder that work happens in (run again = resume); `TorchEstimator` is the base of estimators.
"""

from visus.engine.estimator import TorchEstimator
from visus.engine.run import Run
from visus.engine.seeds import derive_seed, seeded

__all__ = ["Run", "TorchEstimator", "derive_seed", "seeded"]

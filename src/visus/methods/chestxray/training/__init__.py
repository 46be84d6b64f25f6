"""How the reader learns: stages that freeze what they do not train, and a record of which weights each began from."""

from visus.methods.chestxray.training.examples import Examples
from visus.methods.chestxray.training.lineage import Ledger, StageRecord, weights_hash
from visus.methods.chestxray.training.staged import StagedTraining
from visus.methods.chestxray.training.stages import Stage, freeze, phases, plan

__all__ = [
    "Examples",
    "Ledger",
    "Stage",
    "StageRecord",
    "StagedTraining",
    "freeze",
    "phases",
    "plan",
    "weights_hash",
]

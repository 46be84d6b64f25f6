"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured."""

from visus.methods.chestxray.claims.statements.designs import DESIGNS, PRETRAINED
from visus.methods.chestxray.claims.statements.laws import LAWS
from visus.methods.chestxray.claims.statements.stages import CONTROLS, GAZE, STAGES

CLAIMS = (*LAWS, *STAGES, *GAZE, *CONTROLS, *DESIGNS, *PRETRAINED)

__all__ = ["CLAIMS", "CONTROLS", "DESIGNS", "GAZE", "LAWS", "PRETRAINED", "STAGES"]

"""Pictures: calibration, concepts, dissimilarities, effects of attributes."""

from visus.methods.alignment.figures.attributes import draw_attribute, draw_effects
from visus.methods.alignment.figures.calibration import GUESSING, draw_calibration
from visus.methods.alignment.figures.concepts import ConceptMark, draw_concepts, draw_uncertainty
from visus.methods.alignment.figures.matrices import draw_matrices
from visus.methods.alignment.figures.report import figures

__all__ = [
    "GUESSING",
    "ConceptMark",
    "draw_attribute",
    "draw_calibration",
    "draw_concepts",
    "draw_effects",
    "draw_matrices",
    "draw_uncertainty",
    "figures",
]

"""The classifier a person uses."""

from visus.methods.vgloss.estimator.classifier import VGlossClassifier
from visus.methods.vgloss.estimator.encoders import EncoderPair
from visus.methods.vgloss.estimator.explaining import Evidence, Explanation

__all__ = ["EncoderPair", "Evidence", "Explanation", "VGlossClassifier"]

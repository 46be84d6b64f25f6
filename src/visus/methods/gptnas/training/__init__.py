"""Training: of the layer model and the chooser, of candidates, of the best architecture."""

from visus.methods.gptnas.training.candidate import (
    Candidates,
    NetworkTraining,
    Recipe,
    Worth,
    cross_entropy,
    freeze_rest,
    settle,
    trainable_parts,
)
from visus.methods.gptnas.training.final import FinalTraining, final_phases, train_final
from visus.methods.gptnas.training.images import Labeled, Pixels, augment, class_scores, share_right

__all__ = [
    "Candidates",
    "FinalTraining",
    "Labeled",
    "NetworkTraining",
    "Pixels",
    "Recipe",
    "Worth",
    "augment",
    "class_scores",
    "cross_entropy",
    "final_phases",
    "freeze_rest",
    "settle",
    "share_right",
    "train_final",
    "trainable_parts",
]

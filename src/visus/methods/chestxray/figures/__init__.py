"""Pictures: maps over radiographs, single cases, calibration, ROC curves, confusion, and arms side by side."""

from visus.methods.chestxray.figures.cases import Case, draw_cases, draw_explained
from visus.methods.chestxray.figures.charts import draw_arms, draw_confusion, draw_reliability, draw_roc
from visus.methods.chestxray.figures.overlay import overlay, png
from visus.methods.chestxray.figures.report import figures

__all__ = [
    "Case",
    "draw_arms",
    "draw_cases",
    "draw_confusion",
    "draw_explained",
    "draw_reliability",
    "draw_roc",
    "figures",
    "overlay",
    "png",
]

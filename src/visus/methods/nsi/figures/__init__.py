"""Pictures: which slot carries which object, what was found, how often, and who scores whom."""

from visus.methods.nsi.figures.charts import draw_recalls, draw_scores
from visus.methods.nsi.figures.pictures import Found, Scene, draw_grounding, draw_retrieval
from visus.methods.nsi.figures.report import figures

__all__ = [
    "Found",
    "Scene",
    "draw_grounding",
    "draw_recalls",
    "draw_retrieval",
    "draw_scores",
    "figures",
]

"""Pictures: cells in the plane and in space, histograms, training, and sizes against the theorem's bound."""

from visus.methods.polytopes.figures.cells import draw_cells
from visus.methods.polytopes.figures.charts import draw_bounds, draw_histograms, draw_history, draw_views
from visus.methods.polytopes.figures.exploded import draw_exploded
from visus.methods.polytopes.figures.report import figures

__all__ = [
    "draw_bounds",
    "draw_cells",
    "draw_exploded",
    "draw_histograms",
    "draw_history",
    "draw_views",
    "figures",
]

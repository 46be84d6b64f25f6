"""Pictures: errors of predictors, paths of balls, costs, and videos with what slots make of them."""

from visus.methods.statm.figures.charts import draw_costs, draw_scores
from visus.methods.statm.figures.paths import draw_paths
from visus.methods.statm.figures.report import figures
from visus.methods.statm.figures.strips import draw_strip, draw_timeline

__all__ = ["draw_costs", "draw_paths", "draw_scores", "draw_strip", "draw_timeline", "figures"]

"""Pictures: best-so-far curves, cells, networks as chains of blocks, what a prior believes, and the report's."""

from visus.methods.gptnas.figures.architecture import Stone, draw_architecture
from visus.methods.gptnas.figures.cell import draw_cell
from visus.methods.gptnas.figures.curves import draw_curves
from visus.methods.gptnas.figures.prior import draw_information, draw_prior, marginals
from visus.methods.gptnas.figures.report import figures

__all__ = [
    "Stone",
    "draw_architecture",
    "draw_cell",
    "draw_curves",
    "draw_information",
    "draw_prior",
    "figures",
    "marginals",
]

"""Pictures: differences of description sets, the sentences that decided, quality, the report."""

from visus.methods.vgloss.figures.cards import draw_card
from visus.methods.vgloss.figures.differences import draw_differences
from visus.methods.vgloss.figures.evidence import draw_evidence
from visus.methods.vgloss.figures.quality import draw_quality
from visus.methods.vgloss.figures.report import figures

__all__ = [
    "draw_card",
    "draw_differences",
    "draw_evidence",
    "draw_quality",
    "figures",
]

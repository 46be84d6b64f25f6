"""What the paper asserts and what it leaves out, as data.

Smallest effects were fixed before measuring; sizes were chosen on seeds that the claims do not use.
"""

from visus.methods.vgloss.claims.experiments import EXPERIMENTS
from visus.methods.vgloss.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

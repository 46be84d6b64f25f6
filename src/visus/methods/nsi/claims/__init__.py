"""What the paper asserts and what it leaves out, as data.

Smallest effects were fixed before measuring; sizes and rates were chosen on a seed that the claims do not use.
"""

from visus.methods.nsi.claims.experiments import EXPERIMENTS
from visus.methods.nsi.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

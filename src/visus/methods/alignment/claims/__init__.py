"""What the paper asserts and what it leaves out, as data.

Smallest effects were fixed before measuring; sizes were chosen on time, with seeds that no claim uses.
"""

from visus.methods.alignment.claims.experiments import EXPERIMENTS
from visus.methods.alignment.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

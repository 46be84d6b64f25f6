"""What the paper asserts and what it leaves out, as data.

Directions and smallest effects were fixed before measuring, from a prototype's numbers on other seeds.
"""

from visus.methods.statm.claims.experiments import EXPERIMENTS
from visus.methods.statm.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

"""What the paper asserts and what it leaves out, as data.

Smallest effects and sizes were fixed before measuring, from a prototype's numbers on other seeds.
"""

from visus.methods.gptnas.claims.experiments import EXPERIMENTS
from visus.methods.gptnas.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

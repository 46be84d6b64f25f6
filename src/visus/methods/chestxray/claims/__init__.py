"""What the paper asserts and what it leaves out, as data.

Smallest effects were fixed before measuring; sizes were chosen on time, and on the class-only arm alone.
"""

from visus.methods.chestxray.claims.experiments import EXPERIMENTS
from visus.methods.chestxray.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

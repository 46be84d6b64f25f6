"""What the paper asserts, the theorems it leans on, and what it leaves out, as data."""

from visus.methods.polytopes.claims.experiments import EXPERIMENTS
from visus.methods.polytopes.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

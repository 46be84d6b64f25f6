"""What the paper asserts and what it leaves out, as data."""

from visus.methods.attention.claims.data import digits, reviews
from visus.methods.attention.claims.experiments import EXPERIMENTS
from visus.methods.attention.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS", "digits", "reviews"]

"""What the paper asserts and the controls it lacks, on worlds whose truth is known.

The paper's claim order is HyperFusion > {DAFT, FiLM, concatenation, image, table} (diagnosis) and > {image,
concatenation} (brain age); its data are restricted, so the order is measured on embedded worlds. Sizes,
smallest effects and seeds were fixed before measuring; see NOTES.md for the seeds used while choosing
settings.
"""

from visus.methods.hyperfusion.claims.experiments import EXPERIMENTS
from visus.methods.hyperfusion.claims.statements import CLAIMS

__all__ = ["CLAIMS", "EXPERIMENTS"]

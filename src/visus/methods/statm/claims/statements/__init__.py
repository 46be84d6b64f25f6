"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured."""

from visus.methods.statm.claims.statements.exact import COUNTS, LAWS, TIMES
from visus.methods.statm.claims.statements.hidden import HIDDEN
from visus.methods.statm.claims.statements.scenes import OCCLUSION
from visus.methods.statm.claims.statements.tokens import DESIGNS, TOKENS

CLAIMS = (*LAWS, *COUNTS, *TIMES, *TOKENS, *DESIGNS, *HIDDEN, *OCCLUSION)

__all__ = ["CLAIMS", "COUNTS", "DESIGNS", "HIDDEN", "LAWS", "OCCLUSION", "TIMES", "TOKENS"]

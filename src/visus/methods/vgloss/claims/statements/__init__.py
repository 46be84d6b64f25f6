"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured."""

from visus.methods.vgloss.claims.statements.contrast import CLIP, CONFUSABLE, CONTRAST
from visus.methods.vgloss.claims.statements.laws import LAWS, LEXICON
from visus.methods.vgloss.claims.statements.texts import LANGUAGE, PROXY

CLAIMS = (*LAWS, *LEXICON, *PROXY, *LANGUAGE, *CONTRAST, *CONFUSABLE, *CLIP)

__all__ = ["CLAIMS", "CLIP", "CONFUSABLE", "CONTRAST", "LANGUAGE", "LAWS", "LEXICON", "PROXY"]

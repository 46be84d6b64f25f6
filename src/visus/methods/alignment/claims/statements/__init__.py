"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured."""

from visus.methods.alignment.claims.statements.laws import LAWS
from visus.methods.alignment.claims.statements.networks import CONCEPTS, OBJECTIVE, PLANTED
from visus.methods.alignment.claims.statements.people import HUMAN, IMAGES, TRANSFER, WORDS

CLAIMS = (*LAWS, *HUMAN, *IMAGES, *TRANSFER, *WORDS, *OBJECTIVE, *PLANTED, *CONCEPTS)

__all__ = [
    "CLAIMS",
    "CONCEPTS",
    "HUMAN",
    "IMAGES",
    "LAWS",
    "OBJECTIVE",
    "PLANTED",
    "TRANSFER",
    "WORDS",
]

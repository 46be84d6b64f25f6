"""Princeton's WordNet: words, meanings and how near they are, read from the files of version 3.0 or 3.1."""

from visus.data.wordnet.finding import HOW_TO_GET, find_wordnet
from visus.data.wordnet.lexicon import CONCRETE, LEXFILES
from visus.data.wordnet.reader import WordNet
from visus.data.wordnet.similarity import path_similarity, wu_palmer, wu_palmer_matrix
from visus.data.wordnet.synset import Synset

__all__ = [
    "CONCRETE",
    "HOW_TO_GET",
    "LEXFILES",
    "Synset",
    "WordNet",
    "find_wordnet",
    "path_similarity",
    "wu_palmer",
    "wu_palmer_matrix",
]

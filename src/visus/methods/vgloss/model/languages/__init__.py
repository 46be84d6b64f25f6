"""Language models behind one protocol: on this machine, behind a server, recorded, cached, or none at all."""

from visus.methods.vgloss.model.languages.cached import CachedLM
from visus.methods.vgloss.model.languages.entry import FIELDS, Entry, entry_of, read_entries
from visus.methods.vgloss.model.languages.http import HttpLM
from visus.methods.vgloss.model.languages.lexical import LexicalLM
from visus.methods.vgloss.model.languages.opening import open_language, smollm2
from visus.methods.vgloss.model.languages.protocol import Decoding, LanguageModel
from visus.methods.vgloss.model.languages.replay import ReplayLM
from visus.methods.vgloss.model.languages.transformers import TransformersLM

__all__ = [
    "FIELDS",
    "CachedLM",
    "Decoding",
    "Entry",
    "HttpLM",
    "LanguageModel",
    "LexicalLM",
    "ReplayLM",
    "TransformersLM",
    "entry_of",
    "open_language",
    "read_entries",
    "smollm2",
]

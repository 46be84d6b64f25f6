"""The fixed tables of the WordNet database format: lexicographer files, pointer symbols, parts of speech.

Source: the manual pages lexnames(5WN), wninput(5WN) and wndb(5WN) of WordNet 3.0.
"""

from __future__ import annotations

POS_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
"""Part of speech -> ending of its files. Adjective satellites (`s`) live among the adjectives."""
ADJECTIVES = ("all", "pert")
NOUNS = (
    *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event"),
    *("feeling", "food", "group", "location", "motive", "object", "person", "phenomenon", "plant"),
    *("possession", "process", "quantity", "relation", "shape", "state", "substance", "time"),
)
VERBS = (
    *("body", "change", "cognition", "communication", "competition", "consumption", "contact", "creation"),
    *("emotion", "motion", "perception", "possession", "social", "stative", "weather"),
)
LEXFILES = (
    *(f"adj.{name}" for name in ADJECTIVES),
    "adv.all",
    *(f"noun.{name}" for name in NOUNS),
    *(f"verb.{name}" for name in VERBS),
    "adj.ppl",
)
"""Name of lexicographer file number i, i = 0..44."""

HYPERNYM, INSTANCE_HYPERNYM = "@", "@i"
HYPONYM, INSTANCE_HYPONYM = "~", "~i"
MERONYMS = ("%p", "%m", "%s")
"""Pointers from a whole to its parts, members and substances."""
HOLONYMS = ("#p", "#m", "#s")
SIMILAR, ATTRIBUTE = "&", "="

CONCRETE = tuple(
    f"noun.{name}"
    for name in ("animal", "artifact", "body", "food", "object", "person", "phenomenon", "plant", "substance")
)
"""Lexicographer files of things a photo can show."""

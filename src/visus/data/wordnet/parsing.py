"""Lines of WordNet's data and index files as plain values.

A data line is `offset lexfile pos words(hex) {word lex_id(hex)} pointers {symbol offset pos source/target}
[frames] | gloss`, an index line `lemma pos synsets symbols {symbol} senses tagged {offset}`; see wndb(5WN).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from visus.data.wordnet.lexicon import LEXFILES

_MARKER = re.compile(r"\((?:a|p|ip)\)$")
_QUOTED = re.compile(r'"([^"]+)"?')
_TAIL = re.compile(r'(.*[^:,\s])[:,]\s*"([^"]+)"', re.DOTALL)


class Pointer(NamedTuple):
    """A relation to the synset at `offset` of part of speech `pos`; `lexical` if between single words."""

    symbol: str
    offset: int
    pos: str
    lexical: bool


class Entry(NamedTuple):
    """One data line."""

    offset: int
    lexfile: str
    pos: str
    lemmas: tuple[str, ...]
    pointers: tuple[Pointer, ...]
    gloss: str


def parse_data(line: bytes) -> Entry:
    """The values of one data line.

    Raises
    ------
    ValueError : the line does not follow the format.

    >>> entry = parse_data(b'00000030 05 n 01 tom_cat 0 001 @ 00000120 n 0000 | a male; "he purred"')
    >>> entry.lexfile, entry.lemmas, entry.pointers[0].offset
    ('noun.animal', ('tom_cat',), 120)
    """
    text = line.decode("utf-8", "replace")
    head, bar, gloss = text.partition(" | ")
    fields = head.split()
    if not bar or len(fields) < 4:
        raise ValueError("no gloss" if not bar else "too few fields")
    words = int(fields[3], 16)
    lemmas = tuple(_MARKER.sub("", word) for word in fields[4 : 4 + 2 * words : 2])
    place = 4 + 2 * words
    count = int(fields[place])
    pointers = []
    for at in range(place + 1, place + 1 + 4 * count, 4):
        symbol, offset, pos, ends = fields[at : at + 4]
        pointers.append(Pointer(symbol, int(offset), pos, ends != "0000"))
    return Entry(int(fields[0]), LEXFILES[int(fields[1])], fields[2], lemmas, tuple(pointers), gloss.strip())


def parse_index(rest: bytes) -> tuple[int, ...]:
    """Offsets, most frequent sense first, of an index line from which the lemma was cut off.

    >>> parse_index(b"n 2 1 @ 2 1 00000120 00000030")
    (120, 30)
    """
    fields = rest.split()
    count = int(fields[1])
    offsets = tuple(int(field) for field in fields[len(fields) - count :])
    if count < 1 or len(fields) != 5 + int(fields[2]) + count:
        raise ValueError("wrong number of fields")
    return offsets


def split_gloss(gloss: str) -> tuple[str, tuple[str, ...]]:
    """Definition and example sentences of a gloss.

    Semicolons within quotes or parentheses do not separate; parts that open with a quote are examples, so is
    a quote after a colon or comma at the very end; all other parts, quoted words among them, are definition.
    Who said an example (`"..." - Mark Twain`) is left out.

    >>> split_gloss('large bird; long-necked; "the crane danced; we watched"')
    ('large bird; long-necked', ('the crane danced; we watched',))
    >>> split_gloss('workplace; as in the expression "on the job";')
    ('workplace; as in the expression "on the job"', ())
    """
    if '"' not in gloss:
        return gloss.strip("; \n"), ()
    definition: list[str] = []
    examples: list[str] = []
    for part in _parts(gloss):
        tail = _TAIL.fullmatch(part) if "(" not in part else None
        if part.startswith('"'):
            examples += [text.strip() for text in _QUOTED.findall(part)]
        elif part.endswith('"') and part.count('"') == 1:  # the opening quote is missing in the file
            (examples if examples else definition).append(part[:-1])
        elif tail is not None:
            definition.append(tail[1])
            examples.append(tail[2].strip())
        else:
            definition.append(part)
    return "; ".join(definition), tuple(examples)


def _parts(gloss: str) -> list[str]:
    """The gloss cut at semicolons outside quotes and parentheses."""
    parts, start, quoted, depth = [], 0, False, 0
    for place, sign in enumerate(gloss):
        if sign == '"':
            before, after = gloss[place - 1 : place], gloss[place + 1 : place + 2]
            if quoted:  # a quote between letters and space closes; one that another follows is still open
                quoted = False
            else:  # a stray closing quote, as one gloss has, opens nothing
                quoted = bool(after.strip()) and after != ";" and (not before.strip() or before in "(;:,`-")
        elif not quoted and sign in "()":
            depth = max(depth + (1 if sign == "(" else -1), 0)
        elif not quoted and not depth and sign == ";":
            parts.append(gloss[start:place])
            start = place + 1
    parts.append(gloss[start:])
    return [part.strip() for part in parts if part.strip()]

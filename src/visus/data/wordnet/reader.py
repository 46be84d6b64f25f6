"""Princeton's WordNet, read from its own database files (WNDB), version 3.0 or 3.1.

Nothing is read before it is needed: opening looks at the license text, the first word lookup reads one index
file, the first synset one data file; lines are parsed one by one at their byte offset.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from visus.data.wordnet.finding import HOW_TO_GET, find_wordnet, version_of
from visus.data.wordnet.lexicon import POS_FILES
from visus.data.wordnet.morphology import base_forms
from visus.data.wordnet.parsing import parse_data, parse_index, split_gloss
from visus.data.wordnet.synset import Synset
from visus.data.wordnet.taxonomy import Taxonomy
from visus.errors import InputError, MissingData

AGAIN = "install WordNet again, or copy the folder again"
_WNID = re.compile(r"[nvasr]\d{8}")
_NAME = re.compile(r"(.+)\.([nvasr])\.(\d+)")


class WordNet:
    """The lexical database of one folder.

    Use `WordNet.open()`; synsets come from `synsets` (by word), `synset` (by name) and `of_wnid`.

    >>> WordNet.open().synset("crane.n.05").definition.split(";")[0]        # doctest: +SKIP
    'large long-necked wading bird of marshes and plains in many parts of the world'
    """

    def __init__(self, folder: Path, version: str | None) -> None:
        self.folder, self.version = folder, version
        self._files: dict[str, _Files] = {}
        self._synsets: dict[tuple[str, int], Synset] = {}

    @classmethod
    def open(cls, folder: str | Path | None = None) -> WordNet:
        """The database in `folder`, or the first one that `find_wordnet` finds.

        Raises
        ------
        MissingData : no folder given and none found; the message says how to install one.
        InputError : the folder lacks the noun files, or one of them is empty or cut off; names it.
        """
        if folder is None:
            folder = find_wordnet()
            if folder is None:
                raise MissingData(f"needs WordNet, which is not on this machine: {HOW_TO_GET}")
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError("is not a folder", file=folder, remedy=HOW_TO_GET)
        for name in ("data.noun", "index.noun"):
            _whole(folder / name)
        return cls(folder, version_of(folder))

    def __repr__(self) -> str:
        return f"WordNet({self.version or 'of unknown version'}, {str(self.folder)!r})"

    def __reduce__(self):  # a worker process reads the files anew
        return WordNet.open, (self.folder,)

    def synsets(self, word: str, pos: str | None = "n") -> tuple[Synset, ...]:
        """Meanings of a word, most frequent first; those of the word as written before those of base forms.

        Case does not matter, spaces may stand for underscores, inflected forms are reduced to words WordNet
        knows. `pos=None` looks through nouns, verbs, adjectives and adverbs in turn.
        """
        found: dict[Synset, None] = {}
        lemma = _key(word)
        for part in POS_FILES if pos is None else (_file_pos(pos),):
            files = self._of(part)
            for form in base_forms(lemma, part, files.exceptions, files.index):
                found.update(dict.fromkeys(self.at(offset, part) for offset in files.offsets(form)))
        return tuple(found)

    def synset(self, name: str) -> Synset:
        """The synset of a name such as `crane.n.05`, or of an id such as `n02012849`.

        Raises
        ------
        InputError : there is none, or an id is asked of another version than 3.0.
        """
        if _WNID.fullmatch(name):
            return self.of_wnid(name)
        parts = _NAME.fullmatch(name)
        offsets = self.offsets(parts[1], parts[2]) if parts else ()
        if parts is None or not 1 <= int(parts[3]) <= len(offsets):
            remedy = "write it as word.n.01, or as an id such as n02012849"
            raise InputError(f"WordNet has no synset {name!r}", file=self.folder, remedy=remedy)
        return self.at(offsets[int(parts[3]) - 1], parts[2])

    def of_wnid(self, wnid: str) -> Synset:
        """The synset of an ImageNet id, such as `n01440764`.

        Raises
        ------
        InputError : the files are not those of version 3.0, whose offsets the ids are; malformed or unknown id.
        """
        if self.version != "3.0":
            raise InputError(
                f"{wnid} is an offset of WordNet 3.0, and this is version {self.version or 'unknown'}",
                file=self.folder,
                field="wnid",
                remedy="install version 3.0 with `apt-get install wordnet-base`, or look up by word",
            )
        if not _WNID.fullmatch(wnid):
            raise InputError(
                f"{wnid!r} is no WordNet id", field="wnid", remedy="write n and eight digits, as in n02012849"
            )
        try:
            return self.at(int(wnid[1:]), wnid[0])
        except LookupError:
            raise InputError(f"WordNet has no synset {wnid}", file=self.folder, field="wnid") from None

    def offsets(self, lemma: str, pos: str = "n") -> tuple[int, ...]:
        """Offsets of the synsets that hold exactly this lemma, most frequent sense first; () if unknown."""
        return self._of(_file_pos(pos)).offsets(_key(lemma))

    def at(self, offset: int, pos: str) -> Synset:
        """The synset whose data line begins at byte `offset`.

        Raises
        ------
        LookupError : no line begins there.
        InputError : the file ends before that place, or the line is damaged.
        """
        pos = _file_pos(pos)
        found = self._synsets.get((pos, offset))
        if found is None:
            found = self._synsets[pos, offset] = self._of(pos).read(offset, self)
        return found

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """Depths and ancestors in the hierarchies of hypernyms."""
        return Taxonomy(self)

    def _of(self, pos: str) -> _Files:
        if pos not in self._files:
            self._files[pos] = _Files(self.folder, pos)
        return self._files[pos]


class _Files:
    """Index, data and exception list of one part of speech, each read when first needed."""

    def __init__(self, folder: Path, pos: str) -> None:
        self.folder, self.pos = folder, POS_FILES[pos]

    @cached_property
    def data(self) -> bytes:
        return _whole(self.folder / f"data.{self.pos}").read_bytes()

    @cached_property
    def index(self) -> dict[str, bytes]:
        content = _whole(self.folder / f"index.{self.pos}").read_bytes().decode("utf-8", "replace")
        pairs = (line.partition(" ") for line in content.split("\n") if line and line[0] != " ")
        return {lemma: rest.encode() for lemma, _, rest in pairs}

    @cached_property
    def exceptions(self) -> dict[str, list[str]]:
        """Inflected form -> base forms. The npm package ships without these lists; then there are none."""
        path = self.folder / f"{self.pos}.exc"
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
        return {words[0]: words[1:] for words in map(str.split, lines) if len(words) > 1}

    def offsets(self, lemma: str) -> tuple[int, ...]:
        if lemma not in self.index:
            return ()
        try:
            return parse_index(self.index[lemma])
        except (ValueError, IndexError) as error:
            where = f"word {lemma}"
            file = self.folder / f"index.{self.pos}"
            raise InputError(f"is damaged ({error})", file=file, field=where, remedy=AGAIN) from None

    def read(self, offset: int, wordnet: WordNet) -> Synset:
        file, data = self.folder / f"data.{self.pos}", self.data
        where = f"offset {offset:08d}"
        if offset >= len(data):
            raise InputError("ends before a synset that is looked up", file=file, field=where, remedy=AGAIN)
        end = data.find(b"\n", offset)
        line = data[offset : end if end >= 0 else len(data)]
        if not line.startswith(b"%08d " % offset) or data[offset - 1 : offset] not in (b"\n", b""):
            raise LookupError(f"{file}: no synset begins at byte {offset}")
        try:
            entry = parse_data(line)
        except (ValueError, IndexError) as error:
            raise InputError(f"is damaged ({error})", file=file, field=where, remedy=AGAIN) from None
        definition, examples = split_gloss(entry.gloss)
        return Synset(
            offset, entry.pos, entry.lexfile, entry.lemmas, definition, examples, entry.pointers, wordnet
        )


def _whole(path: Path) -> Path:
    """The path of a file that is there and ends with a whole line."""
    if not path.is_file():
        raise InputError("is missing", file=path, remedy=AGAIN)
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 1, 0))
        if stream.read(1) != b"\n":
            raise InputError("is empty" if not size else "is cut off", file=path, remedy=AGAIN)
    return path


def _key(word: str) -> str:
    return "_".join(word.lower().split())


def _file_pos(pos: str) -> str:
    pos = "a" if pos == "s" else pos
    if pos not in POS_FILES:
        raise InputError(f"{pos!r} is no part of speech", field="pos", remedy="give n, v, a, s or r")
    return pos

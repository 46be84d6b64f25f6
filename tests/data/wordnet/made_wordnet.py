"""A writer of WordNet database files, for lexicons of a few words with offsets that are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visus.data.wordnet.lexicon import LEXFILES, POS_FILES


@dataclass
class Made:
    """A synset to write: `up` and `parts` are keys of others, `more` further pointers (symbol, key, ends)."""

    lemmas: str
    gloss: str = "something"
    lexfile: str = "noun.artifact"
    pos: str = "n"
    up: Sequence[str] = ()
    instance: bool = False
    parts: Sequence[str] = ()
    more: Sequence[tuple[str, str, str]] = ()


BIRDS = {
    "thing": Made("thing", "what there is", "noun.Tops"),
    "animal": Made("animal beast", 'a living being; "the animals slept"', "noun.animal", up=["thing"]),
    "bird": Made("bird", "an animal with feathers", "noun.animal", up=["animal"], parts=["wing"]),
    "wing": Made("wing", "a limb for flying", "noun.animal", up=["thing"]),
    "author": Made("Crane Stephen_Crane", "a writer", "noun.person", up=["thing"], instance=True),
    "machine": Made("machine", "a device", up=["thing"]),
    "lift": Made("crane derrick", "lifts loads", up=["machine"]),
    "crane": Made("crane", 'long legs; gray; "the crane stood; we watched"', "noun.animal", up=["bird"]),
    "heron": Made("heron", "long neck", "noun.animal", up=["bird"]),
    "stork": Made("stork", "red legs", "noun.animal", up=["bird"]),
    "digger": Made("digger", "digs holes", up=["machine"]),
    "truck": Made("truck lorry", "carries loads", up=["machine"]),
    "geese": Made("goose", "a loud bird", "noun.animal", up=["bird"]),
    "fish": Made("fish", "lives in water", "noun.animal", up=["animal"]),
    "meal": Made("fish", "meat of a fish", "noun.food", up=["thing"]),
    "plan": Made("plan", "an intention", "noun.cognition", up=["thing"]),
    "fly": Made("fly", "move through air", "verb.motion", pos="v"),
    "soar": Made("soar", "fly high", "verb.motion", pos="v", up=["fly"]),
    "talk": Made("talk", "use words", "verb.communication", pos="v"),
    "wet": Made("wet(a)", "not dry", "adj.all", pos="a", more=[("&", "damp", "0000"), ("+", "fish", "0101")]),
    "damp": Made("damp moist", "slightly wet", "adj.all", pos="s", more=[("&", "wet", "0000")]),
    "fast": Made("fast", "quickly", "adv.all", pos="r"),
}
"""Two cranes and a person of that name, all parts of speech, a satellite, a lexical pointer."""


def write_wordnet(
    folder: Path,
    synsets: Mapping[str, Made] = BIRDS,
    *,
    version: str | None = "3.0",
    exceptions: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Write data, index and exception files; returns the offset of every key.

    A word's senses stand in the order of `synsets`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = (
        f"  1 WordNet {version} Copyright 2006 by Princeton University.  \n" if version else "  1 no text  \n"
    )
    offsets: dict[str, int] = {}
    for pos in POS_FILES:
        place = len(head)
        for key in _of(synsets, pos):
            offsets[key] = place
            place += len(_line(key, synsets, dict.fromkeys(synsets, 0)).encode())
    for pos, name in POS_FILES.items():
        keys = _of(synsets, pos)
        lines = [_line(key, synsets, offsets) for key in keys]
        (folder / f"data.{name}").write_text(head + "".join(lines))
        senses: dict[str, list[int]] = {}
        for key in keys:
            for lemma in synsets[key].lemmas.split():
                senses.setdefault(lemma.split("(")[0].lower(), []).append(offsets[key])
        index = [
            f"{lemma} {pos} {len(found)} 2 @ ~ {len(found)} 0 {' '.join(f'{at:08d}' for at in found)}  \n"
            for lemma, found in sorted(senses.items())
        ]
        (folder / f"index.{name}").write_text(head + "".join(index))
    lines = [f"{form} {base}\n" for form, base in (exceptions or {"geese": "goose"}).items()]
    (folder / "noun.exc").write_text("".join(lines))
    return offsets


def _of(synsets: Mapping[str, Made], pos: str) -> list[str]:
    return [key for key, made in synsets.items() if made.pos.replace("s", "a") == pos]


def _line(key: str, synsets: Mapping[str, Made], offsets: Mapping[str, int]) -> str:
    made = synsets[key]
    words = made.lemmas.split()
    symbol = "@i" if made.instance else "@"
    links = [(symbol, other, "0000") for other in made.up] + [("%p", other, "0000") for other in made.parts]
    for other, each in synsets.items():
        if key in each.up:
            links.append(("~i" if each.instance else "~", other, "0000"))
        if key in each.parts:
            links.append(("#p", other, "0000"))
    links += made.more
    pointers = "".join(f" {mark} {offsets[to]:08d} {synsets[to].pos} {ends}" for mark, to, ends in links)
    frames = " 01 + 02 00" if made.pos == "v" else ""
    lemmas = "".join(f" {word} {number:x}" for number, word in enumerate(words))
    return (
        f"{offsets[key]:08d} {LEXFILES.index(made.lexfile):02d} {made.pos} {len(words):02x}{lemmas}"
        f" {len(links):03d}{pointers}{frames} | {made.gloss}  \n"
    )

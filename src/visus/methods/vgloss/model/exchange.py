"""Description sets as others publish them: CuPL, DCLIP and FuDD, in and out, with names matched to classes."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import plain, word_set
from visus.methods.vgloss.model.silver import Silver, SilverClass
from visus.records import read_json, write_atomically

NAMED = 8
"""Names an error lists."""
VERBS = word_set("has have is are can may")
STATES = word_set("a an the one used made found located covered composed typically often usually")
"""First words of descriptors that say what a thing is and not what it has."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Which entry of a published set belongs to which class."""

    found: Mapping[int, str]
    """Place of a class -> name in the set."""
    missing: tuple[str, ...]
    """Classes the set says nothing of."""
    unused: tuple[str, ...]
    """Names of the set that are no class."""
    doubled: tuple[str, ...]
    """Names that several classes share, so that one entry stands for all of them."""

    def require(self, file: str | Path | None = None) -> Matched:
        """Itself if every class is found and none shares an entry.

        Raises
        ------
        InputError : lists the missing and the doubled names.
        """
        told = []
        if self.missing:
            told.append(f"lacks {len(self.missing)} classes ({listing(self.missing)})")
        if self.doubled:
            told.append(f"cannot tell classes of one name apart ({listing(self.doubled)})")
        if told:
            hint = f"; names it holds that are no class: {listing(self.unused)}" if self.unused else ""
            raise InputError(
                "; ".join(told), file=file, remedy=f"rename the classes, or leave them out{hint}"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class FuddPair:
    """Sentences on what tells two classes apart, by attribute."""

    classes: tuple[int, int]
    prompts: tuple[tuple[str, str, str], ...]
    """Kind of attribute, sentence on the first class, sentence on the second."""


def match_names(available: Iterable[str], wanted: Sequence[str]) -> Matched:
    """Match the names of a published set to classes: as written, else without case, hyphens and underscores.

    CuPL's ImageNet set has 998 entries for 1,000 classes: two pairs of classes share a name, and the result
    says which.

    >>> found = match_names(["Maillot", "T-shirt"], ["maillot", "maillot", "t shirt", "sunglass"])
    >>> found.found, found.missing, found.doubled
    ({0: 'Maillot', 1: 'Maillot', 2: 'T-shirt'}, ('sunglass',), ('maillot',))
    """
    names = list(available)
    exact, loose = set(names), dict[str, list[str]]()
    for name in names:
        loose.setdefault(_loose(name), []).append(name)
    found: dict[int, str] = {}
    for i, name in enumerate(wanted):
        near = loose.get(_loose(name), [])
        if name in exact:
            found[i] = name
        elif len(near) == 1:
            found[i] = near[0]
    shared = Counter(found.values())
    doubled = dict.fromkeys(wanted[i] for i, name in found.items() if shared[name] > 1)
    return Matched(
        found=found,
        missing=tuple(name for i, name in enumerate(wanted) if i not in found),
        unused=tuple(name for name in names if name not in shared),
        doubled=tuple(doubled),
    )


def read_descriptions(path: str | Path, *, dataset: str | None = None) -> dict[str, list[str]]:
    """CuPL's `{class name: [sentence, ...]}` or DCLIP's `{class name: [descriptor, ...]}`, texts as they stand.

    Parameters
    ----------
    dataset : which set of a file that holds several (`clip-benchmark` keeps CuPL's under `imagenet1k`); may be
        left out if it is the only one.

    Raises
    ------
    InputError : the file is missing, of another form, names a class twice, or has a class without texts.
    """
    path = Path(path)
    whole = _read_strict(path)
    if isinstance(whole, dict) and whole and all(isinstance(each, dict) for each in whole.values()):
        if dataset is None and len(whole) == 1:
            dataset = next(iter(whole))
        if dataset not in whole:
            raise InputError(
                f"holds the sets {listing(list(whole))}",
                file=path,
                field="dataset",
                remedy="name one of them",
            )
        whole = whole[dataset]
    if not isinstance(whole, dict) or not whole:
        raise InputError("is not an object of classes", file=path, remedy="write {class name: [texts]}")
    for name, texts in whole.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise InputError("is not a list of texts", file=path, field=f"class {name!r}")
    return whole


def write_descriptions(path: str | Path, descriptions: Mapping[str, Sequence[str]]) -> None:
    """Write CuPL's or DCLIP's form, as their files are laid out; the opposite of `read_descriptions`."""
    plain_form = {name: list(texts) for name, texts in descriptions.items()}
    write_atomically(Path(path), json.dumps(plain_form, indent=4))


def dclip_sentence(name: str, descriptor: str) -> str:
    """A DCLIP descriptor as the sentence its classifier reads.

    Differs: the published code asks whether a descriptor starts with the letter a, so that amber eyes are what an
    owl is; here the article must be a whole word.

    >>> dclip_sentence("tench", "a freshwater fish"), dclip_sentence("owl", "amber eyes")
    ('tench, which is a freshwater fish', 'owl, which has amber eyes')
    >>> dclip_sentence("tench", "used as bait"), dclip_sentence("ray", "can emit an electric shock")
    ('tench, which is used as bait', 'ray, which can emit an electric shock')
    """
    first = descriptor.split(maxsplit=1)[0].lower() if descriptor.split() else ""
    verb = "" if first in VERBS else "is " if first in STATES else "has "
    return f"{name}, which {verb}{descriptor}"


def read_fudd(path: str | Path, *, classes: int | None = None) -> list[FuddPair]:
    """FuDD's `{"i_j": {"classes": [i, j], "prompt_pairs": [{"attr_type", "prompt_pair": [a, b]}]}}`, in file order.

    Parameters
    ----------
    classes : how many there are; places from there on are refused.

    Raises
    ------
    InputError : names the file and the entry that is of another form, of one class, or there twice.
    """
    path = Path(path)
    whole = _read_strict(path)
    if not isinstance(whole, dict) or not whole:
        raise InputError(
            "is not an object of pairs", file=path, remedy='write {"i_j": {"classes": [i, j], ...}}'
        )
    made = [_fudd_pair(key, row, path) for key, row in whole.items()]
    seen: set[frozenset[int]] = set()
    for key, pair in zip(whole, made, strict=True):
        places = frozenset(pair.classes)
        if len(places) != 2 or min(places) < 0 or (classes is not None and max(places) >= classes):
            raise InputError("does not name two of the classes", file=path, field=f"entry {key!r}")
        if places in seen:
            raise InputError("appears twice", file=path, field=f"entry {key!r}")
        seen.add(places)
    return made


def write_fudd(path: str | Path, pairs: Sequence[FuddPair]) -> None:
    """Write FuDD's form; the opposite of `read_fudd`."""
    whole = {
        f"{pair.classes[0]}_{pair.classes[1]}": {
            "classes": list(pair.classes),
            "prompt_pairs": [{"attr_type": kind, "prompt_pair": [a, b]} for kind, a, b in pair.prompts],
        }
        for pair in pairs
    }
    write_atomically(Path(path), json.dumps(whole, indent=2))


def with_descriptions(
    silver: Silver,
    descriptions: Mapping[str, Sequence[str]],
    *,
    form: Callable[[str, str], str] | None = None,
) -> tuple[Silver, Matched]:
    """A set whose normal texts are a published one's, and how the names matched.

    A class the published set lacks keeps no normal text; classes of one name get the same texts.

    Parameters
    ----------
    form : makes a sentence of a class name and a text, such as `dclip_sentence`; None keeps the texts.
    """
    matched = match_names(descriptions, [each.name for each in silver.classes.values()])
    classes = {}
    for i, (key, each) in enumerate(silver.classes.items()):
        texts = [text.strip() for text in descriptions[matched.found[i]]] if i in matched.found else []
        sentences = [form(each.name, text) if form else text for text in texts if text]
        classes[key] = dataclasses.replace(each, normal=tuple(sentences), contrastive={})
    return Silver(classes=classes, meta={**silver.meta, "lm": "imported"}), matched


def named_classes(names: Sequence[str]) -> Silver:
    """An empty set for class names: to be filled by `with_descriptions` or `with_fudd`. Keys are the names."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    keys = [name if name not in twice else f"{name} ({i})" for i, name in enumerate(names)]
    return Silver(classes={key: SilverClass(name=name) for key, name in zip(keys, names, strict=True)})


def with_fudd(silver: Silver, pairs: Sequence[FuddPair]) -> Silver:
    """The set with FuDD's sentences as its contrastive texts; places count the classes in order."""
    keys = list(silver.classes)
    against: dict[str, dict[str, tuple[str, ...]]] = {key: {} for key in keys}
    for pair in pairs:
        if max(pair.classes) >= len(keys):
            raise InputError(f"names class {max(pair.classes)} of {len(keys)}", field="pairs")
        one, other = (keys[i] for i in pair.classes)
        against[one][other] = tuple(text for _, text, _ in pair.prompts)
        against[other][one] = tuple(text for _, _, text in pair.prompts)
    classes = {
        key: dataclasses.replace(each, contrastive=against[key]) for key, each in silver.classes.items()
    }
    return dataclasses.replace(silver, classes=classes)


def to_descriptions(silver: Silver) -> dict[str, list[str]]:
    """The normal texts by class name, for `write_descriptions`.

    Raises
    ------
    InputError : two classes share a name, which that form cannot hold; lists them.
    """
    counts = Counter(each.name for each in silver.classes.values())
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(
            f"the form knows classes by name, and several share one ({listing(twice)})",
            field="classes",
            remedy="give them different names",
        )
    return {each.name: list(each.normal) for each in silver.classes.values()}


def to_fudd(silver: Silver) -> list[FuddPair]:
    """The contrastive texts as FuDD's pairs, in the order of the classes.

    Sentences of the two sides are paired in order; where one side has fewer, its last is repeated, and a pair
    with an empty side is left out.
    """
    place = {key: i for i, key in enumerate(silver.classes)}
    made = []
    for i, j in sorted(tuple(sorted(place[key] for key in pair)) for pair in silver.pairs()):
        one, other = (list(silver.classes)[k] for k in (i, j))
        sides = [silver.classes[a].contrastive.get(b, ()) for a, b in ((one, other), (other, one))]
        if not all(sides):
            continue
        longest = max(map(len, sides))
        full = [(*side, *[side[-1]] * (longest - len(side))) for side in sides]
        made.append(
            FuddPair(classes=(i, j), prompts=tuple(("visual", a, b) for a, b in zip(*full, strict=True)))
        )
    return made


def listing(names: Sequence[str]) -> str:
    """The first few names, and whether there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _fudd_pair(key: str, row: Any, path: Path) -> FuddPair:
    try:
        i, j = row["classes"]
        told = [(each["attr_type"], *each["prompt_pair"]) for each in row["prompt_pairs"]]
        if type(i) is int and type(j) is int and key == f"{i}_{j}" and all(map(_three_texts, told)):
            return FuddPair(classes=(i, j), prompts=tuple(told))
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError("is not a pair of classes with pairs of prompts", file=path, field=f"entry {key!r}")


def _three_texts(row: tuple[Any, ...]) -> bool:
    return len(row) == 3 and all(isinstance(text, str) for text in row)


def _loose(name: str) -> str:
    return "".join(letter for letter in plain(name.replace("-", " ")).casefold() if letter not in "'’.,")


def _read_strict(path: Path) -> Any:
    """JSON in which no object has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise InputError("appears twice", file=path, field=f"class {twice[0]!r}")
        return dict(pairs)

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return read_json(path)  # says what is wrong with the file

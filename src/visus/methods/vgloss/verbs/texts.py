"""Description files of any of the published forms as class texts, and matched to classes that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError, MissingData

if TYPE_CHECKING:
    from visus.methods.vgloss.model.classes import ClassTexts
    from visus.methods.vgloss.model.silver import Silver, Use


@dataclass(frozen=True)
class Told:
    """What a set says of given classes.

    texts : class key -> its texts; a class the set lacks is not in it.
    missing : keys of these.
    doubled : names that several classes share, so that they have the same texts.
    form : silver, CuPL, DCLIP.
    """

    texts: dict[str, list[str]]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    form: str


def read_texts(path: Path, *, classes: Sequence[str] | None = None, dataset: str | None = None) -> ClassTexts:
    """A description file as class texts.

    Parameters
    ----------
    path : what `visus vgloss describe` wrote; CuPL's {name: [sentence]} or DCLIP's {name: [descriptor]}; with
        `classes`, FuDD's pairs.
    classes : names in label order; for FuDD, whose classes are numbers.
    dataset : which set of a file that holds several.

    Raises
    ------
    InputError : not there, of another form, or a class without texts.
    """
    from visus.methods.vgloss.model.classes import ClassTexts
    from visus.methods.vgloss.model.exchange import named_classes, read_fudd, with_fudd

    if not path.exists():
        raise InputError("does not exist", file=path, remedy="check the path")
    plain = _read(path)
    if is_silver(plain):
        return ClassTexts.from_silver(_silver(path))
    if is_fudd(plain):
        if classes is None:
            problem = "knows its classes by number"
            raise InputError(problem, file=path, field="--classes", remedy="name them: --classes names.txt")
        pairs = read_fudd(path, classes=len(classes))
        return ClassTexts.from_silver(with_fudd(named_classes(classes), pairs))
    sentences, _ = published(path, dataset=dataset)
    return ClassTexts.of(sentences)


def published(path: Path, *, dataset: str | None = None) -> tuple[dict[str, list[str]], str]:
    """CuPL's sentences, or DCLIP's descriptors put into sentences; and which of the two it was."""
    from visus.methods.vgloss.model.exchange import dclip_sentence, read_descriptions

    read = read_descriptions(path, dataset=dataset)
    if not are_descriptors(read):
        return read, "CuPL"
    return {name: [dclip_sentence(name, text) for text in texts] for name, texts in read.items()}, "DCLIP"


def matched(
    path: Path,
    keys: Sequence[str],
    names: Sequence[str],
    *,
    origin: str = "",
    dataset: str | None = None,
    use: Use = "normal",
) -> Told:
    """What a file says of classes with these keys and names.

    A file of `describe` is matched by keys, then by names; others by the names, and for a published label set by the
    names published with CLIP, whichever finds more. `use` chooses among the texts of a file of `describe`.

    Raises
    ------
    InputError : see `read_texts`; the file is about other classes.
    """
    from visus.methods.vgloss.model.exchange import listing, match_names

    plain = _read(path)
    if is_fudd(plain):
        remedy = "build a classifier of it with `visus vgloss build`"
        raise InputError("holds pairs, no descriptions of single classes", file=path, remedy=remedy)
    if is_silver(plain):
        silver = _silver(path)
        read, form = silver.texts(use), "silver"
        if set(keys) & set(read):
            found = {key: read[key] for key in keys if key in read}
            return Told(found, tuple(key for key in keys if key not in read), (), form)
        read = _by_name(silver, read, path)
    else:
        read, form = published(path, dataset=dataset)
    tried = [match_names(read, each) for each in _spellings(names, origin)]
    best = max(tried, key=lambda each: len(each.found))
    if not best.found:
        problem = f"says nothing of these classes ({listing(list(names))}); it knows {listing(list(read))}"
        raise InputError(problem, file=path, remedy="give descriptions of the same classes")
    texts = {keys[i]: [text for text in read[name] if text.strip()] for i, name in sorted(best.found.items())}
    return Told(texts, tuple(keys[i] for i in range(len(keys)) if i not in best.found), best.doubled, form)


def are_descriptors(descriptions: Mapping[str, Sequence[str]]) -> bool:
    """Whether texts are fragments (DCLIP: "long legs") and not sentences.

    >>> are_descriptors({"crane": ["long legs", "a pointed bill"]}), are_descriptors({"a": ["A crane is tall."]})
    (True, False)
    """
    flat = [text.strip() for texts in descriptions.values() for text in texts]
    return sum(text.endswith((".", "!", "?")) for text in flat) < len(flat) / 4 and not any(
        len(text.split()) > 40 for text in flat
    )


def is_silver(plain: Any) -> bool:
    """Whether a file claims to be one of `describe`: `classes` holds records, not lists of texts."""
    if not isinstance(plain, dict) or "classes" not in plain:
        return False
    return not isinstance(plain["classes"], list)


def is_fudd(plain: Any) -> bool:
    """Whether a file holds pairs of classes."""
    if not isinstance(plain, dict) or not plain:
        return False
    return all(isinstance(each, dict) and "prompt_pairs" in each for each in plain.values())


def _read(path: Path) -> Any:
    from visus.records import read_json

    try:
        return read_json(path)
    except InputError as error:
        remedy = error.remedy or "write the file with `visus vgloss describe`, or download it again"
        raise InputError(error.problem, file=path, field=error.field, remedy=remedy) from None


def _silver(path: Path) -> Silver:
    from visus.methods.vgloss.model.silver import Silver

    return Silver.read(path)


def _by_name(silver: Silver, read: dict[str, list[str]], path: Path) -> dict[str, list[str]]:
    """Texts by the classes' names.

    Raises
    ------
    InputError : two classes have one name.
    """
    found: dict[str, list[str]] = {}
    for key, each in silver.classes.items():
        if each.name in found:
            problem = f"has two classes {each.name!r}, and the pictures' classes go by name"
            remedy = "name the pictures' classes by the file's keys, or give the two different names"
            raise InputError(problem, file=path, field=f"class {key!r}", remedy=remedy)
        found[each.name] = read[key]
    return found


def _spellings(names: Sequence[str], origin: str) -> list[Sequence[str]]:
    """The names, and how those who published descriptions for this set spell them."""
    from visus.methods.vgloss.model.labels import published_names

    found = [names]
    if origin:
        try:
            others = published_names(origin)
        except (MissingData, InputError):
            return found
        if len(others) == len(names):
            found.append(others)
    return found

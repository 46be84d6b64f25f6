"""What `compare` compares: the sets given, the same at equal counts, dictionary texts, and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast, get_args

from visus.errors import InputError
from visus.methods.vgloss.model.silver import Use
from visus.methods.vgloss.verbs.labeled import Labeled, concepts_of_set
from visus.methods.vgloss.verbs.texts import Told, matched

GIVEN, EQUAL, DICTIONARY, CONTROL = "given", "equal counts", "dictionary", "control"
NAME, WORDS, SHUFFLED = "name alone", "random words", "shuffled"
MOST_NAMED = 5


@dataclass(frozen=True)
class TextArm:
    """One set of texts: class key -> texts."""

    name: str
    kind: str
    texts: dict[str, list[str]]

    @property
    def per_class(self) -> float:
        """Texts per class in the mean."""
        return sum(map(len, self.texts.values())) / len(self.texts)


@dataclass(frozen=True)
class Arms:
    """All arms over the same classes.

    keys : the classes that every given set describes, in their order.
    count : texts per class of the arms of equal counts.
    """

    keys: tuple[str, ...]
    arms: tuple[TextArm, ...]
    count: int
    notes: tuple[str, ...]


class DescriptionSet(NamedTuple):
    """A file, and which of its texts: those on a class alone, those against its neighbors, or both."""

    path: Path
    use: Use = "normal"


def read_sets(descriptions: Sequence[str]) -> dict[str, DescriptionSet]:
    """`name=file` or `file` (named by its stem), each name once; `file#contrastive` or `file#both` for other than
    the normal texts of a file that has both.

    Raises
    ------
    InputError : none, a name twice, or a file that is not there.

    >>> read_sets([])
    Traceback (most recent call last):
    visus.errors.InputError: --descriptions: is empty. What to do: give at least one name=file.
    """
    found: dict[str, DescriptionSet] = {}
    for each in descriptions:
        name, equals, rest = each.partition("=")
        file, mark, use = (rest if equals else each).rpartition("#")
        marked = mark and use in get_args(Use)
        path = Path(file if marked else rest if equals else each)
        name = name if equals else path.stem
        if not name or name in found:
            problem = f"{name!r} stands twice" if name else f"{each!r} has no name"
            raise InputError(problem, field="--descriptions", remedy="write name=file, each name once")
        if not path.is_file():
            raise InputError("does not exist", file=path, field="--descriptions", remedy="check the path")
        found[name] = DescriptionSet(path, cast(Use, use) if marked else "normal")
    if not found:
        raise InputError("is empty", field="--descriptions", remedy="give at least one name=file")
    return found


def make_arms(
    data: Labeled,
    sets: Mapping[str, DescriptionSet],
    *,
    count: int = 0,
    dictionary: bool = True,
    dataset: str | None = None,
    seed: int = 0,
) -> Arms:
    """Every arm over the classes that all sets describe.

    Parameters
    ----------
    count : texts per class where counts are equal; 0 takes the smallest number that a set has for a class.
    dictionary : add what WordNet knows, where the classes have ids.
    seed : of the choice of texts, of random words, and of what is exchanged.

    Raises
    ------
    InputError : a set about other classes, or fewer than two classes that all sets describe.
    """
    told = {
        name: matched(chosen.path, data.keys, data.names, origin=data.origin, dataset=dataset, use=chosen.use)
        for name, chosen in sets.items()
    }
    notes = [
        f"the set {name} is read in the form of {each.form}"
        for name, each in told.items()
        if each.form != "silver"
    ]
    missing = {key for each in told.values() for key in each.missing}
    keys = tuple(key for key in data.keys if key not in missing)
    if len(keys) < 2:
        problem = f"describe {len(keys)} classes together"
        remedy = "give sets of the same classes"
        raise InputError(problem, field="--descriptions", remedy=remedy)
    notes += _gaps(told, data)
    named = dict(zip(data.keys, data.names, strict=True))
    own = {name: {key: each.texts[key] for key in keys} for name, each in told.items()}
    count = count or min(len(texts) for each in own.values() for texts in each.values())
    arms = [TextArm(name, GIVEN, texts) for name, texts in own.items()]
    arms += _equal(own, count, seed)
    if dictionary:
        arms += _dictionary(data, keys)
    arms += _controls(own, {key: named[key] for key in keys}, count, seed)
    return Arms(keys, tuple(arms), count, tuple(notes))


def _equal(own: Mapping[str, dict[str, list[str]]], count: int, seed: int) -> list[TextArm]:
    """Sets with other numbers of texts than `count`, brought to it."""
    from visus.methods.vgloss.baselines import matched as at_count

    return [
        TextArm(f"{name}, {count} each", EQUAL, at_count(texts, count, seed=seed))
        for name, texts in own.items()
        if any(len(each) != count for each in texts.values())
    ]


def _dictionary(data: Labeled, keys: Sequence[str]) -> list[TextArm]:
    from visus.methods.vgloss.baselines import glosses, kinds, kinds_and_glosses

    concepts = concepts_of_set(data)
    if concepts is None:
        return []
    place = {key: i for i, key in enumerate(data.keys)}
    made = (("definition", glosses), ("name and kind", kinds), ("name, kind, definition", kinds_and_glosses))
    arms = []
    for name, write in made:
        texts = list(write(concepts).values())
        arms.append(TextArm(name, DICTIONARY, {key: texts[place[key]] for key in keys}))
    return arms


def _controls(
    own: Mapping[str, dict[str, list[str]]], named: Mapping[str, str], count: int, seed: int
) -> list[TextArm]:
    """Names in several forms, random words in equal number, and every set with classes exchanged."""
    from visus.methods.vgloss.baselines import SEVEN, TEMPLATE, shuffled, waffle

    spoken = {key: name.replace("_", " ") for key, name in named.items()}
    words = waffle(list(dict.fromkeys(spoken.values())), count, seed=seed)
    return [
        TextArm(NAME, CONTROL, {key: [name] for key, name in spoken.items()}),
        TextArm("template", CONTROL, {key: [TEMPLATE.replace("{c}", n)] for key, n in spoken.items()}),
        TextArm(
            "seven templates",
            CONTROL,
            {key: [t.replace("{c}", n) for t in SEVEN] for key, n in spoken.items()},
        ),
        TextArm(WORDS, CONTROL, {key: words[name] for key, name in spoken.items()}),
        *(TextArm(f"{SHUFFLED}: {name}", CONTROL, shuffled(texts, seed=seed)) for name, texts in own.items()),
    ]


def _gaps(told: Mapping[str, Told], data: Labeled) -> list[str]:
    named = dict(zip(data.keys, data.names, strict=True))
    notes = []
    for name, each in told.items():
        if each.missing:
            shown = ", ".join(named[key] for key in each.missing[:MOST_NAMED])
            more = ", ..." if len(each.missing) > MOST_NAMED else ""
            notes.append(
                f"the set {name} lacks {len(each.missing)} classes ({shown}{more}), which are left out for all sets"
            )
        if each.doubled:
            shown = ", ".join(each.doubled[:MOST_NAMED])
            notes.append(
                f"in the set {name} several classes share a name, so they have the same texts: {shown}"
            )
    return notes

"""Semantic prompting: a concept's dictionary entry behind worked examples, alone or beside the concept it resembles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from visus.errors import InputError
from visus.methods.vgloss.model.exemplars import PAIRS, Exemplar
from visus.methods.vgloss.model.languages.english import folded, plain
from visus.methods.vgloss.model.languages.entry import FIELDS, LABELS, entry_of
from visus.methods.vgloss.model.languages.protocol import LINE

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concepts import Concept

CUE = "In a photo:"
ASK = (
    "Write one sentence on how each thing looks in a photo. Say only what can be seen: color, shape, parts, material, "
    "size, surroundings."
)
ASK_CONTRAST = (
    "Two things are easily confused. Write one sentence for each on what can be seen in a photo of it and not in a "
    "photo of the other. Do not mention the other."
)
KNOWN = tuple(field for field in LABELS if field != "name")
BLANK_LINE = ("\n\n",)


class SemanticPrompter:
    """Few-shot prompts from what a dictionary knows of a concept.

    Paper: 2306.06077, the abstract: structured lexical knowledge of the class's concept as the prompt.
    Differs: the paper's prompts are not public. The record's fields, its wording and the worked examples are
    this project's.

    Parameters
    ----------
    exemplars : worked examples in front, 0 to 12.
    fields : of `synonyms kinds meaning example parts narrower`, what is told of a concept.
    targets : the label set. An example that shares a name with one of them is left out, so that no answer is in
        the prompt.
    pairs : the pool of examples, in pairs of things that resemble each other.

    Raises
    ------
    InputError : an unknown field, or fewer examples are left than wanted.
    """

    stop = LINE
    """Where the answer to a normal prompt ends."""
    contrast_stop = BLANK_LINE
    """Where the answer to a contrastive prompt ends."""

    def __init__(
        self,
        *,
        exemplars: int = 3,
        fields: Sequence[str] = FIELDS,
        targets: Iterable[Concept | str] = (),
        pairs: Sequence[tuple[Exemplar, Exemplar]] = PAIRS,
    ) -> None:
        if exemplars < 0:
            raise InputError(f"must not be below 0, got {exemplars}", field="exemplars")
        self.exemplars, self.fields, self.pairs = exemplars, tuple(fields), tuple(pairs)
        if unknown := [field for field in self.fields if field not in KNOWN]:
            raise InputError(
                f"{unknown[0]!r} is not a field", field="fields", remedy=f"fields: {', '.join(KNOWN)}"
            )
        self._taken = frozenset(name for target in targets for name in _names(target))
        self._chosen(self._taken)

    def aimed_at(self, targets: Iterable[Concept | str]) -> Self:
        """The same prompter for another label set."""
        options = {"exemplars": self.exemplars, "fields": self.fields, "pairs": self.pairs}
        return type(self)(targets=targets, **options)

    def prompt(self, concept: Concept) -> str:
        """The prompt for a description of one concept; the answer is the rest of the last line."""
        blocks = [
            f"{_shown(exemplar, self.fields)}\n{CUE} {exemplar.description}"
            for exemplar in self._chosen(self._taken | _names(concept))
        ]
        entry = entry_of(concept, self.fields).text()
        return "\n\n".join([ASK, *blocks, f"{entry}\n{CUE}"])

    def contrast(self, one: Concept, other: Concept) -> str:
        """The prompt for what tells two concepts apart: the answer is a line for each, behind its name.

        Two concepts of one label are told apart by what they are kinds of; see `contrast_names`.
        """
        taken = self._taken | _names(one) | _names(other)
        blocks = [
            "\n".join(
                [
                    *(_shown(exemplar, self.fields) for exemplar in pair),
                    *(f"{exemplar.entry.name}: {exemplar.contrast}" for exemplar in pair),
                ]
            )
            for pair in self._chosen_pairs(taken)
        ]
        names = contrast_names(one, other)
        entries = [entry_of(each, self.fields, name=name).text() for each, name in zip((one, other), names)]
        return "\n\n".join([ASK_CONTRAST, *blocks, "\n".join([*entries, f"{names[0]}:"])])

    def used(self) -> tuple[str, ...]:
        """Names of the worked examples of the normal prompts."""
        return tuple(exemplar.entry.name for exemplar in self._chosen(self._taken))

    def _chosen(self, taken: frozenset[tuple[str, ...]]) -> list[Exemplar]:
        """The first examples that share no name with a taken one, first members of the pairs before second."""
        pool = [exemplar for side in zip(*self.pairs) for exemplar in side]
        return self._enough([exemplar for exemplar in pool if not _of(exemplar) & taken], "examples")

    def _chosen_pairs(self, taken: frozenset[tuple[str, ...]]) -> list[tuple[Exemplar, Exemplar]]:
        free = [pair for pair in self.pairs if not (_of(pair[0]) | _of(pair[1])) & taken]
        return self._enough(free, "pairs of examples")

    def _enough(self, free: list, what: str) -> list:
        if len(free) < self.exemplars:
            raise InputError(
                f"{self.exemplars} {what} are wanted, but only {len(free)} share no name with the label set",
                field="exemplars",
                remedy=f"use at most {len(free)}",
            )
        return free[: self.exemplars]


def contrast_names(one: Concept, other: Concept) -> tuple[str, str]:
    """The names under which two concepts stand in one prompt: their labels, or with what they are kinds of.

    Two cranes become "crane (wading bird)" and "crane (lifting device)"; with nothing to tell them apart, numbers.
    """
    names = plain(one.label), plain(other.label)
    if folded(names[0]) != folded(names[1]):
        return names
    kinds = [plain(each.hypernyms[0]) if each.hypernyms else "" for each in (one, other)]
    if not all(kinds) or kinds[0] == kinds[1]:
        kinds = ["first", "second"]
    return f"{names[0]} ({kinds[0]})", f"{names[1]} ({kinds[1]})"


def _names(target: Concept | str) -> frozenset[tuple[str, ...]]:
    if isinstance(target, str):
        return frozenset({folded(target)})
    return frozenset(folded(name) for name in (target.label, *target.lemmas))


def _of(exemplar: Exemplar) -> frozenset[tuple[str, ...]]:
    """Every class an example speaks of: a moose is a kind of deer, so it tells how a deer looks."""
    entry = exemplar.entry
    return frozenset(folded(name) for name in (entry.name, *entry.synonyms, *entry.kinds))


def _shown(exemplar: Exemplar, fields: Sequence[str]) -> str:
    """An example's entry with the fields that the concept's own entry has."""
    told = {field: getattr(exemplar.entry, field) for field in ("name", *fields)}
    return type(exemplar.entry)(**told).text()

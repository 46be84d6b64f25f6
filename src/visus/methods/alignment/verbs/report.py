"""What a fit leaves in its folder: scores out of fold, the transform, the model and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.alignment.config import similarity_of
from visus.methods.alignment.verbs.study import Study, ceiling_of
from visus.methods.alignment.verbs.words import points, ranged, told
from visus.outputs import finite, say

if TYPE_CHECKING:
    from visus.data.triplets import Triplets
    from visus.methods.alignment.config import AlignmentConfig
    from visus.methods.alignment.estimator import CrossValidation, SearchResult
    from visus.metrics.odd_one_out import NoiseCeiling

NOT_JUDGED = -2
WORDS = {
    "probe": "linear probe",
    "glocal": "gLocal",
    "ridge": "ridge to the reference",
    "center": "centering",
    "none": "no transform",
}
"""Aligner -> what a reader is shown."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A finished cross-validation with what it was made of."""

    study: Study
    judged: Triplets
    config: AlignmentConfig
    done: CrossValidation
    search: SearchResult | None

    @cached_property
    def ceiling(self) -> NoiseCeiling | None:
        """Of the judged trials, where they were repeated."""
        return ceiling_of(self.done.triplets[self.done.scored].numpy())

    @cached_property
    def predicted(self) -> dict[str, float] | None:
        """Ridge: scores of all judged triplets, every object predicted by the fold that had not seen it.

        Predictions of different folds are in one space, that of the reference, so triplets that mix folds count too.
        """
        from visus.methods.alignment.estimator.scores import gain_scores
        from visus.metrics.odd_one_out import pair_similarities

        if self.done.embedding is None:
            return None
        rows = self.done.triplets
        similar = pair_similarities(self.done.embedding, rows, kind=similarity_of(self.config))
        return gain_scores(similar, self.done.zero_shot, rows)

    @cached_property
    def reference_accuracy(self) -> float | None:
        """Of the reference itself on the same trials."""
        from visus.metrics.odd_one_out import hits, pair_similarities

        if self.study.reference is None:
            return None
        rows = self.done.triplets[self.done.scored]
        return float(hits(pair_similarities(self.study.reference, rows, kind="dot")).double().mean())

    def rows(self) -> list[tuple[str, str, str]]:
        """Scores out of fold in words: what, value, 95 % interval."""
        scores, ceiling, reference = self.done.scores, self.ceiling, self.reference_accuracy
        gain = points(scores["gain"], (scores["gain_low"], scores["gain_high"]))
        rows = [
            ("accuracy on unseen objects, zero-shot", told(scores["zero_shot_accuracy"], percent=True), ""),
            (
                f"accuracy on unseen objects, {WORDS[self.config.aligner]}",
                told(scores["accuracy"], percent=True),
                ranged((scores["accuracy_low"], scores["accuracy_high"]), percent=True),
            ),
            ("gain [points]", *gain),
            ("guessing", told(1 / 3, percent=True), ""),
        ]
        if reference is not None:
            rows.append(("the reference itself", told(reference, percent=True), ""))
        if ceiling is not None:
            value, interval = told(ceiling.ceiling, percent=True), ranged(ceiling.interval, percent=True)
            rows.append(("noise ceiling of the repeated trials", value, interval))
        rows += [
            ("cross-entropy of the choice [nats]", told(scores["cross_entropy"]), "guessing 1.099"),
            ("calibration error", told(scores["ece"]), ""),
            ("ties (counted wrong)", told(scores["ties"], percent=True), ""),
        ]
        if (every := self.predicted) is not None:
            interval = ranged((every["accuracy_low"], every["accuracy_high"]), percent=True)
            gain = points(every["gain"], (every["gain_low"], every["gain_high"]))
            rows += [
                ("all triplets, zero-shot", told(every["zero_shot_accuracy"], percent=True), ""),
                (
                    "all triplets, every object predicted unseen",
                    told(every["accuracy"], percent=True),
                    interval,
                ),
                ("gain [points] on all triplets", *gain),
            ]
        return rows

    def say(self, name: str) -> None:
        """The scores on the terminal."""
        for note in self.study.notes:
            print(f"note: {note}")
        if self.search is not None:
            best = min(
                (point for point in self.search.points if not point.why),
                key=lambda point: point.cross_entropy or 0.0,
            )
            print(f"search: {_settings(best.settings)} is best of {len(self.search.points)}")
        print(f"{name}: {self._counts()}")
        say(self.rows())

    def _counts(self) -> str:
        scored = int(self.done.scored.sum())
        return (
            f"{scored:,} of {len(self.done.triplets):,} triplets judged on unseen objects, "
            f"{len(self.done.members)} folds of {self.study.triplets.objects:,} objects"
        )

    def write(self, out: Path, name: str, *, encoder: Mapping[str, Any] | None) -> None:
        """transform.npz, model/, scores.json, choices.npy, predicted.npy and index.html."""
        import numpy as np

        from visus.data.features import Embeddings, write_embeddings
        from visus.data.formats.arrays import write_npy
        from visus.records import to_plain, write_json

        done, final = self.done, self.done.final
        assert final is not None
        page = self._page(name)
        final.transform_.save_npz(out / "transform.npz")
        final.save(out / "model")
        chosen = np.full(len(done.triplets), NOT_JUDGED, dtype=np.int8)
        chosen[done.scored.numpy()] = done.choices.numpy()
        write_npy(out / "choices.npy", chosen)
        if done.embedding is not None:
            names = self.study.embeddings.names
            write_embeddings(out / "predicted.npy", Embeddings(done.embedding, names))
        plain = {
            "embeddings": name,
            "encoder": encoder,
            "objects": self.study.triplets.objects,
            "scores": done.scores,
            "folds": done.fold_scores,
            "steps": [member.steps_ for member in done.members],
            "final_steps": final.steps_,
            "predicted": self.predicted,
            "noise_ceiling": None if self.ceiling is None else asdict(self.ceiling),
            "reference_accuracy": self.reference_accuracy,
            "config": to_plain(self.config),
            "search": None if self.search is None else [asdict(point) for point in self.search.points],
            "notes": list(self.study.notes),
        }
        write_json(out / "scores.json", finite(plain))
        page.write(out / "index.html")

    def _page(self, name: str) -> Any:
        from visus.drawing import draw_marks
        from visus.records import to_yaml
        from visus.webpage import Page

        page = Page(f"Alignment: {name}")
        page.add_text(
            f"{WORDS[self.config.aligner].capitalize()}: {self._counts()}. Whoever judges a triplet has seen none of "
            "its objects. Intervals: bootstrap over triplets, 95 %."
        )
        for note in self.study.notes:
            page.add_text(note[0].upper() + note[1:] + ".")
        page.add_table(["score", "value", "95 % interval"], self.rows())
        marks, bands = self._marks()
        caption = "Accuracy on objects that were not learned from, over all folds and fold by fold."
        page.add_drawing(draw_marks(marks, what="odd-one-out accuracy", bands=bands, percent=True), caption)
        if self.search is not None:
            self._add_search(page)
        self._add_training(page)
        page.add_code(to_yaml(self.config), title="Settings")
        return page

    def _marks(self) -> tuple[list[Any], list[Any]]:
        from visus.drawing import Band, Mark
        from visus.methods.alignment.figures import GUESSING

        scores = self.done.scores
        aligned = WORDS[self.config.aligner]
        interval = (scores["accuracy_low"], scores["accuracy_high"])
        marks = [
            Mark(name="zero-shot", value=scores["zero_shot_accuracy"], group="features as they are"),
            Mark(name="all folds", value=scores["accuracy"], interval=interval, group=aligned),
        ]
        for number, fold in enumerate(self.done.fold_scores, 1):
            name, group = f"fold {number}, zero-shot", "features as they are"
            marks.append(Mark(name=name, value=fold["zero_shot_accuracy"], group=group))
            interval = (fold["accuracy_low"], fold["accuracy_high"])
            marks.append(
                Mark(name=f"fold {number}", value=fold["accuracy"], interval=interval, group=aligned)
            )
        if (reference := self.reference_accuracy) is not None:
            marks.insert(2, Mark(name="the reference itself", value=reference, group="learned from people"))
        bands = [GUESSING]
        if (ceiling := self.ceiling) is not None:
            bands.append(Band(name="noise ceiling", low=ceiling.ceiling, high=ceiling.ceiling))
        return marks, bands

    def _add_search(self, page: Any) -> None:
        assert self.search is not None
        page.add_heading("Search")
        page.add_text(
            "Settings by the cross-entropy of unseen objects; the lowest was taken. The same objects judged all of "
            "them, so the accuracy of the settings taken is a little too good."
        )
        rows = [
            (
                _settings(point.settings),
                told(point.cross_entropy),
                told(point.accuracy, percent=True),
                point.why,
            )
            for point in self.search.points
        ]
        page.add_table(["settings", "cross-entropy", "accuracy", ""], rows)

    def _add_training(self, page: Any) -> None:
        final = self.done.final
        assert final is not None
        page.add_heading("The map that is kept")
        p, q = final.transform_.inputs, final.transform_.outputs
        how = f"{final.steps_:,} steps, the median of the folds" if final.steps_ else "in closed form"
        page.add_text(
            f"Learned from all {self.study.triplets.objects:,} objects, {p:,} to {q:,} numbers, {how}. transform.npz "
            "holds it with the mean and the deviation that features are standardized with."
        )
        if not any(member.steps_ for member in self.done.members):
            return
        rows = [
            (f"fold {number}", f"{member.steps_:,}", str(len(member.validation_)))
            for number, member in enumerate(self.done.members, 1)
        ]
        page.add_table(["", "step taken", "validations"], rows)


def _settings(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())

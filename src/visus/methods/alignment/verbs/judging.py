"""`visus alignment rsa`: whether things that are alike in an embedding are alike to people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError, MissingExtra
from visus.methods.alignment.verbs.words import chance, ranged, told
from visus.outputs import check_inputs, check_out, finite, say

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from visus.data.corpora.similarity_judgments import Judgments
    from visus.metrics.rsa import RsaDifference, RsaInference, RsaScore

Comparison = Literal["correlation", "cosine", "euclidean"]
Over = Literal["stimuli", "subjects", "both"]
PLAIN, MAPPED = "embedding", "transformed embedding"


def rsa(
    embeddings: Path,
    /,
    *,
    judgments: Path,
    out: Path,
    transform: Path | None = None,
    kind: Comparison = "correlation",
    over: Over = "stimuli",
    part: Literal["set1", "set2"] = "set1",
    values: Literal["distance", "similarity"] | None = None,
    tests: int = 100,
    encoder: str | None = None,
    layer: str | None = None,
    cache: Path | None = None,
    resamples: int = 500,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Compare an embedding's similarities with people's judgments of pairs of pictures.

    OUT gets index.html, scores.json and pairs.csv (every pair with people's mean dissimilarity and the embedding's).
    rsatoolbox, where it is installed, tests the embedding against zero, the ceiling, and itself without the transform.

    Args:
        embeddings: as for score; rows (or pictures by name) in the order of the judged pictures.
        judgments: .mat file of Cichy (judgments), King (BEHAVIOR), Peterson (a square matrix) or the 92 images
            (rdms_behav_92), a pickle of Peterson's ratings, or .npy (people, n, n) or (n, n) with --values.
        out: folder to write to.
        transform: .npz of fit, gLocal or thingsvision, or a folder of fit: the embedding is compared with and
            without it.
        kind: how rows are compared.
        over: what the intervals draw: pictures (stimuli), people (subjects), or both.
        part: which of the two picture sets, where JUDGMENTS is King's.
        values: what the numbers are, where JUDGMENTS is .npy.
        tests: resamples of rsatoolbox's tests, which are slow; 0 for none.
        encoder: network that makes the embedding of a folder of pictures; see score.
        layer: of the encoder.
        cache: folder where features are kept, if it is not OUT/features.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.methods.alignment.verbs.embedding import Given, check_width, open_transform
    from visus.metrics.similarity import distances

    check_inputs(EMBEDDINGS=embeddings, judgments=judgments, transform=transform)
    check_out(out, kind="folder", inputs=[embeddings, judgments, transform])
    map = None if transform is None else open_transform(transform)
    people = read_judgments(judgments, part=part, values=values).as_distances()
    given = Given(embeddings, encoder=encoder, layer=layer, device=device)
    if len(given) != len(people):
        problem = f"has {len(given):,} rows for {len(people):,} judged pictures"
        remedy = "give one row per judged picture, in the order of the judgments"
        raise InputError(problem, file=embeddings, field="rows", remedy=remedy)
    found = given.embeddings(cache=cache or out / "features")
    models = {PLAIN: distances(found.values.double(), kind=kind).numpy()}
    if map is not None and transform is not None:
        check_width(map, found, transform)
        models[MAPPED] = distances(map.apply(found.values.double()), kind=kind).numpy()
    agreement = Agreement(models, people, over=over, resamples=resamples, seed=seed, tests=tests)
    agreement.say(embeddings.name)
    agreement.write(out, embeddings.name, names=found.names, kind=kind)
    print(f"page: {out / 'index.html'}")
    return agreement.plain()


def read_judgments(
    file: Path,
    *,
    part: Literal["set1", "set2"] = "set1",
    values: Literal["distance", "similarity"] | None = None,
) -> Judgments:
    """People's judgments, in whichever published layout the file has; see `rsa`.

    Raises
    ------
    InputError : a file of no known layout, or an .npy file without `values`.
    """
    from visus.data.corpora import similarity_judgments as layouts
    from visus.data.formats.arrays import read_array
    from visus.data.formats.mat import read_mat

    suffix = file.suffix.lower()
    if suffix in (".npy", ".npz"):
        if values is None:
            remedy = "state --values distance or --values similarity"
            raise InputError("does not tell what its numbers are", file=file, field="--values", remedy=remedy)
        try:
            return layouts.Judgments(values=read_array(file), kind=values, file=file)
        except InputError as error:
            remedy = error.remedy and error.remedy.replace('kind="similarity"', "--values similarity")
            raise InputError(error.problem, file=error.file, field=error.field, remedy=remedy) from None
    if values is not None:
        raise InputError("is only for .npy files", file=file, field="--values", remedy="leave it out")
    if suffix in (".pkl", ".pickle", ".p"):
        return layouts.read_peterson(file)
    if suffix != ".mat":
        remedy = "give .mat, .npy, or Peterson's pickle"
        raise InputError("is of no known kind", file=file, field="--judgments", remedy=remedy)
    content = read_mat(file)
    if "judgments" in content:
        return layouts.read_cichy(file)
    if "BEHAVIOR" in content:
        return layouts.read_king(file, part=part)
    if "rdms_behav_92" in content:
        return layouts.read_rdms_92(file)
    return layouts.read_peterson(file)


class Agreement:
    """How well models' dissimilarities agree with people's.

    Parameters
    ----------
    models : name -> (n, n) dissimilarities; a second one is compared with the first.
    people : as distances.
    over, resamples, seed : of the bootstrap.
    tests : resamples of rsatoolbox, where it is installed; 0 asks it nothing.
    """

    def __init__(
        self,
        models: dict[str, Float[np.ndarray, "n n"]],
        people: Judgments,
        *,
        over: Over = "stimuli",
        resamples: int = 500,
        seed: int = 0,
        tests: int = 0,
    ) -> None:
        from visus.metrics.rsa import compare_rdms, rsa_difference, score_rdm

        self.models, self.people = models, people
        alone = len(people.values) < 2
        draw: Over = "stimuli" if alone else over
        options: dict[str, Any] = {"over": draw, "resamples": resamples, "seed": seed}
        self.mean = people.mean()
        self.scores: dict[str, dict[str, RsaScore]] = {}
        self.average: dict[str, dict[str, float]] = {}
        self.gain: dict[str, RsaDifference] = {}
        for measure in ("spearman", "pearson"):
            self.scores[measure] = {
                name: score_rdm(rdm, people.values, kind=measure, **options) for name, rdm in models.items()
            }
            self.average[measure] = {
                name: float(compare_rdms(rdm, self.mean, kind=measure)) for name, rdm in models.items()
            }
            if len(models) > 1:
                first, second = list(models.values())[:2]
                self.gain[measure] = rsa_difference(second, first, people.values, kind=measure, **options)
        self.inference: RsaInference | None = None
        self.note = ""
        if alone:
            self.note = "One matrix of judgments: no ceiling, no tests, and intervals draw pictures."
        elif tests:
            self._infer(draw, tests, seed)

    def _infer(self, over: Over, resamples: int, seed: int) -> None:
        import numpy as np

        from visus.metrics.rsa import infer_models

        if np.isnan(self.people.values).any():
            self.note = "No tests: rsatoolbox needs every pair to be judged by everyone."
            return
        try:
            self.inference = infer_models(
                self.models, self.people.values, over=over, resamples=resamples, seed=seed
            )
        except MissingExtra as missing:
            self.note = f"No tests: {missing}."

    def rows(self) -> list[tuple[str, ...]]:
        """What, Spearman with interval, Pearson with interval."""
        rows: list[tuple[str, ...]] = []
        for name in self.models:
            found = [self.scores[measure][name] for measure in ("spearman", "pearson")]
            rows.append((name, *_cells(*((one.value, one.interval) for one in found))))
        if self.gain:
            found = [self.gain[measure] for measure in ("spearman", "pearson")]
            rows.append(("gain by the transform", *_cells(*((one.effect, one.interval) for one in found))))
        for name in self.models:
            values = [told(self.average[measure][name]) for measure in ("spearman", "pearson")]
            rows.append((f"{name}, with the average person", values[0], "", values[1], ""))
        ceilings = [next(iter(self.scores[measure].values())).ceiling for measure in ("spearman", "pearson")]
        cells = [("", "") if top is None else ("", ranged((top.lower, top.upper))) for top in ceilings]
        if ceilings[0] is not None:
            rows.append(("noise ceiling (lower to upper)", *cells[0], *cells[1]))
        return rows

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        found: dict[str, Any] = {
            measure: {
                "models": {name: asdict(one) for name, one in scores.items()},
                "average_person": self.average[measure],
                "gain": self.gain[measure]._asdict() if self.gain else None,
            }
            for measure, scores in self.scores.items()
        }
        tests = self.inference
        if tests is not None:
            pairs = [{"first": a, "second": b, "p": p} for (a, b), p in tests.pairwise.items()]
            plain = {"models": [asdict(one) for one in tests.models], "pairwise": pairs, "over": tests.over}
            found["rsatoolbox"] = {**plain, "ceiling": tests.ceiling, "resamples": tests.resamples}
        return finite({**found, "people": len(self.people.values), "pictures": len(self.people)})

    def say(self, name: str) -> None:
        """The scores on the terminal."""
        print(f"{name}: {len(self.people)} pictures, judgments of {len(self.people.values)} people")
        say([("", "Spearman", "95 %", "Pearson", "95 %"), *(tuple(row) for row in self.rows())])
        if self.note:
            print(f"note: {self.note}")

    def write(self, out: Path, name: str, *, names: tuple[str, ...], kind: str) -> None:
        """index.html, scores.json and pairs.csv."""
        import numpy as np
        import pandas as pd

        from visus.data.formats import write_table
        from visus.records import write_json

        page = self._page(name, kind)
        row, column = np.triu_indices(len(self.people), 1)
        columns: dict[str, Any] = {
            "first": [names[i] for i in row],
            "second": [names[i] for i in column],
            "people": self.mean[row, column],
        }
        heads = dict(zip(self.models, ("embedding", "transformed"), strict=False))
        columns |= {heads[model]: rdm[row, column] for model, rdm in self.models.items()}
        write_table(out / "pairs.csv", pd.DataFrame(columns).round(6))
        write_json(out / "scores.json", self.plain())
        page.write(out / "index.html")

    def _page(self, name: str, kind: str) -> Any:
        from visus.drawing import Band, Mark, draw_marks
        from visus.methods.alignment.figures import draw_matrices
        from visus.methods.alignment.figures.matrices import leaf_order
        from visus.webpage import Page

        one = next(iter(self.scores["spearman"].values()))
        what = {"stimuli": "pictures", "subjects": "people", "both": "pictures and people"}[one.over]
        page = Page(f"Similarity to people: {name}")
        page.add_text(
            f"{one.stimuli} pictures, judgments of {one.subjects} people; rows compared by {kind}. Values are means "
            f"over people of the correlation with each one's judgments; intervals draw {what} (bootstrap, 95 %)."
        )
        if self.note:
            page.add_text(self.note, note=True)
        page.add_table(["", "Spearman", "95 % interval", "Pearson", "95 % interval"], self.rows())
        marks = [
            Mark(name=model, value=score.value, interval=score.interval)
            for model, score in self.scores["spearman"].items()
        ]
        top = one.ceiling
        bands = [] if top is None else [Band(name="noise ceiling", low=top.lower, high=top.upper)]
        caption = "Spearman correlation with people; a perfect model would lie within the ceiling."
        page.add_drawing(draw_marks(marks, what="Spearman correlation", bands=bands), caption)
        page.add_heading("What is like what")
        shown = {
            f"people ({one.subjects})": self.mean,
            **self.models,
        }
        caption = (
            "Every pair of pictures from alike (dark) to unlike (light), by rank; pictures in the order that puts "
            "those beside each other that people find alike."
        )
        page.add_drawing(draw_matrices(shown, order=leaf_order(self.mean)), caption)
        if self.inference is not None:
            self._add_tests(page, self.inference)
        return page

    def _add_tests(self, page: Any, tests: RsaInference) -> None:
        page.add_heading("Tests by rsatoolbox")
        page.add_text(f"Spearman, {tests.resamples:,} resamples; p-values are not corrected.")
        rows = [
            (
                one.name,
                told(one.value),
                ranged(one.interval),
                chance(one.p_above_zero),
                chance(one.p_below_ceiling),
            )
            for one in tests.models
        ]
        page.add_table(["", "value", "95 % interval", "above zero: p", "below the ceiling: p"], rows)
        for (first, second), p in tests.pairwise.items():
            page.add_text(f"{first.capitalize()} against {second}: p {chance(p)}.")


def _cells(*found: tuple[float, Any]) -> list[str]:
    return [cell for value, interval in found for cell in (told(value), ranged(interval))]

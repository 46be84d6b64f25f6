"""`visus alignment compare`: many embeddings on the same triplets, and what their attributes have to do with it."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.alignment.verbs.attributes import raw_attributes, read_attributes
from visus.methods.alignment.verbs.study import Base, Judged, Kind, Odd, ceiling_of, rows_by_name, with_names
from visus.methods.alignment.verbs.words import points, ranged, told
from visus.outputs import check_inputs, check_out, finite, say

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from visus.methods.alignment.estimator import Comparison
    from visus.metrics.odd_one_out import NoiseCeiling


def compare(
    folder: Path,
    /,
    *,
    triplets: Path,
    out: Path,
    attributes: Path | None = None,
    use: list[str] | None = None,
    family: str | None = None,
    kind: Kind = "cosine",
    objects: Path | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score every embedding of a folder on the same triplets, and find which attributes go with accuracy.

    Effects come from one linear model of accuracy on all attributes at once; intervals draw triplets and models. OUT
    gets index.html, models.csv (the best first), effects.csv and summary.json.

    Args:
        folder: one file of embeddings per model (.npy, .npz, .safetensors, .csv), rows as for score.
        triplets: as for score.
        out: folder to write to.
        attributes: table with a row per model: its name in the column model, and attributes such as architecture,
            parameters, objective, data; FOLDER/attributes.csv if left out and there.
        use: the attributes to take; all if left out. Numbers that span more than a factor of 30 enter as log10.
        family: attribute whose models are drawn together and which is no explanation itself.
        kind: how objects are compared.
        objects: names of the objects in the order of their numbers; see score.
        base: what the first object is called, where that cannot be told.
        odd: where the odd one stands, where that cannot be told.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    from visus.data.features import embeddings_in
    from visus.methods.alignment.estimator import compare_models
    from visus.methods.alignment.verbs.study import read_judged
    from visus.metrics.odd_one_out import unordered_triplets

    beside = folder / "attributes.csv"
    attributes = attributes if attributes is not None else beside if beside.is_file() else None
    check_inputs(FOLDER=folder, triplets=triplets, attributes=attributes, objects=objects)
    check_out(out, kind="folder", inputs=[folder, triplets, attributes, objects])
    passed = [path.name for path in (attributes, triplets, objects) if path is not None]
    found = embeddings_in(folder, leaving_out=("attributes.csv", *passed))
    count = len(next(iter(found.values())))
    judged = read_judged(triplets, objects=objects, base=base, odd=odd, count=count, ways=["--base"])
    table = None if attributes is None else read_attributes(attributes, list(found), use=use, keep=family)
    shown, rows, notes = on_common_ground(judged, found, folder)
    groups = unordered_triplets(rows.numpy())
    ceiling = ceiling_of(rows.numpy(), seed=seed)
    made = compare_models(
        shown,
        rows,
        table,
        kind=kind,
        ceiling=None if ceiling is None else ceiling.ceiling,
        clusters=family,
        resamples=resamples,
        seed=seed,
    )
    report = Compared(made, raw_attributes(attributes, list(found)), ceiling, notes, kind, groups)
    report.say()
    report.write(out, folder.resolve().name)
    print(f"page: {out / 'index.html'}")
    return report.models.to_dict("records")


def on_common_ground(
    judged: Judged, found: dict[str, Any], folder: Path
) -> tuple[dict[str, Tensor], Tensor, list[str]]:
    """Embeddings of the objects that all models have, the triplets among them, and what was left out.

    Raises
    ------
    InputError : a model with another number of rows, or without the objects.
    """
    import numpy as np
    import torch

    from visus.data.features import Embeddings

    if judged.names is None:
        studies = {name: judged.with_embeddings(given, file=folder / name) for name, given in found.items()}
        rows = torch.as_tensor(np.array(judged.triplets.rows))
        return {name: one.embeddings.values for name, one in studies.items()}, rows, []
    found = {name: with_names(given, judged.names) for name, given in found.items()}
    rows = {name: rows_by_name(judged.names, given, file=folder / name) for name, given in found.items()}
    kept = [word for word in judged.names if all(word in own for own in rows.values())]
    if not kept:
        problem = "has no object that all models have"
        raise InputError(problem, file=folder, field="names", remedy="check the names of the rows")
    values = {name: given.values[[rows[name][word] for word in kept]] for name, given in found.items()}
    first = next(iter(found))
    common = Embeddings(values[first], tuple(kept))
    study = judged.with_embeddings(common, file=folder / first)
    return values, torch.as_tensor(np.array(study.triplets.rows)), list(study.notes)


class Compared:
    """A comparison with the words and drawings around it."""

    def __init__(
        self,
        made: Comparison,
        raw: pd.DataFrame | None,
        ceiling: NoiseCeiling | None,
        notes: list[str],
        kind: str,
        groups: Any,
    ) -> None:
        self.made, self.raw, self.ceiling, self.notes, self.kind = made, raw, ceiling, notes, kind
        self.groups = groups
        self.models = made.table.sort_values("accuracy", ascending=False, kind="stable").reset_index(
            drop=True
        )

    def effects(self) -> list[tuple[str, str, str]]:
        """Effects in words: what, points, interval."""
        return [(_told(effect), *points(effect.effect, effect.interval)) for effect in self.made.effects]

    def say(self) -> None:
        """The table on the terminal."""
        print(f"{len(self.models)} models, {len(self.groups):,} trials, compared by {self.kind}")
        for note in self.notes:
            print(f"note: {note}")
        say([(str(name), value, interval) for name, value, interval, *_ in self._rows()])
        if self.made.effects:
            print("effects in points, the other attributes held fixed:")
            say(self.effects())

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for row in self.models.to_dict("records"):
            cells = [str(row["model"]), told(row["accuracy"], percent=True)]
            cells.append(ranged((row["low"], row["high"]), percent=True))
            if self.ceiling is not None:
                cells.append(told(row["normalized"], percent=True))
            if self.raw is not None:
                own = self.raw.loc[row["model"]]
                cells += [_plain(own[name]) for name in self.raw.columns]
            rows.append(tuple(cells))
        return rows

    def write(self, out: Path, name: str) -> None:
        """index.html, models.csv, effects.csv and summary.json."""
        import pandas as pd

        from visus.data.formats import write_table
        from visus.records import write_json

        page = self._page(name)
        plain = [asdict(effect) for effect in self.made.effects]
        summary = {
            "kind": self.kind,
            "trials": len(self.groups),
            "noise_ceiling": None if self.ceiling is None else asdict(self.ceiling),
            "r_squared": self.made.r_squared,
            "effects": plain,
            "shares": [asdict(share) for share in self.made.shares],
            "notes": self.notes,
        }
        write_table(out / "models.csv", self.models.round(6))
        columns = ["attribute", "level", "reference", "effect", "low", "high"]
        lines = [
            [one["attribute"], one["level"], one["reference"], one["effect"], *one["interval"]]
            for one in plain
        ]
        write_table(out / "effects.csv", pd.DataFrame(lines, columns=columns).round(6))
        write_json(out / "summary.json", finite(summary))
        page.write(out / "index.html")

    def _page(self, name: str) -> Any:
        from visus.drawing import Band, Mark, draw_marks
        from visus.methods.alignment.figures import GUESSING, draw_attribute, draw_effects
        from visus.webpage import Page

        page = Page(f"Models in {name}")
        page.add_text(
            f"{len(self.models)} models on the same {len(self.groups):,} trials, objects compared by {self.kind}. "
            "Intervals: bootstrap over triplets, 95 %."
        )
        for note in self.notes:
            page.add_text(note[0].upper() + note[1:] + ".")
        marks = [
            Mark(name=str(row["model"]), value=row["accuracy"], interval=(row["low"], row["high"]))
            for row in self.models.to_dict("records")
        ]
        bands = [GUESSING]
        if self.ceiling is not None:
            bands.append(Band(name="noise ceiling", low=self.ceiling.ceiling, high=self.ceiling.ceiling))
        drawn = draw_marks(marks, what="odd-one-out accuracy", bands=bands, percent=True)
        page.add_drawing(drawn, "Every model, the best first.")
        head = [
            "model",
            "accuracy",
            "95 % interval",
            *(["of the way to the ceiling"] if self.ceiling is not None else []),
        ]
        page.add_table([*head, *([] if self.raw is None else map(str, self.raw.columns))], self._rows())
        if self.made.effects:
            page.add_heading("What goes with accuracy")
            page.add_text(
                "One linear model of accuracy on all attributes at once, each effect with the others held fixed "
                f"(R2 {told(self.made.r_squared, digits=2)}). Intervals draw triplets and models: with few models they "
                "are wide. Marks are filled where the interval excludes zero."
            )
            effects = [
                Mark(name=_told(one), value=one.effect, interval=one.interval, group=one.attribute)
                for one in self.made.effects
            ]
            page.add_drawing(draw_effects(effects), "Effects of the attributes, in points of accuracy.")
            shares = [
                (one.attribute, told(one.share, digits=2), ranged(one.interval, digits=2))
                for one in self.made.shares
            ]
            page.add_table(["attribute", "fall of R2 without it", "95 % interval"], shares)
        if self.raw is not None:
            page.add_heading("Attribute by attribute")
            self._add_attributes(page, draw_attribute)
        return page

    def _add_attributes(self, page: Any, draw: Any) -> None:
        import pandas as pd

        assert self.raw is not None
        accuracy: Any = self.models.set_index("model")["accuracy"]
        for column in self.raw.columns:
            known: Any = self.raw[column].dropna()
            if known.nunique() < 2:
                continue
            numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
            values = [float(value) if numeric else str(value) for value in known]
            drawn = draw(
                str(column), values, [float(accuracy[name]) for name in known.index], names=list(known.index)
            )
            page.add_drawing(drawn, f"Accuracy by {column}, nothing else held fixed.")


def _told(effect: Any) -> str:
    if effect.level == "per unit":
        return f"{effect.attribute}, per unit"
    return f"{effect.attribute}: {effect.level}, not {effect.reference}"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)

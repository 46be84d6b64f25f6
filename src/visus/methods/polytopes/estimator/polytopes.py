"""`Polytopes`: a small classifier on a table's numbers, and every cell it cuts their space into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import pandas as pd
import torch
from torch import Tensor, nn

from visus.data.loader import Tensors, fingerprint
from visus.data.tables import TablePreprocessor
from visus.data.tables.source import naming_file
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.polytopes.config import PRESETS, SIMPLE, PolytopesConfig, check
from visus.methods.polytopes.estimator.rows import (
    READ_AT_ONCE,
    Box,
    box_of,
    check_numbers,
    columns_of,
    frame_of,
    held_out,
    natural,
    targets_of,
)
from visus.methods.polytopes.model.classifier import Classifier
from visus.methods.polytopes.training import (
    Training,
    TrainingCensus,
    counted,
    cross_entropy,
    device_of,
    phases,
)
from visus.metrics import accuracy, balanced_accuracy, macro_f1
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import to_plain


class Polytopes(TorchEstimator):
    """A small ReLU classifier on two to four numeric columns, with a census of its cells.

    Data are sources of rows with a target (`visus.data.tables.source.RowTable`). Means, deviations and what
    stands for missing values come from the training rows. The cells are those of the network on standardized
    columns, in the box of the settings; they are counted before, during and after training.

    After `fit`: `classes_`, `columns_`, `box_` (low, high), `model_`, `history_` (one row per census, see
    `TrainingCensus`), `tallies_` (epoch -> histograms), `complex_` (all cells now; None where there are more
    than `max_cells`).

    Paper: 2305.09145. Differs: see NOTES.md.

    >>> model = Polytopes(Polytopes.preset("smoke")).fit(Polytopes.example("train"))
    >>> [row["epoch"] for row in model.history_]
    [0, 2, 8]
    >>> model.complex_.num_cells == model.history_[-1]["num_cells"]
    True
    """

    slug: ClassVar[str] = "polytopes"
    arxiv: ClassVar[str] = "2305.09145"
    Config: ClassVar[type] = PolytopesConfig
    PRESETS: ClassVar[Mapping[str, PolytopesConfig]] = PRESETS

    def fit(self, data: Source, run: Run | None = None) -> Self:
        """Learn from a source of rows with a target; `run` None takes a temporary one.

        Raises
        ------
        InputError : a setting out of its bounds, fewer than two classes, columns that are not two to four
            numeric ones; names the file the rows come from.
        """
        config: PolytopesConfig = self.settings
        check(config)
        run = run or Run(progress=False)
        self.__dict__.pop("complex_", None)
        with naming_file(data):
            encoded, train, held = self._prepare(data, run)
        with run.seeded("init"):
            self._build()
        run.bind({"method": self.slug, "config": to_plain(config), "data": fingerprint(encoded)})
        self.model_.to(run.device)
        self._train(run, encoded, train, held)
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        """Classes of rows, and the cells they lie in.

        Returns
        -------
        `probabilities` (n, k), `label` (n,) numbers into `classes_`, `name` (list of n); of the cell that a row
        lies in `facets`, `simplices` (n,) and `volume` (n,), in standard deviations to the d-th power; `inside`
        (n,): whether the row lies in the box. Outside it, and where a census was given up, the other three
        are 0.
        """
        with naming_file(inputs):
            values = self._values(frame_of(inputs))
        scores = self._score(values)
        label = scores.argmax(1)
        names = [self.classes_[i] for i in label.tolist()]
        found = {"probabilities": scores.softmax(1), "label": label, "name": names}
        return {**found, **self._cells_at(values)}

    def evaluate(self, data: Source) -> Scores:
        """Scores of the classes, and of all cells in the box.

        `accuracy`, `balanced_accuracy`, `macro_f1`, `loss` (mean cross-entropy in nats); of the census
        `num_cells`, `mean_facets`, `mean_simplices`, `share_simple` (cells of at most 7 simplices) and
        `share_simple_by_volume`.
        """
        with naming_file(data):
            target = self._numbers(targets_of(data))
            scores = self._score(self._values(frame_of(data)))
        label = scores.argmax(1)
        found = {
            "accuracy": float(accuracy(target, label)),
            "balanced_accuracy": float(balanced_accuracy(target, label)),
            "macro_f1": float(macro_f1(target, label)),
            "loss": cross_entropy(scores, target).mean().item(),
        }
        if self.complex_ is None:
            return found
        tally = self.complex_.tally(self.settings.rule)
        return {
            **found,
            "num_cells": float(tally.num_cells),
            "mean_facets": tally.mean("num_facets"),
            "mean_simplices": tally.mean("num_simplices"),
            "share_simple": tally.share("num_simplices", SIMPLE),
            "share_simple_by_volume": tally.share("num_simplices", SIMPLE, "volume"),
        }

    @cached_property
    def complex_(self) -> Any:
        """Every cell of the network in the box, counted when first asked for; None beyond `max_cells`."""
        return counted(self.parts()["model"], self.box_, max_cells=self.settings.max_cells)

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One row per census."""
        return self.census_.history

    @property
    def tallies_(self) -> dict[int, Any]:
        """Epoch -> histograms."""
        return self.census_.tallies

    def parts(self) -> dict[str, nn.Module]:
        """The classifier."""
        return {"model": self.model_} if hasattr(self, "model_") else super().parts()

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Source:
        """Points in two interlocked half moons: 300 to learn from, 200 others."""
        from visus.data.worlds import points

        world = points.make("moons", n=300, n_test=200, seed=seed)
        return world.train if part == "train" else world.test

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.polytopes.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        """How the claims are measured."""
        from visus.methods.polytopes.claims import EXPERIMENTS

        return EXPERIMENTS

    # ---- fitting ------------------------------------------------------------------------------------------

    def _prepare(self, data: Source, run: Run) -> tuple[Tensors, Tensor, Tensor]:
        """Learn all but the weights; the encoded rows, and which of them train and which choose the epoch."""
        config: PolytopesConfig = self.settings
        names, frame = targets_of(data), frame_of(data)
        self.classes_ = sorted(set(names), key=natural)
        if len(self.classes_) < 2:
            raise InputError(
                f"has one class only ({self.classes_[0]})",
                field="target",
                remedy="give items of two classes or more",
            )
        train, held = held_out(names, getattr(data, "groups", None), config.validation, seed=run.seed)
        learned = frame.iloc[train.tolist()]
        self.columns_ = columns_of(learned, config.columns)
        kinds: Any = dict.fromkeys(self.columns_, "continuous")
        self.table_ = TablePreprocessor(kinds, imputer="median").fit(learned)
        values = self._values(frame)
        self.box_ = box_of(values[train], config.box)
        return Tensors({"inputs": values, "target": self._numbers(names)}), train, held

    def _build(self) -> None:
        config: PolytopesConfig = self.settings
        self.model_ = Classifier(
            len(self.columns_),
            config.hidden,
            len(self.classes_),
            init=config.init,
            bias=config.bias,
            shortcuts=config.shortcuts,
            dropout=config.dropout,
        )
        self.census_ = TrainingCensus(
            self.model_, self.box_, epochs=config.census_epochs, rule=config.rule, max_cells=config.max_cells
        )

    def _train(self, run: Run, encoded: Tensors, train: Tensor, held: Tensor) -> None:
        config: PolytopesConfig = self.settings
        training = Training(self.model_, config)
        self.census_ = TrainingCensus(
            self.model_,
            self.box_,
            epochs=sorted({*config.census_epochs, config.epochs}),
            rule=config.rule,
            max_cells=config.max_cells,
            file=run.folder / "census.json" if run.is_main else None,
        )
        learned, chosen = encoded.subset(train), encoded.subset(held) if len(held) else None
        count = self.census_ if run.is_main else _uncounted

        def after_epoch() -> Scores:
            self.model_.eval()
            found: Scores = {}
            if chosen is not None:
                scores = self._score(chosen["inputs"])
                found["loss"] = cross_entropy(scores, chosen["target"]).mean().item()
            row = count(training.epoch, {"accuracy": self._accuracy(learned)})
            return found if row is None else {**found, **_plain_scores(row)}

        self.model_.eval()
        count(0, {"accuracy": self._accuracy(learned)})
        run.train(training, learned, phases(config, validated=chosen is not None), check=after_epoch)
        self.model_.eval()

    def _accuracy(self, learned: Tensors) -> float:
        return (self._score(learned["inputs"]).argmax(1) == learned["target"]).double().mean().item()

    # ---- rows ---------------------------------------------------------------------------------------------

    def _values(self, frame: pd.DataFrame) -> Tensor:
        """Standardized columns (n, d); gaps are filled, and no column says where they were."""
        if not hasattr(self, "table_"):
            self.parts()
        check_numbers(frame, self.columns_)
        return torch.from_numpy(self.table_.transform(frame)[:, : len(self.columns_)])

    def _numbers(self, names: Sequence[str]) -> Tensor:
        place = {name: i for i, name in enumerate(self.classes_)}
        unknown = sorted(set(names) - place.keys())
        if unknown:
            raise InputError(
                f"holds a class the model does not know: {unknown[0]}",
                field="target",
                remedy="known classes: " + ", ".join(self.classes_),
            )
        return torch.tensor([place[name] for name in names])

    @torch.no_grad()
    def _score(self, values: Tensor) -> Tensor:
        """Class scores (n, k) on the CPU; the model's mode is put back."""
        model = self.parts()["model"]
        mode = model.training
        model.eval()
        device = device_of(model)
        found = [model(part.to(device)).float().cpu() for part in values.split(READ_AT_ONCE)]
        model.train(mode)
        return torch.cat(found)

    def _cells_at(self, values: Tensor) -> dict[str, Tensor]:
        low, high = (torch.tensor(end, dtype=torch.float64) for end in self.box_)
        points = values.double()
        inside = ((points >= low) & (points <= high)).all(1)
        found = {"facets": torch.zeros(len(points), dtype=torch.int64)}
        found |= {
            "simplices": found["facets"].clone(),
            "volume": torch.zeros(len(points), dtype=torch.float64),
        }
        if self.complex_ is not None:
            model = self.parts()["model"]
            cell = self.complex_.locate(points.to(device_of(model)), model).cpu()
            shapes = self.complex_.shapes(self.settings.rule)
            there = cell >= 0
            for name, measure in (
                ("facets", "num_facets"),
                ("simplices", "num_simplices"),
                ("volume", "volumes"),
            ):
                found[name][there] = getattr(shapes, measure).cpu()[cell[there]].to(found[name].dtype)
        return {**found, "inside": inside}

    # ---- saving -------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        return {
            "classes": self.classes_,
            "columns": self.columns_,
            "table": self.table_.to_state(),
            "box": [list(end) for end in self.box_],
            "census": self.census_.to_plain(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.classes_ = [str(name) for name in state["classes"]]
        self.columns_ = [str(name) for name in state["columns"]]
        self.table_ = TablePreprocessor.from_state(state["table"])
        low, high = (tuple(float(x) for x in end) for end in state["box"])
        self.box_: Box = (low, high)
        self._build()
        self.census_.take(state["census"])


def _uncounted(epoch: int, scores: Mapping[str, float] | None = None) -> None:
    """What the processes that do not write files do instead of a census."""


def _plain_scores(row: Mapping[str, Any]) -> Scores:
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and name != "epoch"
    }

"""`HyperFusion`: images with table rows in, classes or numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from visus.data.image_table import ImageTable
from visus.data.loader import Tensors, fingerprint, iterate
from visus.data.splits import grouped_stratified_split
from visus.data.tables import TablePreprocessor, infer_columns
from visus.data.tables.source import naming_file
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.hyperfusion.baselines import Forest
from visus.methods.hyperfusion.config import PRESETS, HyperFusionConfig, check
from visus.methods.hyperfusion.estimator.scores import evaluate_prediction, validation_scores
from visus.methods.hyperfusion.estimator.targets import Targets, as_prediction
from visus.methods.hyperfusion.model import (
    AgeNet,
    FusionResNet,
    Sizes,
    TabularNet,
    conditioned_layers,
    initialize,
)
from visus.methods.hyperfusion.training import (
    FusionTraining,
    Items,
    check_axis,
    class_weights,
    halves,
    read_through,
    run_network,
)
from visus.protocols import Batch, Phase, Prediction, Scores, Source
from visus.records import to_plain

TABLE_ONLY = ("tabular", "gbm")


class HyperFusion(TorchEstimator):
    """Classify images, or predict a number from them, with the table row that belongs to each.

    Training rows alone fit the table's preprocessing (imputation, indicators, scales, categories); a share
    of them, split by group and class, chooses the epoch. Every baseline is the same estimator with another
    `fusion`.

    Paper: 2403.13319. Differs: see NOTES.md.

    Parameters
    ----------
    config : settings; None takes the defaults.

    >>> model = HyperFusion(HyperFusion.preset("smoke"))
    >>> scores = model.fit(HyperFusion.example("train")).evaluate(HyperFusion.example("test"))
    >>> 0 <= scores["balanced_accuracy"] <= 1
    True
    """

    slug: ClassVar[str] = "hyperfusion"
    arxiv: ClassVar[str] = "2403.13319"
    Config: ClassVar[type] = HyperFusionConfig
    PRESETS: ClassVar[Mapping[str, HyperFusionConfig]] = PRESETS

    def fit(self, data: ImageTable, run: Run | None = None) -> Self:
        """Train on a table of images with a target.

        Raises `InputError` when a setting is out of its bounds, the target is missing or has one class only,
        or no column can be used.
        """
        config = self.settings
        check(config)
        run = run or Run(progress=False)
        with naming_file(data):
            parts, weights = self._prepare(data, run)
        # only now: a folder must not be bound to data that cannot be used
        run.bind({"method": self.slug, "config": to_plain(config), "data": fingerprint(data)})
        self._train(run, parts, weights)
        return self

    def _prepare(self, data: ImageTable, run: Run) -> tuple[list[Items], Tensor | None]:
        """Learn all but the weights; training and validation items, and the classes' weights."""
        config, targets = self.settings, _targets(data)
        train, held = self._split(data, targets, run)
        self.targets_ = Targets.learn(targets, train.tolist(), config)
        encoded = self.targets_.encode(targets)
        self._fit_table(data, train)
        rows, sized = self._rows(data), data.resized(config.image_size)
        self.sizes_ = self._sizes(sized, rows.shape[1])
        with torch.device("meta"):  # refuses impossible settings
            self._build()
        read_through(Items(sized, rows, images=self._sees))
        parts = [
            Items(sized.subset(part), rows[part], target=encoded[part], images=self._sees)
            for part in (train, held)
            if len(part)
        ]
        weights = None
        if not self.targets_.regression:
            weights = class_weights(config.class_weights, encoded[train], self.targets_.classes or ())
        return parts, weights

    def predict(self, inputs: Batch | Source) -> Prediction:
        """`value` (n,), or `probabilities` (n, k), `label` (n,) as number in `classes_` and `name` (list)."""
        return as_prediction(self.targets_, self.targets_.decode(self.outputs(inputs)))

    def predict_proba(self, inputs: Batch | Source) -> np.ndarray:
        """Class probabilities (n, k), columns in the order of `classes_`."""
        if self.targets_.regression:
            raise InputError("this model predicts a number", field="predict_proba", remedy="call predict")
        return self.predict(inputs)["probabilities"].numpy()

    @property
    def classes_(self) -> tuple[str, ...] | None:
        """Class names in order; None for a number."""
        return self.targets_.classes

    def evaluate(self, data: ImageTable, *, intervals: bool = True, seed: int = 0) -> Scores:
        """Scores with 95 % bootstrap intervals (`_low`, `_high`), of the groups if there are."""
        targets = _targets(data)
        with naming_file(data):
            self.targets_.encode(targets)
        return evaluate_prediction(
            self.targets_, self.predict(data), targets, groups=data.groups, intervals=intervals, seed=seed
        )

    def outputs(self, inputs: Batch | Source) -> Tensor:
        """Logits (n, k), or the standardized number (n, 1)."""
        parts = self.parts()
        source = (
            Tensors({k: inputs[k] for k in ("image", "row") if k in inputs})
            if isinstance(inputs, dict)
            else inputs
        )
        config = self.settings
        if isinstance(source, ImageTable):
            source = source.resized(config.image_size)
        with naming_file(source):
            items = Items(source, self._rows(source), image_size=config.image_size, images=self._sees)
            if self._sees:
                self._check_image(items)
        net = parts["net"] if "net" in parts else parts["forest"]
        device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
        return run_network(self._apply, items, config, device)

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> ImageTable:
        """Real digits whose label is (digit >= 5) xor a table column; neither half says anything alone."""
        from visus.data.worlds import digits

        world = digits.make("xor", n=300, n_test=200, seed=seed)
        return world.train if part == "train" else world.test

    @classmethod
    def claims(cls) -> Sequence[Any]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.hyperfusion.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Any]:
        """How the claims are measured."""
        from visus.methods.hyperfusion.claims import EXPERIMENTS

        return EXPERIMENTS

    # ---- fitting

    @property
    def _sees(self) -> bool:
        return self.settings.fusion not in TABLE_ONLY

    def _split(self, data: ImageTable, targets: list[Any], run: Run) -> tuple[np.ndarray, np.ndarray]:
        share = self.settings.validation
        if share == 0:
            return np.arange(len(data)), np.arange(0)
        parts = grouped_stratified_split(
            targets, data.groups, {"train": 1 - share, "validation": share}, run.seed
        )
        return parts["train"].numpy(), parts["validation"].numpy()

    def _fit_table(self, data: ImageTable, train: np.ndarray) -> None:
        config = self.settings
        self.table_: TablePreprocessor | None = None
        if config.fusion == "image":
            return
        frame = data.features.iloc[train]
        kinds = infer_columns(frame, config.columns)
        if all(kind == "ignore" for kind in kinds.values()):
            raise InputError(
                "no column can be used",
                file=data.file,
                field="columns",
                remedy="declare columns, or use fusion=image",
            )
        self.table_ = TablePreprocessor(kinds, imputer=config.imputer).fit(frame)

    def _rows(self, source: Source) -> np.ndarray:
        """Prepared rows (n, m) of a source."""
        if self.table_ is None:
            return np.zeros((len(source), 0), dtype=np.float32)
        frame = getattr(source, "features", None)
        if frame is None:
            frame = [row for batch in iterate(source, 256) for row in _field(batch, "row")]
        rows = self.table_.transform(frame)
        if self.settings.missing == "fill":
            rows = rows[:, [not name.endswith(":missing") for name in self.table_.names]]
        return rows

    def _sizes(self, data: ImageTable, columns: int) -> Sizes:
        config = self.settings
        if not self._sees:
            return Sizes(channels=1, columns=columns, outputs=self.targets_.outputs, space=(1, 1))
        image = data.batch([0])["image"]
        for axis in config.flips:
            check_axis(image, axis, field="flips")
        if config.hemispheres is not None:
            image = halves(image, config.hemispheres)[0]
        return Sizes(
            channels=image.shape[1],
            columns=columns,
            outputs=self.targets_.outputs,
            space=tuple(image.shape[2:]),
        )

    def _build(self) -> nn.Module:
        config, sizes = self.settings, self.sizes_
        fusion = "image" if config.fusion == "gbm_features" else config.fusion
        if fusion == "tabular":
            return TabularNet(sizes, embedding=config.embedding)
        if config.position == "paper_age":
            net: nn.Module = AgeNet(sizes, fusion=fusion, width=config.width, dropout=config.dropout)
        else:
            net = FusionResNet(
                sizes,
                fusion=fusion,
                position=config.position,
                width=config.width,
                blocks=config.blocks,
                stem_pool=config.stem_pool,
                dropout=config.dropout,
                embedding=config.embedding,
            )
        for layer, _ in conditioned_layers(net):
            layer.impl = config.impl
        return net

    def _train(self, run: Run, parts: list[Items], weights: Tensor | None) -> None:
        config, rows = self.settings, parts[0].table
        self.net_: nn.Module | None = None
        self.forest_: Forest | None = None
        if config.fusion != "gbm":
            with run.seeded("init"):
                self.net_ = self._build()
                start = self._pretrained(run, parts, weights)
                if start is not None:
                    self.net_.get_submodule("embedding").load_state_dict(start.embedding.state_dict())
                initialize(self.net_, rows, config.variance, trained=start is not None)
            self._train_net(self.net_, run, parts, weights, epochs=config.epochs)
        if config.fusion in ("gbm", "gbm_features"):
            self.forest_ = Forest.grow(
                self._forest_rows(parts[0]),
                _known(parts[0].target).numpy(),
                classes=None if self.targets_.regression else self.targets_.outputs,
                weights=None if weights is None else dict(enumerate(weights.tolist())),
                rounds=config.trees,
            )

    def _pretrained(self, run: Run, parts: list[Items], weights: Tensor | None) -> TabularNet | None:
        config = self.settings
        if config.embedding_epochs == 0 or getattr(self.net_, "embedding", None) is None:
            return None
        if config.fusion != "hyper":
            return None
        net = TabularNet(self.sizes_, embedding=config.embedding)
        blind = [
            Items(part.source, part.table.numpy(), target=_known(part.target).numpy(), images=False)
            for part in parts
        ]
        self._train_net(net, run.child("embedding"), blind, weights, epochs=config.embedding_epochs)
        return net

    def _train_net(
        self, net: nn.Module, run: Run, parts: list[Items], weights: Tensor | None, *, epochs: int
    ) -> None:
        config, regression = self.settings, self.targets_.regression
        training = FusionTraining(net, config, weights=weights, regression=regression)
        held = parts[1] if len(parts) > 1 else None

        def check() -> Scores:
            assert held is not None
            assert held.target is not None
            net.eval()
            outputs = run_network(net, held, config, run.device)
            return validation_scores(self.targets_, outputs, held.target)

        phase = Phase(
            epochs=epochs,
            batch_size=min(config.batch_size, len(parts[0])),
            monitor=None if held is None else ("mae" if regression else "balanced_accuracy"),
            better="lower" if regression else "higher",
            check_every=config.check_every,
            schedule=config.schedule,
        )
        run.train(training, parts[0], [phase], check=None if held is None else check)
        net.eval()

    def _forest_rows(self, items: Items) -> np.ndarray:
        if self.net_ is None:
            return items.table.numpy()
        device = next(self.net_.parameters()).device
        return run_network(self._with_features, items, self.settings, device).numpy()

    def _with_features(self, image: Tensor | None, table: Tensor) -> Tensor:
        assert self.net_ is not None
        features: Any = self.net_
        return torch.cat([table, features.features(image, table)], dim=1)

    def _apply(self, image: Tensor | None, table: Tensor) -> Tensor:
        if self.forest_ is None:
            assert self.net_ is not None
            return self.net_.eval()(image, table)
        rows = table if self.net_ is None else self._with_features(image, table)
        scores = self.forest_.to(rows.device)(rows)
        if not self.targets_.regression and scores.shape[1] == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return scores.float()

    def _check_image(self, items: Items) -> None:
        image = items.batch([0])["image"]
        dims, channels = image.ndim - 2, image.shape[1]
        if dims != len(self.sizes_.space) or channels != self.sizes_.channels:
            raise InputError(
                f"{channels} channels and {dims} spatial axes; the model was trained on "
                f"{self.sizes_.channels} and {len(self.sizes_.space)}",
                field="image",
                remedy="give images of the training images' kind",
            )

    # ---- saving

    def parts(self) -> dict[str, nn.Module]:
        """The fitted modules."""
        if not hasattr(self, "net_"):
            return super().parts()
        named = {"net": self.net_, "forest": self.forest_}
        return {name: module for name, module in named.items() if module is not None}

    def _state(self) -> dict[str, Any]:
        return {
            "targets": self.targets_.to_state(),
            "sizes": {**vars(self.sizes_), "space": list(self.sizes_.space)},
            "table": None if self.table_ is None else self.table_.to_state(),
            "forest": None if self.forest_ is None else self.forest_.shape,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.targets_ = Targets.from_state(state["targets"])
        self.sizes_ = Sizes(**state["sizes"] | {"space": tuple(state["sizes"]["space"])})
        self.table_ = None if state["table"] is None else TablePreprocessor.from_state(state["table"])
        self.forest_ = None if state["forest"] is None else Forest(**state["forest"])
        self.net_ = None if self.settings.fusion == "gbm" else self._build()


def _known(target: Tensor | None) -> Tensor:
    assert target is not None
    return target


def _targets(data: ImageTable) -> list[Any]:
    if not isinstance(data, ImageTable):
        raise InputError(
            f"is a {type(data).__name__}", field="data", remedy="give a visus.data.image_table.ImageTable"
        )
    return data.targets


def _field(batch: Batch, name: str) -> Any:
    if name not in batch:
        raise InputError("is not in the batch", field=name, remedy="give `image` and `row` (a dict per item)")
    return batch[name]

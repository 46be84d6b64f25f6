"""`GPTNAS`: labeled pictures in, a network found and trained for them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from visus.data import Tensors
from visus.data.loader import fingerprint
from visus.data.splits import grouped_stratified_split
from visus.data.tables.source import naming_file
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.gptnas.config import PRESETS, GPTNASConfig, check
from visus.methods.gptnas.model.network import BlockNetwork
from visus.methods.gptnas.model.records import Architecture
from visus.methods.gptnas.search.priors import Prior, UniformPrior
from visus.methods.gptnas.search.run import Backend, Progress, Result, run_search
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Individual, Space
from visus.methods.gptnas.training.candidate import Candidates, cross_entropy
from visus.methods.gptnas.training.final import train_final
from visus.methods.gptnas.training.images import (
    Labeled,
    Pixels,
    as_pictures,
    class_scores,
    in_order,
    targets_of,
)
from visus.methods.gptnas.training.prior import TrainedPrior, network_space, train_prior
from visus.methods.gptnas.training.setting import (
    Blueprint,
    identity_of,
    ledger_in,
    network_recipe,
    noted,
    prior_recipe,
    search_settings,
)
from visus.metrics import accuracy, balanced_accuracy, macro_f1
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import to_plain

FEW_HELD_OUT = 30
"""With fewer pictures to compare candidates on, a search says so."""


class GPTNAS(TorchEstimator):
    """Search a network for pictures of your classes within a budget of evaluations, then train it.

    A share of the training pictures, cut by class (and group), compares candidates; each candidate is trained
    briefly, and only in the blocks the prior wrote. The best architecture is then trained from scratch on
    all of them. Data are sources with `image` (b, c, h, w) and a target: `visus.data.corpora` reads folders
    and tables.

    After `fit`: `classes_` (names in order), `pixels_`, `best_` (the blocks found, by number), `search_` (list
    of what was evaluated, in order) and `net_`.

    Paper: 2305.05351. Differs: see NOTES.md.

    Parameters
    ----------
    config : settings; None takes the defaults.
    """

    slug: ClassVar[str] = "gptnas"
    arxiv: ClassVar[str] = "2305.05351"
    Config: ClassVar[type] = GPTNASConfig
    PRESETS: ClassVar[Mapping[str, GPTNASConfig]] = PRESETS

    def fit(
        self,
        data: Source,
        run: Run | None = None,
        *,
        workers: int = 1,
        backend: Backend = "loky",
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Train the prior, search, train the best; run again in the same folder to resume.

        Parameters
        ----------
        workers : candidates trained side by side.
        backend : where: processes of this machine (`loky`), or a `dask` or `ray` cluster that is connected already
            and sees the run's folder under the same path. In one process candidates take turns.
        progress : called after every evaluation.

        Raises
        ------
        InputError : a setting out of its bounds, no target, fewer than two classes, pictures that differ in
            shape or hold values that are not finite, too few of them to hold some out; no cluster is connected.
        """
        run = run if run is not None else Run(progress=False)
        whole = self._found(data, run, workers=workers, backend=backend, progress=progress)
        with run.seeded("final"):
            self.net_ = self.build(self.best_)
        recipe, every = network_recipe(self.settings, final=True), self.settings.drop_every
        train_final(self.net_, whole, recipe, run.child("final"), drop_every=every)
        return self

    def search(
        self,
        data: Source,
        run: Run | None = None,
        *,
        workers: int = 1,
        backend: Backend = "loky",
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """`fit` without the final training: learns `classes_`, `pixels_`, `best_` and `search_`.

        A `fit` in the same folder goes on from there.
        """
        run = run if run is not None else Run(progress=False)
        self._found(data, run, workers=workers, backend=backend, progress=progress)
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        """Classify a batch or a source.

        Returns
        -------
        {"probabilities": (b, k), "label": (b,) numbers into `classes_`, "name": the class names}.
        """
        probabilities = self._scores(inputs).softmax(1)
        label = probabilities.argmax(1)
        return {
            "probabilities": probabilities,
            "label": label,
            "name": [self.classes_[i] for i in label.tolist()],
        }

    def evaluate(self, data: Source) -> Scores:
        """`accuracy`, `balanced_accuracy`, `macro_f1`, `loss` (mean cross-entropy in nats); `top5_accuracy`
        above 5 classes.
        """
        self.parts()
        with naming_file(data):
            target = self._numbers(targets_of(data))
        scores = self._scores(data)
        label = scores.argmax(1)
        found = {
            "accuracy": float(accuracy(target, label)),
            "balanced_accuracy": float(balanced_accuracy(target, label)),
            "macro_f1": float(macro_f1(target, label)),
            "loss": cross_entropy(scores, target).mean().item(),
        }
        if scores.shape[1] > 5:
            found["top5_accuracy"] = (scores.topk(5).indices == target[:, None]).any(1).double().mean().item()
        return found

    def space(self) -> Space:
        """What is searched: lists of the paper's 15 blocks."""
        return network_space(least=self.settings.least_blocks, most=self.settings.most_blocks)

    def blueprint(self) -> Blueprint:
        """What turns a list of blocks into a network for these pictures and classes."""
        return Blueprint(
            in_channels=len(self.pixels_.mean),
            num_classes=len(self.classes_),
            image_size=self.pixels_.size,
            width=self.settings.width,
            stages=self.settings.stages,
        )

    def build(self, individual: Individual) -> BlockNetwork:
        """The network of a list of blocks, freshly drawn."""
        return self.blueprint()(individual)

    def architecture(self) -> Architecture:
        """The record of the best architecture."""
        with torch.device("meta"):
            return self.build(self.best_).architecture("best")

    def parts(self) -> dict[str, nn.Module]:
        """The network that was found."""
        if not hasattr(self, "net_"):
            return super().parts()
        return {"net": self.net_}

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Tensors:
        """Embedded data: 300 real handwritten digits of 8x8 pixels; for testing 200 others."""
        from visus.data.worlds import digits

        world = digits.make("xor", n=300, n_test=200, seed=seed)
        source, digit = (
            (world.train, world.train_digits) if part == "train" else (world.test, world.test_digits)
        )
        images = source.batch(range(len(source)))["image"]
        return Tensors({"image": images, "target": [str(name) for name in digit.tolist()]})

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.gptnas.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        """How the claims are measured."""
        from visus.methods.gptnas.claims import EXPERIMENTS

        return EXPERIMENTS

    # ---- fitting

    def _found(self, data: Source, run: Run, **how: Any) -> Labeled:
        """Search; all labeled pictures, for the final training."""
        train, held, whole = self._prepare(data, run)
        # only now: a folder must not be bound to data that cannot be used
        bound = {"method": self.slug, "config": to_plain(self.settings), "data": fingerprint(data)}
        run.bind(bound | identity_of(self.settings))
        found = self._search((train, held), run, **how)
        self.best_: Individual = found.best
        self.search_ = [noted(entry) for entry in found.history]
        self.information_, self.warnings_ = found.information, list(found.warnings)
        if len(held) < FEW_HELD_OUT:
            self.warnings_.append(
                f"candidates were compared on {len(held)} held-out pictures: small differences between them are chance"
            )
        return whole

    def _prepare(self, data: Source, run: Run) -> tuple[Labeled, Labeled, Labeled]:
        """Learn classes and pixels; training pictures, those that compare candidates, and both together."""
        config = self.settings
        check(config)
        names = targets_of(data)
        self.classes_ = sorted(set(names), key=in_order)
        if len(self.classes_) < 2:
            raise InputError(
                f"has one class only ({self.classes_[0]})",
                file=getattr(data, "file", None),
                field="target",
                remedy="give items of two classes or more",
            )
        shares = {"train": 1 - config.validation, "held": config.validation}
        parts = grouped_stratified_split(names, getattr(data, "groups", None), shares, run.seed)
        resized = getattr(data, "resized", None)
        if resized is not None and config.image_size is not None:
            data = resized(config.image_size)
        for part, name in ((parts["train"], "train on"), (parts["held"], "compare candidates on")):
            if len({names[i] for i in part.tolist()}) < 2:
                raise InputError(
                    f"has {len(names)} pictures, too few to {name} (of two classes or more)",
                    file=getattr(data, "file", None),
                    field="images",
                    remedy="give more pictures per class, or another share `validation`",
                )
        with naming_file(data):
            self.pixels_ = Pixels.learn(data, parts["train"].tolist(), image_size=config.image_size)
        whole = Labeled(data, self.pixels_, self._numbers(names))
        return whole.subset(parts["train"]), whole.subset(parts["held"]), whole

    def _search(self, data: tuple[Labeled, Labeled], run: Run, **how: Any) -> Result:
        config, space = self.settings, self.space()
        prior = self.prior(run)
        settings = search_settings(config, guided=prior is not None)
        inside = run.child("search")
        candidates = Candidates(
            self.blueprint(),
            data,
            network_recipe(config, final=False),
            inside,
            rule=config.trainable,
            settled=config.settled,
            keep=config.keep,
        )
        return run_search(
            Search(space, settings, run.seed, prior),
            candidates,
            ledger=ledger_in(inside),
            **how,
        )

    def prior(self, run: Run) -> Prior | None:
        """What regrows blocks: trained in `run`, read from a folder, uniform, or None."""
        config, space = self.settings, self.space()
        if config.prior == "none":
            return None
        if config.prior == "uniform":
            return UniformPrior(space)
        if config.prior == "zoo":
            trained = train_prior(prior_recipe(config), run.child("prior"))
        else:
            trained = TrainedPrior.load(config.prior)
        return trained.over(space, stages=config.stages)

    # ---- using

    def _scores(self, inputs: Batch | Source) -> Tensor:
        net = self.parts()["net"]
        source = Tensors({"image": as_pictures(inputs)}) if isinstance(inputs, dict) else inputs
        resized = getattr(source, "resized", None)
        if resized is not None:
            source = resized(self.pixels_.size)
        with naming_file(source):
            return class_scores(net, Labeled(source, self.pixels_), next(net.parameters()).device)

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

    def _state(self) -> dict[str, Any]:
        return {
            "classes": self.classes_,
            "pixels": self.pixels_.to_plain(),
            "best": list(self.best_),
            "search": self.search_,
            "information": self.information_,
            "warnings": self.warnings_,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.classes_ = [str(name) for name in state["classes"]]
        self.pixels_ = Pixels.from_plain(state["pixels"])
        self.best_ = tuple(state["best"])
        self.search_ = list(state["search"])
        self.information_, self.warnings_ = state["information"], list(state["warnings"])
        self.net_ = self.build(self.best_)

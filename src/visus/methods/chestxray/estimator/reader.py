"""`ChestXrayReader`: radiographs in, a diagnosis and a map of where a radiologist looks out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.gaze.table import GazeTable, View
from visus.data.loader import fingerprint, iterate
from visus.data.tables.source import naming_file
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.chestxray.config import PRESETS, ChestXrayConfig, check
from visus.methods.chestxray.estimator.building import DenseAlone, build, view_of
from visus.methods.chestxray.estimator.classes import encode
from visus.methods.chestxray.estimator.fitting import Abilities, Job, calibrated, check_table, prepare, train
from visus.methods.chestxray.estimator.inputs import pictures, to_native
from visus.methods.chestxray.estimator.scores import (
    MAPS,
    ItemScores,
    interval_scores,
    map_values,
    mean_scores,
)
from visus.methods.chestxray.model import grad_cam
from visus.methods.chestxray.training import StageRecord
from visus.protocols import Batch, Prediction, Scores, Source
from visus.records import from_plain, to_plain

EXAMPLE = 96, 48
"""Pictures to learn from and to be tested on."""
GAZE_SHARE = 0.9
"""Of the example's pictures with gaze."""


class ChestXrayReader(TorchEstimator):
    """Diagnose radiographs and foretell where a radiologist looks, by one network trained in stages.

    Gaze is needed for training alone, and not for all images: those without it teach the diagnosis. A share of
    the patients chooses the epoch of every stage and the temperature of the probabilities. Every baseline is the
    same estimator with another `network` or `schedule`.

    Paper: 2403.16970. Differs: see NOTES.md.

    Fitted: `classes_`, `abilities_`, `temperature_`, `lineage_` (a `StageRecord` per stage), `notes_` (what was
    left out and why).

    Parameters
    ----------
    config : settings; None takes the defaults.

    >>> model = ChestXrayReader(ChestXrayReader.preset("smoke")).fit(ChestXrayReader.example("train"))
    >>> found = model.predict(ChestXrayReader.example("test").batch([0, 1]))
    >>> found["probabilities"].shape, found["density"].shape
    (torch.Size([2, 3]), torch.Size([2, 64, 64]))
    """

    slug: ClassVar[str] = "chestxray"
    arxiv: ClassVar[str] = "2403.16970"
    Config: ClassVar[type] = ChestXrayConfig
    PRESETS: ClassVar[Mapping[str, ChestXrayConfig]] = PRESETS

    def fit(self, data: GazeTable, run: Run | None = None) -> Self:
        """Train on radiographs with a class each and gaze for some.

        Raises
        ------
        visus.errors.InputError : a setting out of its bounds, no target, one class only, fewer than two training
            images, an image that cannot be read, or settings that leave nothing to train.
        """
        check(self.settings)
        check_table(data)
        run = run or Run(progress=False)
        job = prepare(data.viewed(self.view), self.settings, run)
        # only now: a folder must not be bound to data that cannot be used
        config = to_plain(self.settings)
        run.bind({"method": self.slug, "config": config, "data": fingerprint(data)})
        self._train(job, run)
        return self

    def predict(self, inputs: Batch | Source, *, native: bool = False) -> Prediction:
        """What the network says of radiographs.

        `probabilities` (b, k) calibrated, `label` (b,) numbers in `classes_`, `name` (list) their names, `logits`
        (b, k) before calibration; absent where the network does not diagnose. `density` (b, h, w) on the network's
        view, sums to 1; absent where it does not predict gaze.

        Parameters
        ----------
        inputs : a batch with `image` (b, 1, h, w) in 0..1 (or color), a `GazeTable`, or a source of `image`.
        native : `density` as a list of maps (h, w) on the pictures as they were given.
        """
        logits: list[Tensor] = []
        density: list[Tensor] = []
        with torch.no_grad(), naming_file(inputs):
            for _, image, places in pictures(inputs, self.view, self.settings.batch_size):
                scores, maps = self._read(image)
                logits += [] if scores is None else [scores]
                if maps is not None and native:
                    density += [to_native(one, place) for one, place in zip(maps, places, strict=True)]
                elif maps is not None:
                    density.append(maps)
        found: Prediction = {}
        if logits:
            found |= self._diagnoses(torch.cat(logits))
        if density:
            found["density"] = density if native else torch.cat(density)
        return found

    def grad_cam(self, inputs: Batch | Source, class_name: str | None = None) -> Float[Tensor, "b h w"]:
        """Where the evidence for a class lies, on the network's view; by default for the most probable class.

        Of the dense encoder's last feature map. Not scaled.

        Raises
        ------
        visus.errors.InputError : the network does not diagnose or has no dense encoder; no such class.
        """
        self._fitted()
        if self.abilities_.diagnosis is None:
            raise InputError("does not diagnose", field=f"network {self.settings.network}")
        if class_name is not None and class_name not in self.classes_:
            remedy = "known classes: " + ", ".join(self.classes_)
            raise InputError(
                f"{class_name!r} is not a class of this model", field="class_name", remedy=remedy
            )
        net = self._diagnosing()
        found = []
        for _, image, _ in pictures(inputs, self.view, self.settings.batch_size):
            if class_name is None:
                with torch.no_grad():
                    scores = self._read(image)[0]
                assert scores is not None
                index: Any = scores.argmax(1).to(self._device)
            else:
                index = self.classes_.index(class_name)
            found.append(grad_cam(net, image.to(self._device), index).cpu())
        return torch.cat(found)

    def evaluate(self, data: GazeTable, *, intervals: bool = False, seed: int = 0) -> Scores:
        """Scores over a set, see `mean_scores`; with `intervals` also `_low` and `_high`, over patients."""
        items = self.scores_of(data)
        return interval_scores(items, seed=seed) if intervals else mean_scores(items)

    def scores_of(self, data: GazeTable) -> ItemScores:
        """What is said of every image and how right it is, for paired tests and intervals over patients."""
        check_table(data)
        table = data.viewed(self.view)
        self._fitted()
        maps: dict[str, list[np.ndarray]] = {name: [] for name in MAPS}
        logits: list[Tensor] = []
        with torch.no_grad(), naming_file(data):
            diagnoses = self.abilities_.diagnosis is not None
            known = diagnoses and data.target is not None
            target = encode(data.targets, self.classes_) if known else None
            for batch, image, _ in pictures(table, self.view, self.settings.batch_size):
                scores, density = self._read(image)
                logits += [] if scores is None else [scores]
                for name, values in {} if density is None else map_values(density, batch).items():
                    maps[name].append(values)
        chances = self._diagnoses(torch.cat(logits))["probabilities"].numpy() if logits else None
        return ItemScores(
            name=table.names,
            patient=list(table.patients),
            classes=self.classes_,
            target=target,
            probabilities=chances,
            maps={name: np.concatenate(values) for name, values in maps.items() if values},
        )

    @property
    def view(self) -> View:
        """How the network sees images: their size and how they are fitted into it."""
        return view_of(self.settings)

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> GazeTable:
        """Made-up radiographs of 64 px with the gaze of a simulated reader for nine in ten."""
        return _example(part, seed)

    @classmethod
    def claims(cls) -> Sequence[Any]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.chestxray.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Any]:
        """How the claims are measured."""
        from visus.methods.chestxray.claims import EXPERIMENTS

        return EXPERIMENTS

    # ---- fitting

    def _train(self, job: Job, run: Run) -> None:
        training, rows = train(job, self.settings, run)
        self.net_ = job.net.requires_grad_(True).eval()
        self.classes_, self.notes_ = job.classes, job.notes
        self.abilities_ = Abilities.after(job.stages)
        self.lineage_ = training.ledger.records([stage.name for stage in job.stages], rows, self.net_)
        self.sigmas_, self.temperature_ = training.sigmas, 1.0
        if job.held is not None and self.abilities_.diagnosis is not None:
            batches = iterate(job.held, self.settings.batch_size)
            logits = [scores for scores, _ in (self._read(batch["image"]) for batch in batches)]
            self.temperature_ = calibrated(torch.cat(logits), job.held.own_labels)  # pyright: ignore[reportArgumentType]

    # ---- reading

    def _diagnosing(self) -> nn.Module:
        """The network, so that forward gives the logits by which it diagnoses."""
        alone = self.abilities_.diagnosis == "dense_head" and hasattr(self.net_, "classify")
        return (DenseAlone(self.net_) if alone else self.net_).eval()

    @torch.no_grad()
    def _read(self, image: Float[Tensor, "b 1 h w"]) -> tuple[Tensor | None, Tensor | None]:
        """Logits and densities, on the CPU."""
        net, able = self._fitted(), self.abilities_
        image = image.to(self._device)
        whole = net(image) if able.gaze or able.diagnosis == "fusion" else None
        diagnosed = whole if able.diagnosis == "fusion" else None
        if able.diagnosis == "dense_head":
            diagnosed = self._diagnosing()(image)
        density = whole.log_density.exp().float().cpu() if able.gaze and whole is not None else None
        return None if diagnosed is None else diagnosed.logits.float().cpu(), density

    def _diagnoses(self, logits: Float[Tensor, "b k"]) -> Prediction:
        chances = (logits / self.temperature_).softmax(1)
        label = chances.argmax(1)
        names = [self.classes_[i] for i in label.tolist()]
        return {"probabilities": chances, "label": label, "name": names, "logits": logits}

    @property
    def _device(self) -> torch.device:
        return next(self.net_.parameters()).device

    def _fitted(self) -> Any:
        if not hasattr(self, "net_"):
            super().parts()
        return self.net_.eval()

    # ---- saving

    def parts(self) -> dict[str, nn.Module]:
        """The fitted network."""
        return {"net": self._fitted()}

    def _state(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes_),
            "abilities": asdict(self.abilities_),
            "temperature": self.temperature_,
            "sigmas": self.sigmas_,
            "lineage": [asdict(stage) for stage in self.lineage_],
            "notes": self.notes_,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.classes_ = tuple(state["classes"])
        self.abilities_ = from_plain(Abilities, state["abilities"])
        self.temperature_ = float(state["temperature"])
        self.sigmas_ = state["sigmas"]
        self.lineage_ = [from_plain(StageRecord, stage) for stage in state["lineage"]]
        self.notes_ = list(state["notes"])
        self.net_ = build(self.settings, len(self.classes_), weights=False)


@functools.lru_cache(maxsize=4)
def _example(part: Literal["train", "test"], seed: int) -> GazeTable:
    from visus.data.worlds.torso.world import make

    n, n_test = (EXAMPLE[0], 1) if part == "train" else (1, EXAMPLE[1])
    world = make(n=n, n_test=n_test, seed=seed, gaze_share=GAZE_SHARE)
    return world.train if part == "train" else world.test

"""`Aligner`: features of objects and odd-one-out judgments in, a linear map towards human similarity out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from visus.data.loader import Tensors, fingerprint
from visus.data.tables.source import naming_file
from visus.data.triplets import OddOneOutData
from visus.engine import Run, TorchEstimator, derive_seed
from visus.errors import InputError
from visus.methods.alignment.config import GRADIENT, PRESETS, AlignmentConfig, check, similarity_of
from visus.methods.alignment.estimator.scores import gain_scores
from visus.methods.alignment.estimator.sides import Sides, sides_of, statistics, triplets_of, views
from visus.methods.alignment.model import LinearAligner, Transform, ridge
from visus.methods.alignment.training import AlignerTraining, Stream
from visus.metrics.odd_one_out import choice_probabilities, choices, fit_temperature, pair_similarities
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import to_plain

ROWS_AT_ONCE = 65_536
TOLD = ("step", "cross_entropy", "contrastive", "validation", "monitored")
"""What `validation_` keeps of a row of the log."""


class Aligner(TorchEstimator):
    """Learn z = ((x - mean) / std) W + b so that similarities of z predict which of three objects people find odd.

    Data are an `OddOneOutData`. A share of the objects is held out to choose the training step: triplets that mix
    training and held-out objects are used by neither side. Mean and deviation are two numbers, of the training
    objects' features. The weights are those of the best validation, wherever training went afterwards.

    After `fit`: `transform_` (the map, see `Transform`), `steps_` (training steps up to the weights kept, 0 for
    closed forms), `temperature_`, `alphas_` (the penalties that `ridge` chose, one per dimension), `validation_`
    (one row per validation).

    Paper: 2211.01201; gLocal: 2306.04507. Differs: see NOTES.md.

    >>> model = Aligner(Aligner.preset("smoke")).fit(Aligner.example("train"))
    >>> scores = model.evaluate(Aligner.example("test"))
    >>> scores["accuracy"] > scores["zero_shot_accuracy"]
    True
    """

    slug: ClassVar[str] = "alignment"
    arxiv: ClassVar[str] = "2211.01201"
    Config: ClassVar[type] = AlignmentConfig
    PRESETS: ClassVar[Mapping[str, AlignmentConfig]] = PRESETS

    def fit(
        self,
        data: OddOneOutData,
        run: Run | None = None,
        *,
        unrelated: Float[Tensor, "u p"] | None = None,
    ) -> Self:
        """Learn from triplets; `run` None takes a temporary one.

        Parameters
        ----------
        unrelated : features of further images whose similarities `glocal` keeps; None takes those of the objects.

        Raises
        ------
        InputError : a setting out of its bounds, no triplet among the held-out or the other objects, `ridge`
            without a reference embedding, features that are all equal.
        """
        config: AlignmentConfig = self.settings
        check(config)
        run = run or Run(progress=False)
        self.__dict__.pop("transform_", None)
        with naming_file(data.record):
            sides = sides_of(config, data, seed=derive_seed(run.seed, "objects"))
            others = _checked(unrelated, config, data.features.shape[1])
            outputs = self._outputs(data)
        mean, std = statistics(data.features, sides.training) if config.aligner != "none" else (0.0, 1.0)
        bound = {"method": self.slug, "config": to_plain(config), "data": fingerprint(data)}
        run.bind(bound | ({} if others is None else {"unrelated": Tensors({"x": others}).fingerprint()}))
        bias = config.aligner in ("ridge", "center") or (config.aligner in GRADIENT and config.bias)
        self.net_ = LinearAligner(data.features.shape[1], outputs, bias=bias, mean=mean, std=std)
        self.steps_, self.alphas_, self.validation_ = 0, None, []
        x = self.net_.to_transform().standardize(data.features).to(run.device)
        self.net_.to(run.device)
        if config.aligner in GRADIENT:
            self._train(run, x, sides, others)
        else:
            self._solve(run, x, data, sides)
        self._learn_temperature(data, sides)
        return self

    def transform(self, features: Float[Tensor, "n p"]) -> Float[Tensor, "n q"]:
        """Transformed features on the CPU, standardized with what was learned."""
        device = next(self.parts()["net"].parameters()).device
        parts = features.split(ROWS_AT_ONCE) if len(features) else (features,)
        return torch.cat([self.transform_.apply(part.to(device)).cpu() for part in parts])

    def predict(self, inputs: Batch | Source) -> Prediction:
        """Which of three objects is odd.

        Returns
        -------
        `probabilities` (b, 3) of every position to be the odd one; `label` (b,) the position, -1 where the most
        similar pair is not unique; `similarities` (b, 3) of the pairs (0, 1), (0, 2), (1, 2).
        """
        found = self.similarities(inputs)
        return {
            "probabilities": choice_probabilities(found, self.temperature_),
            "label": choices(found),
            "similarities": found,
        }

    def evaluate(self, data: Source) -> Scores:
        """Scores against people's choices, whose odd one is the last column.

        `accuracy` with its 95 % bootstrap interval over triplets (`accuracy_low`, `accuracy_high`; all judgments of
        the same three objects are drawn together), `cross_entropy` and `entropy` in nats, `ece` and `ece_equal_mass`,
        `ties` (share without a choice), `zero_shot_accuracy` (cosine of the features as they are) and `gain`
        (accuracy less that) with its paired interval.
        """
        shown = list(views(data, self._width()))
        plain = torch.cat([pair_similarities(x, rows, kind="cosine") for x, rows in shown])
        return gain_scores(self.similarities(data), plain, triplets_of(data), temperature=self.temperature_)

    def similarities(self, inputs: Batch | Source) -> Float[Tensor, "b 3"]:
        """Similarities after the transform of the pairs (0, 1), (0, 2), (1, 2)."""
        kind = similarity_of(self.settings)
        found = [
            pair_similarities(self.transform(x), rows, kind=kind) for x, rows in views(inputs, self._width())
        ]
        return torch.cat(found)

    @cached_property
    def transform_(self) -> Transform:
        """The learned map; `transform_.save_npz(path)` writes it for other tools."""
        net: Any = self.parts()["net"]
        return net.to_transform()

    def parts(self) -> dict[str, nn.Module]:
        """The linear map."""
        return {"net": self.net_} if hasattr(self, "net_") else super().parts()

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> OddOneOutData:
        """Judgments of a planted world of concepts; no object of one part is in the other."""
        from visus.data.worlds import concepts

        return concepts.odd_one_out(part, seed=seed)

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        """What the paper asserts, and controls, made measurable."""
        from visus.methods.alignment.claims import CLAIMS

        return CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        """How the claims are measured."""
        from visus.methods.alignment.claims import EXPERIMENTS

        return EXPERIMENTS

    # ---- fitting ------------------------------------------------------------------------------------------

    def _width(self) -> int:
        net: Any = self.parts()["net"]
        return net.weight.shape[0]

    def _outputs(self, data: OddOneOutData) -> int:
        if self.settings.aligner != "ridge":
            return data.features.shape[1]
        if data.reference is None:
            raise InputError(
                "is missing: ridge regression needs an embedding of the same objects to predict",
                field="reference",
                remedy="give a reference embedding, or choose aligner=probe",
            )
        return data.reference.shape[1]

    def _train(self, run: Run, x: Tensor, sides: Sides, others: Tensor | None) -> None:
        config: AlignmentConfig = self.settings
        draw = torch.Generator().manual_seed(derive_seed(run.seed, "init"))
        self.net_.start(config.init, config.init_scale, draw)
        learned, held = self._unrelated(x, sides, others, run)
        stream = Stream(
            sides.learned.to(run.device),
            batch_size=config.batch_size,
            steps=config.check_every,
            seed=run.seed,
        )
        training = AlignerTraining(self.net_, config, x, stream, unrelated=learned, seed=run.seed)
        chosen = sides.chosen.to(run.device)
        check_ = (lambda: training.validation(chosen, held)) if len(chosen) else None
        rows = run.train(training, stream, training.phases(), check=check_)
        self.validation_ = [
            {name: row[name] for name in row if name in TOLD} for row in rows if row.get("check")
        ]
        best = min(self.validation_, key=lambda row: row["monitored"], default=None)
        self.steps_ = int(best["step"] if best is not None else max(row["step"] for row in rows))

    def _unrelated(
        self, x: Tensor, sides: Sides, others: Tensor | None, run: Run
    ) -> tuple[Tensor | None, Tensor | None]:
        """Standardized images of the contrastive term: to learn from, and to validate on."""
        config: AlignmentConfig = self.settings
        if config.aligner != "glocal":
            return None, None
        most = config.contrastive_batch
        if others is None:
            return x[sides.training.to(x.device)], x[~sides.training.to(x.device)][:most]
        others = self.net_.to_transform().standardize(others).to(x.device)
        draw = torch.Generator().manual_seed(derive_seed(run.seed, "unrelated"))
        order = torch.randperm(len(others), generator=draw).to(x.device)
        share = round(config.validation * len(others))
        held = max(2, min(most, share, len(others) - 2)) if len(sides.chosen) else 0
        return others[order[held:]], others[order[:held]]

    @torch.no_grad()
    def _solve(self, run: Run, x: Tensor, data: OddOneOutData, sides: Sides) -> None:
        config: AlignmentConfig = self.settings
        x = x[sides.training.to(x.device)]
        if config.aligner != "ridge":
            nn.init.eye_(self.net_.weight)
            if self.net_.bias is not None:
                self.net_.bias.copy_(-x.double().mean(0))
            return
        assert data.reference is not None
        assert self.net_.bias is not None
        y = data.reference[sides.training].to(x.device)
        fit = ridge(x, y, config.ridge_alphas, folds=config.ridge_folds, seed=derive_seed(run.seed, "ridge"))
        self.net_.weight.copy_(fit.weights)
        self.net_.bias.copy_(fit.bias)
        self.alphas_ = fit.alphas.tolist()

    def _learn_temperature(self, data: OddOneOutData, sides: Sides) -> None:
        setting = self.settings.temperature
        if setting != "fit":
            self.temperature_ = float(setting)
            return
        rows = sides.chosen if len(sides.chosen) else sides.learned
        z = self.transform(data.features)
        self.temperature_ = fit_temperature(pair_similarities(z, rows, kind=similarity_of(self.settings)))

    # ---- saving -------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        return {
            "inputs": self._width(),
            "outputs": self.net_.weight.shape[1],
            "bias": self.net_.bias is not None,
            "temperature": self.temperature_,
            "steps": self.steps_,
            "alphas": self.alphas_,
            "validation": self.validation_,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.net_ = LinearAligner(int(state["inputs"]), int(state["outputs"]), bias=bool(state["bias"]))
        self.temperature_, self.steps_ = float(state["temperature"]), int(state["steps"])
        self.alphas_, self.validation_ = state["alphas"], list(state["validation"])


def _checked(unrelated: Any, config: AlignmentConfig, width: int) -> Float[Tensor, "u p"] | None:
    """Features of unrelated images, float32 and finite."""
    if unrelated is None:
        return None
    if config.aligner != "glocal":
        raise InputError(
            f"are not used by aligner={config.aligner}", field="unrelated", remedy="choose aligner=glocal"
        )
    images = torch.as_tensor(unrelated).detach().cpu().float()
    if images.ndim != 2 or images.shape[1] != width or len(images) < 8:
        problem = f"have shape {tuple(images.shape)}, expected (8 or more, {width})"
        raise InputError(problem, field="unrelated", remedy="give features of the same network and layer")
    finite: Bool[Tensor, " u"] = torch.isfinite(images).all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError("is not finite", field=f"unrelated, row {row}", remedy="compute this row again")
    return images

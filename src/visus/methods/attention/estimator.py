"""The classifier a person uses: images or texts in, classes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from visus.data import Tensors, WordTokenizer, concatenate, grouped_stratified_split, iterate
from visus.data.image_table import resize
from visus.data.loader import fingerprint
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.attention import claims
from visus.methods.attention.config import PRESETS, AttentionConfig, check
from visus.methods.attention.model import Classifier, Patches, Words
from visus.methods.attention.training import Training, cross_entropy, phases
from visus.metrics import accuracy, balanced_accuracy, macro_f1
from visus.protocols import Batch, Claim, Experiment, Prediction, Scores, Source
from visus.records import read_json, to_plain

READ_AT_ONCE = 256
SMALLEST_SPLIT = 10


class AttentionClassifier(TorchEstimator):
    """A small transformer for pictures or texts with the kind of attention of your choice.

    Data are sources with `image` (b, c, h, w) or `text` (list of strings), and `target` (any class names or
    numbers): `visus.data.corpora` reads folders and tables. Everything learned from data (vocabulary, pixel
    statistics, class names) comes from the training part alone; a validation part cut from it chooses the
    epoch.

    After `fit`: `classes_` (names in order), `model_`, and `tokenizer_` (texts) or `pixels_` (images:
    channels, mean and standard deviation per channel).

    Source: 2403.01643.
    """

    slug: ClassVar[str] = "attention"
    arxiv: ClassVar[str] = "2403.01643"
    Config: ClassVar[type] = AttentionConfig
    PRESETS: ClassVar[Mapping[str, AttentionConfig]] = PRESETS

    def fit(self, data: Source, run: Any = None) -> Self:
        """Learn from a source with `image` or `text`, and `target`; `run` is a `visus.engine.Run` (None: a
        temporary one).

        Raises
        ------
        InputError : a setting out of its bounds, no targets, fewer than two classes, images of different
            channels, values that are not finite.
        """
        config: AttentionConfig = self.settings
        check(config)
        run = run if run is not None else Run(progress=False)
        raw = _read_all(data)
        names = _targets(raw)
        self.classes_ = sorted(set(names), key=_natural)
        if len(self.classes_) < 2:
            raise InputError(
                f"has one class only ({self.classes_[0]})",
                field="target",
                remedy="give items of two classes or more",
            )
        train, validation = _split(names, config.validation, seed=run.seed)
        self._learn_inputs(raw, train)
        encoded = self._labeled(raw)
        with run.seeded("init"):
            self._build()
        run.bind({"method": self.slug, "config": to_plain(config), "data": fingerprint(encoded)})
        held_out = encoded.subset(validation) if len(validation) else None

        def validate() -> Scores:
            assert held_out is not None
            scores = self._score(held_out)
            loss = cross_entropy(scores, held_out["target"]).mean().item()
            hits = (scores.argmax(1) == held_out["target"]).double().mean().item()
            return {"loss": loss, "accuracy": hits}

        run.train(
            Training(self.model_, config),
            encoded.subset(train),
            phases(config, validated=held_out is not None),
            check=validate if held_out is not None else None,
        )
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        """Classify a batch or a source.

        Returns
        -------
        {"probabilities": (b, k), "label": (b,) numbers into `classes_`, "name": the class names}.
        """
        probabilities = self._score(self._encoded(_read_all(inputs))).softmax(1)
        label = probabilities.argmax(1)
        names = [str(self.classes_[i]) for i in label.tolist()]
        return {"probabilities": probabilities, "label": label, "name": names}

    def evaluate(self, data: Source) -> Scores:
        """`accuracy`, `balanced_accuracy`, `macro_f1`, `loss` (mean cross-entropy in nats), `top5_accuracy`
        above 5 classes.
        """
        raw = _read_all(data)
        target = self._numbers(_targets(raw))
        scores = self._score(self._encoded(raw))
        return scored(scores, target)

    def learned_from(self, data: Source, folder: str | Path) -> bool:
        """True if `data` holds the very items, in the order, that the run of this model learned from.

        `folder` is the run's or the model's inside it. Without the run's `run.json` nothing is known: False.
        """
        folder = Path(folder).resolve()
        file = next(
            (place / "run.json" for place in (folder, folder.parent) if (place / "run.json").is_file()), None
        )
        content = read_json(file) if file is not None else None
        settings = content.get("settings") if isinstance(content, dict) else None
        noted = settings.get("data") if isinstance(settings, dict) else None
        return noted is not None and noted == fingerprint(self._labeled(_read_all(data)))

    def permuted_accuracy(self, data: Source, *, seed: int = 0) -> float:
        """Accuracy when the embedded tokens of every image are shuffled (all in the same way).

        Kinds of attention that treat tokens as a set are not affected; Super attention is.
        """
        raw = _read_all(data)
        length = self._fitted().embedding.length
        order = torch.from_numpy(np.random.default_rng(seed).permutation(length))
        scores = self._score(self._encoded(raw), order=order)
        return (scores.argmax(1) == self._numbers(_targets(raw))).double().mean().item()

    def parts(self) -> dict[str, nn.Module]:
        return {"model": self._fitted()}

    @classmethod
    def example(
        cls,
        part: Literal["train", "test"] = "train",
        *,
        seed: int = 0,
        task: Literal["image", "text"] = "image",
    ) -> Source:
        """Embedded data: 900 real handwritten digits of 8x8 pixels (test: the other 897), or made-up film
        reviews.
        """
        return claims.reviews(part, seed=seed) if task == "text" else claims.digits(part, seed=seed)

    @classmethod
    def claims(cls) -> Sequence[Claim]:
        return claims.CLAIMS

    @classmethod
    def experiments(cls) -> Sequence[Experiment]:
        return claims.EXPERIMENTS

    def _fitted(self) -> Classifier:
        if not hasattr(self, "model_"):
            super().parts()
        return self.model_

    def _learn_inputs(self, raw: Batch, train: Tensor) -> None:
        config: AttentionConfig = self.settings
        if "text" in raw:
            self.tokenizer_ = WordTokenizer(size=config.vocabulary, length=config.length, keep=config.keep)
            self.tokenizer_.fit([raw["text"][i] for i in train.tolist()])
            return
        images = raw["image"][train]
        spread = images.std(dim=(0, 2, 3)) if images[:, 0].numel() > 1 else torch.ones(images.shape[1])
        spread = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        self.pixels_ = {"mean": images.mean(dim=(0, 2, 3)).tolist(), "std": spread.tolist()}

    def _build(self) -> None:
        config: AttentionConfig = self.settings
        if hasattr(self, "tokenizer_"):
            embedding = Words(config, words=len(self.tokenizer_))
        else:
            embedding = Patches(config, channels=len(self.pixels_["mean"]))
        self.model_ = Classifier(config, embedding, classes=len(self.classes_))

    def _encode(self, raw: Batch) -> dict[str, Tensor]:
        """The model's inputs."""
        if hasattr(self, "tokenizer_"):
            if "text" not in raw:
                raise InputError(
                    "was trained on texts, these data have none", field="text", remedy="give texts"
                )
            encoded = self.tokenizer_.encode(raw["text"])
            return {"inputs": encoded["tokens"], "padding": encoded["padding"]}
        if "image" not in raw:
            raise InputError(
                "was trained on images, these data have none", field="image", remedy="give images"
            )
        config: AttentionConfig = self.settings
        mean, std = (torch.tensor(self.pixels_[key])[:, None, None] for key in ("mean", "std"))
        if raw["image"].shape[1] != len(mean):
            raise InputError(
                f"has {raw['image'].shape[1]} channels, the model was trained on {len(mean)}",
                field="image",
                remedy="convert the images to the same number of channels",
            )
        return {"inputs": resize((raw["image"] - mean) / std, (config.image_size, config.image_size))}

    def _labeled(self, raw: Batch) -> Tensors:
        return Tensors({**self._encode(raw), "target": self._numbers(_targets(raw))})

    def _encoded(self, raw: Batch) -> Tensors:
        self._fitted()
        return Tensors(self._encode(raw))

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

    def _score(self, encoded: Tensors, *, order: Tensor | None = None) -> Tensor:
        """Class scores (n, k) on the CPU; the model's mode is put back."""
        model = self._fitted()
        device, mode = next(model.parameters()).device, model.training
        order = None if order is None else order.to(device)
        model.eval()
        with torch.no_grad():
            found = []
            for batch in iterate(encoded, READ_AT_ONCE):
                padding = batch["padding"].to(device) if "padding" in batch else None
                found.append(model(batch["inputs"].to(device), padding, order=order).float().cpu())
        model.train(mode)
        return torch.cat(found)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"classes": self.classes_}
        if hasattr(self, "tokenizer_"):
            return {**state, "tokenizer": self.tokenizer_.state()}
        return {**state, "pixels": self.pixels_}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.classes_ = [str(name) for name in state["classes"]]
        if "tokenizer" in state:
            self.tokenizer_ = WordTokenizer.from_state(state["tokenizer"])
        else:
            self.pixels_ = dict(state["pixels"])
        self._build()


def scored(scores: Tensor, target: Tensor) -> Scores:
    """Metrics from class scores (n, k) and class numbers (n,)."""
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


def _read_all(data: Batch | Source) -> Batch:
    """`image` or `text`, and `target` where there is one, of all items."""
    batches = [data] if isinstance(data, dict) else list(iterate(data, READ_AT_ONCE))
    given = next((name for name in ("text", "image") if name in batches[0]), None)
    if given is None:
        raise InputError("has neither images nor texts", field="data", remedy="give the field image or text")
    wanted = [given, *(["target"] if "target" in batches[0] else [])]
    raw = concatenate([{name: batch[name] for name in wanted} for batch in batches])
    if given == "image":
        image = raw["image"]
        if not isinstance(image, Tensor) or image.ndim != 4:
            shape = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise InputError(
                f"has shape {shape}, expected (n, c, h, w)", field="image", remedy="give flat pictures"
            )
        raw["image"] = image.float()
        if not torch.isfinite(raw["image"]).all():
            raise InputError("holds values that are not finite numbers", field="image", remedy="replace them")
    return raw


def _targets(raw: Batch) -> list[str]:
    if "target" not in raw:
        raise InputError("is absent", field="target", remedy="give a class for every item")
    given = raw["target"].tolist() if isinstance(raw["target"], Tensor) else raw["target"]
    return [str(name) for name in given]


def _split(names: Sequence[str], share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Items to learn from and items that choose the epoch; none of the latter where there is too little."""
    if share == 0.0 or len(names) * share < 1 or len(names) < SMALLEST_SPLIT:
        return torch.arange(len(names)), torch.arange(0)
    parts = grouped_stratified_split(list(names), None, {"train": 1 - share, "validation": share}, seed)
    return parts["train"], parts["validation"]


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers by value before words by alphabet."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)

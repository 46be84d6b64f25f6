"""The zero-shot classifier: class texts in, labels of pictures out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float
from torch import Tensor, nn

from visus.data.features import FeatureCache
from visus.engine import Run, TorchEstimator
from visus.errors import InputError
from visus.methods.vgloss.config import PRESETS, SCRATCH, VGlossConfig, check
from visus.methods.vgloss.estimator.bank import Bank, Told, build_bank
from visus.methods.vgloss.estimator.encoders import (
    EncoderPair,
    Inputs,
    Progress,
    as_pair,
    features_of,
    open_pair,
)
from visus.methods.vgloss.estimator.example import example
from visus.methods.vgloss.estimator.explaining import Explanation, explain
from visus.methods.vgloss.estimator.scoring import look_again, scores_of, targets_of
from visus.methods.vgloss.model.bridge import TextBridge
from visus.methods.vgloss.model.builder import ClassWeights, TextClassifierBuilder
from visus.methods.vgloss.model.classes import ClassTexts, SeenClasses
from visus.methods.vgloss.model.confusion import ConfusionFinder, Pairs
from visus.methods.vgloss.training import empty_towers, train_towers
from visus.protocols import Claim, Experiment, Prediction, Scores, Source
from visus.records import from_plain, to_plain


class VGlossClassifier(TorchEstimator):
    """Classify pictures by descriptions of the classes, none of which needs a picture.

    With a CLIP or SigLIP folder as `config.model`, `fit` takes class texts alone and trains nothing. With
    `model="scratch"` it first trains a small CLIP on captioned pictures, whose captions need not be of these
    classes.

    After `fit`: `classes_` (the `ClassTexts`), `bank_` (their rows), `bridge_` (a `TextBridge` or None), `towers_`
    (`SmallTowers`, or None where a model was given), `logit_scale_`.

    Source: 2306.06077 (descriptions as the classes of CLIP).
    """

    slug: ClassVar[str] = "vgloss"
    arxiv: ClassVar[str] = "2306.06077"
    Config: ClassVar[type] = VGlossConfig
    PRESETS: ClassVar[Mapping[str, VGlossConfig]] = PRESETS

    def fit(
        self,
        data: Any,
        run: Any = None,
        *,
        classes: Any = None,
        seen: SeenClasses | None = None,
        encoder: Any = None,
        cache: FeatureCache | None = None,
    ) -> Self:
        """Build the classifier, after training the encoders where they are to be trained.

        Parameters
        ----------
        data : for `model="scratch"` a source with `image` (b, 3, h, w) and `caption` (a sentence or several per
            picture); otherwise the classes: whatever `ClassTexts.of` takes.
        run : a `visus.engine.Run`; None takes a temporary one.
        classes : the classes; by default `data.classes`, or `data` itself.
        seen : classes with known prototypes, to which texts are bridged; by default those of the classes.
        encoder : an `EncoderPair`, or one encoder of both, instead of those that the configuration names.
        cache : of texts' embeddings, on disk.

        Raises
        ------
        InputError : a setting out of its bounds, no classes or no captions, encoders of another kind than
            needed, pictures that cannot be used.
        """
        config: VGlossConfig = self.settings
        check(config)
        run = run if run is not None else Run(progress=False)
        trains = config.model == SCRATCH and encoder is None
        told = _classes(data, classes, trains=trains)
        settings = {"method": self.slug, "config": to_plain(config)}
        self.towers_, self.bridge_, self.identity_ = None, None, ""
        if trains:
            self.towers_ = train_towers(data, config, run, settings)
            pair = as_pair(self.towers_)
        else:
            pair = as_pair(encoder) if encoder is not None else open_pair(config, run.device)
            self.identity_ = pair.identity
            run.bind({**settings, "data": told.fingerprint(), "encoder": pair.identity})
        self._pair = pair
        self.logit_scale_ = config.logit_scale or pair.logit_scale
        self._build(told, seen or told.seen, cache, seed=run.seed)
        return self

    def rebuild(self, classes: Any, *, cache: FeatureCache | None = None) -> Self:
        """Other classes, or other descriptions of them, with the same encoders: nothing is trained."""
        self._fitted()
        self._build(ClassTexts.of(classes), None, cache, seed=0)
        return self

    def predict(
        self, inputs: Inputs, *, cache: FeatureCache | None = None, progress: Progress | None = None
    ) -> Prediction:
        """Classes of pictures.

        Parameters
        ----------
        inputs : a batch or source with `image` (b, 3, h, w) in 0..1 or `features` (b, e) of the picture encoder,
            or paths of picture files.

        Returns
        -------
        {"probabilities": (b, c), "logits": (b, c) logit scale times cosines (re-scored by `follow_up`), "label":
        (b,) class numbers, "name": list of class names}.
        """
        return self._said(self.features(inputs, cache=cache, progress=progress))

    def predict_proba(self, inputs: Inputs) -> Float[Tensor, "b c"]:
        """Probabilities of the classes."""
        return self.predict(inputs)["probabilities"]

    def features(
        self, inputs: Inputs, *, cache: FeatureCache | None = None, progress: Progress | None = None
    ) -> Float[Tensor, "b e"]:
        """What the picture encoder makes of pictures, on the CPU; see `predict`."""
        self._fitted()
        return features_of(inputs, lambda: self._encoders().image, cache=cache, progress=progress)

    def score(self, data: Source) -> float:
        """Share of pictures with the right class."""
        return self.evaluate(data)["top1"]

    def evaluate(self, data: Source, *, pairs: Pairs | None = None) -> Scores:
        """`top1`, `top5`, `mean_per_class`, `cross_entropy` and, where there are any, `pairs`: the accuracy between
        the two classes of a confusable pair, chance 1/2.

        Parameters
        ----------
        data : also with `target`, by number or name.
        pairs : of class numbers; by default those that `ConfusionFinder` finds among the rows.
        """
        logits = self._logits(self.features(data))
        found = ConfusionFinder().from_weights(self.bank_.weights.cpu()) if pairs is None else pairs
        return scores_of(logits, targets_of(data, self.classes_.names), found)

    def explain(self, inputs: Inputs) -> list[Explanation]:
        """Per picture: the two best classes, similarities to all their texts, and which text decided.

        Raises
        ------
        InputError : there is one class only.
        """
        if len(self._fitted().weights) < 2:
            raise InputError("is one", field="number of classes", remedy="give two or more to compare")
        rows, made, found = self.features(inputs), self.weights(), []
        said = self._said(rows)
        best = said["logits"].topk(2, dim=1).indices.tolist()
        for row, (label, other), probabilities in zip(rows, best, said["probabilities"]):
            found.append(explain(made, row, label, other, float(probabilities[label])))
        return found

    def weights(self) -> ClassWeights:
        """The classifier's rows and texts, on the CPU: to compare, to average, or `for_open_clip()`."""
        bank = self._fitted()
        tensors = {name: getattr(bank, name).cpu() for name in ("owner", "embeddings", "weights", "share")}
        return ClassWeights(self.classes_.names, tuple(self.texts_), pooling=self.settings.pooling, **tensors)

    def attach(self, encoder: Any) -> Self:
        """Give a loaded classifier its encoders again, where its configuration does not name them.

        Raises
        ------
        InputError : they are others than it was fitted with.
        """
        self._fitted()
        pair = as_pair(encoder)
        self._refuse_other(pair)
        self._pair = pair
        return self

    def export_clip(self, folder: str | Path) -> None:
        """Write the trained towers as an ordinary CLIP folder.

        Raises
        ------
        InputError : nothing was trained, or the folder is not empty.
        """
        self._fitted()
        if self.towers_ is None:
            raise InputError("were not trained here", field="towers", remedy=f"copy {self.settings.model}")
        self.towers_.export(folder)

    def to_json(self) -> str:
        """Settings and texts, without weights; equal classifiers give equal bytes."""
        self._fitted()
        plain = {"method": self.slug, "config": to_plain(self.settings), "classes": self.classes_.to_plain()}
        return json.dumps(plain, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, *, encoder: Any = None, seen: SeenClasses | None = None) -> Self:
        """Build the classifier of `to_json` again, with the encoder it names or the one given.

        Raises
        ------
        InputError : not such a text; its encoders were trained with it and none is given.
        """
        try:
            plain = json.loads(text)
            config = from_plain(VGlossConfig, plain["config"])
            classes = ClassTexts.from_plain(plain["classes"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("is not what to_json gives", field="text", remedy="write it again") from None
        if config.model == SCRATCH and encoder is None:
            remedy = "load the saved model, or give encoder="
            raise InputError("names no encoder: it was trained", field="config.model", remedy=remedy)
        return cls(config).fit(classes, encoder=encoder, seen=seen)

    def parts(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {"bank": self._fitted()}
        if self.towers_ is not None:
            found["clip"] = self.towers_.model
        if self.bridge_ is not None:
            found["bridge"] = self.bridge_
        return found

    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Source:
        """Embedded data: 192 captioned close pictures of solids at 32 px, and 48 (`test`) of eight kinds that
        `train` lacks, which are its `classes`: coined names with four descriptions each."""
        return example(part, seed)

    @classmethod
    def claims(cls) -> list[Claim]:
        from visus.methods.vgloss import claims

        return list(claims.CLAIMS)

    @classmethod
    def experiments(cls) -> list[Experiment]:
        from visus.methods.vgloss import claims

        return list(claims.EXPERIMENTS)

    def _build(
        self, told: ClassTexts, seen: SeenClasses | None, cache: FeatureCache | None, *, seed: int
    ) -> None:
        """Fit the bridge where there are seen classes (a bridge that is fitted stays), and encode the texts."""
        config: VGlossConfig = self.settings
        pair = self._encoders()
        plain = TextClassifierBuilder(pair.text, cache=cache)
        if seen is not None:
            spoken = dict(zip(seen.texts.names, seen.texts.called))
            rows = plain.build(Told.of(seen.texts, config).descriptions, spoken=spoken).weights
            bridge = TextBridge(kernel=config.kernel, ridge=config.ridge)
            self.bridge_ = bridge.fit(rows, seen.prototypes, seed=seed).eval()
        if self.bridge_ is None and config.text_model:
            remedy = "give seen=SeenClasses(texts, prototypes): classes whose pictures are known"
            raise InputError("needs classes to learn from", field="text_model", remedy=remedy)
        builder = TextClassifierBuilder(pair.text, pooling=config.pooling, project=self.bridge_, cache=cache)
        self.bank_, made = build_bank(told, config, builder)
        self.classes_, self.texts_ = told, list(made.texts)

    def _said(self, rows: Float[Tensor, "b e"]) -> Prediction:
        logits = self._logits(rows)
        label = logits.argmax(1)
        names = [self.classes_.names[i] for i in label.tolist()]
        return {"probabilities": logits.softmax(1), "logits": logits, "label": label, "name": names}

    def _logits(self, rows: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        width = self._fitted().weights.shape[1]
        if rows.shape[1] != width:
            problem = f"have {rows.shape[1]} numbers, the classes' rows {width}"
            raise InputError(
                problem, field="features", remedy="use the encoder the classifier was built with"
            )
        scale, k = self.logit_scale_, self.settings.follow_up
        logits = scale * self.weights().similarities(rows)
        return look_again(logits, rows, self.bank_, k=k, scale=scale)

    def _encoders(self) -> EncoderPair:
        """Those at hand, or those that the configuration names."""
        if self._pair is None:
            config: VGlossConfig = self.settings
            if self.towers_ is not None:
                self._pair = as_pair(self.towers_)
            elif config.model == SCRATCH:
                remedy = "call attach(encoder) with the one it was fitted with, or give features"
                raise InputError("is not at hand", field="encoder", remedy=remedy)
            else:
                pair = open_pair(config, self.bank_.weights.device)
                self._refuse_other(pair)
                self._pair = pair
        return self._pair

    def _refuse_other(self, pair: EncoderPair) -> None:
        if pair.identity != self.identity_:
            remedy = "give the one it was fitted with, or fit again"
            raise InputError("is another than the classifier was fitted with", field="encoder", remedy=remedy)

    def _fitted(self) -> Bank:
        if not hasattr(self, "bank_"):
            super().parts()
        return self.bank_

    def _state(self) -> dict[str, Any]:
        merges = None if self.towers_ is None else [" ".join(merge) for merge in self.towers_.merges]
        return {
            "classes": self.classes_.to_plain(),
            "texts": list(self.texts_),
            "bank": self.bank_.to_plain(),
            "bridge": None if self.bridge_ is None else self.bridge_.to_plain(),
            "merges": merges,
            "identity": self.identity_,
            "logit_scale": self.logit_scale_,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        config: VGlossConfig = self.settings
        self.classes_ = ClassTexts.from_plain(state["classes"])
        self.texts_, self.identity_ = list(state["texts"]), str(state["identity"])
        self.logit_scale_, self._pair = float(state["logit_scale"]), None
        self.bank_ = Bank.empty(state["bank"])
        self.bridge_ = None if state["bridge"] is None else TextBridge.from_plain(state["bridge"])
        self.towers_ = None
        if state["merges"] is not None:
            self.towers_ = empty_towers(config, [tuple(merge.split(" ")) for merge in state["merges"]])


def _classes(data: Any, classes: Any, *, trains: bool) -> ClassTexts:
    """The classes given, those that come with the data, or the data itself."""
    if classes is None:
        with_data = getattr(data, "classes", None)
        classes = with_data if isinstance(with_data, ClassTexts) else None if trains else data
    if classes is None:
        remedy = "give classes= with names and descriptions, or data that has `.classes`"
        raise InputError("are missing", field="classes", remedy=remedy)
    return ClassTexts.of(classes)

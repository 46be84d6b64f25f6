"""Classes from a few pictures: a small transformer over the slots of a frozen interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Int
from torch import Tensor, nn

from visus.data.loader import Subset, Tensors, iterate, sample_order
from visus.engine import Run, TorchEstimator
from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.methods.nsi.config import FEWSHOT_PRESETS, FewShotConfig, NSIConfig, check
from visus.methods.nsi.estimator.nsi import NSI
from visus.methods.nsi.model.fewshot import SlotClassifier
from visus.methods.nsi.training import Classes, class_phases
from visus.metrics import accuracy, balanced_accuracy
from visus.protocols import Batch, Prediction, Scores, Source
from visus.records import from_plain, to_plain


class NSIFewShot(TorchEstimator):
    """A classifier of pictures that learns from a few per class, on slots that do not change.

    Data are sources with `image` (or `features`) and `target`. The interpreter is saved with the classifier.

    Parameters
    ----------
    config : sizes, training, and `shots` per class.
    interpreter : a fitted `NSI`; needed to fit, read from the folder by `load`.

    After `fit`: `classes_` (names in order), `used_` (the items that were learned from), `classifier_`.

    Source: 2403.07887, few-shot classification with slots as tokens.
    """

    slug: ClassVar[str] = "nsi"
    arxiv: ClassVar[str] = "2403.07887"
    Config: ClassVar[type] = FewShotConfig
    PRESETS: ClassVar[Mapping[str, FewShotConfig]] = FEWSHOT_PRESETS

    def __init__(self, config: FewShotConfig | None = None, interpreter: NSI | None = None) -> None:
        super().__init__(config)
        self.interpreter = interpreter

    def fit(self, data: Source, run: Any = None) -> Self:
        """Learn from `shots` pictures per class (all for 0), drawn by the run's seed.

        Raises
        ------
        InputError : no interpreter, no targets, one class only, or a class with fewer pictures than `shots`.
        """
        config: FewShotConfig = self.settings
        check(config)
        if self.interpreter is None:
            raise InputError("is missing", field="interpreter", remedy="give a fitted NSI")
        run = run if run is not None else Run(progress=False)
        names = targets(data)
        self.classes_ = sorted(set(names))
        if len(self.classes_) < 2:
            problem = f"has one class only ({self.classes_[0]})"
            raise InputError(problem, field="target", remedy="give pictures of two classes or more")
        numbers = self._numbers(names)
        self.used_ = draw(numbers, self.classes_, config.shots, seed=run.seed)
        slots = self.interpreter.slots(Subset(data, self.used_))
        known = Tensors({"slots": slots, "target": numbers[self.used_]})
        with run.seeded("fewshot"):
            self._build()
        run.bind({"method": self.slug, "config": to_plain(config), "data": known.fingerprint()})
        run.train(Classes(self.classifier_, config), known, class_phases(config))
        return self

    def predict(self, inputs: Batch | Source) -> Prediction:
        """{"probabilities": (b, k), "label": (b,) numbers into `classes_`, "name": the class names}."""
        probabilities = self._scores(inputs).softmax(1)
        label = probabilities.argmax(1)
        return {
            "probabilities": probabilities,
            "label": label,
            "name": [self.classes_[i] for i in label.tolist()],
        }

    def evaluate(self, data: Source) -> Scores:
        """`accuracy` and `balanced_accuracy`."""
        truth = self._numbers(targets(data)).numpy()
        label = self._scores(data).argmax(1).numpy()
        return {
            "accuracy": accuracy(truth, label),
            "balanced_accuracy": balanced_accuracy(truth, label),
        }

    def parts(self) -> dict[str, nn.Module]:
        if not hasattr(self, "classifier_") or self.interpreter is None:
            super().parts()
        assert self.interpreter is not None
        return {"classifier": self.classifier_, **self.interpreter.parts()}

    @torch.no_grad()
    def _scores(self, inputs: Batch | Source) -> Tensor:
        self.parts()
        assert self.interpreter is not None
        device = next(self.classifier_.parameters()).device
        return self.classifier_.eval()(self.interpreter.slots(inputs).to(device)).cpu()

    def _numbers(self, names: Sequence[str]) -> Int[Tensor, " b"]:
        order = {name: number for number, name in enumerate(self.classes_)}
        for name in names:
            if name not in order:
                problem = f"holds the class {name!r}, which the model does not know"
                raise InputError(problem, field="target", remedy=f"known classes: {', '.join(self.classes_)}")
        return torch.tensor([order[name] for name in names])

    def _build(self) -> None:
        config: FewShotConfig = self.settings
        assert self.interpreter is not None
        self.classifier_ = SlotClassifier(
            self.interpreter.settings.slot_size,
            len(self.classes_),
            width=config.width,
            blocks=config.blocks,
            heads=config.heads,
            dropout=config.dropout,
        )

    def _state(self) -> dict[str, Any]:
        assert self.interpreter is not None
        inner = {"config": to_plain(self.interpreter.settings), "state": self.interpreter._state()}
        return {"classes": self.classes_, "used": self.used_, "interpreter": inner}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.interpreter = NSI(from_plain(NSIConfig, state["interpreter"]["config"]))
        self.interpreter._restore(state["interpreter"]["state"])
        self.classes_, self.used_ = list(state["classes"]), list(state["used"])
        self._build()


def targets(data: Source) -> list[str]:
    """The class of every item, as text.

    Raises
    ------
    InputError : items have no class.
    """
    names: list[str] = []
    for batch in iterate(data, 256):
        if "target" not in batch:
            remedy = "give a folder with one sub-folder of pictures per class, or a table"
            raise InputError("is missing", field="target", remedy=remedy)
        found = batch["target"]
        names += [str(name) for name in (found.tolist() if isinstance(found, Tensor) else found)]
    return names


def draw(numbers: Int[Tensor, " b"], classes: Sequence[str], shots: int, *, seed: int) -> list[int]:
    """`shots` items of every class, in a random order that the seed fixes; all items for 0.

    Raises
    ------
    InputError : a class has fewer items.
    """
    if not shots:
        return list(range(len(numbers)))
    order = sample_order(len(numbers), seed=derive_seed(seed, "shots"), epoch=0)
    chosen: list[int] = []
    for number, name in enumerate(classes):
        own = order[numbers[order] == number]
        if len(own) < shots:
            problem = f"class {name!r} has {len(own)} pictures"
            raise InputError(
                problem, field="shots", remedy=f"ask for at most {len(own)}, or give more pictures"
            )
        chosen += own[:shots].tolist()
    return sorted(chosen)

"""What a method promises to the rest of the house, and the small records that travel between floors.

Nothing here imports torch: the command line, the catalogue and the report read these records too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Batch: TypeAlias = "dict[str, Any]"
"""One batch: field name -> tensor whose first axis is the batch axis (or a list of that length)."""
Prediction: TypeAlias = "dict[str, Any]"
"""What a method says of a batch: `probabilities` (b, k) and `label` (b,), or `value` (b,), and more by method."""
Scores: TypeAlias = "dict[str, float]"
"""Flat metric name -> value."""
Logs: TypeAlias = "dict[str, float | Tensor]"
"""What a training step reports: name -> scalar."""
Preset: TypeAlias = Literal["smoke", "demo", "gpu", "paper"]

C = TypeVar("C")


@runtime_checkable
class Source(Protocol):
    """Items that can be read in any order, any number of times."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """The named items, collated on the CPU. Reading is pure: no augmentation, no state."""
        ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stage of training: how long, with what batch, how the optimizers are driven.

    Give `epochs` or `steps`. A step is one call of the optimizer: `accumulate` micro-batches of
    `batch_size / accumulate` items each, over all processes together.
    """

    name: str = "train"
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    clip_norm: float | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    """Share of the phase's steps in which the learning rate rises linearly from zero."""
    ema_decay: float | None = None
    monitor: str | None = None
    """Metric of the validation check that chooses the best checkpoint; None keeps the last weights."""
    better: Literal["higher", "lower"] = "higher"
    patience: int | None = None
    """Validation checks without improvement before the phase ends early."""
    check_every: int = 1
    """Epochs between validation checks."""
    drop_last: bool = False
    """Leave out the last incomplete batch of an epoch."""


class Turn(Protocol):
    """A training step's view of the engine."""

    seed: int
    phase: str
    epoch: int
    step: int
    progress: float
    device: torch.device

    def update(self, name: str, loss: Tensor) -> None:
        """Backward for the parameters of optimizer `name`, then clip and step it (once accumulation is complete)."""
        ...

    def mean(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """(Weighted) mean over the items of the whole step's batch on every process, with the right gradient."""
        ...


class Run(Protocol):
    """A folder in which work is done, with what the work needs. Running again in the same folder resumes."""

    folder: Path
    seed: int
    cache: Path
    """Folder that runs share, for what can be computed again and whose names are hashes of all it depends on."""

    @property
    def device(self) -> torch.device:
        """Where tensors of this run live."""
        ...

    @property
    def is_main(self) -> bool:
        """True on the one process that writes files and prints."""
        ...

    def bind(self, settings: Mapping[str, Any]) -> None:
        """Tie the folder to these settings; a folder tied to other settings is refused."""
        ...

    def child(self, name: str) -> Run:
        """A run inside this one (a fold, an ensemble member, a pre-training)."""
        ...

    def train(
        self,
        trainable: Trainable,
        source: Source,
        phases: Sequence[Phase],
        *,
        check: Callable[[], Scores] | None = None,
    ) -> list[dict[str, Any]]:
        """Train, checkpoint, resume; leaves the chosen weights in the parts and returns the log's rows."""
        ...


class Estimator(Protocol[C]):
    """Every method: scikit-learn's contract, on sources instead of arrays."""

    slug: str
    config: C

    def __init__(self, config: C) -> None: ...
    def fit(self, data: Source, run: Run | None = None) -> Self: ...
    def predict(self, inputs: Batch | Source) -> Prediction: ...
    def evaluate(self, data: Source) -> Scores: ...
    def save(self, folder: Path) -> None: ...
    @classmethod
    def load(cls, folder: Path) -> Self: ...
    @classmethod
    def preset(cls, name: Preset) -> C: ...
    @classmethod
    def example(cls, part: Literal["train", "test"] = "train", *, seed: int = 0) -> Source:
        """Embedded data, small and of the same form as the user's."""
        ...


class Trainable(Protocol):
    """Trains by gradient."""

    def parts(self) -> Mapping[str, nn.Module]:
        """What is saved, moved and averaged."""
        ...

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step: compute losses and call `turn.update` as often as the method alternates."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One cell of a study: an arm of an experiment with one seed."""

    slug: str
    experiment: str
    arm: str
    seed: int
    preset: str


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A comparison under one budget: every arm sees the same data, seeds, selection and evaluation.

    `measure` is a module-level function (trials run in other processes).
    """

    name: str
    title: str
    title_zh: str
    arms: tuple[str, ...]
    measure: Callable[[Trial, Run], Scores]
    seeds: Mapping[str, int]
    """Preset -> number of seeds; 0 leaves the experiment out of that preset. Exact experiments use 1."""
    budget: str
    exclusive: bool = False
    """Times things: runs alone on the machine, after all others."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper (or a control it lacks) made measurable. Declared before it is measured.

    `difference`: effect = candidate - reference. `ratio`: effect = candidate / reference (geometric mean).
    Direction `equal` asks whether the effect stays within +-smallest_effect (for a ratio, within
    1/smallest_effect .. smallest_effect); `higher`/`lower` ask whether it lies beyond smallest_effect on that side
    (for a ratio, smallest_effect is the factor itself: 1.3 means at least 1.3 times).
    """

    id: str
    statement: str
    statement_zh: str
    experiment: str
    candidate: str
    reference: str
    metric: str
    direction: Literal["higher", "lower", "equal"]
    smallest_effect: float
    comparison: Literal["difference", "ratio"] = "difference"
    exact: bool = False
    origin: Literal["paper", "ours"] = "paper"
    """`paper`: asserted there. `ours`: a control or finding of this project."""
    caveat: str = ""
    """What would explain a failure; shown when the claim does not hold."""
    caveat_zh: str = ""

    @property
    def region(self) -> tuple[float, float]:
        """Where the claim puts the effect: least and most, infinite on an open side."""
        smallest = self.smallest_effect
        if self.direction == "equal":
            if self.comparison == "ratio":
                return min(smallest, 1 / smallest), max(smallest, 1 / smallest)
            return -smallest, smallest
        if self.direction == "higher":
            return smallest, math.inf
        return -math.inf, smallest if self.comparison == "ratio" else -smallest


class Provable(Protocol):
    """Declares claims and how their experiments are measured."""

    @classmethod
    def claims(cls) -> Sequence[Claim]: ...
    @classmethod
    def experiments(cls) -> Sequence[Experiment]: ...


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A claim with what was measured and what follows."""

    claim: Claim
    arms: Mapping[str, list[float]]
    """Every arm of the experiment -> one value per seed (candidate and reference first)."""
    effect: float | None
    interval: tuple[float, float] | None
    verdict: Literal["holds", "fails", "undecided"]
    why: str = ""
    """Why undecided, or what went wrong in an arm."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture for the report: an SVG string, with a caption in both languages."""

    name: str
    svg: str
    caption: str
    caption_zh: str


@dataclass(frozen=True, kw_only=True)
class PaperEvidence:
    """All that was measured for one paper."""

    slug: str
    arxiv: str
    claims: list[Evidence] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Trial name -> traceback of a trial that crashed."""
    seconds: float = 0.0
    experiments: dict[str, dict[str, str]] = field(default_factory=dict)
    """Experiment name -> its `title`, `title_zh` and `budget`."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Finished trial, as `experiment/arm/seed` -> its folder, where it may have left what figures show. Not part of a
    file of evidence: empty once read back."""

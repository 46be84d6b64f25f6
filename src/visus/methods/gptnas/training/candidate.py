"""Cheap training of candidates: what is trained, what stays as it was drawn, and what it is worth."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from visus.data.loader import sample_order
from visus.engine import Run
from visus.engine.seeds import derive_seed, seeded
from visus.errors import InputError, Interrupted, VisusError
from visus.methods.gptnas.search.asktell import Candidate
from visus.methods.gptnas.search.space import Individual
from visus.methods.gptnas.training.images import Labeled, augment, class_scores, share_right
from visus.protocols import Batch, Logs, Phase, Scores, Turn
from visus.records import from_plain, read_json, write_json

Trained = Literal["regrown", "norms", "all"]
_GATE = threading.Lock()
"""Trainings in one process take turns: they share the state of the random generators."""
SETTLING = 256
"""Most training pictures whose statistics the normalization of a drawn network takes over."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD on the mean cross-entropy.

    epochs, batch_size, learning_rate, momentum, weight_decay : of SGD.
    warmup : share of the steps in which the learning rate rises linearly from zero.
    flip, crop : random mirroring, random shifts by so many pixels.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.0
    flip: bool = False
    crop: int = 0


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What became of a candidate.

    fitness : accuracy on the held-out pictures; 0 if the training diverged.
    trained : what its training moved.
    parameters : of the whole network.
    """

    fitness: float
    trained: Trained
    diverged: bool
    parameters: int


def cross_entropy(scores: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """-log softmax(scores)[target] per item."""
    return F.cross_entropy(scores, target, reduction="none")


def trainable_parts(
    net: nn.Module, regrown: Sequence[bool], *, rule: Literal["paper", "all"] = "paper"
) -> tuple[Trained, dict[str, nn.Module]]:
    """Which modules a candidate's training moves, in the paper's order.

    1. If blocks were regrown: these and the head. 2. Otherwise the BatchNorm layers alone, if there are any
    (BN-NAS). 3. Otherwise everything. Rule `all`: always everything.

    Paper: 2305.05351, sec. on the acceleration of the evaluation.
    Differs: the head is trained with the regrown blocks; frozen at random it would read every block's features
    through one random projection.

    Parameters
    ----------
    net : has `blocks` (one module per block) and `head`.
    regrown : one flag per block.
    """
    blocks: Any = net.get_submodule("blocks")
    if len(regrown) != len(blocks):
        raise ValueError(f"{len(regrown)} flags for {len(blocks)} blocks")
    if rule == "all":
        return "all", {"net": net}
    if any(regrown):
        chosen = {f"block-{i}": blocks[i] for i, flag in enumerate(regrown) if flag}
        return "regrown", {**chosen, "head": net.get_submodule("head")}
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return ("norms", {"norms": nn.ModuleList(norms)}) if norms else ("all", {"net": net})


def freeze_rest(net: nn.Module, parts: Mapping[str, nn.Module]) -> None:
    """Leave gradients and training mode to `parts` alone.

    What is frozen is in evaluation mode: its BatchNorm layers use their running statistics and do not move
    them, its dropout is off. The engine puts `parts` alone into training mode.
    """
    net.eval().requires_grad_(False)
    for part in parts.values():
        part.requires_grad_(True)


@torch.no_grad()
def settle(net: nn.Module, image: Float[Tensor, "b c h w"]) -> None:
    """Let every BatchNorm take over the statistics that `image` has where it stands, once.

    A network as drawn has running statistics of mean 0 and variance 1, that is none: frozen layers would pass on
    whatever scale random weights give. Part of drawing the network; training never moves them again.
    """
    norms = [
        module for module in net.modules() if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    before = [(norm, norm.momentum) for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a running mean over one batch: that batch
        norm.train()
    net(image)
    for norm, momentum in before:
        norm.momentum = momentum
    net.eval()


class NetworkTraining:
    """Trains some parts of a network (a `Trainable`); the rest takes part in the forward pass only.

    `parts` alone are saved in checkpoints: what is frozen follows from the seed.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, parts: Mapping[str, nn.Module]) -> None:
        self.net, self.recipe, self._parts = net, recipe, dict(parts)
        weights = {id(weight): weight for part in parts.values() for weight in part.parameters()}
        self._optimizer = torch.optim.SGD(
            list(weights.values()),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )

    def parts(self) -> dict[str, nn.Module]:
        """What is trained."""
        return self._parts

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"net": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"image", "target"}."""
        image = augment(batch["image"], flip=self.recipe.flip, crop=self.recipe.crop)
        loss = turn.mean(cross_entropy(self.net(image), batch["target"]))
        turn.update("net", loss)
        return {"loss": loss}


class Candidates:
    """Candidate -> fitness, each trained in a run of its own inside `run`, named by its blocks.

    A candidate's weights follow from the seed and its blocks, so equal individuals are equal; what one is worth
    is kept in its folder, and asking again costs nothing. An interrupted candidate resumes. Can be sent to
    other processes.

    Parameters
    ----------
    build : individual -> network with `blocks` and `head`.
    data : training pictures, and those that measure fitness.
    rule : see `trainable_parts`.
    settled : see `settle`; False leaves the statistics of a drawn network at mean 0 and variance 1.
    keep : keep checkpoints and logs of finished candidates.
    """

    def __init__(
        self,
        build: Callable[[Individual], nn.Module],
        data: tuple[Labeled, Labeled],
        recipe: Recipe,
        run: Run,
        *,
        rule: Literal["paper", "all"] = "paper",
        settled: bool = True,
        keep: bool = False,
    ) -> None:
        self.build, self.recipe, self.run = build, recipe, run
        self.train, self.held = data
        self.rule: Literal["paper", "all"] = rule
        self.settled, self.keep = settled, keep

    def __getstate__(self) -> dict[str, Any]:
        run = self.run
        options = {"seed": run.seed, "device": str(run.device), "precision": run.precision}
        return {**self.__dict__, "run": (str(run.folder.absolute()), options)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        folder, options = state["run"]
        self.__dict__.update(state, run=Run(folder, progress=False, **options))

    def __call__(self, candidate: Candidate) -> float:
        with _GATE:
            return self.worth(candidate.individual, candidate.regrown).fitness

    def worth(self, individual: Individual, regrown: Sequence[bool]) -> Worth:
        """Train a candidate, or read what an earlier training gave.

        Parameters
        ----------
        regrown : per block, whether the prior wrote it.
        """
        run = self.run.child(name_of(individual))
        file = run.folder / "worth.json"
        if file.exists():
            return from_plain(Worth, read_json(file), file=file)
        found = self._measure(individual, regrown, run)
        if run.is_main:
            write_json(file, asdict(found))
            for name in () if self.keep else ("checkpoints", "log.jsonl"):
                remove(run.folder / name)
        return found

    def _measure(self, individual: Individual, regrown: Sequence[bool], run: Run) -> Worth:
        with seeded(self.run.seed, "candidate", name_of(individual)):
            net = self.build(individual)
        run.seed = derive_seed(self.run.seed, name_of(individual))
        net.to(run.device)
        if self.settled:
            order = sample_order(len(self.train), seed=self.run.seed, epoch=0)[:SETTLING]
            settle(net, self.train.batch(order.tolist())["image"].to(run.device))
        trained, parts = trainable_parts(net, regrown, rule=self.rule)
        freeze_rest(net, parts)
        fitness, diverged = self._fit(net, parts, run)
        count = sum(weight.numel() for weight in net.parameters())
        return Worth(fitness=fitness, trained=trained, diverged=diverged, parameters=count)

    def _fit(self, net: nn.Module, parts: Mapping[str, nn.Module], run: Run) -> tuple[float, bool]:
        def check() -> Scores:
            assert self.held.target is not None
            return {"accuracy": share_right(class_scores(net, self.held, run.device), self.held.target)}

        phase = Phase(
            name="candidate",
            epochs=self.recipe.epochs,
            batch_size=min(self.recipe.batch_size, len(self.train)),
            warmup=self.recipe.warmup,
            check_every=self.recipe.epochs,
        )
        try:
            rows = run.train(NetworkTraining(net, self.recipe, parts), self.train, [phase], check=check)
        except (InputError, Interrupted):
            raise
        except VisusError:  # the loss or a weight became infinite
            return 0.0, True
        return float([row["accuracy"] for row in rows if row.get("check")][-1]), False


def name_of(individual: Individual) -> str:
    """The name of a candidate's folder.

    >>> name_of((3, 0, 14))
    '3-0-14'
    """
    return "-".join(str(symbol) for symbol in individual)


def remove(path: Any) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

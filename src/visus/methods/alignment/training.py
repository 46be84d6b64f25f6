"""How the linear map is trained: which triplets every step reads, the step, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from visus.data.loader import as_indices, sample_order
from visus.engine import derive_seed
from visus.methods.alignment.config import AlignmentConfig
from visus.methods.alignment.losses import contrastive_losses, pair_dots, penalty, triplet_losses
from visus.methods.alignment.model import LinearAligner
from visus.protocols import Batch, Logs, Phase, Scores, Turn

MOMENTUM = 0.9
SCORED_AT_ONCE = 200_000


class Stream:
    """An endless stream of shuffled passes over triplets, cut into windows of `steps` batches.

    To the engine a window is an epoch, so that validation may come more often than once per pass over millions of
    triplets. Its items are mere places in the window; `rows` says which triplets they are in a given window. A
    batch may lie across two passes and is always full. Everything is a pure function of the seed.

    Parameters
    ----------
    triplets : the training triplets.
    batch_size : triplets per step; at most as many as there are.
    steps : steps per window; 0: as many as a pass over the triplets needs.
    """

    def __init__(self, triplets: Int64[Tensor, "n 3"], *, batch_size: int, steps: int, seed: int) -> None:
        self.triplets, self.seed = triplets, seed
        self.batch_size = min(batch_size, len(triplets))
        self.steps = steps or self.steps_per_pass

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every triplet is read about once."""
        return math.ceil(len(self.triplets) / self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.batch_size

    def batch(self, indices: Sequence[int]) -> Batch:
        return {"place": as_indices(indices, len(self))}

    def rows(self, place: Int64[Tensor, " b"], window: int) -> Int64[Tensor, "b 3"]:
        """The triplets at these places of a window."""
        count = len(self.triplets)
        place = place.cpu() + window * len(self)
        passes = place // count
        chosen = torch.empty_like(place)
        for number in passes.unique().tolist():
            here = passes == number
            order = sample_order(count, seed=derive_seed(self.seed, "triplets"), epoch=number)
            chosen[here] = order[place[here] % count]
        return self.triplets[chosen.to(self.triplets.device)]


class Patience(nn.Module):
    """The lowest validation loss so far, kept with the weights so that a resumed training goes on waiting.

    A loss that does not fall by more than `min_delta` is reported as the lowest one: to the engine, which counts
    checks without improvement, nothing has changed.
    """

    lowest: Tensor

    def __init__(self, min_delta: float) -> None:
        super().__init__()
        self.min_delta = min_delta
        self.register_buffer("lowest", torch.tensor(math.inf, dtype=torch.float64))

    def told(self, loss: float) -> float:
        """The loss to be monitored."""
        if loss < float(self.lowest) - self.min_delta:
            self.lowest.fill_(loss)
        return float(self.lowest)


class AlignerTraining:
    """Trains W (and b) on triplets of rows of a standardized matrix.

    Loss: (1 - alpha) mean triplet cross-entropy + alpha mean contrastive cross-entropy + lambda R(W); alpha is 0
    for the probe. Only the rows that a batch needs are transformed, or all of them where that is cheaper.

    Paper: 2211.01201, sec. 4 (probe); 2306.04507 (gLocal). Differs: rows are found by index instead of by products
    with one-hot vectors; the learning rate of gLocal rises with the steps, not with the epochs.

    Parameters
    ----------
    net : the map.
    x : standardized features of all objects, (m, p).
    stream : the training triplets, indices into `x`.
    unrelated : standardized features of the images of the contrastive term; None for the probe.
    seed : of the contrastive batches.
    """

    def __init__(
        self,
        net: LinearAligner,
        config: AlignmentConfig,
        x: Float[Tensor, "m p"],
        stream: Stream,
        *,
        unrelated: Float[Tensor, "u p"] | None = None,
        seed: int = 0,
    ) -> None:
        self.net, self.config, self.x, self.stream, self.unrelated = net, config, x, stream, unrelated
        self.seed = seed
        self.patience = Patience(config.min_delta)
        rate, weights = config.learning_rate, list(net.parameters())
        self._optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(weights, lr=rate, momentum=MOMENTUM)
            if config.optimizer == "sgd"
            else torch.optim.Adam(weights, lr=rate)
        )

    @property
    def alpha(self) -> float:
        """Share of the contrastive term."""
        return 0.0 if self.unrelated is None else self.config.contrastive_weight

    def parts(self) -> dict[str, nn.Module]:
        """The map, and what early stopping remembers."""
        return {"net": self.net, "patience": self.patience}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"net": self._optimizer}

    def phases(self) -> list[Phase]:
        """One phase; the best check's weights are kept where there are checks."""
        config, stream = self.config, self.stream
        common: dict[str, Any] = {
            "batch_size": stream.batch_size,
            "clip_norm": config.clip or None,
            "schedule": "constant",
        }
        if config.steps is not None:
            return [Phase(steps=config.steps, **common)]
        windows = math.ceil(config.epochs * stream.steps_per_pass / stream.steps)
        if not config.validation:
            return [Phase(epochs=windows, **common)]
        watched = {"monitor": "monitored", "better": "lower", "patience": config.patience}
        return [Phase(epochs=windows, **watched, **common)]

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on the places {"place": (b,)} of a window."""
        self._warm(turn.progress)
        rows = self.stream.rows(batch["place"], turn.epoch)
        surprise = turn.mean(triplet_losses(similarities_of(self.net, self.x, rows)))
        loss = (1 - self.alpha) * surprise
        if self.alpha:
            assert self.unrelated is not None
            loss = loss + self.alpha * self._contrast(turn)
        if self.config.penalty != "none" and self.config.penalty_weight:
            loss = loss + self.config.penalty_weight * penalty(self.net.weight, self.config.penalty)
        turn.update("net", loss)
        return {"loss": loss, "triplet": surprise}

    def validation(
        self, triplets: Int64[Tensor, "v 3"], unrelated: Float[Tensor, "w p"] | None = None
    ) -> Scores:
        """Mean losses on held-out triplets; `monitored` is what early stopping looks at."""
        sums = [
            triplet_losses(similarities_of(self.net, self.x, rows)).double().sum()
            for rows in triplets.split(SCORED_AT_ONCE)
        ]
        entropy = float(torch.stack(sums).sum()) / len(triplets)
        scores, total = {"cross_entropy": entropy}, entropy
        if unrelated is not None and self.alpha:
            scores["contrastive"] = float(self._contrastive(unrelated))
            total = (1 - self.alpha) * entropy + self.alpha * scores["contrastive"]
        return {**scores, "validation": total, "monitored": self.patience.told(total)}

    def _contrast(self, turn: Turn) -> Tensor:
        """The contrastive term on images that are the same on every process."""
        assert self.unrelated is not None
        pool, count = self.unrelated, min(self.config.contrastive_batch, len(self.unrelated))
        draw = torch.Generator().manual_seed(derive_seed(self.seed, "contrast", turn.phase, turn.step))
        chosen = torch.randperm(len(pool), generator=draw)[:count]
        return self._contrastive(pool[chosen.to(pool.device)])

    def _contrastive(self, images: Float[Tensor, "u p"]) -> Tensor:
        return contrastive_losses(
            images, self.net(images), temperature=self.config.contrastive_temperature
        ).mean()

    def _warm(self, progress: float) -> None:
        start = self.config.start_rate
        if start < 1:
            for group in self._optimizer.param_groups:
                group["lr"] = group["initial_lr"] * (start + (1 - start) * progress)


def similarities_of(
    net: LinearAligner, x: Float[Tensor, "m p"], triplets: Int64[Tensor, "b 3"]
) -> Float[Tensor, "b 3"]:
    """Dot products of the transformed rows of triplets, pairs (a, b), (a, odd), (b, odd)."""
    if triplets.numel() >= len(x):
        return pair_dots(net(x), triplets)
    used, places = triplets.unique(return_inverse=True)
    return pair_dots(net(x[used]), places)

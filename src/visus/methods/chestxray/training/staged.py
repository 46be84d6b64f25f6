"""One training through all stages: what each step and each validation computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.image_table import resize
from visus.data.loader import iterate
from visus.engine.gather import gather, processes
from visus.engine.plateau import Plateau
from visus.methods.chestxray.config import ChestXrayConfig
from visus.methods.chestxray.losses import UncertaintyWeighting, saliency_kl, supcon, triplet
from visus.methods.chestxray.model import Reading
from visus.methods.chestxray.training.examples import Examples
from visus.methods.chestxray.training.lineage import Ledger
from visus.methods.chestxray.training.stages import CLASSIFY, Stage, freeze
from visus.protocols import Batch, Logs, Scores, Turn

RATE_DROP = 0.1


class StagedTraining:
    """Trains a network stage by stage. Satisfies `visus.protocols.Trainable`.

    Contrastive: L_con on pooled dense features of smaller images, over the whole step's batch of all processes.
    Classify: cross-entropy of the dense head. Saliency: KL(gaze || predicted), mean over the images with gaze.
    Final and joint: both, weighted by learned uncertainty or by `saliency_weight`.

    Every stage begins with a fresh Adam that holds what the stage trains and nothing else.

    Paper: 2403.16970 (stages, losses, Adam with 1e-4, rate divided by 10 on a plateau). Differs: see NOTES.md.

    Parameters
    ----------
    net : forward -> `Reading`, `groups()`; for the stages that need them also `embed` and `classify`.
    stages : see `plan`.
    weights : of the classes in the cross-entropy; None counts every image the same.
    """

    def __init__(
        self,
        net: nn.Module,
        stages: Sequence[Stage],
        config: ChestXrayConfig,
        *,
        weights: Float[Tensor, " k"] | None = None,
    ) -> None:
        self.net, self.stages, self.config, self.weights = net, list(stages), config, weights
        self.network: Any = net
        self.ledger = Ledger(len(self.stages))
        self.plateau = Plateau(config.plateau, factor=RATE_DROP)
        self.weighting: UncertaintyWeighting | None = None
        two = any(stage.mixed and stage.diagnosis and stage.gaze for stage in stages)
        if config.weighting == "uncertainty" and two:
            self.weighting = UncertaintyWeighting(learn_saliency=config.learn_saliency_sigma)
        self.stage = self.stages[0]
        self._optimizer: torch.optim.Optimizer | None = None

    # ---- what the engine asks for

    def parts(self) -> dict[str, nn.Module]:
        """The network, the weighting of its losses and the ledger of its stages."""
        named = {"net": self.net, "weighting": self.weighting, "ledger": self.ledger}
        return {name: module for name, module in named.items() if module is not None}

    def begin(self, phase: str) -> None:
        """Freeze what the stage leaves alone and give the rest a fresh optimizer."""
        number = [stage.name for stage in self.stages].index(phase)
        self.stage = self.stages[number]
        self.ledger.note(number, self.net)
        freeze(self.network.groups(), self.stage.trains)
        self._optimizer = torch.optim.Adam(self._rates(), lr=self.config.learning_rate)

    def optimizers(self) -> dict[str, Any]:
        """The stage's one optimizer."""
        return {"model": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on a batch of `Examples`."""
        if self.stage.contrast:
            return self._contrast(batch, turn)
        reading = self._reading(batch["image"])
        logs: dict[str, Tensor] = {}
        if self.stage.diagnosis:
            logs["diagnosis"] = turn.mean(*self._diagnosis(reading, batch))
        if self.stage.gaze:
            logs["gaze"] = turn.mean(*self._gaze(reading, batch))
        loss = self._together(logs)
        turn.update("model", loss)
        if self.stage.mixed and self.weighting is not None:
            logs["sigma"] = self.weighting.log_sigma_class.exp()
        return cast(Logs, {"loss": loss, **logs})

    @property
    def sigmas(self) -> dict[str, float] | None:
        """The uncertainties of diagnosis and gaze as learned; None where the weights are fixed."""
        if self.weighting is None:
            return None
        logs = {"diagnosis": self.weighting.log_sigma_class, "gaze": self.weighting.log_sigma_saliency}
        return {name: float(value.detach().exp()) for name, value in logs.items()}

    # ---- validation

    @torch.no_grad()
    def validate(self, held: Examples) -> Scores:
        """Validation losses of the current stage.

        The two losses are added with `saliency_weight`, also where training weighs them by uncertainty: sigma
        changes from epoch to epoch, and epochs must be compared by one measure. A contrastive loss is the mean
        over batches of the training's size.

        Differs: the released code selects by the training loss with the epoch's own sigma, and reports its results
        on the same images.
        """
        self.net.eval()
        device = next(self.net.parameters()).device
        sums: dict[str, float] = {}
        shares: dict[str, float] = {}
        for batch in iterate(held, self.stage.batch_size):
            moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            for name, (values, weight) in self._terms(moved).items():
                share = torch.ones_like(values) if weight is None else weight
                sums[name] = sums.get(name, 0.0) + float((values * share).sum())
                shares[name] = shares.get(name, 0.0) + float(share.sum())
        means = {name: sums[name] / shares[name] for name in sums if shares[name]}
        loss = means.get("diagnosis", 0.0) + means.get("contrast", 0.0)
        alone = len(means) == 1
        loss += means.get("gaze", 0.0) * (1.0 if alone else self.config.saliency_weight)
        self.plateau.tell(self._optimizer, loss)
        return {"loss": loss, **means}

    def _terms(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor | None]]:
        """(loss, weight) per item by name."""
        if self.stage.contrast:
            loss = self._contrastive(self._embedding(batch["image"]), batch["label"])
            return {"contrast": (loss.expand(len(batch["label"])), None)}
        reading = self._reading(batch["image"])
        found = {}
        if self.stage.diagnosis:
            found["diagnosis"] = self._diagnosis(reading, batch)
        if self.stage.gaze:
            found["gaze"] = self._gaze(reading, batch)
        return found

    # ---- losses

    def _contrast(self, batch: Batch, turn: Turn) -> Logs:
        embedding, labels = gather(self._embedding(batch["image"])), gather(batch["label"])
        loss = self._contrastive(embedding, labels)
        # every process has the loss of the whole batch with the gradient of its own share: see `gather`
        turn.update("model", loss * processes())
        return {"loss": loss}

    def _contrastive(self, embedding: Tensor, labels: Tensor) -> Float[Tensor, ""]:
        config = self.config
        with torch.autocast(embedding.device.type, enabled=False):
            if config.contrastive == "supcon":
                return supcon(embedding, labels, temperature=config.temperature)
            return triplet(
                embedding,
                labels,
                margin=config.margin,
                mining=config.mining,
                normalize=config.normalize,
            )

    def _diagnosis(self, reading: Reading, batch: Batch) -> tuple[Tensor, Tensor | None]:
        assert reading.logits is not None
        logits = reading.logits if reading.logits.dtype == torch.float64 else reading.logits.float()
        losses = F.cross_entropy(logits, batch["label"], reduction="none")
        return losses, None if self.weights is None else self.weights.to(losses)[batch["label"]]

    def _gaze(self, reading: Reading, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the gaze per image, exactly 0 without gaze, and which images have any."""
        if reading.log_density is None:
            losses = self.network.auxiliary_loss(reading, batch)
        else:
            losses = saliency_kl(reading.log_density, batch["gaze"], batch["has_gaze"])
        return losses, batch["has_gaze"].to(losses)

    def _together(self, losses: dict[str, Tensor]) -> Tensor:
        if len(losses) == 1:
            return next(iter(losses.values()))
        if self.stage.mixed and self.weighting is not None:
            return self.weighting(losses["diagnosis"], losses["gaze"])
        return losses["diagnosis"] + self.config.saliency_weight * losses["gaze"]

    # ---- the network

    def _reading(self, image: Tensor) -> Reading:
        if self.stage.name == CLASSIFY:
            return getattr(self.network, "classify", self.network)(image)
        return self.network(image)

    def _embedding(self, image: Tensor) -> Tensor:
        high, wide = image.shape[-2:]
        size = self.config.contrastive_size or (max(high // 2, 1), max(wide // 2, 1))
        return self.network.embed(resize(image, size))

    def _rates(self) -> list[dict[str, Any]]:
        """What the stage trains, by learning rate."""
        groups = self.network.groups()
        rates: dict[float, list[nn.Parameter]] = {}
        for name in sorted(self.stage.trains):
            factor = self.config.dense_rate if self.stage.mixed and name == "dense" else 1.0
            for module in groups[name]:
                rates.setdefault(factor * self.config.learning_rate, []).extend(module.parameters())
        if self.stage.mixed and self.weighting is not None:
            learned = [weight for weight in self.weighting.parameters() if weight.requires_grad]
            rates.setdefault(self.config.learning_rate, []).extend(learned)
        return [{"params": weights, "lr": rate} for rate, weights in rates.items()]

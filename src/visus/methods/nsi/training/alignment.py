"""Stage 1: slots and programs find each other while slots learn to reconstruct."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.loader import iterate
from visus.engine.gather import gather, processes
from visus.engine.plateau import Plateau
from visus.engine.seeds import derive_seed
from visus.methods.nsi.config import NSIConfig
from visus.methods.nsi.losses import contrastive, reconstruction
from visus.methods.nsi.model.encoder import ProgramEncoder
from visus.methods.nsi.model.images import SlotImageEncoder, SlotImages
from visus.methods.nsi.model.scores import bilevel_scores
from visus.methods.nsi.training.data import Scenes, unpack
from visus.methods.nsi.training.partial import cut_some
from visus.protocols import Batch, Logs, Phase, Scores, Turn


class Alignment:
    """Trains both encoders. Satisfies `visus.protocols.Trainable`.

    Phase `reconstruct`: L_rec on the image side alone. Phase `align`: L = L_con + beta L_rec on both.

    Paper: 2403.07887: Adam, linear warm-up, the contrastive loss over all pairs of the batch (here: of all
    processes together). Noise of the slots and cuts of programs are functions of (seed, phase, step, item).
    """

    def __init__(
        self, images: SlotImageEncoder, programs: ProgramEncoder, config: NSIConfig, *, seed: int
    ) -> None:
        self.images, self.programs, self.config, self.seed = images, programs, config, seed
        self.phase = ""
        self.halving = Plateau(config.halve_after, factor=0.5)
        self._optimizer: torch.optim.Optimizer | None = None

    def begin(self, phase: str) -> None:
        """A phase starts with a fresh optimizer for what it trains."""
        self.phase = phase
        trained: list[nn.Module] = [self.images]
        if phase == "align":
            trained.append(self.programs)
        weights = [weight for module in trained for weight in module.parameters()]
        self._optimizer = torch.optim.Adam(weights, lr=self.config.learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """Both encoders."""
        return {"images": self.images, "programs": self.programs}

    def optimizers(self) -> dict[str, Any]:
        """The phase's one optimizer."""
        return {"model": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"inputs", "index", fields of Programs}."""
        names = [derive_seed(self.seed, turn.phase, turn.step, item) for item in batch["index"].tolist()]
        found = self.images(batch["inputs"], seeds=names, decode=self._decodes)
        logs: dict[str, Tensor] = {}
        loss = batch["inputs"].new_zeros(())
        if self._decodes:
            lost = self._reconstruction(found, batch["inputs"])
            # the mean over a share, given to each of its items: shares of processes may differ in size
            logs["reconstruction"] = turn.mean(lost.expand(len(batch["inputs"])))
            weight = self.config.beta if self.phase == "align" else 1.0
            loss = loss + weight * logs["reconstruction"]
        told = loss
        if self.phase == "align":
            programs = cut_some(unpack(batch), self.config.partial, names)
            slots, primitives = gather(found.embeddings), gather(self.programs(programs))
            paired = self._contrastive(slots, primitives, gather(programs.length))
            logs["contrastive"] = paired
            told = loss + paired
            loss = loss + paired * processes()
        turn.update("model", loss)
        return cast(Logs, {"loss": told, **logs})

    def validate(self, scenes: Scenes) -> Scores:
        """Validation losses of the current phase, on batches of the training's size."""
        for module in self.parts().values():
            module.eval()
        totals: dict[str, float] = {}
        device = next(self.images.parameters()).device
        for batch in iterate(scenes, self.config.batch_size):
            inputs, count = batch["inputs"].to(device), len(batch["index"])
            found = self.images(inputs, decode=self._decodes)
            losses = {"loss": 0.0}
            if self._decodes:
                losses["reconstruction"] = float(self._reconstruction(found, inputs))
                losses["loss"] += losses["reconstruction"] * (
                    self.config.beta if self.phase == "align" else 1
                )
            if self.phase == "align":
                programs = unpack(batch).to(device)
                losses["contrastive"] = float(
                    self._contrastive(found.embeddings, self.programs(programs), programs.length)
                )
                losses["loss"] += losses["contrastive"]
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + value * count / len(scenes)
        self.halving.tell(self._optimizer, totals["loss"])
        return totals

    @property
    def _decodes(self) -> bool:
        wanted = self.phase == "reconstruct" or self.config.beta > 0
        return wanted and self.images.decoder is not None

    def _reconstruction(self, found: SlotImages, inputs: Tensor) -> Float[Tensor, ""]:
        assert found.decoded is not None
        return reconstruction(found.decoded.output.float(), self.images.target(inputs).float())

    def _contrastive(self, slots: Tensor, primitives: Tensor, length: Tensor) -> Float[Tensor, ""]:
        config = self.config
        # scores are large and are divided by tau: half precision would round neighbors together
        with torch.autocast(slots.device.type, enabled=False):
            scores = bilevel_scores(
                slots.float(),
                primitives.float(),
                length,
                assign=config.assign,
                reduce=config.reduce,
                normalize=config.normalize,
            )
            return contrastive(scores, temperature=config.temperature)


def alignment_phases(config: NSIConfig, *, validated: bool) -> list[Phase]:
    """Reconstruction alone where it is wanted, then the alignment; each keeps its best epoch."""
    lengths = {"reconstruct": config.pretrain_epochs, "align": config.epochs}
    return [phase(name, epochs, config, validated=validated) for name, epochs in lengths.items() if epochs]


def phase(name: str, epochs: int, config: NSIConfig, *, validated: bool) -> Phase:
    """One stage of training with the shared settings."""
    return Phase(
        name=name,
        epochs=epochs,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm or None,
        warmup=config.warmup,
        monitor="loss" if validated else None,
        better="lower",
        drop_last=True,
    )

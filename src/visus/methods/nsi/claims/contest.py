"""Training of one arm: the same reconstruction first, then its own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from visus.engine.seeds import derive_seed
from visus.methods.nsi.baselines import Boxed, Contender, Grounded, Patches, Pooled, SetPredictor, Ungrounded
from visus.methods.nsi.claims.data import CROWD, Size, scenes_of
from visus.methods.nsi.model import ProgramEncoder, Schema, picture_slots
from visus.methods.nsi.model.named import scenes
from visus.methods.nsi.model.scores import Assign
from visus.methods.nsi.training import pack, unpack
from visus.protocols import Batch, Logs, Phase, Turn

if TYPE_CHECKING:
    from visus.data.loader import Tensors

UNTRAINED = "random"


def build(arm: str, size: Size) -> Contender:
    """The arm with fresh weights; the image side is drawn first, so that it is the same in all arms of a seed."""
    images = picture_slots(
        image=(size.image, size.image),
        count=size.slots,
        size=size.width,
        joint=size.joint,
        iterations=size.iterations,
        channels=size.channels,
        strides=size.strides,
        cells=(size.cells, size.cells),
        hidden=size.hidden,
    )
    schema = scenes(most=CROWD)
    if arm == "no_position":
        schema = schema.without("position")
    if arm == "hmc":
        return SetPredictor(images, schema, size=size.width)
    if arm in ("ungrounded", "patches"):
        return (Ungrounded if arm == "ungrounded" else Patches)(images, schema)
    programs = _programs(schema, size, blocks=0 if arm == "no_transformer" else size.blocks)
    if arm in ("pooled", "boxes"):
        kind = Pooled if arm == "pooled" else Boxed
        return kind(images, programs, schema, joint=size.joint, temperature=size.temperature)
    assign: Assign = "hungarian" if arm == "hungarian" else "max"
    return Grounded(images, programs, schema, assign=assign, temperature=size.temperature)


def _programs(schema: Schema, size: Size, *, blocks: int) -> ProgramEncoder:
    return ProgramEncoder(schema, width=size.width, heads=4, blocks=blocks, size=size.joint)


class Contest:
    """Satisfies `visus.protocols.Trainable`: phase `reconstruct`, the same in all arms, then phase `learn`."""

    def __init__(self, contender: Contender, *, learning_rate: float, beta: float, seed: int) -> None:
        self.contender, self.beta, self.seed, self.phase = contender, beta, seed, ""
        self.optimizer = torch.optim.Adam(contender.parameters(), lr=learning_rate)

    def begin(self, phase: str) -> None:
        """Which loss counts from here on."""
        self.phase = phase

    def parts(self) -> dict[str, nn.Module]:
        """The whole arm."""
        return {"contender": self.contender}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"contender": self.optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"image", "boxes", fields of Programs}; noise of the slots follows from phase and step."""
        inputs = batch["image"].float() / 255
        seed = derive_seed(self.seed, turn.phase, turn.step)
        generator = torch.Generator().manual_seed(seed)
        if self.phase == "reconstruct":
            loss = self.contender.reconstruct(inputs, generator)[1]
        else:
            loss = self.contender.loss(
                inputs, unpack(batch), batch["boxes"], generator=generator, beta=self.beta
            )
        turn.update("contender", loss)
        return cast(Logs, {"loss": loss.detach()})


def compete(arm: str, size: Size, seed: int, run: Any) -> Contender:
    """The arm, trained on the seed's pictures (but for `random`) and in evaluation mode."""
    with run.seeded("contender"):
        contender = build(arm, size)
    contender.to(run.device)
    if arm != UNTRAINED:
        contest = Contest(
            contender,
            learning_rate=size.learning_rate,
            beta=0.0 if arm == "no_reconstruction" else size.beta,
            seed=seed,
        )
        run.train(contest, training_set(contender, size, seed), phases(size))
    return contender.eval()


def training_set(contender: Contender, size: Size, seed: int) -> Tensors:
    """Pictures, boxes and programs of the seed, as the arm knows programs."""
    from visus.data.loader import Tensors

    found = scenes_of("train", size, seed)
    programs = contender.schema.encode(found["objects"])
    return Tensors({"image": found["image"], "boxes": found["boxes"], **pack(programs)})


def phases(size: Size) -> list[Phase]:
    """Both stages, in steps; every batch is full."""
    lengths = {"reconstruct": size.pretrain, "learn": size.steps}
    return [
        Phase(name=name, steps=steps, batch_size=size.batch, clip_norm=1.0, warmup=0.1, drop_last=True)
        for name, steps in lengths.items()
    ]

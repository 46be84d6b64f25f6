"""One face for all arms of a comparison: a loss to train with, pictures embedded once, scores with programs."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.methods.nsi.losses import contrastive, reconstruction
from visus.methods.nsi.model.encoder import ProgramEncoder, ProjectionHead
from visus.methods.nsi.model.images import SlotImageEncoder, SlotImages
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.scores import Assign, bilevel_scores
from visus.methods.nsi.model.tensors import Programs

Images: TypeAlias = Float[Tensor, "b 3 h w"]
Corners: TypeAlias = Float[Tensor, "b m 4"]
"""True boxes [ymin, xmin, ymax, xmax] in 0..1, zeros where there is no object."""


class Contender(nn.Module):
    """An arm: every one owns the same image encoder, so that all can begin with the same reconstruction.

    Parameters
    ----------
    images : slots, their decoder, and the tokens in front of them.
    schema : what this arm knows of programs.
    temperature : of the contrastive loss, where the arm has one.
    """

    retrieves = True
    """Whether the arm scores pictures with programs."""
    discovers = True
    """Whether its slots are what the arm works with, so that their masks are worth looking at."""

    def __init__(self, images: SlotImageEncoder, schema: Schema, *, temperature: float = 0.1) -> None:
        super().__init__()
        self.images, self.schema, self.temperature = images, schema, temperature

    def reconstruct(self, inputs: Images, generator: torch.Generator) -> tuple[SlotImages, Float[Tensor, ""]]:
        """Slots from noise of the generator, and the reconstruction's loss."""
        found = self.images(inputs, generator=generator, decode=True)
        assert found.decoded is not None
        return found, reconstruction(found.decoded.output, self.images.target(inputs))

    def loss(
        self,
        inputs: Images,
        programs: Programs,
        boxes: Corners,
        *,
        generator: torch.Generator,
        beta: float,
    ) -> Float[Tensor, ""]:
        """What the arm minimizes after the reconstruction stage; `beta` weighs reconstruction where there is one."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def embed(self, inputs: Images, boxes: Corners) -> Any:
        """What the arm keeps of pictures; first axis = pictures."""
        raise TypeError(f"{type(self).__name__} does not retrieve")

    def score(self, pictures: Any, programs: Programs) -> Float[Tensor, "a b"]:
        """Agreement of embedded pictures with programs, higher is better."""
        raise TypeError(f"{type(self).__name__} does not retrieve")

    def vectors(self, inputs: Images) -> Float[Tensor, "b n d"]:
        """What a few-shot classifier is given of pictures: the slots, unless the arm says otherwise."""
        return self.images(inputs).slots


class Grounded(Contender):
    """The interpreter: slots and primitives under the bi-level score.

    Parameters
    ----------
    assign : `max` is the method; `hungarian` its variant with one slot per primitive.

    A `ProgramEncoder` without blocks is the schema-agnostic arm, one of a schema without `position` the arm
    that is not told where objects are.
    """

    def __init__(
        self,
        images: SlotImageEncoder,
        programs: ProgramEncoder,
        schema: Schema,
        *,
        assign: Assign = "max",
        temperature: float = 0.1,
    ) -> None:
        super().__init__(images, schema, temperature=temperature)
        self.programs = programs
        self.assign: Assign = assign

    def loss(
        self,
        inputs: Images,
        programs: Programs,
        boxes: Corners,
        *,
        generator: torch.Generator,
        beta: float,
    ) -> Float[Tensor, ""]:
        if beta:
            found, lost = self.reconstruct(inputs, generator)
        else:
            found, lost = self.images(inputs, generator=generator), inputs.new_zeros(())
        scores = self.score(found.embeddings, programs)
        return contrastive(scores, temperature=self.temperature) + beta * lost

    def embed(self, inputs: Images, boxes: Corners) -> Float[Tensor, "b k e"]:
        return self.images(inputs).embeddings

    def score(self, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
        return bilevel_scores(pictures, self.programs(programs), programs.length, assign=self.assign)


class Slotless(Contender):
    """Arms that contrast the tokens in front of the slots with the program; no slot takes part.

    Parameters
    ----------
    joint : width of the joint space.
    """

    discovers = False

    def __init__(
        self,
        images: SlotImageEncoder,
        programs: ProgramEncoder,
        schema: Schema,
        *,
        joint: int,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(images, schema, temperature=temperature)
        self.programs = programs
        self.head = ProjectionHead(int(images.tokens.features), joint)  # type: ignore[arg-type]

    def loss(
        self,
        inputs: Images,
        programs: Programs,
        boxes: Corners,
        *,
        generator: torch.Generator,
        beta: float,
    ) -> Float[Tensor, ""]:
        return contrastive(self.score(self.embed(inputs, boxes), programs), temperature=self.temperature)

    def vectors(self, inputs: Images) -> Float[Tensor, "b n d"]:
        return self.images.tokens(inputs)


class Ungrounded(Contender):
    """Slots that reconstruct and have never seen a program."""

    retrieves = False

    def loss(
        self,
        inputs: Images,
        programs: Programs,
        boxes: Corners,
        *,
        generator: torch.Generator,
        beta: float,
    ) -> Float[Tensor, ""]:
        return self.reconstruct(inputs, generator)[1]


class Patches(Ungrounded):
    """The tokens in front of ungrounded slots: what a few-shot classifier can do without slots."""

    discovers = False

    def vectors(self, inputs: Images) -> Float[Tensor, "b n d"]:
        return self.images.tokens(inputs)

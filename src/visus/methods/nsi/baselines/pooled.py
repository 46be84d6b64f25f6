"""One vector per picture and one per program, as CLIP does."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from visus.methods.nsi.baselines.contender import Contender, Corners, Images
from visus.methods.nsi.losses import contrastive
from visus.methods.nsi.model.encoder import ProgramEncoder, ProjectionHead
from visus.methods.nsi.model.images import SlotImageEncoder
from visus.methods.nsi.model.schema import Schema
from visus.methods.nsi.model.tensors import Programs


class Pooled(Contender):
    """Mean of the picture's tokens against mean of the program's primitives.

        S[a, b] = < head(mean_n token_an), mean_j e_bj >

    Source: contrastive pre-training of two encoders (CLIP, 2103.00020), with the encoders of the interpreter.
    Differs from CLIP: inner products are not normalized, as in the arm it is compared with.
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

    def embed(self, inputs: Images, boxes: Corners) -> Float[Tensor, "b e"]:
        return self.head(self.images.tokens(inputs).mean(1))

    def score(self, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
        total = self.programs(programs).sum(1)  # rows of padding are zeros
        return pictures @ (total / programs.length.clamp(min=1)[:, None]).T

    def vectors(self, inputs: Images) -> Float[Tensor, "b n d"]:
        return self.images.tokens(inputs)

"""One vector per picture and one per program, as CLIP does."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from visus.methods.nsi.baselines.contender import Corners, Images, Slotless
from visus.methods.nsi.model.tensors import Programs


class Pooled(Slotless):
    """Mean of the picture's tokens against mean of the program's primitives.

        S[a, b] = < head(mean_n token_an), mean_j e_bj >

    Source: contrastive pre-training of two encoders (CLIP, 2103.00020), with the encoders of the interpreter.
    Differs from CLIP: inner products are not normalized, as in the arm it is compared with.
    """

    def embed(self, inputs: Images, boxes: Corners) -> Float[Tensor, "b e"]:
        return self.head(self.images.tokens(inputs).mean(1))

    def score(self, pictures: Tensor, programs: Programs) -> Float[Tensor, "a b"]:
        total = self.programs(programs).sum(1)  # rows of padding are zeros
        return pictures @ (total / programs.length.clamp(min=1)[:, None]).T

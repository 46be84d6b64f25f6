"""From a predicted layer to the block that begins with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from visus.errors import InputError


class BlockChooser(nn.Module):
    """Which block a predicted layer opens, given the layers before it.

    p(block | context, layer) = softmax(W3 relu(W2 relu(W1 [E c_1, ..., E c_k, E l]))), taken over the blocks
    that can begin with the layer; the others have probability 0. A layer no block begins with gives zeros.
    E is the embedding of the layer model: shared by being passed in, and left unchanged by this network's
    training.

    Paper: 2305.05351, sec. III-D (a fully connected network on the layers so far and the predicted one).
    Differs: sizes are not stated there (256 and 128 here), nor what happens to impossible blocks.

    Parameters
    ----------
    legal : (tokens, blocks), True where the block can begin with the layer.
    width : of the embedding.
    window : number of context tokens (k).

    >>> legal = legal_openings([[3], [3, 4], [5]], size=6)
    >>> chooser = BlockChooser(legal, width=8, window=2)
    >>> chooser(torch.tensor([[0, 4]]), torch.tensor([5]), embedding=nn.Embedding(6, 8))
    tensor([[0., 0., 1.]], grad_fn=<WhereBackward0>)
    """

    legal: Tensor

    def __init__(
        self,
        legal: Bool[Tensor, "tokens blocks"],
        *,
        width: int,
        window: int = 10,
        hidden: tuple[int, int] = (256, 128),
    ) -> None:
        super().__init__()
        if not legal.any(0).all():
            blocks = torch.nonzero(~legal.any(0)).flatten().tolist()
            raise InputError(f"blocks {blocks} begin with no known layer", field="legal")
        self.window = window
        self.register_buffer("legal", legal.clone())
        self.layers = nn.Sequential(
            nn.Linear((window + 1) * width, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], legal.shape[1]),
        )

    def forward(
        self, context: Int[Tensor, "b k"], layer: Int[Tensor, " b"], *, embedding: nn.Embedding
    ) -> Float[Tensor, "b blocks"]:
        """Probability of every block."""
        legal = self.legal[layer]
        chosen = torch.softmax(self.scores(context, layer, embedding=embedding), dim=-1)
        return torch.where(legal, chosen, 0.0)

    def scores(
        self, context: Int[Tensor, "b k"], layer: Int[Tensor, " b"], *, embedding: nn.Embedding
    ) -> Float[Tensor, "b blocks"]:
        """Logits for `cross_entropy`; impossible blocks have the lowest finite number, without a gradient."""
        if context.shape[1] != self.window:
            problem = f"has {context.shape[1]} tokens, expected {self.window}"
            raise InputError(problem, field="context", remedy="cut it with `last_tokens`")
        tokens = torch.cat([context, layer[:, None]], dim=1)
        vectors = nn.functional.embedding(tokens, embedding.weight.detach())
        scores = self.layers(rearrange(vectors, "b k e -> b (k e)"))
        return scores.masked_fill(~self.legal[layer], torch.finfo(scores.dtype).min)


def legal_openings(openings: Sequence[Sequence[int]], *, size: int) -> Bool[Tensor, "tokens blocks"]:
    """(tokens, blocks): True where a block's expansion can begin with the token.

    Parameters
    ----------
    openings : per block every token its expansion can begin with.
    size : number of tokens.
    """
    legal = torch.zeros(size, len(openings), dtype=torch.bool)
    for block, tokens in enumerate(openings):
        legal[list(tokens), block] = True
    return legal


def last_tokens(tokens: Sequence[int], *, window: int, padding: int) -> list[int]:
    """The last `window` tokens, filled up with `padding` on the left."""
    kept = list(tokens)[-window:] if window else []
    return [padding] * (window - len(kept)) + kept

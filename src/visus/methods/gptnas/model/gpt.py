"""The language model of layers: which layer comes next, given the few before it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.attention import build_attention


class LayerGPT(nn.Module):
    """Decoder-only transformer over layer tokens that never looks further back than `window` tokens.

    x = E[token] + P[place in the window];  x = x + A(LN x), x = x + W2 gelu(W1 LN x), `depth` times;
    logits = W LN x. The logits at position t are a function of the tokens t - window + 1 .. t alone: windows
    are cut out of the sequence, so that depth does not widen them. In a window that begins with the sequence
    positions count from the sequence's beginning.

    Paper: 2305.05351, sec. III-C (4 layers, 4 heads, window k = 10, stride 1, eq. 2).
    Differs: pre-LN instead of GPT-1's post-LN; the width is not stated there, 128 here.

    Parameters
    ----------
    size : number of tokens.
    attention : `standard`, `optimized`, `efficient` or `super`. All four are causal; Super attention's map
        along the positions is masked to its lower triangle.
    tied : read the logits with the embedding's own weights.

    >>> LayerGPT(7, width=8, depth=1, heads=2)(torch.zeros(2, 15, dtype=torch.long)).shape
    torch.Size([2, 15, 7])
    """

    def __init__(
        self,
        size: int,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        window: int = 10,
        attention: str = "standard",
        tied: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("size", size), ("depth", depth), ("window", window)):
            if value < 1:
                raise InputError(f"is {value}", field=name, remedy="choose 1 or more")
        self.size, self.window = size, window
        self.embedding = nn.Embedding(size, width)
        self.position = nn.Parameter(0.02 * torch.randn(window, width))
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(
            [Block(width, heads=heads, window=window, attention=attention) for _ in range(depth)]
        )
        self.norm = nn.LayerNorm(width)
        self.head = None if tied else nn.Linear(width, size, bias=False)

    def forward(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b n k"]:
        """Scores of the next token after every position."""
        first = self._read(tokens[:, : self.window])
        if tokens.shape[1] <= self.window:
            return self._logits(first)
        windows = tokens.unfold(1, self.window, 1)[:, 1:]
        last = self._read(windows.flatten(0, 1))[:, -1].unflatten(0, windows.shape[:2])
        return self._logits(torch.cat([first, last], dim=1))

    def next(self, prefix: Int[Tensor, " n"]) -> Float[Tensor, " k"]:
        """Scores of the token after `prefix`, which begins with a token that stands for the beginning."""
        if not len(prefix):
            remedy = "begin it with the token that stands for the beginning"
            raise InputError("is empty", field="prefix", remedy=remedy)
        return self(prefix[None, -self.window :])[0, -1]

    def _read(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b n e"]:
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x

    def _logits(self, x: Float[Tensor, "b n e"]) -> Float[Tensor, "b n k"]:
        x = self.norm(x)
        return F.linear(x, self.embedding.weight) if self.head is None else self.head(x)


class Block(nn.Module):
    """x = x + A(LN x); x = x + W2 gelu(W1 LN x), with a causal A and a hidden layer of four widths."""

    def __init__(self, width: int, *, heads: int, window: int, attention: str) -> None:
        super().__init__()
        self.attention = build_attention(attention, width, num_heads=heads, length=window)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
        x = x + self.attention(self.norms[0](x), causal=True)
        return x + self.feed_forward(self.norms[1](x))


def next_token_loss(
    logits: Float[Tensor, "b m k"], tokens: Int[Tensor, "b n"], *, padding: int | None = None
) -> Float[Tensor, ""]:
    """Mean cross-entropy [nats] of every token but the first under the logits of the position before it.

    Paper: 2305.05351, eq. 2. Differs: the mean, not the sum, so that it does not depend on lengths.

    Parameters
    ----------
    logits : of every position; those of the last, after which nothing comes, may be left out.
    padding : token that fills up shorter sequences on the right; it is not predicted.
    """
    targets = tokens[:, 1:].flatten()
    ignored = -100 if padding is None else padding
    return F.cross_entropy(logits[:, : tokens.shape[1] - 1].flatten(0, 1), targets, ignore_index=ignored)

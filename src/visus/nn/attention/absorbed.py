"""Standard attention with its key and value maps moved to the query's side."""

from __future__ import annotations

from typing import ClassVar

from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.masks import Visibility


class AbsorbedAttention(MultiheadBase):
    """Standard attention computed on unprojected keys and values: the exact form of Efficient attention for
    many heads.

    head_i = softmax((Q Wq_i Wk_i^T) K^T / sqrt(e)) V Wv_i;   4 (d^2 + d) parameters, the same as standard
    attention.

    Every head compares full-width rows, so attention itself costs num_heads times as much, but a decoder
    caches d numbers per token instead of 2 d. For decoding that is bound by memory. Position rotations of
    keys (RoPE) would have to be applied when the cache is read. Made by `StandardAttention.absorb_heads()`;
    the state dict is the same.

    Source: the argument of 2403.01643 carried through for several heads; known from multi-head latent
    attention (DeepSeek-V2). Differs: none in the outputs; while training with dropout the value bias is not
    dropped.
    """

    kind: ClassVar[str] = "absorbed"
    projections: ClassVar[int] = 3
    shared_cache: ClassVar[bool] = True

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d, bias = self.width, self.in_proj.bias
        return F.linear(query, self.in_proj.weight[:d], None if bias is None else bias[:d]), key, value

    def attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Visibility) -> Tensor:
        d, h = self.width, self.num_heads
        to_keys = rearrange(self.in_proj.weight[d : 2 * d], "(h e) d -> h e d", h=h)
        to_values = rearrange(self.in_proj.weight[2 * d :], "(h e) d -> h d e", h=h)
        q = rearrange(q, "b l (h e) -> b h l e", h=h) @ to_keys
        k, v = (x[:, None].expand(-1, h, -1, -1) for x in (k, v))
        heads = self.fused(q, k, v, seen, scale=self.head_width**-0.5) @ to_values
        if self.in_proj.bias is not None:
            heads = heads + rearrange(self.in_proj.bias[2 * d :], "(h e) -> h 1 e", h=h).to(heads.dtype)
            heads = heads if seen.dead is None else heads.masked_fill(seen.dead, 0.0)
        return rearrange(heads, "b h l e -> b l (h e)")

"""What Super and Efficient attention are compared with, called like them in self-attention.

All mix information between the tokens of x (b, n, e); `key_padding_mask` (b, n) is True at padded tokens,
which reach no other token.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.attention import EfficientAttention

Padding = Bool[Tensor, "b n"]


class GroupedQueryAttention(nn.Module):
    """Attention whose query heads share key and value heads: 2 (d^2 + d) + 2 groups (d e + e) parameters, e =
    d / heads.

    `groups` = 1 is multi-query attention (Shazeer 2019), more is grouped-query attention (Ainslie et al.
    2023): the usual ways to save keys and values. Source: eq. of scaled dot-product attention with heads i
    reading group i // (h / groups).
    """

    def __init__(self, width: int, *, num_heads: int, groups: int = 1) -> None:
        super().__init__()
        if width % num_heads or num_heads % groups:
            raise InputError(
                f"{num_heads} heads of a width of {width} in {groups} groups do not divide evenly",
                field="num_heads",
                remedy="choose heads that divide the width and groups that divide the heads",
            )
        self.width, self.num_heads, self.groups = width, num_heads, groups
        narrow = groups * width // num_heads
        self.in_proj = nn.Linear(width, width + 2 * narrow)
        self.out_proj = nn.Linear(width, width)
        for layer in (self.in_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "b n e"], *, key_padding_mask: Padding | None = None) -> Tensor:
        e = self.width // self.num_heads
        heads = rearrange(self.in_proj(x), "b n (h e) -> b h n e", e=e)
        q, k, v = heads.split([self.num_heads, self.groups, self.groups], dim=1)
        k, v = (t.repeat_interleave(self.num_heads // self.groups, dim=1) for t in (k, v))
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(rearrange(out, "b h n e -> b n (h e)"))


class LinformerAttention(nn.Module):
    """Standard attention over keys and values shortened from l to `rank` rows by learned maps E and F.

    head_i = softmax(Q_i (E K_i)^T / sqrt(e)) F V_i. Like W_A these mix tokens before attention does.

    Source: Wang et al. 2020, "Linformer", eq. 7 (E and F shared by the heads). Differs: padded rows are
    zeroed first.
    """

    def __init__(self, width: int, *, num_heads: int, length: int, rank: int | None = None) -> None:
        super().__init__()
        if width % num_heads:
            raise InputError(
                f"{num_heads} heads do not divide {width}", field="num_heads", remedy="choose a divisor"
            )
        self.num_heads, self.length = num_heads, length
        self.rank = rank or max(1, length // 4)
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.shorten_keys = nn.Parameter(torch.empty(self.rank, length))
        self.shorten_values = nn.Parameter(torch.empty(self.rank, length))
        for weight in (self.in_proj.weight, self.out_proj.weight, self.shorten_keys, self.shorten_values):
            nn.init.xavier_uniform_(weight)
        for layer in (self.in_proj, self.out_proj):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "b n e"], *, key_padding_mask: Padding | None = None) -> Tensor:
        n = checked_length(x, self.length)
        q, k, v = self.in_proj(x).chunk(3, dim=-1)
        if key_padding_mask is not None:
            k, v = (t.masked_fill(key_padding_mask[..., None], 0.0) for t in (k, v))
        k, v = self.shorten_keys[:, :n] @ k, self.shorten_values[:, :n] @ v
        q, k, v = (rearrange(t, "b n (h e) -> b h n e", h=self.num_heads) for t in (q, k, v))
        return self.out_proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n e -> b n (h e)"))


class TokenMixer(nn.Module):
    """No attention: a two-layer network along the tokens, the same for all features.

    y = W2 gelu(W1 x + b1) + b2 on columns of x (l rows); 2 l m + m + l parameters with m hidden units.

    Source: Tolstikhin et al. 2021, "MLP-Mixer", eq. 1 (token mixing). Differs: padded rows are zeroed first.
    """

    def __init__(self, *, length: int, hidden: int) -> None:
        super().__init__()
        self.length = length
        self.enter = nn.Linear(length, hidden)
        self.leave = nn.Linear(hidden, length)

    def forward(self, x: Float[Tensor, "b n e"], *, key_padding_mask: Padding | None = None) -> Tensor:
        n = checked_length(x, self.length)
        if key_padding_mask is not None:
            x = x.masked_fill(key_padding_mask[..., None], 0.0)
        columns = F.linear(x.transpose(1, 2), self.enter.weight[:, :n], self.enter.bias)
        mixed = F.linear(F.gelu(columns), self.leave.weight[:n], self.leave.bias[:n])
        return mixed.transpose(1, 2)


class MixedAfterAttention(nn.Module):
    """Efficient attention followed by the l x l map that Super attention has inside: is its place what
    matters?

    y = W_B (heads Wo + bo); the same number of parameters as Super attention.
    """

    def __init__(self, width: int, *, num_heads: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.attention = EfficientAttention(width, num_heads=num_heads)
        self.mixing = nn.Parameter(torch.empty(length, length))
        nn.init.xavier_uniform_(self.mixing)

    def forward(self, x: Float[Tensor, "b n e"], *, key_padding_mask: Padding | None = None) -> Tensor:
        n = checked_length(x, self.length)
        out = self.attention(x, key_padding_mask=key_padding_mask)
        if key_padding_mask is not None:
            out = out.masked_fill(key_padding_mask[..., None], 0.0)
        return self.mixing[:n, :n] @ out


def checked_length(x: Tensor, length: int) -> int:
    """Number of tokens, refused above what the module was made for."""
    if x.shape[1] > length:
        raise InputError(
            f"{x.shape[1]} tokens, but the map along the tokens was made for {length}",
            field="length",
            remedy="shorten the input or build the model for longer ones",
        )
    return x.shape[1]

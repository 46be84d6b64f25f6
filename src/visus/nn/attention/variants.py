"""Standard attention and the three cheaper kinds of arXiv 2403.01643.

X W_i below is head i's projection of width e = width / num_heads, and X[:, i] the i-th slice of e columns.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.attention.absorbed import AbsorbedAttention
from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.cache import KeyValueCache
from visus.nn.attention.masks import Visibility, later_keys

WaInit = Literal["xavier", "eye", "orthogonal"]


class StandardAttention(MultiheadBase):
    """Scaled dot-product attention with one fused projection and the fused kernel: the baseline to beat.

    head_i = softmax((Q Wq_i)(K Wk_i)^T / sqrt(e)) (V Wv_i),   out = concat(heads) Wo;   4 (d^2 + d)
    parameters.

    Paper: Vaswani et al. 2017, eq. 1; 2403.01643 calls it SDPA.

    >>> StandardAttention(32, num_heads=4)(torch.zeros(2, 5, 32)).shape
    torch.Size([2, 5, 32])
    """

    kind: ClassVar[str] = "standard"
    projections: ClassVar[int] = 3

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if query is key and key is value:
            q, k, v = self.in_proj(query).chunk(3, dim=-1)
            return q, k, v
        d, weight, bias = self.width, self.in_proj.weight, self.in_proj.bias
        q = F.linear(query, weight[:d], None if bias is None else bias[:d])
        if key is value:
            k, v = F.linear(key, weight[d:], None if bias is None else bias[d:]).chunk(2, dim=-1)
        else:
            k = F.linear(key, weight[d : 2 * d], None if bias is None else bias[d : 2 * d])
            v = F.linear(value, weight[2 * d :], None if bias is None else bias[2 * d :])
        return q, k, v

    def absorb_heads(self) -> AbsorbedAttention:
        """The same function on unprojected keys and values: caches d numbers per token instead of 2 d."""
        made = AbsorbedAttention(
            self.width, num_heads=self.num_heads, bias=self.has_bias, dropout=self.dropout
        ).to(self.in_proj.weight)
        made.load_state_dict(self.state_dict())
        return made.train(self.training)


class OptimizedAttention(MultiheadBase):
    """Attention without the value projection: two linear maps in a row (W_V, W_O) are one.

    head_i = softmax((Q Wq_i)(K Wk_i)^T / sqrt(e)) V[:, i];   3 (d^2 + d) parameters.

    Paper: 2403.01643, Optimised Attention.

    >>> OptimizedAttention(32, num_heads=4)(torch.zeros(2, 5, 32), torch.zeros(2, 7, 32)).shape
    torch.Size([2, 5, 32])
    """

    kind: ClassVar[str] = "optimized"
    projections: ClassVar[int] = 2
    folds_values: ClassVar[bool] = True

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if query is key:
            q, k = self.in_proj(query).chunk(2, dim=-1)
            return q, k, value
        d, weight, bias = self.width, self.in_proj.weight, self.in_proj.bias
        q = F.linear(query, weight[:d], None if bias is None else bias[:d])
        k = F.linear(key, weight[d:], None if bias is None else bias[d:])
        return q, k, value


class EfficientAttention(MultiheadBase):
    """Attention with projections for queries and output only; for one head nothing is lost.

    head_i = softmax((Q Wq_i) K[:, i]^T / sqrt(e)) V[:, i];   2 (d^2 + d) parameters.
    In self-attention keys and values are the same rows: a decoder caches d numbers per token instead of 2 d.

    Paper: 2403.01643, Efficient Attention.

    >>> EfficientAttention(32, num_heads=4)(torch.zeros(2, 5, 32), causal=True).shape
    torch.Size([2, 5, 32])
    """

    kind: ClassVar[str] = "efficient"
    projections: ClassVar[int] = 1
    folds_keys: ClassVar[bool] = True
    folds_values: ClassVar[bool] = True
    shared_cache: ClassVar[bool] = True

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.in_proj(query), key, value


class SuperAttention(MultiheadBase):
    """Efficient attention whose values are first mixed along the tokens by a learned l x l map, shared by the
    heads.

    head_i = softmax((Q Wq_i) K[:, i]^T / sqrt(e)) (W_A V)[:, i];   2 (d^2 + d) + l^2 parameters (+ l with
    `wa_bias`).

    - Fewer than `length` tokens use the upper left corner of W_A; more are refused.
    - Padded value rows are zeroed before W_A. Pad on the right: W_A knows positions, so pads on the left
      shift them.
    - Causal: W_A is masked to its lower triangle. An `attn_mask` masks W_A the same way, which keeps hidden
      pairs hidden for masks that are transitive (causal, blocks); through a sliding window tokens are seen at
      two hops.
    - Cross-attention: `length` is that of the keys.

    Paper: 2403.01643, Super Attention. Differs: W_A has no bias by default (`wa_bias=True` adds one number
    per position, as the published parameter counts have); what happens to padding and short inputs is not
    described there.

    Parameters
    ----------
    length : the most keys (l).
    wa_init : `xavier` uniform, `eye` (starts out as Efficient attention) or `orthogonal`.

    >>> SuperAttention(32, num_heads=4, length=16)(torch.zeros(2, 5, 32)).shape
    torch.Size([2, 5, 32])
    """

    kind: ClassVar[str] = "super"
    projections: ClassVar[int] = 1
    folds_keys: ClassVar[bool] = True
    folds_values: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        length: int,
        bias: bool = True,
        dropout: float = 0.0,
        wa_bias: bool = False,
        wa_init: WaInit = "xavier",
    ) -> None:
        if length < 1:
            raise InputError(
                f"is {length}", field="length", remedy="give the largest number of keys, 1 or more"
            )
        if wa_init not in ("xavier", "eye", "orthogonal"):
            raise InputError(f"is {wa_init!r}", field="wa_init", remedy="choose xavier, eye or orthogonal")
        # the base class resets parameters before W_A exists, so it is drawn after the base is complete
        super().__init__(width, num_heads=num_heads, bias=bias, dropout=dropout)
        self.length, self.wa_init = length, wa_init
        self.wa = nn.Parameter(torch.empty(length, length))
        self.wa_bias = nn.Parameter(torch.empty(length)) if wa_bias else None
        self.reset_mixing()

    @classmethod
    def from_standard(cls, source: nn.Module, *, lossy: bool = False, **options: Any) -> SuperAttention:
        return super().from_standard(source, lossy=lossy, **{"wa_init": "eye", **options})

    def reset_mixing(self) -> None:
        """Draw W_A anew; its bias starts at zero."""
        start = {"xavier": nn.init.xavier_uniform_, "eye": nn.init.eye_, "orthogonal": nn.init.orthogonal_}
        start[self.wa_init](self.wa)
        if self.wa_bias is not None:
            nn.init.zeros_(self.wa_bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, length={self.length}"

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.in_proj(query), key, value

    def remember(
        self, k: Tensor, v: Tensor, seen: Visibility, *, causal: bool, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor]:
        if cache is None:
            return k, self.mix(v, seen, causal=causal)
        return cache.append(k, self.mix(cache.stage(k), seen, causal=True, start=cache.length))

    def mix(
        self, v: Float[Tensor, "b n e"], seen: Visibility, *, causal: bool, start: int = 0
    ) -> Float[Tensor, "b m e"]:
        """Rows `start` to n of W_A V, with W_A restricted to what the masks allow."""
        n = v.shape[1]
        if n > self.length:
            raise InputError(
                f"{n} keys, but W_A was made for at most {self.length}",
                field="length",
                remedy=f"make SuperAttention with length >= {n}, or shorten the input",
            )
        if seen.hidden_keys is not None:
            v = v.masked_fill(seen.hidden_keys[..., None], 0.0)
        wa = self.wa[start:n, :n]
        if causal:
            wa = wa.masked_fill(later_keys(n - start, n, start=start, device=wa.device), 0.0)
        if seen.hidden_pairs is not None:
            wa, v = self._mask_mixing(wa, v, seen.hidden_pairs)
        mixed = torch.matmul(wa, v)
        return mixed if self.wa_bias is None else mixed + self.wa_bias[start:n, None].to(mixed.dtype)

    @staticmethod
    def _mask_mixing(wa: Tensor, v: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        if hidden.shape[1] == 1:
            return wa, v.masked_fill(hidden.transpose(1, 2), 0.0)
        if hidden.shape[1] != wa.shape[0]:
            raise InputError(
                f"hides pairs of {hidden.shape[1]} queries and {wa.shape[1]} keys; W_A mixes keys with keys",
                field="attn_mask",
                remedy="in cross-attention hide whole keys with key_padding_mask",
            )
        hidden = hidden[0] if hidden.shape[0] == 1 else hidden
        return wa.masked_fill(hidden, 0.0), v

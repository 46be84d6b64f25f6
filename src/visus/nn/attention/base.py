"""What the four kinds of attention have in common: heads, masks, caching and the fused kernel."""

from __future__ import annotations

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from visus.errors import InputError
from visus.nn.attention.cache import KeyValueCache
from visus.nn.attention.folding import fold, read_projections
from visus.nn.attention.masks import Mask, Visibility, merge_masks

A = TypeVar("A", bound="MultiheadBase")

WIDEST_CUDA_FLASH_HEAD = 256


def wide_head_backends(device_type: str, head_width: int) -> Sequence[SDPBackend] | None:
    """Kernels to allow, or None for torch's own choice.

    CUDA flash kernels end at 256 numbers per head; wider heads use the memory-efficient or plain kernel.
    """
    if device_type == "cuda" and head_width > WIDEST_CUDA_FLASH_HEAD:
        return (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
    return None


class MultiheadBase(nn.Module, ABC):
    """Attention with `num_heads` heads on inputs of one width; subclasses say which projections they keep.

    Shapes: `query` (b, l, width), `key` and `value` (b, n, width); the output has the query's shape.
    A query all of whose keys are hidden gives a row of exact zeros (not NaN, and without the output bias).
    Dropout acts on the attention weights while training.
    """

    kind: ClassVar[str]
    projections: ClassVar[int]
    """How many maps `in_proj` holds, in the order query, key, value."""
    folds_keys: ClassVar[bool] = False
    folds_values: ClassVar[bool] = False
    """Which maps of standard attention this kind does without."""
    shared_cache: ClassVar[bool] = False

    def __init__(self, width: int, *, num_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        if width < 1 or num_heads < 1 or width % num_heads:
            raise InputError(
                f"width {width} cannot be divided among {num_heads} heads",
                field="num_heads",
                remedy="choose a number of heads that divides the width",
            )
        if not 0.0 <= dropout < 1.0:
            raise InputError(f"is {dropout}", field="dropout", remedy="choose a share from 0 to below 1")
        self.width, self.num_heads, self.dropout = width, num_heads, dropout
        self.in_proj = nn.Linear(width, self.projections * width, bias=bias)
        self.out_proj = nn.Linear(width, width, bias=bias)
        self._told_about_wide_heads = False
        self.reset_parameters()

    @property
    def head_width(self) -> int:
        """Numbers per head, e = width / num_heads."""
        return self.width // self.num_heads

    @property
    def has_bias(self) -> bool:
        """Whether the projections have biases."""
        return self.out_proj.bias is not None

    def reset_parameters(self) -> None:
        """Xavier-uniform for each square projection on its own, zero biases."""
        for block in self.in_proj.weight.chunk(self.projections):
            nn.init.xavier_uniform_(block)
        nn.init.xavier_uniform_(self.out_proj.weight)
        for layer in (self.in_proj, self.out_proj):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @classmethod
    def from_standard(cls: type[A], source: nn.Module, *, lossy: bool = False, **options: Any) -> A:
        """This kind of attention with the weights of a `StandardAttention` or `torch.nn.MultiheadAttention`.

        Exact for one head: Wq' = Wq Wk^T, bq' = bq Wk^T (what is constant along the keys cancels in the
        softmax), Wo' = Wv Wo, bo' = bv Wo + bo (rows of a softmax sum to 1, so not while dropout removes some
        of them). With more heads, head i of the result sees only the i-th slice of keys and values;
        `lossy=True` keeps the part of the folded maps inside those slices. Products are formed in float64.

        Parameters
        ----------
        lossy : accept that restriction where there is more than one head.
        options : further constructor arguments (`length` of Super attention, which starts with W_A = I unless
            `wa_init` says otherwise).

        Raises
        ------
        InputError : more heads without `lossy`, or a source with `kdim`, `vdim`, `add_bias_kv` or
            `add_zero_attn`.
        """
        given = read_projections(source)
        maps = fold(given, keys=cls.folds_keys, values=cls.folds_values, lossy=lossy)
        made = cls(
            given.width, num_heads=given.num_heads, bias=given.has_bias, dropout=given.dropout, **options
        )
        made.to(device=given.weights["query"].device, dtype=given.weights["query"].dtype)
        kept = ["query", *([] if cls.folds_keys else ["key"]), *([] if cls.folds_values else ["value"])]
        with torch.no_grad():
            made.in_proj.weight.copy_(torch.cat([maps.weights[name] for name in kept]))
            made.out_proj.weight.copy_(maps.weights["out"])
            if given.has_bias:
                made.in_proj.bias.copy_(torch.cat([maps.biases[name] for name in kept]))
                made.out_proj.bias.copy_(maps.biases["out"])
        return made.train(source.training)

    def extra_repr(self) -> str:
        return f"width={self.width}, num_heads={self.num_heads}, dropout={self.dropout}"

    def forward(
        self,
        query: Float[Tensor, "b l e"],
        key: Float[Tensor, "b n e"] | None = None,
        value: Float[Tensor, "b n e"] | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Mask | None = None,
        attn_mask: Mask | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Attend from `query` to `key` and `value`; with `query` alone this is self-attention.

        Parameters
        ----------
        value : where the values come from; the keys' source when left out.
        causal : query i sees keys up to its own position (i, or cached tokens + i).
        key_padding_mask : (b, n), True = padded as in `torch.nn.MultiheadAttention`, or additive floats.
            With a cache it covers the cached tokens too.
        attn_mask : True = hidden as in `torch.nn.MultiheadAttention`, or additive floats;
            (l, n), (b, l, n), (b*h, l, n) or (b, h, l, n) with 1 where it does not vary.
        cache : from `make_cache`; the new tokens are appended, and attention is causal. Self-attention only.

        Raises
        ------
        InputError : widths, lengths or masks that do not fit.
        """
        key, value = self._sources(query, key, value, cache)
        start = 0 if cache is None else cache.length
        seen = merge_masks(
            batch=query.shape[0],
            heads=self.num_heads,
            queries=query.shape[1],
            keys=start + key.shape[1],
            start=start,
            causal=causal or cache is not None,
            key_padding_mask=key_padding_mask,
            attn_mask=attn_mask,
            like=query,
        )
        q, k, v = self.project(query, key, value)
        k, v = self.remember(k, v, seen, causal=causal or cache is not None, cache=cache)
        heads = self.attend(q, k, v, seen)
        return self._zero_dead(self.out_proj(heads), seen)

    @abstractmethod
    def project(
        self, query: Float[Tensor, "b l e"], key: Float[Tensor, "b n e"], value: Float[Tensor, "b n e"]
    ) -> tuple[Float[Tensor, "b l e"], Float[Tensor, "b n e"], Float[Tensor, "b n e"]]:
        """Queries, keys and values before they are split into heads; inputs without a projection pass
        unchanged.
        """

    def remember(
        self, k: Tensor, v: Tensor, seen: Visibility, *, causal: bool, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor]:
        """Keys and values to attend to, after the cache, if any, has taken the new rows."""
        if cache is None:
            return k, v
        return cache.append(k, None if self.shared_cache else v)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Visibility) -> Float[Tensor, "b l e"]:
        """Fused attention on width slices; head i uses columns i*e to (i+1)*e."""
        q, k, v = (rearrange(x, "b n (h e) -> b h n e", h=self.num_heads) for x in (q, k, v))
        return rearrange(self.fused(q, k, v, seen), "b h l e -> b l (h e)")

    def fused(
        self,
        q: Float[Tensor, "b h l e"],
        k: Float[Tensor, "b h n e"],
        v: Float[Tensor, "b h n e"],
        seen: Visibility,
        *,
        scale: float | None = None,
    ) -> Float[Tensor, "b h l e"]:
        """One call of `scaled_dot_product_attention`; heads that see nothing give zeros."""
        with self._kernels(q):
            out = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=seen.mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=seen.is_causal,
                scale=scale,
            )
        return out if seen.dead is None else out.masked_fill(seen.dead, 0.0)

    def make_cache(
        self,
        batch: int,
        capacity: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> KeyValueCache:
        """An empty cache for `batch` sequences of at most `capacity` tokens, on the module's device."""
        weight = self.in_proj.weight
        return KeyValueCache(
            batch,
            capacity,
            self.width,
            shared=self.shared_cache,
            dtype=dtype or weight.dtype,
            device=device or weight.device,
        )

    def _kernels(self, q: Tensor) -> contextlib.AbstractContextManager:
        backends = wide_head_backends(q.device.type, q.shape[-1])
        if backends is None:
            return contextlib.nullcontext()
        if not self._told_about_wide_heads:
            self._told_about_wide_heads = True
            warnings.warn(
                f"heads of {q.shape[-1]} numbers are too wide for CUDA flash attention (at most "
                f"{WIDEST_CUDA_FLASH_HEAD}); using a slower kernel. More heads would be faster.",
                stacklevel=2,
            )
        return sdpa_kernel(list(backends))

    @staticmethod
    def _zero_dead(out: Tensor, seen: Visibility) -> Tensor:
        return out if seen.dead is None else out.masked_fill(seen.dead.all(1), 0.0)

    def _sources(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor]:
        if key is None and value is not None:
            raise InputError("is given without a key", field="value", remedy="give the key as well")
        if cache is not None and key is not None and key is not query:
            raise InputError("serves self-attention only", field="cache", remedy="call with the query alone")
        key = query if key is None else key
        value = key if value is None else value
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.ndim != 3 or x.shape[-1] != self.width or x.shape[0] != query.shape[0]:
                raise InputError(
                    f"has shape {tuple(x.shape)}, expected ({query.shape[0]}, tokens, {self.width})",
                    field=name,
                    remedy="keys and values need the module's width and the query's batch size",
                )
        if key.shape[1] != value.shape[1]:
            raise InputError(
                f"has {value.shape[1]} tokens, the key has {key.shape[1]}",
                field="value",
                remedy="use equal lengths",
            )
        return key, value

"""Stand-ins with the call signatures of torch's and Hugging Face's attention modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from visus.errors import InputError
from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.masks import Mask


class TorchDropIn(nn.Module):
    """Called like `torch.nn.MultiheadAttention`; returns (output, None).

    Differs: attention weights are never returned, `need_weights` and `average_attn_weights` are accepted and
    ignored; `is_causal=True` applies causality itself, whether or not an `attn_mask` comes with it.

    Parameters
    ----------
    attention : the module that does the work.
    batch_first : as in `torch.nn.MultiheadAttention`: inputs are (b, n, e) if true, else (n, b, e).
    """

    # torch's encoder layers read these to decide whether to bypass the module with their fused inference
    # kernel:
    # they must say no
    _qkv_same_embed_dim = False
    in_proj_weight = None
    in_proj_bias = None

    def __init__(self, attention: MultiheadBase, *, batch_first: bool) -> None:
        super().__init__()
        self.attention, self.batch_first = attention, batch_first
        self.embed_dim, self.num_heads = attention.width, attention.num_heads

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Mask | None = None,
        need_weights: bool = True,
        attn_mask: Mask | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        same_key, same_value = key is query, value is key
        batched = query.ndim == 3
        if not batched:
            query, key, value = (x[None] for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        # identity tells the attention which projections can be fused; transposing above made new tensors
        key = query if same_key else key
        value = key if same_value else value
        out = self.attention(
            query, key, value, causal=is_causal, key_padding_mask=key_padding_mask, attn_mask=attn_mask
        )
        if not batched:
            return out[0], None
        return (out if self.batch_first else out.transpose(0, 1)), None


class HuggingFaceDropIn(nn.Module):
    """Called like the self-attention of a Hugging Face ViT or BERT encoder; returns (output, None).

    Understands the masks its `eager`, `sdpa` and `flash_attention_2` settings produce. Attention weights are
    not returned. The output projection is inside: in BERT the separate dense layer after it becomes the
    identity.
    """

    def __init__(self, attention: MultiheadBase) -> None:
        super().__init__()
        self.attention = attention

    def forward(
        self, hidden_states: Tensor, attention_mask: Any = None, *rest: Any, **options: Any
    ) -> tuple[Tensor, None]:
        if options.get("past_key_values") is not None or options.get("encoder_hidden_states") is not None:
            raise InputError(
                "replaced attention serves encoders: no cache, no second sequence",
                field="past_key_values, encoder_hidden_states",
                remedy="call the model with use_cache=False and without encoder states",
            )
        padding, pairs = read_hugging_face_mask(attention_mask)
        return self.attention(hidden_states, key_padding_mask=padding, attn_mask=pairs), None


def read_hugging_face_mask(mask: Any) -> tuple[Tensor | None, Tensor | None]:
    """(key_padding_mask, attn_mask) in torch's convention from a mask a Hugging Face encoder hands to its
    attention.

    (b, n) with 0 = padded; (b, 1 | h, 1 | l, n) booleans with True = visible, or floats to add whose lowest
    value stands for hidden.
    """
    if mask is None:
        return None, None
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 4):
        raise InputError(
            f"cannot read an attention mask of type {type(mask).__name__}",
            field="attention_mask",
            remedy="load the model with attn_implementation='sdpa' or 'eager'",
        )
    if mask.ndim == 2:
        return mask == 0, None
    if mask.dtype == torch.bool:
        hidden = ~mask
    else:
        hidden = torch.where(mask <= torch.finfo(mask.dtype).min / 2, float("-inf"), mask)
    # one row for all queries and heads says padding only, which spares Super attention a W_A per sequence
    if all(size == 1 or step == 0 for size, step in zip(mask.shape[1:3], mask.stride()[1:3], strict=True)):
        return hidden[:, 0, 0], None
    return None, hidden

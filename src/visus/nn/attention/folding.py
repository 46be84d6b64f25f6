"""Folding the projections of standard attention into each other (2403.01643: two linear maps in a row are
one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visus.errors import InputError

NAMES = ("query", "key", "value", "out")


@dataclass(frozen=True)
class Projections:
    """The four maps of standard attention, in torch's layout (outputs, inputs); `biases` is empty without
    biases.
    """

    width: int
    num_heads: int
    dropout: float
    weights: dict[str, Tensor]
    biases: dict[str, Tensor]

    @property
    def has_bias(self) -> bool:
        """Whether the maps have biases."""
        return bool(self.biases)


def read_projections(source: Any) -> Projections:
    """The maps of a `StandardAttention` or a `torch.nn.MultiheadAttention`."""
    if isinstance(source, nn.MultiheadAttention):
        _refuse_extras(source)
        weight, bias, width = source.in_proj_weight, source.in_proj_bias, source.embed_dim
    elif getattr(source, "kind", None) == "standard":
        weight, bias, width = source.in_proj.weight, source.in_proj.bias, source.width
    else:
        raise InputError(
            f"cannot read the projections of {type(source).__name__}",
            field="source",
            remedy="give a StandardAttention or torch.nn.MultiheadAttention",
        )
    weights = [*weight.detach().chunk(3), source.out_proj.weight.detach()]
    biases = [] if bias is None else [*bias.detach().chunk(3), source.out_proj.bias.detach()]
    return Projections(
        width,
        source.num_heads,
        float(source.dropout),
        dict(zip(NAMES, weights, strict=True)),
        dict(zip(NAMES, biases, strict=True)) if biases else {},
    )


def fold(given: Projections, *, keys: bool, values: bool, lossy: bool) -> Projections:
    """Fold the key map into the query map and the value map into the output map.

    For head i with rows S = [i*e, (i+1)*e) only the blocks W[S, S] of the folded maps survive: with one head
    that is all of them, and the result is exact.

    Raises
    ------
    InputError : more than one head and not `lossy`.
    """
    if (keys or values) and given.num_heads > 1 and not lossy:
        raise InputError(
            f"folding {given.num_heads} heads is not exact, each would see only its slice of keys and values",
            field="num_heads",
            remedy="ask for the restriction (lossy=True, or weights='restrict' when replacing), start fresh, "
            "or use StandardAttention.absorb_heads()",
        )
    w = {name: weight.double() for name, weight in given.weights.items()}
    b = {name: bias.double() for name, bias in given.biases.items()}
    e = given.width // given.num_heads
    slices = [slice(i * e, (i + 1) * e) for i in range(given.num_heads)]
    if keys:
        w["query"] = torch.cat([w["key"][s, s].T @ w["query"][s] for s in slices])
        if b:
            b["query"] = torch.cat([b["query"][s] @ w["key"][s, s] for s in slices])
    if values:
        if b:
            b["out"] = w["out"] @ b["value"] + b["out"]
        w["out"] = torch.cat([w["out"][:, s] @ w["value"][s, s] for s in slices], dim=1)
    return Projections(given.width, given.num_heads, given.dropout, w, b)


def _refuse_extras(source: nn.MultiheadAttention) -> None:
    extras = {
        "kdim or vdim": not source._qkv_same_embed_dim,
        "add_bias_kv": source.bias_k is not None,
        "add_zero_attn": source.add_zero_attn,
    }
    found = [name for name, there in extras.items() if there]
    if found:
        raise InputError(
            f"uses {', '.join(found)}, which has no counterpart here",
            field="source",
            remedy="only attention between inputs of one width, without extra keys, can be taken over",
        )

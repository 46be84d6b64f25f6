"""Finding the attention modules of a model and putting cheaper ones in their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from visus.errors import InputError
from visus.nn.attention.base import MultiheadBase
from visus.nn.attention.build import attention_class, length_option
from visus.nn.attention.dropin import HuggingFaceDropIn, TorchDropIn
from visus.nn.attention.variants import StandardAttention, SuperAttention

Weights = Literal["exact", "restrict", "fresh"]
_QUERY_KEY_VALUE = {"BertSelfAttention", "BertSdpaSelfAttention", "ViTSelfAttention", "ViTSdpaSelfAttention"}
_ALL_IN_ONE = {"ViTAttention"}


@dataclass(frozen=True, kw_only=True)
class AttentionSite:
    """An attention module that can be replaced.

    name : where it is in the model ("" = the model itself).
    family : `torch` or `hugging-face`.
    length : the most tokens it can see, where the model's configuration says so.
    """

    name: str
    family: Literal["torch", "hugging-face"]
    width: int
    num_heads: int
    parameters: int
    length: int | None = None


def find_attention(model: nn.Module) -> list[AttentionSite]:
    """The replaceable attention modules: `nn.MultiheadAttention` anywhere, and those of Hugging Face ViT and
    BERT encoders.

    Raises
    ------
    InputError : a Hugging Face BERT used as a decoder, or with relative positions.
    """
    return [
        _describe(model, name, module)
        for name, module in model.named_modules()
        if _family(module) is not None
    ]


def replace_attention(
    model: nn.Module,
    kind: str,
    *,
    weights: Weights = "exact",
    length: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Put attention of `kind` in place of every attention module; the model is changed and returned.

    Works on `nn.MultiheadAttention` (so on `nn.TransformerEncoderLayer`, `nn.TransformerDecoderLayer` and
    everything built of them; torch's fused inference path is switched off where it would bypass the
    replacement) and on Hugging Face ViT and BERT encoders. Attention weights are no longer returned by the
    model. Optimizers made before hold the old parameters.

    Parameters
    ----------
    weights : `exact` takes over the trained function and refuses where that is impossible (more than one
        head, except for `standard`); `restrict` takes over what fits into the heads' slices, which changes
        the function: train on; `fresh` draws new weights.
    length : the most tokens (Super attention); read from the configuration of a Hugging Face model if left
        out.
    options : further constructor arguments, for example {"wa_bias": True}.

    Raises
    ------
    InputError : nothing to replace, or a module that cannot be; the model is then unchanged.

    >>> layer = nn.TransformerEncoderLayer(32, 4, batch_first=True)
    >>> type(replace_attention(layer, "efficient", weights="fresh").self_attn.attention).__name__
    'EfficientAttention'
    """
    if weights not in ("exact", "restrict", "fresh"):
        raise InputError(f"is {weights!r}", field="weights", remedy="choose exact, restrict or fresh")
    sites = find_attention(model)
    if not sites:
        raise InputError(
            f"{type(model).__name__} has no attention that can be replaced",
            field="model",
            remedy="supported: torch.nn.MultiheadAttention, Hugging Face ViT and BERT encoders",
        )
    # all are built before any is put in, so that an error leaves the model as it was
    made = [
        _stand_in(model.get_submodule(site.name), site, model, kind, weights, length, options)
        for site in sites
    ]
    for site, module in zip(sites, made, strict=True):
        if not site.name:
            return module
        parent, _, child = site.name.rpartition(".")
        holder: Any = model.get_submodule(parent)
        setattr(holder, child, module)
        if site.family == "hugging-face" and _has_outer_dense(holder):
            holder.output.dense = nn.Identity()
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
    return model


def _family(module: nn.Module) -> Literal["torch", "hugging-face"] | None:
    if isinstance(module, nn.MultiheadAttention):
        return "torch"
    name = type(module).__name__
    # transformers 4 has a ViTAttention too, which only holds the module with the projections
    if name in _QUERY_KEY_VALUE or (name in _ALL_IN_ONE and hasattr(module, "q_proj")):
        return "hugging-face"
    if name == "BertCrossAttention":
        raise InputError(
            "has cross-attention to encoder states",
            field=name,
            remedy="only encoders are supported for Hugging Face models",
        )
    return None


def _has_outer_dense(holder: Any) -> bool:
    return isinstance(getattr(getattr(holder, "output", None), "dense", None), nn.Module)


def _describe(model: nn.Module, name: str, module: Any) -> AttentionSite:
    if isinstance(module, nn.MultiheadAttention):
        parameters = sum(p.numel() for p in module.parameters())
        return AttentionSite(
            name=name,
            family="torch",
            width=module.embed_dim,
            num_heads=module.num_heads,
            parameters=parameters,
        )
    where = name or type(module).__name__
    if getattr(module, "is_decoder", False):
        raise InputError(
            "is a decoder", field=where, remedy="only encoders are supported for Hugging Face models"
        )
    if getattr(module, "position_embedding_type", "absolute") not in (None, "absolute"):
        raise InputError(
            "uses relative positions", field=where, remedy="only absolute positions are supported"
        )
    layers = _hugging_face_layers(model, name, module)
    if layers["query"].out_features != layers["out"].out_features:
        raise InputError(
            "has heads that do not add up to the model's width", field=where, remedy="it cannot be replaced"
        )
    return AttentionSite(
        name=name,
        family="hugging-face",
        width=layers["out"].out_features,
        num_heads=module.num_attention_heads,
        parameters=sum(p.numel() for layer in layers.values() for p in layer.parameters()),
        length=_configured_length(getattr(module, "config", None) or getattr(model, "config", None)),
    )


def _configured_length(config: Any) -> int | None:
    longest = getattr(config, "max_position_embeddings", None)
    size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    if size is None or patch is None:
        return longest
    (height, width), (rows, columns) = (x if isinstance(x, list | tuple) else (x, x) for x in (size, patch))
    return (height // rows) * (width // columns) + 1


def _hugging_face_layers(model: nn.Module, name: str, module: Any) -> dict[str, nn.Linear]:
    if type(module).__name__ in _ALL_IN_ONE:
        return {"query": module.q_proj, "key": module.k_proj, "value": module.v_proj, "out": module.o_proj}
    holder: Any = model.get_submodule(name.rpartition(".")[0])
    if not name or not _has_outer_dense(holder):
        raise InputError(
            "has no output layer beside it",
            field=name or type(module).__name__,
            remedy="pass the whole model instead of a part of it",
        )
    return {"query": module.query, "key": module.key, "value": module.value, "out": holder.output.dense}


def _stand_in(
    old: Any,
    site: AttentionSite,
    model: nn.Module,
    kind: str,
    weights: Weights,
    length: int | None,
    options: Mapping[str, Any] | None,
) -> nn.Module:
    cls = attention_class(kind)
    extra = {**length_option(kind, length or site.length), **(options or {})}
    source = old if site.family == "torch" else _as_standard(old, _hugging_face_layers(model, site.name, old))
    if weights == "fresh":
        attention = _fresh(cls, source, extra)
    else:
        if kind == SuperAttention.kind and weights == "exact" and extra.get("wa_init", "eye") != "eye":
            raise InputError(
                f"with {extra['wa_init']} the function would change",
                field="wa_init",
                remedy="use eye, or weights='restrict' or 'fresh'",
            )
        attention = cls.from_standard(source, lossy=weights == "restrict", **extra)
    if site.family == "torch":
        return TorchDropIn(attention, batch_first=old.batch_first).train(old.training)
    return HuggingFaceDropIn(attention).train(old.training)


def _fresh(cls: type[MultiheadBase], source: nn.Module, extra: dict[str, Any]) -> MultiheadBase:
    # reading the source also refuses modules whose function cannot be expressed
    like = StandardAttention.from_standard(source)
    made = cls(like.width, num_heads=like.num_heads, bias=like.has_bias, dropout=like.dropout, **extra)
    return made.to(like.in_proj.weight)


def _as_standard(old: Any, layers: dict[str, nn.Linear]) -> StandardAttention:
    query, out = layers["query"], layers["out"]
    dropout = getattr(old, "attention_dropout", None)
    made = StandardAttention(
        out.out_features,
        num_heads=old.num_attention_heads,
        bias=out.bias is not None,
        dropout=float(old.dropout.p if dropout is None else dropout),
    ).to(query.weight)
    with torch.no_grad():
        for target, source in (
            (made.in_proj, [layers[name] for name in ("query", "key", "value")]),
            (made.out_proj, [out]),
        ):
            target.weight.copy_(torch.cat([layer.weight for layer in source]))
            if target.bias is not None:
                zeros = torch.zeros(out.out_features).to(out.weight)
                target.bias.copy_(torch.cat([zeros if x.bias is None else x.bias for x in source]))
    return made.train(old.training)

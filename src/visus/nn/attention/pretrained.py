"""A Hugging Face model folder with other attention in it: what would change, writing it, reading it back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from visus.errors import InputError
from visus.extras import need
from visus.nn.attention.cost import cost
from visus.nn.attention.replace import Weights, find_attention, replace_attention
from visus.records import read_json, write_json

RECORD = "replacement.json"
PURPOSE = "reading Hugging Face models"


def open_pretrained(folder: str | Path) -> nn.Module:
    """The model of a local Hugging Face folder (config.json and weights), in evaluation mode.

    The class is the one the folder's configuration names, or the plain encoder.

    Raises
    ------
    InputError : no such folder, no configuration, or weights that cannot be read. Nothing is downloaded.
    """
    folder, transformers = Path(folder), need("transformers", extra="text", purpose=PURPOSE)
    if not (folder / "config.json").is_file():
        raise InputError(
            "is not a folder with a Hugging Face model",
            file=folder,
            remedy="give a folder with a config.json",
        )
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        model = _class_of(config).from_pretrained(folder, config=config, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"cannot be read ({reason})", file=folder, remedy="save the model again") from None
    return model.eval()


def describe_replacement(model: nn.Module, kind: str, *, length: int | None = None) -> list[dict[str, Any]]:
    """For every replaceable layer: name, width, heads, tokens, and parameters and operations before and
    after.

    Parameters
    ----------
    length : tokens to count operations for; by default the most the model takes. For `super` also the size of
        W_A.
    """
    rows = []
    for site in find_attention(model):
        tokens = length or site.length
        if tokens is None:
            raise InputError(
                "is not known from the model", field="length", remedy="give the number of tokens"
            )
        sizes: dict[str, Any] = {"width": site.width, "length": tokens, "num_heads": site.num_heads}
        bias = site.parameters > 4 * site.width**2
        before, after = (cost(each, bias=bias, **sizes) for each in ("standard", kind))
        rows.append(
            {
                "name": site.name,
                **sizes,
                "parameters": [site.parameters, after.parameters],
                "macs": [before.macs, after.macs],
                "exact": kind == "standard" or site.num_heads == 1,
            }
        )
    return rows


def save_replaced(
    model: Any, folder: str | Path, kind: str, *, weights: Weights, length: int | None = None
) -> list[dict[str, Any]]:
    """Replace the attention of a Hugging Face `model` and write it; returns `describe_replacement`'s rows.

    The folder gets `config.json` (the model's), `model.safetensors` and `replacement.json`, which lists every
    replaced module. Hugging Face's own `from_pretrained` cannot read it, `load_replaced` can.
    """
    folder, rows = Path(folder), describe_replacement(model, kind, length=length)
    replace_attention(model, kind, weights=weights, length=length)
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
    record = {
        "kind": kind,
        "weights": weights,
        "length": length,
        "class": type(model).__name__,
        "modules": rows,
    }
    write_json(folder / RECORD, record)
    return rows


def load_replaced(folder: str | Path) -> nn.Module:
    """The model `save_replaced` wrote, in evaluation mode.

    Raises
    ------
    InputError : a file is missing or does not fit the others.
    """
    folder, transformers = Path(folder), need("transformers", extra="text", purpose=PURPOSE)
    record: Mapping[str, Any] = read_json(folder / RECORD)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    model = getattr(transformers, record["class"])(config)
    replace_attention(model, record["kind"], weights="fresh", length=record["length"])
    try:
        load_model(model, str(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"does not fit {RECORD} ({reason})",
            file=folder / "model.safetensors",
            remedy="convert the model again",
        ) from None
    return model.eval()


def _class_of(config: Any) -> Any:
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    named = (getattr(config, "architectures", None) or [None])[0]
    return getattr(transformers, named, transformers.AutoModel) if named else transformers.AutoModel

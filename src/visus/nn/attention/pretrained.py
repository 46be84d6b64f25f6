"""A Hugging Face model folder with other attention in it: what would change, writing it, reading it back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    replaced module; each file is written whole or not at all. Hugging Face's own `from_pretrained` cannot read
    the folder, `load_replaced` can.

    Raises
    ------
    InputError : `folder` is a file, or the model cannot be replaced in this way. Nothing is written then.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("is not a folder", file=folder, remedy="name a folder to write the model to")
    rows = describe_replacement(model, kind, length=length)
    replace_attention(model, kind, weights=weights, length=length)
    record = {
        "kind": kind,
        "weights": weights,
        "length": length,
        "class": type(model).__name__,
        "modules": rows,
    }
    with _draft(folder) as draft:
        model.config.save_pretrained(draft)
        save_model(model, str(draft / "model.safetensors"), metadata={"format": "pt"})
        (draft / "model.safetensors").chmod(0o644)
        write_json(draft / RECORD, record)
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


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` whose files move into it, the record last, if the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield draft
        folder.mkdir(exist_ok=True)
        for file in sorted(draft.iterdir(), key=lambda file: file.name == RECORD):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _class_of(config: Any) -> Any:
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    named = (getattr(config, "architectures", None) or [None])[0]
    return getattr(transformers, named, transformers.AutoModel) if named else transformers.AutoModel

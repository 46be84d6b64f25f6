"""Folders of the transformers library: where they are, what they hold, and their models in evaluation mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from torch import nn

from visus.data.features.encoders.tokens import Padding, Tokens
from visus.errors import InputError
from visus.extras import need
from visus.records import read_json

PURPOSE = "a transformers model"
NEEDED = ["*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/*"]
HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


class Loaded(NamedTuple):
    """A model, and the tensors its file lacks (a pooler that was not saved): random, and used by nobody."""

    model: Any
    missing: frozenset[str]


def local_folder(name: str | Path) -> Path:
    """A folder as it is; a hub id (`owner/name`) as the folder of its downloaded copy.

    Downloads only what is not there yet, and nothing if HF_HUB_OFFLINE is set; of weights only safetensors.

    Raises
    ------
    InputError : neither a folder nor a model that can be had.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    remedy = "give a folder with a config.json and model.safetensors, or a hub id owner/name"
    text = str(name)
    if folder.exists() or not HUB_ID.fullmatch(text):
        raise InputError("is not a folder", file=folder, remedy=remedy)
    need("transformers", extra="text", purpose=PURPOSE)
    hub = need("huggingface_hub", extra="text", purpose="a model of the hub")
    try:
        return Path(hub.snapshot_download(text, allow_patterns=NEEDED))
    except (OSError, ValueError) as error:  # what the hub raises for absent models, closed ones, no network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"is no folder and cannot be had from the hub ({reason})", file=text) from None


def read_config(folder: Path) -> Mapping[str, Any]:
    """The model's config.json.

    Raises
    ------
    InputError : absent or not one of a model.
    """
    if not (folder / "config.json").is_file():
        remedy = "give a folder that save_pretrained wrote"
        raise InputError("has no config.json", file=folder, remedy=remedy)
    config = read_json(folder / "config.json")
    if not isinstance(config, Mapping) or "model_type" not in config:
        remedy = "give a model of the transformers library"
        raise InputError("is missing", file=folder / "config.json", field="model_type", remedy=remedy)
    return config


def load_model(folder: Path, *, may_miss: str = "pooler.") -> Loaded:
    """The folder's model without task heads, in float32 and evaluation mode.

    Parameters
    ----------
    may_miss : start of the names of tensors that the file may lack.

    Raises
    ------
    InputError : no safetensors file, a damaged one, or one that lacks more.
    """
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    try:
        with _quiet(transformers):
            model, told = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = "save the model again with save_pretrained (safetensors)"
        raise InputError(f"cannot be read ({reason})", file=folder, remedy=remedy) from None
    missing = frozenset(told["missing_keys"])
    lost = sorted(name for name in missing if not name.startswith(may_miss))
    if lost:
        problem = f"lacks {len(lost)} weights of a {type(model).__name__} ({', '.join(lost[:3])}, ...)"
        raise InputError(problem, file=folder, remedy="give the folder of a complete model")
    return Loaded(frozen_model(model), missing)


def frozen_model(model: nn.Module) -> nn.Module:
    """The model in float32 and evaluation mode, its parameters without gradients."""
    return model.float().eval().requires_grad_(False)


def load_tokens(folder: Path, *, max_tokens: int | None, padding: Padding = "longest") -> Tokens:
    """The folder's tokenizer, limited to what the model takes or to its own limit, whichever is less.

    Raises
    ------
    InputError : there is none, or it cannot be read.
    """
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        remedy = "save the tokenizer beside the model"
        raise InputError("has no tokenizer files", file=folder, remedy=remedy)
    try:
        with _quiet(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = "save the tokenizer again with save_pretrained"
        raise InputError(
            f"has a tokenizer that cannot be read ({reason})", file=folder, remedy=remedy
        ) from None
    limits = [limit for limit in (max_tokens, tokenizer.model_max_length) if limit]
    return Tokens(tokenizer, max_tokens=int(min(limits)), padding=padding)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and hints about missing heads: what matters is raised."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

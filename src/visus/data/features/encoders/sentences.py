"""Sentence encoders: a transformer over words, its last tokens pooled to one row."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from visus.data.features.encoders.base import TokenPooling, compute
from visus.data.features.encoders.pretrained import Loaded, load_model, load_tokens
from visus.data.features.encoders.tokens import Tokens
from visus.data.features.identity import hash_of_config, hash_of_module
from visus.errors import InputError
from visus.records import read_json

SETTINGS = ("sentence_bert_config.json", "1_Pooling/config.json")
POOLINGS: dict[str, TokenPooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "class"}


class SentenceEncoder:
    """A text transformer as text encoder: the mean of a text's last tokens (padding left out), or the first one.

    Differs: a sentence-transformers model that ends in a normalization gives unit rows there; here the rows keep
    their length (the cosine of two texts is the same).
    """

    def __init__(
        self,
        loaded: Loaded,
        tokens: Tokens,
        *,
        pooling: TokenPooling = "mean",
        device: str | torch.device = "cpu",
    ) -> None:
        self.model, self.missing = loaded.model.to(device), loaded.missing
        self.tokens, self.pooling = tokens, pooling

    @classmethod
    def from_folder(cls, folder: Path, *, device: str | torch.device = "cpu") -> SentenceEncoder:
        """Read a sentence-transformers folder, or a folder with a plain text transformer (mean pooling).

        Raises
        ------
        InputError : the model or its tokenizer is absent or damaged, or another pooling is asked for.
        """
        loaded = load_model(folder)
        limit = getattr(loaded.model.config, "max_position_embeddings", None)
        settings, pooling = (folder / name for name in SETTINGS)
        if settings.is_file():
            limit = read_json(settings).get("max_seq_length") or limit
        tokens = load_tokens(folder, max_tokens=limit)
        return cls(loaded, tokens, pooling=_pooling(pooling), device=device)

    @functools.cached_property
    def identity(self) -> str:
        weights = f"{hash_of_config(self.model.config)}{hash_of_module(self.model, leaving_out=self.missing)}"
        return f"{type(self.model).__name__} {weights} layer={self.pooling} texts={self.tokens.identity}"

    @property
    def width(self) -> int:
        """Numbers per embedding."""
        return int(self.model.config.hidden_size)

    @property
    def max_tokens(self) -> int:
        return self.tokens.max_tokens

    def texts(self, texts: Sequence[str]) -> Float32[Tensor, "b e"]:
        batch = {name: value.to(self.model.device) for name, value in self.tokens.batch(texts).items()}

        def run() -> Tensor:
            last = self.model(**batch).last_hidden_state
            return (
                last[:, 0] if self.pooling == "class" else masked_mean(last, batch["attention_mask"].bool())
            )

        return compute(self.model, run, rows=len(texts))

    def count_tokens(self, text: str) -> int:
        return self.tokens.count(text)


def masked_mean(tokens: Float[Tensor, "b n e"], valid: Bool[Tensor, "b n"]) -> Float[Tensor, "b e"]:
    """Mean over the tokens of a row that are valid.

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [50.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    weight = valid[..., None].to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp_min(1)


def _pooling(file: Path) -> TokenPooling:
    if not file.is_file():
        return "mean"
    settings = read_json(file)
    chosen = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        problem = f"asks for {' and '.join(chosen) or 'no pooling'}"
        raise InputError(problem, file=file, remedy=f"supported: {', '.join(POOLINGS)}")
    return POOLINGS[chosen[0]]

"""CLIP and SigLIP: pictures and texts into one space."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from visus.data.features.encoders.base import compute
from visus.data.features.encoders.pretrained import load_model, load_tokens
from visus.data.features.encoders.tokens import Padding, Tokens
from visus.data.features.identity import hash_of_config, hash_of_module
from visus.data.features.pictures import Preparation

TOWERS: dict[str, Padding] = {"clip": "longest", "siglip": "max_length"}
"""Model type -> how texts are padded. SigLIP was trained on texts padded to the limit, without a mask."""


class TowerEncoder:
    """A transformers CLIPModel or SiglipModel as image and text encoder; embeddings as the model projects them,
    not normalized.

    Parameters
    ----------
    model : the model; it is put into evaluation mode, float32 and on the device.

    Source: CLIP (2103.00020), SigLIP (2303.15343).
    """

    def __init__(
        self,
        model: Any,
        tokens: Tokens,
        preparation: Preparation,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model = model.float().eval().requires_grad_(False).to(device)
        self.tokens, self.preparation = tokens, preparation

    @classmethod
    def from_folder(cls, folder: Path, *, device: str | torch.device = "cpu") -> TowerEncoder:
        """Read model, tokenizer and preparation of a folder.

        Raises
        ------
        InputError : one of the three is absent or damaged.
        """
        model = load_model(folder).model
        most = model.config.text_config.max_position_embeddings
        tokens = load_tokens(folder, max_tokens=most, padding=TOWERS[model.config.model_type])
        return cls(model, tokens, Preparation.from_folder(folder), device=device)

    @functools.cached_property
    def identity(self) -> str:
        weights = f"{hash_of_config(self.model.config)}{hash_of_module(self.model)}"
        name = type(self.model).__name__
        return f"{name} {weights} pictures={self.preparation.identity} texts={self.tokens.identity}"

    @functools.cached_property
    def width(self) -> int:
        """Numbers per embedding, of pictures and of texts."""
        return self.texts(["a"]).shape[1]

    @property
    def max_tokens(self) -> int:
        return self.tokens.max_tokens

    @functools.cached_property
    def logit_scale(self) -> float:
        """What cosine similarities are multiplied by: exp of the learned parameter."""
        return float(self.model.logit_scale.detach().exp())

    @functools.cached_property
    def logit_bias(self) -> float:
        """What is added then: SigLIP's learned offset, 0 for CLIP."""
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else float(bias.detach())

    def images(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b e"]:
        batch = self.preparation.batch(pictures).to(self.model.device)

        def run() -> Tensor:
            return _features(self.model.get_image_features(pixel_values=batch))

        return compute(self.model, run, rows=len(pictures))

    def texts(self, texts: Sequence[str]) -> Float32[Tensor, "b e"]:
        made = self.tokens.batch(texts)
        names = ("input_ids",) if self.tokens.padding == "max_length" else ("input_ids", "attention_mask")
        batch = {name: made[name].to(self.model.device) for name in names if name in made}

        def run() -> Tensor:
            return _features(self.model.get_text_features(**batch))

        return compute(self.model, run, rows=len(texts))

    def count_tokens(self, text: str) -> int:
        return self.tokens.count(text)


def _features(found: Any) -> Tensor:
    """Older versions of transformers return the embeddings, newer ones an object that holds them."""
    return found if isinstance(found, Tensor) else found.pooler_output

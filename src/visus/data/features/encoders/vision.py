"""Vision models of the transformers library: ViT, DINOv2, ConvNeXT, ResNet, Swin, the vision tower of a CLIP, ..."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from visus.data.features.encoders.base import TokenPooling, compute, pooled
from visus.data.features.encoders.pretrained import Loaded, load_model
from visus.data.features.identity import hash_of_config, hash_of_module
from visus.data.features.pictures import Preparation
from visus.errors import InputError
from visus.nn.reaching import find_layer, output_at

ENDS = ("class", "mean", "pooled")
CLASS_TOKENS = ("cls_token", "class_embedding")


class VisionEncoder:
    """A transformers vision model as image encoder.

    Parameters
    ----------
    layer : `class` (the first of the last tokens), `mean` (of the last tokens or of the last map), `pooled` (the
        model's own pooling), or a dotted layer name. None: `class` for models whose pooling is a trained head
        on the class token (ViT, BEiT: often saved without it), else `pooled`. A named layer's tokens give the
        class token where the model has one, else their mean.
    """

    def __init__(
        self,
        loaded: Loaded,
        preparation: Preparation,
        *,
        layer: str | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model, self.missing = loaded.model.to(device), loaded.missing
        self.preparation = preparation
        names = set(self.model.state_dict())
        self.has_class_token = any(name.endswith(CLASS_TOKENS) for name in names)
        self.layer = layer or (
            "class" if self.has_class_token and "pooler.dense.weight" in names else "pooled"
        )
        if self.layer == "class" and not self.has_class_token:
            problem = f"is class, which the {type(self.model).__name__} has no token for"
            raise InputError(problem, field="layer", remedy="choose pooled or mean")
        if self.layer == "pooled" and any(name.startswith("pooler.") for name in self.missing):
            problem = "is pooled, but the model was saved without its pooling head"
            raise InputError(problem, field="layer", remedy="choose class or mean")
        if self.layer not in ENDS:
            find_layer(self.model, self.layer)

    @classmethod
    def from_folder(
        cls, folder: Path, *, layer: str | None = None, device: str | torch.device = "cpu"
    ) -> VisionEncoder:
        """Read the model and the preparation of a folder; of a CLIP or SigLIP folder the vision tower alone,
        before its projection.

        Raises
        ------
        InputError : one of them is absent or damaged, or there is no such layer.
        """
        loaded = load_model(folder)
        model = getattr(loaded.model, "vision_model", loaded.model)
        return cls(Loaded(model, loaded.missing), Preparation.from_folder(folder), layer=layer, device=device)

    @functools.cached_property
    def identity(self) -> str:
        weights = f"{hash_of_config(self.model.config)}{hash_of_module(self.model, leaving_out=self.missing)}"
        name = type(self.model).__name__
        return f"{name} {weights} layer={self.layer} pictures={self.preparation.identity}"

    @functools.cached_property
    def width(self) -> int:
        """Numbers per embedding, found by encoding one black picture."""
        return self.images([Image.new("RGB", (64, 64))]).shape[1]

    def images(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b e"]:
        batch = self.preparation.batch(pictures).to(next(self.model.parameters()).device)
        return compute(self.model, lambda: self._run(batch), rows=len(pictures))

    def _run(self, batch: Tensor) -> Tensor:
        if self.layer not in ENDS:
            found = output_at(self.model, self.layer, pixel_values=batch)
            tokens: TokenPooling = "class" if self.has_class_token else "mean"
            return pooled(found, tokens=tokens, layer=self.layer)
        found: Any = self.model(pixel_values=batch)
        own = getattr(found, "pooler_output", None)
        if self.layer == "pooled" and own is not None:
            return own.flatten(1)
        return pooled(
            found.last_hidden_state, tokens="class" if self.layer == "class" else "mean", layer=self.layer
        )

"""Which encoders a classifier compares with, and how pictures in every form get through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from visus.data.features import FeatureCache, ImageEncoder, TextEncoder, extract, open_encoder
from visus.data.loader import iterate
from visus.errors import InputError
from visus.methods.vgloss.config import VGlossConfig
from visus.methods.vgloss.model.towers import SmallTowers
from visus.methods.vgloss.training import read_pictures
from visus.protocols import Batch, Source

AT_ONCE = 256
USUAL_SCALE = 100.0
Inputs: TypeAlias = "Batch | Source | Sequence[str | Path | Image.Image]"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncoderPair:
    """An encoder of texts and one of pictures; without the latter, only `features` can be classified.

    logit_scale : factor of the cosines before a softmax.
    """

    text: TextEncoder
    image: ImageEncoder | None = None
    logit_scale: float = USUAL_SCALE

    @property
    def identity(self) -> str:
        """Both identities."""
        same = self.image is self.text or self.image is None
        return self.text.identity if same else f"{self.text.identity} | {cast(Any, self.image).identity}"


def as_pair(encoder: Any) -> EncoderPair:
    """A pair as it is; towers, or a text encoder alone, as a pair."""
    if isinstance(encoder, EncoderPair):
        return encoder
    if not hasattr(encoder, "texts"):
        remedy = "give a CLIP or SigLIP, or name another text_model"
        raise InputError(f"is a {type(encoder).__name__}, which reads no texts", field="model", remedy=remedy)
    scale = float(getattr(encoder, "logit_scale", USUAL_SCALE))
    return EncoderPair(encoder, encoder if hasattr(encoder, "images") else None, scale)


def open_pair(config: VGlossConfig, device: torch.device | str) -> EncoderPair:
    """The encoders that a configuration names.

    Raises
    ------
    InputError : not there, or of the wrong kind.
    """
    pictures: Any = open_encoder(config.model, device=device)
    if not config.text_model:
        return as_pair(pictures)
    texts: Any = open_encoder(config.text_model, device=device)
    for field, encoder, kind in (("model", pictures, "images"), ("text_model", texts, "texts")):
        if not hasattr(encoder, kind):
            problem = f"{getattr(config, field)} encodes no {kind}"
            raise InputError(problem, field=field, remedy="exchange model and text_model, or name others")
    return EncoderPair(texts, pictures)


def features_of(
    inputs: Inputs,
    image: Callable[[], ImageEncoder | SmallTowers | None],
    *,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "b e"]:
    """Rows of pictures on the CPU, from a batch, a source, or paths or PIL pictures.

    A field `features` is taken as it is; `image` (b, 3, h, w) goes through the encoder, which is asked for only where
    one is needed.

    Raises
    ------
    InputError : no pictures, unreadable ones, or no encoder for them.
    """
    if isinstance(inputs, dict):
        return _rows(inputs, image)
    if hasattr(inputs, "batch"):
        batches = iterate(cast(Source, inputs), AT_ONCE)
        return torch.cat([_rows(batch, image) for batch in batches])
    encoder = image()
    if encoder is None:
        raise _no_encoder()
    given = cast(Sequence[Any], inputs)
    items: Any = [item if isinstance(item, Image.Image) else Path(item) for item in given]
    return extract(encoder, items, cache=cache, progress=progress).values


def _rows(batch: Batch, image: Callable[[], Any]) -> Float[Tensor, "b e"]:
    if "features" in batch:
        return _features(batch)
    encoder = image()
    if encoder is None:
        raise _no_encoder()
    if isinstance(encoder, SmallTowers):
        return encoder.tensors(read_pictures(batch, size=encoder.size)).cpu()
    return encoder.images(list(_pictures(batch))).cpu()


def _features(batch: Batch) -> Float[Tensor, "b e"]:
    rows = torch.as_tensor(batch["features"])
    if rows.ndim != 2 or not bool(torch.isfinite(rows).all()):
        problem = f"has shape {tuple(rows.shape)}" if rows.ndim != 2 else "has values that are not finite"
        raise InputError(problem, field="features", remedy="give finite rows (b, e) of the picture encoder")
    return rows.float().cpu()


def _no_encoder() -> InputError:
    remedy = "attach an encoder of pictures, or give features"
    return InputError("there is no encoder for them", field="pictures", remedy=remedy)


def _pictures(batch: Batch) -> Iterator[Image.Image]:
    """Pictures 0..1 as PIL images, in their own size."""
    for levels in (read_pictures(batch).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu():
        yield Image.fromarray(levels.numpy())

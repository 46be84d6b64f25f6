"""Encoders that need no model file format: any torch module, and the pixels themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32
from PIL import Image
from torch import Tensor, nn

from visus.data.features.encoders.base import TokenPooling, compute, pooled
from visus.data.features.identity import hash_of_module
from visus.data.features.pictures import IMAGENET_MEAN, IMAGENET_STD, Preparation, stacked
from visus.errors import InputError
from visus.nn.reaching import find_layer, output_at

Preprocess = Preparation | Callable[[Image.Image], Tensor]


class ModuleEncoder:
    """A torch module as an image encoder; see `wrap_module`."""

    def __init__(
        self,
        module: nn.Module,
        *,
        layer: str,
        preprocess: Preprocess,
        tokens: TokenPooling | None = None,
        identity: str | None = None,
    ) -> None:
        find_layer(module, layer)
        self.module, self.layer, self.preprocess, self.named = module, layer, preprocess, identity
        self.tokens: TokenPooling | None = tokens
        self._prepared_by = _prepared_by(preprocess, identity)

    @property
    def identity(self) -> str:
        """Computed anew each time: the module is its owner's, who may train it on."""
        name = self.named or f"{type(self.module).__name__} {hash_of_module(self.module)}"
        tokens = f" tokens={self.tokens}" if self.tokens else ""
        return f"{name} layer={self.layer or 'output'}{tokens} pictures={self._prepared_by}"

    @functools.cached_property
    def width(self) -> int:
        """Numbers per embedding, found by encoding one black picture."""
        return self.images([Image.new("RGB", (64, 64))]).shape[1]

    def images(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b e"]:
        batch = stacked([self.preprocess(picture) for picture in pictures])
        like = next((value for value in self.module.parameters() if value.is_floating_point()), None)
        if like is not None:
            batch = batch.to(like.device, like.dtype)

        def run() -> Tensor:
            found = output_at(self.module, self.layer, batch) if self.layer else self.module(batch)
            return pooled(found, tokens=self.tokens, layer=self.layer)

        return compute(self.module, run, rows=len(pictures))


def wrap_module(
    module: nn.Module,
    *,
    layer: str = "",
    preprocess: Preprocess | None = None,
    size: int = 224,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    tokens: TokenPooling | None = None,
    identity: str | None = None,
) -> ModuleEncoder:
    """Any torch module as an image encoder. It stays where it is (device, precision, training mode).

    Parameters
    ----------
    layer : dotted name as in `module.named_modules()`; "" for the module's own output. Maps become their mean
        over places; what follows the layer is not computed.
    preprocess : PIL picture -> (3, h, w). None: the shorter side to `size`, the middle `size` x `size`, values
        0..1 normalized by `mean` and `std`.
    tokens : how a layer's tokens (b, n, e) become one row: `class` (the first) or `mean`.
    identity : a name for model and weights instead of their hash; with it, a changed weight goes unnoticed.

    Raises
    ------
    InputError : no such layer; a `preprocess` that cannot be told from another by its text, without `identity`.

    >>> encoder = wrap_module(nn.Conv2d(3, 5, 8, stride=8), size=16)
    >>> encoder.images([Image.new("RGB", (40, 20))]).shape
    torch.Size([1, 5])
    """
    if preprocess is None:
        preprocess = Preparation(resize=size, crop=(size, size), mean=mean, std=std)
    return ModuleEncoder(module, layer=layer, preprocess=preprocess, tokens=tokens, identity=identity)


@dataclass(frozen=True)
class PixelEncoder:
    """The pixels of a small copy of the picture as its embedding; see `raw_pixels`."""

    preparation: Preparation

    @property
    def identity(self) -> str:
        return f"pixels {self.preparation.identity}"

    @property
    def width(self) -> int:
        assert isinstance(self.preparation.resize, tuple)
        height, width = self.preparation.resize
        return 3 * height * width

    def images(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b e"]:
        return self.preparation.batch(pictures).flatten(1)


def raw_pixels(size: int | tuple[int, int]) -> PixelEncoder:
    """The baseline without a network: red, green and blue planes of a picture of `size`, 0..1, as one row.

    Pictures are stretched to `size` (height, width), an int meaning a square.

    >>> raw_pixels(4).images([Image.new("RGB", (9, 7), (0, 0, 255))]).sum().item()
    16.0
    """
    exact = (size, size) if isinstance(size, int) else size
    if min(exact) < 1:
        raise InputError(f"is {size}", field="size", remedy="give at least 1 pixel")
    return PixelEncoder(Preparation(resize=exact, resample=int(Image.Resampling.BILINEAR)))


def _prepared_by(preprocess: Any, identity: str | None) -> str:
    if isinstance(preprocess, Preparation):
        return preprocess.identity
    text = repr(preprocess)
    if " at 0x" not in text:
        return text
    if identity is None:
        problem = "is a function, which cannot be told from another one"
        remedy = "give a Preparation, or name model and preprocessing by `identity`"
        raise InputError(problem, field="preprocess", remedy=remedy)
    return getattr(preprocess, "__qualname__", type(preprocess).__qualname__)

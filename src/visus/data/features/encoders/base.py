"""What an encoder promises, and what all encoders do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor, nn

from visus.errors import InputError

TokenPooling = Literal["class", "mean"]


class ImageEncoder(Protocol):
    """Pictures to embeddings. Frozen: the same picture always gives the same row, whatever stands beside it."""

    @property
    def identity(self) -> str:
        """Model, hash of its weights, preparation of pictures, layer: whatever changes the numbers changes it."""
        ...

    @property
    def width(self) -> int:
        """Numbers per embedding."""
        ...

    def images(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b e"]:
        """One row per picture, on the encoder's device."""
        ...


class TextEncoder(Protocol):
    """Texts to embeddings; see `ImageEncoder`."""

    @property
    def identity(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that count, those the tokenizer adds included; what follows them is cut off."""
        ...

    def texts(self, texts: Sequence[str]) -> Float32[Tensor, "b e"]:
        """One row per text, on the encoder's device; warns (`TruncationWarning`) of texts that were cut."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text before anything is cut off."""
        ...


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; every part is put back into the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def compute(module: nn.Module, function: Callable[[], Any], *, rows: int) -> Float32[Tensor, "b e"]:
    """Run a function of a frozen module; its (b, e) result as an ordinary float32 tensor.

    Raises
    ------
    InputError : another shape came out.
    """
    with frozen(module):
        found = function()
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != rows:
        shape = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        problem = f"gives {shape} for {rows} items, not (items, width)"
        raise InputError(problem, field=type(module).__name__, remedy="choose another layer")
    # tensors made in inference mode may not take part in training; copies may
    return found.float().clone()


def pooled(found: Any, *, tokens: TokenPooling | None, layer: str) -> Float[Tensor, "b e"]:
    """A layer's output as one row per item.

    (b, e) as it is; a map (b, c, y, x) by its mean over places; tokens (b, n, e) by the first one (`class`) or
    their mean. Of a tuple, the first entry.
    """
    if isinstance(found, tuple) and found:
        found = found[0]
    field = f"layer {layer}" if layer else "the network"
    if not isinstance(found, Tensor) or found.ndim not in (2, 3, 4):
        shape = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"gives {shape}, no features", field=field, remedy="choose another layer")
    if found.ndim == 4:
        return found.mean((2, 3))
    if found.ndim == 2:
        return found
    if tokens is None:
        problem = f"gives tokens of shape {tuple(found.shape)}"
        raise InputError(problem, field=field, remedy='say tokens="class" (the first one) or tokens="mean"')
    return found[:, 0] if tokens == "class" else found.mean(1)


def randomize(module: nn.Module, *, seed: int) -> None:
    """Give a network random weights: matrices and kernels N(0, 1 / fan_in), scales 1, biases 0.

    Normalization layers forget what they saw; single numbers (a temperature) stay.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim == 1 and name.endswith("weight"):
                value.fill_(1)
            elif name.endswith("bias"):
                value.zero_()
            elif value.ndim:
                fan_in = value[0].numel() if value.ndim > 1 else len(value)
                value.copy_(torch.randn(value.shape, generator=generator) / fan_in**0.5)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            part.reset_running_stats()

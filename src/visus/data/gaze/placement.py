"""Where a picture lies on an output grid: the one rule that images, masks, boxes and gaze share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from visus.data.image_table import resize
from visus.errors import InputError

Fit = Literal["pad", "stretch"]
Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A picture of `native` pixels drawn into `content` pixels that begin at (top, left) of an output of `size`.

    Pixel centers lie at +0.5, so a point x of the native picture comes to lie at x * content / native + left.

    >>> Placement.of((100, 50), (32, 32), "pad")
    Placement(native=(100, 50), size=(32, 32), content=(32, 16), top=0, left=8)
    """

    native: Size
    size: Size
    content: Size
    top: int
    left: int

    @classmethod
    def of(cls, native: Sequence[int], size: Sequence[int] | None, fit: Fit) -> Placement:
        """Fit a picture: `pad` keeps its aspect and centers it, `stretch` fills; without a size nothing moves.

        Raises
        ------
        InputError : a side is below one pixel, or an unknown `fit`.
        """
        h, w = _sides(native, "native")
        if size is None:
            return cls(native=(h, w), size=(h, w), content=(h, w), top=0, left=0)
        high, wide = _sides(size, "image_size")
        if fit == "stretch":
            return cls(native=(h, w), size=(high, wide), content=(high, wide), top=0, left=0)
        if fit != "pad":
            raise InputError(f"must be pad or stretch, got {fit}", field="fit")
        scale = min(high / h, wide / w)
        inner = min(max(round(h * scale), 1), high), min(max(round(w * scale), 1), wide)
        top, left = (high - inner[0]) // 2, (wide - inner[1]) // 2
        return cls(native=(h, w), size=(high, wide), content=inner, top=top, left=left)

    @property
    def scale(self) -> tuple[float, float]:
        """Output pixels per native pixel along (height, width)."""
        return self.content[0] / self.native[0], self.content[1] / self.native[1]

    def points(self, xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Native (x, y) in output pixels."""
        scale, start = np.array(self.scale[::-1]), np.array([self.left, self.top], dtype=np.float64)
        return np.asarray(xy, dtype=np.float64) * scale + start

    def box(self, sides: Sequence[float]) -> list[float]:
        """A native box [x1, y1, x2, y2] in output pixels."""
        corners = self.points(np.asarray(sides, dtype=np.float64).reshape(2, 2))
        return [float(value) for value in corners.reshape(-1)]

    def picture(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c high wide"]:
        """Images scaled (area-preserving when they shrink), with zeros around them."""
        return self._padded(resize(images, self.content))

    def labels(self, masks: Shaped[Tensor, "b h w"]) -> Shaped[Tensor, "b high wide"]:
        """Masks scaled by nearest neighbor, with zeros around them."""
        if tuple(masks.shape[-2:]) != self.content:
            masks = F.interpolate(masks[:, None].float(), size=self.content, mode="nearest-exact")[:, 0].to(
                masks.dtype
            )
        return self._padded(masks)

    def _padded(self, images: Tensor) -> Tensor:
        below = self.size[0] - self.content[0] - self.top
        right = self.size[1] - self.content[1] - self.left
        return F.pad(images, (self.left, right, self.top, below)) if self.size != self.content else images


def _sides(given: Sequence[int], field: str) -> Size:
    if len(given) != 2 or min(given) < 1:
        raise InputError(f"must be (height, width) of at least one pixel, got {tuple(given)}", field=field)
    return int(given[0]), int(given[1])

"""A picture with its slots outlined, and beside it what each slot carries: one SVG file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from visus.drawing import INK, QUIET, SERIES

SIDE, LINE, TEXT = 320, 20, 460
TINT = 0.45


def overlay(
    image: Float[Tensor, "c h w"],
    slots: Int[Tensor, "h w"],
    primitives: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    title: str = "",
) -> str:
    """The picture twice, as it is and with slots that carry something tinted, and the primitives by slot.

    Parameters
    ----------
    slots : the slot of every pixel.
    primitives : (slot, attributes) of every object; slot -1 for none.
    """
    order = sorted(range(len(primitives)), key=lambda i: primitives[i][0])
    colors = {
        slot: SERIES[n % len(SERIES)] for n, slot in enumerate(sorted({s for s, _ in primitives if s >= 0}))
    }
    height = max(SIDE, LINE * (len(order) + 1)) + 40
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1).numpy()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * SIDE + TEXT + 40}" height="{height}" '
        f'font-family="DejaVu Sans, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="22">{escape(title)}</text>',
        _picture(pixels, 10),
        _picture(_tinted(pixels, slots.numpy(), colors), SIDE + 20),
    ]
    for row, i in enumerate(order):
        slot, attributes = primitives[i]
        y = 44 + LINE * row
        words = " ".join(_word(value) for value in attributes.values())
        name = f"slot {slot}" if slot >= 0 else "no slot"
        parts.append(
            f'<rect x="{2 * SIDE + 30}" y="{y - 10}" width="12" height="12" fill="{colors.get(slot, QUIET)}"/>'
        )
        parts.append(f'<text x="{2 * SIDE + 48}" y="{y}">{name}: {escape(words)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{number:.3g}' for number in value)})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tinted(pixels: np.ndarray, slots: np.ndarray, colors: Mapping[int, str]) -> np.ndarray:
    made = pixels.copy()
    for slot, color in colors.items():
        rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        mask = slots == slot
        made[mask] = (1 - TINT) * made[mask] + TINT * rgb
    return made


def _picture(pixels: np.ndarray, x: int) -> str:
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    buffer = io.BytesIO()
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<image x="{x}" y="32" width="{width * scale:.0f}" height="{height * scale:.0f}" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
    )

"""A video model of a few numbers, and what it looks at."""

from __future__ import annotations

import torch
from statm_slow import redraw

from visus.methods.statm.baselines import build_predictor
from visus.methods.statm.model.video import FirstSlots, SlotVideo
from visus.nn.slots import SlotAttention, SpatialBroadcastDecoder, slot_encoder


def make(*, initializer="boxes", kind="statm", iterations=1, outputs=3, seed=0, **options) -> SlotVideo:
    """Slots of 8 numbers, frames of 8 x 8 pixels, in float64."""
    encoder = slot_encoder("cnn", channels=4, strides=(2,), hidden=6)
    model = SlotVideo(
        encoder=encoder,
        corrector=SlotAttention(encoder.features, 8, qkv=12, iterations=iterations),
        predictor=build_predictor(kind, 8, heads=2, qkv=12, hidden=10, layers=2, **options),
        decoder=SpatialBroadcastDecoder(8, outputs, grid=(4, 4), channels=(4,), strides=(2,)),
        initializer=FirstSlots(initializer, 8, count=4),
    )
    return redraw(model, seed=seed, std=0.3)


def hints(batch=2):
    boxes = torch.rand(batch, 3, 4, dtype=torch.float64)
    return {
        "boxes": boxes,
        "points": boxes[..., :2],
        "masks": torch.randint(0, 4, (batch, 8, 8)),
    }


def film(frames=5, batch=2):
    return torch.rand(batch, frames, 3, 8, 8, dtype=torch.float64)

"""A dense encoder that has seen other radiographs with other labels."""

from __future__ import annotations

from typing import Any

from safetensors.torch import save_file

from visus.methods.chestxray.claims.arms import Size, settings_of
from visus.methods.chestxray.claims.contest import trained, with_precision
from visus.methods.chestxray.claims.data import pool


def pretrained_encoder(size: Size, run: Any) -> str:
    """File with the weights of the small dense encoder after it classified the pool by its own labels."""
    run = run.child("pool")
    file = run.folder / "encoder.safetensors"
    if not file.exists():
        table = pool(size)
        config = settings_of("dense", size, small=True)
        reader = trained(config, table, with_precision(run, size.precision))
        weights: Any = reader.parts()["net"]
        state = {name: value.cpu().contiguous() for name, value in weights.backbone.state_dict().items()}
        save_file(state, file)
    return str(file)

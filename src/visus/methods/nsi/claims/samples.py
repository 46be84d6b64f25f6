"""What the interpreter of a trial did with some pictures, kept in its folder for the report's figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from visus.data.formats.arrays import read_arrays, write_arrays
from visus.methods.nsi.claims.data import Size, scenes_of
from visus.methods.nsi.model import associate, segment
from visus.records import read_json, write_json

if TYPE_CHECKING:
    from visus.methods.nsi.baselines import Grounded

GALLERY, GROUNDED = 200, 2
"""Pictures of the gallery that are searched for figures, and scenes of each kind whose slots are shown."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures and programs of a gallery with their scores, and some scenes with their slots."""

    images: UInt8[np.ndarray, "n 3 h w"]
    objects: list[Any]
    """Scene of every picture of the gallery."""
    table: Float[np.ndarray, "n n"]
    """Scores of pictures (rows) with programs (columns)."""
    scenes: UInt8[np.ndarray, "s 3 h w"]
    slots: Int64[np.ndarray, "s h w"]
    scene_objects: list[Any]
    carried: list[list[int]]
    """Slot of every object of the scenes."""


@torch.inference_mode()
def keep_samples(contender: Grounded, size: Size, seed: int, folder: Path) -> None:
    """Write `samples.npz` and `samples.json`: the first pictures of the gallery, and plain and crowded scenes."""
    device = next(contender.parameters()).device
    gallery = scenes_of("gallery", size, seed)
    rows = slice(0, min(GALLERY, len(gallery)))
    images, objects = gallery["image"][rows], gallery["objects"][rows]
    programs = contender.schema.encode(objects).to(device)
    embedded = contender.embed(images.to(device).float() / 255, gallery["boxes"][rows].to(device))
    scenes, slots, scene_objects, carried = [], [], [], []
    for kind in ("gallery", "crowd"):
        found = scenes_of(kind, size, seed)
        shown, told = found["image"][:GROUNDED], found["objects"][:GROUNDED]
        seen = contender.images(shown.to(device).float() / 255, decode=True)
        encoded = contender.schema.encode(told).to(device)
        chosen = associate(seen.embeddings, contender.programs(encoded), encoded.length)
        masks = contender.images.decoder_masks(seen.decoded)
        scenes.append(shown.numpy())
        slots.append(segment(masks, size=(size.image, size.image)).long().cpu().numpy())
        scene_objects += told
        carried += [chosen[i, : len(each)].tolist() for i, each in enumerate(told)]
    write_arrays(
        folder / "samples.npz",
        {
            "images": images.numpy(),
            "table": contender.score(embedded, programs).cpu().numpy(),
            "scenes": np.concatenate(scenes),
            "slots": np.concatenate(slots),
        },
    )
    told = {"objects": objects, "scene_objects": scene_objects, "carried": carried}
    write_json(folder / "samples.json", told)


def read_samples(folder: Path | None) -> Samples | None:
    """What a trial's folder holds; None where it holds nothing."""
    if folder is None or not (folder / "samples.json").exists():
        return None
    return Samples(**read_arrays(folder / "samples.npz"), **read_json(folder / "samples.json"))

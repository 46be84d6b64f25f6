"""Reading and making data: file formats, real corpora's layouts, procedural worlds, sample order.

The usual names can be imported from here; each is loaded from its module when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.data.corpora.gaze_files import read_gaze
    from visus.data.corpora.scene_pictures import read_scenes
    from visus.data.corpora.videos import read_videos
    from visus.data.formats import Picture, read_image, write_image
    from visus.data.gaze.table import GazeTable
    from visus.data.image_table import ImageTable
    from visus.data.loader import Mapped, Subset, Tensors, collate, concatenate, iterate, sample_order
    from visus.data.splits import folds, grouped_stratified_split
    from visus.data.text import WordTokenizer
    from visus.data.triplets import OddOneOutData, Triplets, read_triplets
    from visus.data.videos import Clips, Whole

_HOME = {
    "Clips": "videos",
    "GazeTable": "gaze.table",
    "ImageTable": "image_table",
    "Mapped": "loader",
    "OddOneOutData": "triplets",
    "Picture": "formats",
    "Subset": "loader",
    "Tensors": "loader",
    "Triplets": "triplets",
    "Whole": "videos",
    "WordTokenizer": "text",
    "collate": "loader",
    "concatenate": "loader",
    "folds": "splits",
    "grouped_stratified_split": "splits",
    "iterate": "loader",
    "read_gaze": "corpora.gaze_files",
    "read_image": "formats",
    "read_scenes": "corpora.scene_pictures",
    "read_triplets": "triplets",
    "read_videos": "corpora.videos",
    "sample_order": "loader",
    "write_image": "formats",
}

__all__ = [
    "Clips",
    "GazeTable",
    "ImageTable",
    "Mapped",
    "OddOneOutData",
    "Picture",
    "Subset",
    "Tensors",
    "Triplets",
    "Whole",
    "WordTokenizer",
    "collate",
    "concatenate",
    "folds",
    "grouped_stratified_split",
    "iterate",
    "read_gaze",
    "read_image",
    "read_scenes",
    "read_triplets",
    "read_videos",
    "sample_order",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"visus.data.{_HOME[name]}"), name)

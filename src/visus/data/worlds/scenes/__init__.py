"""Scenes of shaded solids with exact ground truth: stills with programs and captions, and moving ones."""

from visus.data.worlds.scenes.images import SceneImages
from visus.data.worlds.scenes.palette import CLASSES, COLORS, MATERIALS, SIZES
from visus.data.worlds.scenes.shapes import SHAPES
from visus.data.worlds.scenes.videos import Motion, SceneVideos, reappearances

__all__ = [
    "CLASSES",
    "COLORS",
    "MATERIALS",
    "SHAPES",
    "SIZES",
    "Motion",
    "SceneImages",
    "SceneVideos",
    "reappearances",
]

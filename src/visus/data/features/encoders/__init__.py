"""Frozen encoders of pictures and texts."""

from visus.data.features.encoders.base import ImageEncoder, TextEncoder
from visus.data.features.encoders.modules import ModuleEncoder, PixelEncoder, raw_pixels, wrap_module
from visus.data.features.encoders.opening import Encoder, open_encoder
from visus.data.features.encoders.sentences import SentenceEncoder
from visus.data.features.encoders.tokens import Tokens, TruncationWarning
from visus.data.features.encoders.towers import TowerEncoder
from visus.data.features.encoders.vision import VisionEncoder

__all__ = [
    "Encoder",
    "ImageEncoder",
    "ModuleEncoder",
    "PixelEncoder",
    "SentenceEncoder",
    "TextEncoder",
    "Tokens",
    "TowerEncoder",
    "TruncationWarning",
    "VisionEncoder",
    "open_encoder",
    "raw_pixels",
    "wrap_module",
]

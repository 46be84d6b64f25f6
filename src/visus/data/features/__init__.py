"""Features of frozen networks: encoders of pictures and texts, a cache, extraction, and files of embeddings."""

from visus.data.features.cache import CacheStats, FeatureCache
from visus.data.features.embeddings import Embeddings, embeddings_in, read_embeddings, write_embeddings
from visus.data.features.encoders import (
    ImageEncoder,
    TextEncoder,
    TowerEncoder,
    TruncationWarning,
    open_encoder,
    raw_pixels,
    wrap_module,
)
from visus.data.features.extraction import extract
from visus.data.features.pictures import Preparation

__all__ = [
    "CacheStats",
    "Embeddings",
    "FeatureCache",
    "ImageEncoder",
    "Preparation",
    "TextEncoder",
    "TowerEncoder",
    "TruncationWarning",
    "embeddings_in",
    "extract",
    "open_encoder",
    "raw_pixels",
    "read_embeddings",
    "wrap_module",
    "write_embeddings",
]

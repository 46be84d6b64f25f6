"""The embedded data of the claims and of `AttentionClassifier.example`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits

from visus.data import Tensors
from visus.data.worlds import reviews as world

Part = Literal["train", "test"]


def digits(part: Part, *, seed: int = 0) -> Tensors:
    """The 8x8 digits of scikit-learn, cut by `seed` into 900 to learn from and 897 to test on."""
    pixels, digit = (np.asarray(array) for array in load_digits(return_X_y=True))
    order = np.random.default_rng(seed).permutation(len(digit))
    chosen = order[:900] if part == "train" else order[900:]
    images = torch.from_numpy((pixels[chosen] / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    return Tensors({"image": images, "target": [str(name) for name in digit[chosen]]})


def reviews(part: Part, *, seed: int = 0, n: int = 1000) -> Tensors:
    """`n` made-up film reviews; the test part has 1,000 others of the same seed."""
    texts, labels = world.make(n, seed=seed) if part == "train" else world.make(1000, seed=seed, first=n)
    return Tensors({"text": texts, "target": ["pos" if label else "neg" for label in labels]})

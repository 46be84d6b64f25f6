"""Randomness as a pure function of names: the same seed and the same place give the same numbers.

The loop seeds the global generators before every step, so a resumed run needs no saved generator state and
dropout or augmentation inside a step is reproducible.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for a named purpose; different names give unrelated seeds.

    >>> derive_seed(0, "init") == derive_seed(0, "init"), derive_seed(0, "init") == derive_seed(1, "init")
    (True, False)
    """
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_globals(seed: int) -> None:
    """Seed the generators of torch (all devices), NumPy and Python."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.manual_seed(seed)
    else:  # the same generator; without the stack traces that torch notes for devices that are not there
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that draw from the global generator
    random.seed(seed)


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Seed the global generators inside the block and put their states back after it.

    Building a network inside makes its initial weights a function of the seed alone.
    """
    devices = list(range(torch.cuda.device_count()))
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=devices):
        seed_globals(derive_seed(seed, *names))
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)

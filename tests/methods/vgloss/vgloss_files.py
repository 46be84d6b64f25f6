"""A small fitted world for tests of the commands: files of the example, a run, descriptions."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from visus.cli import main

_HOME = tempfile.TemporaryDirectory()


@functools.cache
def made() -> Path:
    """The example's files with `run` fitted on them, once for all tests."""
    home = Path(_HOME.name) / "files"
    assert main(["vgloss", "example", "--out", str(home)]) == 0
    quick = ["--preset", "smoke", "--set", "epochs=12", "width=16", "layers=1", "--device", "cpu"]
    fit = ["vgloss", "fit", str(home / "captions.csv"), "--classes", str(home / "kinds.json")]
    assert main([*fit, *quick, "--out", str(home / "run")]) == 0
    return home


def write_npz(path: Path, classes: int = 24, pictures: int = 3, width: int = 8, *, rows: bool = True) -> Path:
    """Features of made-up pictures around one prototype per class, laid out as the real sample is."""
    rng = np.random.default_rng(0)
    prototypes = rng.normal(size=(classes, width)).astype(np.float32)
    labels = np.repeat(np.array([f"thing {i:02d}" for i in range(classes)]), pictures)
    features = np.repeat(prototypes, pictures, axis=0) + 0.1 * rng.normal(size=(classes * pictures, width))
    arrays = {"features": features.astype(np.float32), "label": labels}
    np.savez(path, **arrays, **({"classifier": prototypes} if rows else {}))
    return path

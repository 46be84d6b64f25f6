"""Real data that cannot ship with the package: a person puts it into one folder, named by VISUS_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from visus.errors import MissingData

VARIABLE = "VISUS_DATA"
KEPT = {
    "things": "THINGS odd-one-out trials, VICE embedding and concept table",
    "imagenet_sample": "EfficientNet-Lite0 features of 1,000 ImageNet photographs",
    "92images": "92 object images with similarity judgments of 16 people",
    "descriptions": "class descriptions published as JSON (DCLIP, FuDD, CuPL)",
}
"""Folder inside it -> what it holds; docs/data.md tells where each file is from."""


def provided(name: str) -> Path:
    """A file or folder of real data, by its place below the folder that VISUS_DATA names.

    Raises
    ------
    MissingData : VISUS_DATA is not set, or nothing is there under this name.
    """
    what = KEPT.get(name.split("/")[0])
    told = f"{name} ({what})" if what else name
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise MissingData(f"needs {told}: set {VARIABLE} to the folder that holds it, see docs/data.md")
    path = Path(folder).expanduser() / name
    if not path.exists():
        raise MissingData(f"needs {told}: not found in {VARIABLE}={folder}, see docs/data.md")
    return path.absolute()

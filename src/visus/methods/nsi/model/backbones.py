"""Frozen vision transformers (DINO, DINOv2, ViT, ...) from a local folder: pictures into feature tokens."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.extras import need
from visus.records import read_json

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PREPROCESSOR = "preprocessor_config.json"
PURPOSE = "a frozen vision transformer"


class FrozenBackbone(nn.Module):
    """Patch tokens of a pretrained network that never trains, for pictures of any size.

    Pictures are resized (shorter side, bicubic), cropped at the center, normalized, and shown to the network.
    Class and register tokens are left out. A network whose last features are a map (b, c, y, x) serves as well.

    Paper: 2403.07887 uses DINO ViT-B/8 at 224 px: 784 tokens of width 768.
    Differs: pictures are normalized as the network was trained (its `preprocessor_config.json`, else ImageNet's
    mean and deviation); the published loader does not normalize.

    Parameters
    ----------
    folder : a Hugging Face model folder: config.json and weights in safetensors. Nothing is downloaded.
    size : side of the square the network sees, pixels; by default the one it was trained at.

    Raises
    ------
    InputError : no such folder, unreadable weights, or a network that gives no feature tokens.
    MissingExtra : transformers is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: str | Path, *, size: int | None = None) -> None:
        super().__init__()
        self.network = _open(Path(folder))
        normalization, trained = _preprocessing(Path(folder), self.network.config)
        self.size = size or trained
        for name, values in zip(("mean", "std"), normalization):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self._resizes = "interpolate_pos_encoding" in inspect.signature(self.network.forward).parameters
        self.requires_grad_(False)
        self.eval()
        try:
            blank = self._features(torch.zeros(1, 3, self.size, self.size))
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            problem = f"gives no feature tokens for {self.size} px ({str(error).strip().splitlines()[0]})"
            remedy = "give an image encoder, such as a ViT or DINO, and a size it takes"
            raise InputError(problem, file=folder, remedy=remedy) from None
        self.features, self.cells = blank.shape[1], (blank.shape[2], blank.shape[3])

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stays in evaluation mode."""
        return super().train(False)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens, whatever the pictures' size."""
        return self.cells

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n c"]:
        """Tokens of pictures in 0..1, row by row."""
        return self._features((self._framed(images) - self.mean) / self.std).flatten(2).mT

    def fingerprint(self) -> str:
        """Hash of the weights and of how pictures are prepared: the key of cached features.

        A pooling head is not counted: it is not used, and random where the folder lacks it.
        """
        digest = hashlib.sha256(f"{self.size}{self.mean.tolist()}{self.std.tolist()}".encode())
        for name, weight in sorted(self.network.state_dict().items()):
            if "pooler" in name:
                continue
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def _framed(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        """The central square, resized to `size`; bicubic overshoot is cut."""
        height, width = images.shape[-2:]
        scale = self.size / min(height, width)
        sides = [max(self.size, round(side * scale)) for side in (height, width)]
        if sides != [height, width]:
            resized = F.interpolate(images, size=sides, mode="bicubic", antialias=True, align_corners=False)
            images = resized.clamp(0, 1)
        top, left = ((side - self.size) // 2 for side in sides)
        return images[..., top : top + self.size, left : left + self.size]

    @torch.no_grad()
    def _features(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b c y x"]:
        options: dict[str, Any] = {"interpolate_pos_encoding": True} if self._resizes else {}
        found = self.network(pixel_values=pixels, **options).last_hidden_state
        if found.ndim == 4:
            return found
        side = self.size // _patch(self.network.config)
        # class and register tokens come first, patches last and row by row
        return found[:, -side * side :].mT.unflatten(-1, (side, side))


def _open(folder: Path) -> Any:
    transformers = need("transformers", extra="text", purpose=PURPOSE)
    if not (folder / "config.json").is_file():
        remedy = "give a folder with a config.json and the weights"
        raise InputError("is not a folder with a Hugging Face model", file=folder, remedy=remedy)
    remedy = "save the model again with its weights in safetensors"
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        network, found = transformers.AutoModel.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"cannot be read ({reason})", file=folder, remedy=remedy) from None
    # a pooling head is often absent, and not used here; anything else would be random numbers
    lacking = [name for name in sorted(found["missing_keys"]) if "pooler" not in name]
    if lacking:
        problem = f"lacks {len(lacking)} weights of the network, {lacking[0]} for one"
        raise InputError(problem, file=folder, remedy=remedy)
    return network


def _patch(config: Any) -> int:
    patch = config.patch_size
    return int(patch if isinstance(patch, int) else patch[0])


def _preprocessing(folder: Path, config: Any) -> tuple[tuple[list[float], list[float]], int]:
    """Mean and deviation per channel, and the side the network was trained at."""
    file = folder / PREPROCESSOR
    plain = read_json(file) if file.is_file() else {}
    normalization = []
    for field, default in (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_STD)):
        values = plain.get(field, default)
        if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(_is_number, values)):
            raise InputError(f"is {values!r}", file=file, field=field, remedy="give three numbers")
        normalization.append([float(value) for value in values])
    sizes = [plain.get("crop_size"), plain.get("size"), getattr(config, "image_size", None), 224]
    return (normalization[0], normalization[1]), next(side for side in map(_side, sizes) if side)


def _side(size: Any) -> int | None:
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    if isinstance(size, list | tuple):
        size = size[0]
    return size if isinstance(size, int) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Pictures on their way into a network: read, made RGB, scaled, cropped, normalized. Pillow does all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from visus.data.features.identity import hash_of
from visus.data.formats import read_image
from visus.errors import InputError
from visus.records import read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WARPED_FROM = 384
"""With `crop_pct`, from this size on pictures are stretched to the square and not cropped."""
FILES = ("preprocessor_config.json", "processor_config.json")


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture as 8-bit RGB: transparent parts on white, deep gray values scaled and not clipped."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, np.float64)
        top = 65535 if picture.mode.startswith("I") else 1
        picture = Image.fromarray(np.rint(np.clip(values / top, 0, 1) * 255).astype(np.uint8))
    if "A" in picture.getbands() or picture.info.get("transparency") is not None:
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def read_rgb(path: str | Path) -> Image.Image:
    """A picture file as 8-bit RGB, turned as its EXIF entry says; .npy pictures too.

    Raises
    ------
    InputError : absent, damaged, a volume, or values that are not finite; names the file.
    """
    found = read_image(path)
    values = found.array
    if found.kind not in ("image", "numpy") or values.ndim != 3 or values.shape[0] not in (1, 3):
        shape = "x".join(map(str, values.shape))
        remedy = "give a gray or color picture"
        raise InputError(f"is a {found.kind} of {shape}, not one picture", file=path, remedy=remedy)
    if not np.isfinite(values).all():
        raise InputError("holds values that are not finite numbers", file=path, remedy="repair or remove it")
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    if values.shape[0] == 1:
        return Image.fromarray(levels[0]).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What happens to a picture before a network sees it, in this order.

    resize -> crop -> x = (scale * level - mean) / std, level 0..255.

    Source: the steps and their arithmetic are those of transformers' image processors (Pillow back end).

    >>> prepare = Preparation(resize=8, crop=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    >>> prepare.batch([Image.new("RGB", (20, 10), (255, 0, 0))])[0, :, 0, 0].tolist()
    [1.0, -1.0, -1.0]
    """

    resize: int | tuple[int, int] | None = None
    """The shorter side in pixels (the longer one follows), or exactly (height, width)."""
    crop: tuple[int, int] | None = None
    """(height, width) of the middle that stays; black is added where the picture is smaller."""
    resample: int = int(Image.Resampling.BICUBIC)
    """Pillow's number of the filter."""
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def identity(self) -> str:
        """Hash of all settings."""
        return hash_of(asdict(self))

    def __call__(self, picture: Image.Image) -> Float32[Tensor, "3 h w"]:
        picture = as_rgb(picture)
        if self.resize is not None:
            height, width = self._target(picture)
            picture = picture.resize((width, height), Image.Resampling(self.resample))
        if self.crop is not None:
            height, width = self.crop
            left, top = (picture.width - width) // 2, (picture.height - height) // 2
            picture = picture.crop((left, top, left + width, top + height))
        levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (levels * self.scale - mean) / std

    def batch(self, pictures: Sequence[Image.Image]) -> Float32[Tensor, "b 3 h w"]:
        """Several pictures; they must come out at one size."""
        return stacked([self(picture) for picture in pictures])

    def _target(self, picture: Image.Image) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize
        assert self.resize is not None
        short, long = sorted(picture.size)
        longer = int(self.resize * long / short)
        return (longer, self.resize) if picture.height > picture.width else (self.resize, longer)

    def to_config(self) -> dict[str, Any]:
        """The settings under the names of a transformers preprocessor_config.json."""
        exact = isinstance(self.resize, tuple)
        size = _sides(self.resize) if isinstance(self.resize, tuple) else {"shortest_edge": self.resize}
        return {
            "image_processor_type": "ViTImageProcessor"
            if exact and self.crop is None
            else "CLIPImageProcessor",
            "do_resize": self.resize is not None,
            **({"size": size} if self.resize is not None else {}),
            "do_center_crop": self.crop is not None,
            **({"crop_size": _sides(self.crop)} if self.crop is not None else {}),
            "resample": self.resample,
            "do_rescale": True,
            "rescale_factor": self.scale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_convert_rgb": True,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, file: str | Path | None = None) -> Preparation:
        """Read the settings of a transformers preprocessor_config.json, new or old.

        Raises
        ------
        InputError : it asks for a step that is not among these, or lacks one of their numbers.
        """
        kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
        for step in ("do_pad", "do_thumbnail", "do_align_long_axis", "do_image_splitting", "rescale_offset"):
            if config.get(step):
                remedy = "use wrap_module with a preprocess function of yours"
                raise InputError("is a step that is not supported", file=file, field=step, remedy=remedy)
        # where a file does not name its filter, its image processor's class does
        filters = {"ViT": 2, "DeiT": 3, "CLIP": 3, "Siglip": 3, "ConvNext": 3, "Bit": 3}
        default = next((number for name, number in filters.items() if kind.startswith(name)), 2)
        resize, crop = _geometry(config, kind, file)
        scale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
        plain = not config.get("do_normalize", True)
        return cls(
            resize=resize,
            crop=crop,
            resample=int(config.get("resample", default)),
            scale=float(scale),
            mean=(0.0,) * 3 if plain else _three(config, "image_mean", file),
            std=(1.0,) * 3 if plain else _three(config, "image_std", file),
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Preparation:
        """Read the settings beside a model.

        Raises
        ------
        InputError : the folder has no such file, or see `from_config`.
        """
        for name in FILES:
            if (folder / name).is_file():
                config = read_json(folder / name)
                config = config.get("image_processor", config if name == FILES[0] else None)
                if isinstance(config, Mapping):
                    return cls.from_config(config, file=folder / name)
        problem = f"has no {FILES[0]}, so how pictures are scaled is not known"
        raise InputError(problem, file=folder, remedy="save the image processor beside the model")


def stacked(pictures: Sequence[Float32[Tensor, "c h w"]]) -> Float32[Tensor, "b c h w"]:
    """Prepared pictures as one batch."""
    if not pictures:
        raise InputError("there are none", field="pictures", remedy="give at least one")
    sizes = sorted({tuple(picture.shape) for picture in pictures})
    if len(sizes) > 1:
        remedy = "prepare them with a crop, or resize to an exact (height, width)"
        raise InputError(f"come out at several sizes: {sizes[:3]}", field="pictures", remedy=remedy)
    return torch.stack(list(pictures))


def _geometry(
    config: Mapping[str, Any], kind: str, file: str | Path | None
) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    crop = None
    if config.get("do_center_crop"):
        crop = _exact(config.get("crop_size"), "crop_size", file)
    if not config.get("do_resize", True):
        return None, crop
    size = config.get("size")
    if isinstance(size, Mapping) and "longest_edge" in size:
        raise InputError("limits the longer side, which is not supported", file=file, field="size")
    if isinstance(size, Mapping) and size.get("shortest_edge"):
        short = int(size["shortest_edge"])
    elif isinstance(size, int) and kind.startswith(("CLIP", "Siglip", "ConvNext")):
        short = size  # old files of these classes mean the shorter side
    else:
        return _exact(size, "size", file), crop
    if not kind.startswith("ConvNext"):
        return short, crop
    if short >= WARPED_FROM:
        return (short, short), crop
    # these files give the size that is left, and how much of the picture that is
    return int(short / config.get("crop_pct", 224 / 256)), crop or (short, short)


def _exact(size: Any, field: str, file: str | Path | None) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, Mapping) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    raise InputError(f"is {size!r}", file=file, field=field, remedy="give a height and a width")


def _three(config: Mapping[str, Any], field: str, file: str | Path | None) -> tuple[float, ...]:
    values = config.get(field)
    if not isinstance(values, Sequence) or len(values) != 3:
        raise InputError(f"is {values!r}", file=file, field=field, remedy="give three numbers")
    return tuple(float(value) for value in values)


def _sides(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}

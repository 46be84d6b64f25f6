"""Preparation of pictures against the library's own (Pillow) image processors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_encoders import noise

from visus.data.features.pictures import Preparation, as_rgb, read_rgb
from visus.errors import InputError

SIZES = [(40, 30), (30, 41), (7, 9), (16, 16), (100, 17), (5, 60)]


def processors():
    pytest.importorskip("transformers")
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    crop = {"height": 14, "width": 13}
    return {
        "clip": CLIPImageProcessorPil(size={"shortest_edge": 19}, crop_size=crop),
        "clip padded": CLIPImageProcessorPil(size={"shortest_edge": 9}, crop_size=crop),
        "siglip": SiglipImageProcessorPil(size={"height": 12, "width": 20}),
        "vit": ViTImageProcessorPil(size={"height": 16, "width": 16}),
        "no normalization": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_normalize=False),
        "levels": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_rescale=False),
        "dinov2": BitImageProcessorPil(size={"shortest_edge": 20}, crop_size=crop),
        "convnext": ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=0.8),
        "convnext large": ConvNextImageProcessorPil(size={"shortest_edge": 384}),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("clip", "clip padded", "siglip", "vit", "no normalization", "levels", "dinov2", "convnext"),
        "convnext large",
    ],
)
def test_equals_the_library(name, tmp_path):
    theirs = processors()[name]
    theirs.save_pretrained(tmp_path)
    ours = Preparation.from_folder(tmp_path)
    for picture in noise(*SIZES):
        expected = theirs(picture, return_tensors="pt")["pixel_values"][0]
        made = ours(picture)
        assert made.shape == expected.shape
        assert made.dtype.is_floating_point
        assert (made - expected.float()).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_a_nested_processor_file_is_read(tmp_path):
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"processor_class": "X", "image_processor": Preparation(resize=(4, 5)).to_config()})
    )
    assert Preparation.from_folder(tmp_path) == Preparation(resize=(4, 5))


def test_old_files_mean_the_shorter_side_for_clip_and_a_square_for_vit():
    old = {"do_resize": True, "size": 10, "do_normalize": False}
    clip = {**old, "feature_extractor_type": "CLIPFeatureExtractor", "do_center_crop": True, "crop_size": 8}
    assert Preparation.from_config(clip) == Preparation(resize=10, crop=(8, 8), resample=3)
    vit = {**old, "feature_extractor_type": "ViTFeatureExtractor"}
    assert Preparation.from_config(vit) == Preparation(resize=(10, 10), resample=2)


@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(resize=9, crop=(8, 6), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)),
        Preparation(resize=(9, 4), resample=2),
        Preparation(crop=(3, 3), scale=1.0),
        Preparation(),
    ],
)
def test_settings_written_are_read_again(preparation):
    assert Preparation.from_config(json.loads(json.dumps(preparation.to_config()))) == preparation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_pad": True}, "do_pad: is a step that is not supported"),
        ({"size": {"shortest_edge": 3, "longest_edge": 4}}, "size: limits the longer side"),
        ({"size": {}}, "size: is {}"),
        ({"do_center_crop": True}, "crop_size: is None"),
        ({"image_mean": [0.5]}, r"image_mean: is \[0.5\]"),
    ],
)
def test_what_is_not_supported_is_named(change, message):
    config = {"size": 8, "image_mean": [0] * 3, "image_std": [1] * 3}
    assert Preparation.from_config(config).resize == (8, 8)
    with pytest.raises(InputError, match=message):
        Preparation.from_config({**config, **change}, file="preprocessor_config.json")


def test_a_folder_without_settings_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no preprocessor_config\.json"):
        Preparation.from_folder(tmp_path)


def test_every_setting_changes_the_identity():
    base = Preparation(resize=8)
    changes = [
        {"resize": 9},
        {"resize": (8, 8)},
        {"crop": (8, 8)},
        {"resample": 2},
        {"scale": 1.0},
        {"mean": (0.5,) * 3},
        {"std": (0.5,) * 3},
    ]
    assert len({base.identity, *(replace(base, **change).identity for change in changes)}) == len(changes) + 1
    assert base.identity == Preparation(resize=8).identity


def test_batches_need_one_size():
    pictures = noise((9, 9), (9, 12))
    assert Preparation(resize=6, crop=(6, 6)).batch(pictures).shape == (2, 3, 6, 6)
    with pytest.raises(InputError, match="come out at several sizes"):
        Preparation(resize=6).batch(pictures)
    with pytest.raises(InputError, match="there are none"):
        Preparation(resize=6).batch([])


def test_any_mode_becomes_rgb():
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    assert as_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.full((1, 2), 65535, np.uint16))
    assert as_rgb(deep).getpixel((0, 0)) == (255, 255, 255)
    assert as_rgb(Image.fromarray(np.full((1, 1), 0.5, np.float32))).getpixel((0, 0)) == (128, 128, 128)
    assert as_rgb(Image.new("L", (1, 1), 7)).getpixel((0, 0)) == (7, 7, 7)
    palette = noise((3, 3))[0].quantize(4)
    assert as_rgb(palette).tobytes() == palette.convert("RGB").tobytes()


def test_files_are_read_as_they_are(tmp_path):
    picture = noise((8, 6))[0]
    picture.save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png").tobytes() == picture.tobytes()
    np.save(tmp_path / "a.npy", np.asarray(picture))
    assert read_rgb(tmp_path / "a.npy").tobytes() == picture.tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "b.png", exif=exif)
    assert read_rgb(tmp_path / "b.png").size == (6, 8)
    Image.new("L", (2, 2), 9).save(tmp_path / "c.png")
    assert read_rgb(tmp_path / "c.png").getpixel((1, 1)) == (9, 9, 9)
    np.save(tmp_path / "volume.npy", np.zeros((9, 9, 9), np.uint8))
    with pytest.raises(InputError, match=r"volume\.npy: is a numpy of 1x9x9x9, not one picture"):
        read_rgb(tmp_path / "volume.npy")

"""Pictures through Pillow, and 16-bit color PNG."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from visus.data.formats import kind_of, read_image, write_image
from visus.data.formats.images import read_labels, read_picture, write_labels, write_picture
from visus.data.formats.png16 import (
    SIGNATURE,
    decode_uint16_png,
    is_deep_color_png,
    read_uint16_png,
    write_uint16_png,
)
from visus.errors import InputError

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOR = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]])


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("values", [GRAY[None], COLOR])
def test_lossless_formats_round_trip(tmp_path, ending, values):
    write_image(tmp_path / f"x{ending}", values / 255)
    picture = read_image(tmp_path / f"x{ending}")
    assert picture.kind == "image"
    assert picture.array.dtype == np.float32
    assert np.array_equal(np.rint(picture.array * 255), values)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bit_gray_keeps_its_depth(tmp_path, ending):
    values = np.array([[[0, 1, 255], [256, 40000, 65535]]])
    write_image(tmp_path / f"x{ending}", values / 65535, bits=16)
    picture = read_image(tmp_path / f"x{ending}")
    assert np.array_equal(np.rint(picture.array.astype(np.float64) * 65535), values)
    assert picture.array.max() == 1.0
    assert picture.meta["bits"] in (16, 32)


def test_jpeg_is_close(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 32), (1, 32, 1))
    write_image(tmp_path / "x.jpg", ramp)
    assert np.abs(read_image(tmp_path / "x.jpg").array - ramp).max() < 0.05


def test_black_and_white_palette_and_cmyk(tmp_path):
    Image.fromarray(GRAY > 100).save(tmp_path / "bw.png")
    assert set(np.unique(read_image(tmp_path / "bw.png").array)) == {0.0, 1.0}
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8)).convert("L")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png")
    picture = read_image(tmp_path / "p.png").array
    assert picture[:, 0, 0].tolist() == [1, 0, 0]
    assert picture[:, 1, 0].tolist() == [0, 0, 1]
    assert read_labels(tmp_path / "p.png").tolist() == [[0, 1], [2, 1]]
    Image.new("CMYK", (2, 3), (0, 0, 0, 0)).save(tmp_path / "c.tif")
    assert read_image(tmp_path / "c.tif").array.shape == (3, 3, 2)
    assert read_image(tmp_path / "c.tif").array.min() == 1.0


def test_transparent_pictures_lie_on_white_or_keep_alpha(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [255, 0, 51]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").array[:, 0].tolist() == [pytest.approx([0, 1, 0.8])] * 3
    kept = read_picture(tmp_path / "a.png", alpha="keep").array
    assert kept.shape == (4, 1, 3)
    assert kept[3, 0].tolist() == pytest.approx([1, 0, 0.2])
    gray = Image.fromarray(np.array([[10, 20]], np.uint8))
    gray.save(tmp_path / "t.png", transparency=10)
    assert read_picture(tmp_path / "t.png").array[0, 0].tolist() == pytest.approx([1, 20 / 255])


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.repeat(np.repeat(GRAY, 8, 0), 8, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "e.png", exif=exif)
    expected = np.rot90(np.asarray(image), -1) / 255
    assert np.allclose(read_image(tmp_path / "e.png").array[0], expected, atol=1e-6)


def test_float_and_multipage_tiff(tmp_path):
    values = np.array([[-1000.0, 0.5]], np.float32)
    Image.fromarray(values).save(tmp_path / "f.tif")
    assert read_image(tmp_path / "f.tif").array.tolist() == [values.tolist()]
    pages = [Image.fromarray(GRAY + i) for i in range(3)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    volume = read_image(tmp_path / "m.tif").array
    assert volume.shape == (1, 3, 3, 4)
    assert np.array_equal(np.rint(volume[0, 2] * 255), GRAY + 2)
    pages[1] = Image.new("L", (2, 2))
    pages[0].save(tmp_path / "n.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="pages differ"):
        read_image(tmp_path / "n.tif")
    Image.fromarray(np.array([[np.nan]], np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match="not finite"):
        read_image(tmp_path / "nan.tif")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_cut_off_files_are_named(tmp_path, ending, share):
    path = tmp_path / f"cut{ending}"
    write_image(path, np.random.default_rng(0).random((3, 40, 40)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_absent_empty_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "no.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match="empty"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="not a picture"):
        read_image(tmp_path / "text.png")
    (tmp_path / "what.xyz").write_text("hello")
    with pytest.raises(InputError, match=r"no image that can be read.*convert"):
        read_image(tmp_path / "what.xyz")


def test_the_kind_is_known_by_content_without_an_ending(tmp_path):
    write_image(tmp_path / "x.png", GRAY[None] / 255)
    (tmp_path / "x.png").rename(tmp_path / "x")
    assert kind_of(tmp_path / "x") == "image"
    assert read_image(tmp_path / "x").array.shape == (1, 3, 4)
    np.save(tmp_path / "y.npy", GRAY)
    (tmp_path / "y.npy").rename(tmp_path / "y")
    assert read_image(tmp_path / "y").array.shape == (1, 3, 4)


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    bad = [
        (np.full((1, 2, 2), np.nan), {}, ".png"),
        (np.zeros((2, 2)), {}, ".png"),
        (np.zeros((3, 2, 2)), {"bits": 16}, ".png"),
        (np.zeros((4, 2, 2)), {}, ".jpg"),
        (np.zeros((1, 2, 2)), {}, ".xyz"),
    ]
    for values, options, ending in bad:
        with pytest.raises(InputError):
            write_image(tmp_path / f"x{ending}", values, **options)
    with pytest.raises(InputError, match="no picture format"):
        write_picture(tmp_path / "x.abc", np.zeros((1, 2, 2)))
    assert list(tmp_path.iterdir()) == []


def test_masks_round_trip_unscaled(tmp_path):
    for labels in (np.array([[0, 7], [255, 1]]), np.array([[0, 300], [65535, 1]])):
        write_labels(tmp_path / "m.png", labels)
        assert np.array_equal(read_labels(tmp_path / "m.png"), labels)
    write_image(tmp_path / "c.png", COLOR / 255)
    with pytest.raises(InputError, match="color picture"):
        read_labels(tmp_path / "c.png")
    with pytest.raises(InputError, match="a mask is"):
        write_labels(tmp_path / "m.png", np.array([[-1]]))


@settings(max_examples=30, deadline=None)
@given(
    values=hnp.arrays(
        np.uint16, st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(1, 5), st.integers(1, 6))
    ),
)
def test_sixteen_bit_color_png_round_trips(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "deep.png"
    write_uint16_png(path, values)
    assert np.array_equal(read_uint16_png(path), values)
    with Image.open(path) as image:
        image.load()  # another reader accepts the file
        assert image.size == (values.shape[2], values.shape[1])


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays(np.uint16, st.tuples(st.just(3), st.integers(1, 4), st.integers(1, 5))),
    kinds=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_all_row_filters_are_undone(values, kinds):
    """Rows are filtered here byte by byte from the specification's definition, then decoded."""
    _, height, width = values.shape
    raw = np.moveaxis(values, 0, -1).astype(">u2").reshape(height, -1).copy().view(np.uint8).astype(int)
    data = b""
    for y in range(height):
        row = []
        for x in range(raw.shape[1]):
            left = raw[y, x - 6] if x >= 6 else 0
            up = raw[y - 1, x] if y else 0
            corner = raw[y - 1, x - 6] if y and x >= 6 else 0
            p = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(p - v))
            guess = [0, left, up, (left + up) // 2, paeth][kinds[y]]
            row.append((raw[y, x] - guess) % 256)
        data += bytes([kinds[y], *row])
    content = SIGNATURE
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    assert np.array_equal(decode_uint16_png(content), values)


def test_deep_color_is_read_at_full_depth_and_damage_is_reported(tmp_path):
    values = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5) * 1000 + 1
    path = tmp_path / "deep.png"
    write_uint16_png(path, values)
    assert is_deep_color_png(path)
    assert np.array_equal(np.rint(read_image(path).array.astype(np.float64) * 65535), values)
    whole = path.read_bytes()
    for content in (whole[:40], whole[:-20], whole[:60] + b"x" + whole[61:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cut off or damaged"):
            read_image(path)
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "PNG")
    with pytest.raises(ValueError, match="16-bit"):
        decode_uint16_png(buffer.getvalue())
    with pytest.raises((InputError, TypeError)):  # a type error where calls are type-checked
        write_uint16_png(path, values.astype(np.int32))

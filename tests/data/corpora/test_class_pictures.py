"""STL-10, Flowers-102, FGVC-Aircraft and ImageNet, written in their published layouts."""

import numpy as np
import pytest
from scipy.io import savemat

from visus.data.corpora.aircraft import aircraft_names, load_aircraft
from visus.data.corpora.class_lists import class_list
from visus.data.corpora.flowers102 import load_flowers102
from visus.data.corpora.imagenet import imagenet_wnids, load_imagenet
from visus.data.corpora.stl10 import load_stl10, stl10_names
from visus.data.formats import write_image
from visus.errors import InputError

RNG = np.random.default_rng(0)


def picture(path, *, height=6, width=8, value=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path.with_suffix(".png"), np.full((3, height, width), value, np.float32))
    path.with_suffix(".png").rename(path)


# ---- STL-10 ------------------------------------------------------------------------------------------------


def write_stl10(folder, images, labels, part="test", names=None):
    folder.mkdir(exist_ok=True)
    columns = images.transpose(0, 1, 3, 2)  # the file runs down each column
    (folder / f"{part}_X.bin").write_bytes(np.ascontiguousarray(columns).tobytes())
    (folder / f"{part}_y.bin").write_bytes(np.asarray(labels, np.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join(names or class_list("stl10").names) + "\n")


def test_stl10_reads_columns_and_labels_from_one(tmp_path):
    images = RNG.integers(0, 256, (3, 3, 96, 96)).astype(np.uint8)
    images[0, 0, 5, 90] = 255
    images[0, 0, 90, 5] = 0
    write_stl10(tmp_path, images, [1, 10, 6])
    table = load_stl10(tmp_path, "test")
    assert table.targets == ["airplane", "truck", "dog"]
    pixels = table.batch([0, 1, 2])["image"].numpy()
    assert np.allclose(pixels, images / 255, atol=1e-6)
    assert (pixels[0, 0, 5, 90], pixels[0, 0, 90, 5]) == (1, 0)
    assert stl10_names(tmp_path)[2] == "car"
    (tmp_path / "unlabeled_X.bin").write_bytes(images[:2].tobytes())
    free = load_stl10(tmp_path, "unlabeled")
    assert len(free) == 2
    assert set(free.batch([1])) == {"image", "row"}


def test_damaged_stl10(tmp_path):
    images = np.zeros((2, 3, 96, 96), np.uint8)
    with pytest.raises(InputError, match="unknown part"):
        load_stl10(tmp_path, "all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"train_X.bin: does not exist"):
        load_stl10(tmp_path, "train")
    write_stl10(tmp_path, images, [1, 2, 3])
    with pytest.raises(InputError, match=r"test_y.bin: 3 labels for 2 pictures"):
        load_stl10(tmp_path, "test")
    for wrong in (0, 11):
        write_stl10(tmp_path, images, [1, wrong])
        with pytest.raises(InputError, match=f"label {wrong} where 1 to 10"):
            load_stl10(tmp_path, "test")
    shuffled = sorted(class_list("stl10").names, reverse=True)
    write_stl10(tmp_path, images, [1, 2], names=shuffled)
    with pytest.raises(InputError, match=r"class_names.txt: line 1: has 'truck' where the published order"):
        load_stl10(tmp_path, "test")
    write_stl10(tmp_path, images, [1, 2], names=["ant", "bee"])
    assert load_stl10(tmp_path, "test").targets == ["ant", "bee"]
    (tmp_path / "test_X.bin").write_bytes(images.tobytes()[:-1])
    with pytest.raises(InputError, match=r"test_X.bin: .* are not a multiple of 27648"):
        load_stl10(tmp_path, "test")


# ---- Flowers-102 -------------------------------------------------------------------------------------------


def write_flowers(folder, labels, train, valid, test):
    folder.mkdir(exist_ok=True)
    savemat(folder / "imagelabels.mat", {"labels": np.asarray([labels], np.uint8)})
    sets = {"trnid": train, "valid": valid, "tstid": test}
    savemat(folder / "setid.mat", {name: np.asarray([numbers], np.uint16) for name, numbers in sets.items()})
    for number in range(1, len(labels) + 1):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", value=number / 10)


def test_flowers_parts_and_names(tmp_path):
    write_flowers(tmp_path, [77, 77, 1, 102, 51], train=[3], valid=[4], test=[5, 1, 2])
    test = load_flowers102(tmp_path, "test")
    assert [path.name for path in test.paths or []] == [f"image_0000{i}.jpg" for i in (1, 2, 5)]
    assert test.targets == ["passion flower", "passion flower", "petunia"]
    assert load_flowers102(tmp_path, "train").targets == ["pink primrose"]
    assert load_flowers102(tmp_path, "validation").targets == ["blackberry lily"]
    every = load_flowers102(tmp_path, "all", image_size=(4, 4))
    assert len(every) == 5
    assert np.allclose(every.batch([0, 4])["image"].mean((1, 2, 3)), [0.1, 0.5], atol=0.01)


def test_damaged_flowers(tmp_path):
    with pytest.raises(InputError, match=r"imagelabels.mat: does not exist"):
        load_flowers102(tmp_path)
    with pytest.raises(InputError, match="unknown part"):
        load_flowers102(tmp_path, "val")  # type: ignore[arg-type]
    for labels, problem in (([1, 103], "label 103"), ([0, 1], "label 0")):
        write_flowers(tmp_path, labels, [1], [], [2])
        with pytest.raises(InputError, match=problem):
            load_flowers102(tmp_path, "all")
    write_flowers(tmp_path, [1, 2, 3], [1], [2], [2, 3])
    with pytest.raises(InputError, match=r"setid.mat: one picture stands in two parts"):
        load_flowers102(tmp_path)
    for numbers in ([4], [0]):
        write_flowers(tmp_path, [1, 2, 3], numbers, [2], [3])
        with pytest.raises(InputError, match=r"setid.mat: names picture .* of 3; they count from 1"):
            load_flowers102(tmp_path)
    write_flowers(tmp_path, [1, 2, 3], [1], [2], [3])
    (tmp_path / "jpg" / "image_00003.jpg").unlink()
    with pytest.raises(InputError, match=r"image_00003.jpg: does not exist \(1 of 1"):
        load_flowers102(tmp_path, "test")
    savemat(tmp_path / "setid.mat", {"trnid": np.array([[1]])})
    with pytest.raises(InputError, match=r"setid.mat: has no variable valid.*trnid"):
        load_flowers102(tmp_path)
    savemat(tmp_path / "setid.mat", {"trnid": "one", "valid": [2], "tstid": [3]})
    with pytest.raises(InputError, match=r"setid.mat: trnid: has no numbers"):
        load_flowers102(tmp_path)
    for content in ((tmp_path / "imagelabels.mat").read_bytes()[:150], b"no MATLAB file at all" * 20):
        (tmp_path / "imagelabels.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"imagelabels.mat"):
            load_flowers102(tmp_path)


# ---- FGVC-Aircraft -----------------------------------------------------------------------------------------


def write_aircraft(folder, listed, *, variants=None, part="test", level="variant"):
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "variants.txt").write_text("\n".join(variants or class_list("aircraft").names) + "\n")
    (data / "families.txt").write_text("Boeing 707\nF-16\nTornado\n")
    (data / "manufacturers.txt").write_text("Boeing\nPanavia\n")
    (data / f"images_{level}_{part}.txt").write_text(
        "".join(f"{number} {label}\n" for number, label in listed)
    )
    for number, _ in listed:
        picture(data / "images" / f"{number}.jpg")


def test_aircraft_names_with_spaces_and_levels(tmp_path):
    listed = [("1514522", "707-320"), ("0001234", "F-16A/B"), ("0747566", "BAE 146-200")]
    write_aircraft(tmp_path, listed)
    table = load_aircraft(tmp_path, "test")
    assert table.targets == ["707-320", "F-16A/B", "BAE 146-200"]
    assert [path.name for path in table.paths or []] == ["1514522.jpg", "0001234.jpg", "0747566.jpg"]
    assert load_aircraft(tmp_path / "data", "test", image_size=(4, 4)).batch([1])["image"].shape == (
        1,
        3,
        4,
        4,
    )
    assert aircraft_names(tmp_path) == class_list("aircraft").names
    write_aircraft(tmp_path, [("1514522", "Boeing 707")], level="family", part="trainval")
    assert load_aircraft(tmp_path, "trainval", level="family").targets == ["Boeing 707"]
    assert aircraft_names(tmp_path, "manufacturer") == ("Boeing", "Panavia")


def test_damaged_aircraft(tmp_path):
    with pytest.raises(InputError, match=r"no variants.txt"):
        load_aircraft(tmp_path)
    with pytest.raises(InputError, match="unknown part or level"):
        load_aircraft(tmp_path, "validation")  # type: ignore[arg-type]
    for listed, problem in (
        ([("1", "707-320"), ("2", "708")], "line 2: '708' is not in variants.txt"),
        ([("1", "")], "line 1: names no class"),
        ([("1", "707-320"), ("1", "727-200")], "line 2: picture 1 stands twice"),
    ):
        write_aircraft(tmp_path, listed)
        with pytest.raises(InputError, match=f"images_variant_test.txt: {problem}"):
            load_aircraft(tmp_path, "test")
    write_aircraft(tmp_path, [("1", "707-320")])
    (tmp_path / "data" / "images" / "1.jpg").unlink()
    with pytest.raises(InputError, match=r"1.jpg: does not exist"):
        load_aircraft(tmp_path, "test")
    names = list(class_list("aircraft").names)
    write_aircraft(tmp_path, [("1", "707-320")], variants=[*names[1:], names[0]])
    with pytest.raises(
        InputError, match=r"variants.txt: line 1: has '727-200' where the published order has '707-320'"
    ):
        load_aircraft(tmp_path, "test")
    write_aircraft(tmp_path, [("1", "707-320")], variants=["707-320", "707-320"])
    with pytest.raises(InputError, match="names a class twice"):
        load_aircraft(tmp_path, "test")


# ---- ImageNet ----------------------------------------------------------------------------------------------


def test_imagenet_folders_in_the_order_of_ids(tmp_path):
    for wnid, count in (("n03126707", 1), ("n02012849", 2), ("n01440764", 1)):
        for number in range(count):
            picture(tmp_path / "val" / wnid / f"ILSVRC2012_val_{number:08d}.JPEG")
    (tmp_path / "val" / "n01440764" / "notes.txt").write_text("x")
    (tmp_path / "val" / ".DS_Store").write_text("x")
    table = load_imagenet(tmp_path, "val", image_size=(4, 4))
    assert table.targets == ["n01440764", "n02012849", "n02012849", "n03126707"]
    assert table.batch([0, 3])["image"].shape == (2, 3, 4, 4)
    ids = imagenet_wnids(tmp_path, "val")
    assert ids == ("n01440764", "n02012849", "n03126707")
    assert load_imagenet(tmp_path / "val", wnids=[*ids, "n04000000"]).targets == table.targets
    with pytest.raises(InputError, match="wnids: are not in sorted order"):
        load_imagenet(tmp_path, "val", wnids=ids[::-1])
    with pytest.raises(InputError, match="holds the class n03126707, which is not one of the 2"):
        load_imagenet(tmp_path, "val", wnids=ids[:2])


def test_flat_imagenet_sample(tmp_path):
    for name in ("n02012849_crane.JPEG", "n01440764_tench.JPEG", "n01440764_10026.jpeg"):
        picture(tmp_path / name)
    assert load_imagenet(tmp_path).targets == ["n01440764", "n01440764", "n02012849"]
    assert imagenet_wnids(tmp_path) == ("n01440764", "n02012849")
    picture(tmp_path / "cat.jpg")
    with pytest.raises(InputError, match=r"cat.jpg: has no WordNet id in its name"):
        load_imagenet(tmp_path)


def test_malformed_imagenet(tmp_path):
    with pytest.raises(InputError, match="val: is not a folder"):
        load_imagenet(tmp_path, "val")
    with pytest.raises(InputError, match="neither class folders nor pictures"):
        load_imagenet(tmp_path)
    (tmp_path / "val" / "tench").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no folders named by WordNet ids. What to do: give part='val'"):
        load_imagenet(tmp_path)
    with pytest.raises(InputError, match=r"no folders named by WordNet ids. What to do: name each"):
        load_imagenet(tmp_path, "val")
    picture(tmp_path / "val" / "n01440764" / "a.JPEG")
    with pytest.raises(InputError, match="tench: is not named by a WordNet id"):
        load_imagenet(tmp_path, "val")
    (tmp_path / "val" / "tench").rename(tmp_path / "val" / "n01440765")
    with pytest.raises(InputError, match="n01440765: holds no pictures"):
        load_imagenet(tmp_path, "val")

"""Damaged or incomplete corpora of scenes are named, and skipped where asked."""

import json

import numpy as np
import pytest
import torch

from visus.data.corpora.clevr import read_clevr, write_clevr, write_clevr_hans
from visus.data.corpora.clevrtex import read_clevrtex, write_clevrtex
from visus.data.corpora.coco import read_coco, write_coco
from visus.data.corpora.scene_pictures import read_scenes
from visus.data.corpora.stills import View
from visus.data.formats.images import write_picture
from visus.data.loader import Tensors
from visus.errors import InputError

ITEM = {"shape": "cube", "size": "large", "material": "metal", "color": "red", "category": "car"}


def stills(count=4):
    segmentation = torch.zeros(count, 12, 16, dtype=torch.uint8)
    segmentation[:, 2:6, 3:8] = 1
    return Tensors(
        {
            "image": torch.full((count, 3, 12, 16), 0.5),
            "segmentation": segmentation,
            "objects": [[{**ITEM, "position": (0.0, 1.0, 2.0)}] for _ in range(count)],
            "target": ["0"] * count,
        }
    )


def edited(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def pictures(folder):
    return sorted(path for path in folder.rglob("*.png") if "_flat" not in path.name)


WRITERS = {"clevr": write_clevr, "hans": write_clevr_hans, "clevrtex": write_clevrtex, "coco": write_coco}


@pytest.mark.parametrize("layout", WRITERS)
def test_missing_and_damaged_pictures(tmp_path, layout):
    WRITERS[layout](tmp_path, stills())
    first, second = pictures(tmp_path)[:2]
    first.write_bytes(first.read_bytes()[:40])
    read = read_scenes(tmp_path)
    with pytest.raises(InputError) as caught:
        read.batch([0])
    assert caught.value.file == first
    assert read.batch([1])["image"].shape[0] == 1
    second.unlink()
    with pytest.raises(InputError, match=r"does not exist \(1 of \d pictures"):
        read_scenes(tmp_path)
    left = read_scenes(tmp_path, bad="skip")
    assert left.skipped == [name.removesuffix("_0003") for name in (first.stem, second.stem)]
    assert len(left) == (1 if layout == "clevrtex" else 2)
    assert left.batch(range(len(left)))["name"] == left.names
    for path in pictures(tmp_path):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"none of \d pictures can be read"):
        read_scenes(tmp_path, bad="skip")


def test_broken_json_names_file_and_line(tmp_path):
    for layout, write in WRITERS.items():
        write(tmp_path / layout, stills())
        file = next((tmp_path / layout).rglob("*.json"))
        file.write_text(file.read_text()[:-20])
        with pytest.raises(InputError, match="is not valid JSON") as caught:
            read_scenes(tmp_path / layout).batch([0])
        assert caught.value.file == file
        assert caught.value.field.startswith("line ")


CLEVR_DAMAGE = [
    (lambda c: c.pop("scenes"), r"\(top\).scenes: is missing"),
    (lambda c: c["scenes"][1].pop("image_filename"), r"scenes\[1\].image_filename: is missing"),
    (lambda c: c["scenes"][1].pop("objects"), r"scenes\[1\].objects: is missing"),
    (lambda c: c["scenes"][1].pop("directions"), r"scenes\[1\].directions: is missing"),
    (lambda c: c["scenes"][1]["directions"].pop("front"), r"scenes\[1\].directions.front: is not 3 numbers"),
    (lambda c: c["scenes"][1]["objects"][0].pop("shape"), r"scenes\[1\].objects\[0\].shape: is missing"),
    (
        lambda c: c["scenes"][1]["objects"][0].update({"3d_coords": [1, 2]}),
        r"objects\[0\].3d_coords: is not 3 num",
    ),
    (
        lambda c: c["scenes"][1]["objects"][0].update({"3d_coords": [1, 2, "x"]}),
        r"3d_coords: holds what is no number",
    ),
    (
        lambda c: c["scenes"][1]["objects"][0]["mask"].update(counts="!"),
        r"objects\[0\].mask: character 1",
    ),
    (
        lambda c: c["scenes"][1]["objects"][0].update(mask={"size": [2, 2], "counts": [4]}),
        r"mask of object 0 has \(2, 2\) pixels",
    ),
    (lambda c: c["scenes"].clear(), "lists no pictures"),
]


@pytest.mark.parametrize(("damage", "said"), CLEVR_DAMAGE)
def test_damaged_clevr_scenes_name_the_place(tmp_path, damage, said):
    file = write_clevr(tmp_path, stills(2))
    edited(file, damage)
    with pytest.raises(InputError, match=said):
        read_clevr(tmp_path).batch([0, 1])


def test_damaged_entries_are_left_out_where_asked(tmp_path):
    file = write_clevr(tmp_path, stills(3))
    edited(file, lambda c: c["scenes"][1]["objects"][0].pop("shape"))
    left = read_clevr(tmp_path, view=View(bad="skip"))
    assert left.skipped == ["CLEVR_train_000001"]
    assert left.names == ["CLEVR_train_000000", "CLEVR_train_000002"]
    assert left.objects(1) == read_clevr(tmp_path).objects(2)


COCO_DAMAGE = [
    (lambda c: c.pop("categories"), r"\(top\).categories: is missing"),
    (lambda c: c["images"][0].pop("id"), r"images\[0\].id: is missing"),
    (lambda c: c["annotations"][1].update(image_id=99), r"annotations\[1\].image_id: is 99, but no picture"),
    (lambda c: c["annotations"][1].update(category_id=99), r"annotations\[1\].category_id: is 99, but no cl"),
    (lambda c: c["annotations"][1].update(bbox=[1, 2]), r"annotations\[1\].bbox: is not 4 numbers"),
    (lambda c: c["annotations"][1].update(segmentation=None), r"annotations\[1\].segmentation: is missing"),
    (lambda c: c["annotations"][1].update(segmentation=[["x"]]), r"annotations\[1\].*no polygon"),
    (lambda c: c["annotations"][1].update(segmentation=[[1, 2]]), r"annotations\[1\].*three corners"),
    (lambda c: c["annotations"].__setitem__(1, 3), r"annotations\[1\].image_id: is missing"),
    (lambda c: c["images"][1].update(width=17), r"12 x 16 pixels, instances_train2017.json says 12 x 17"),
]


@pytest.mark.parametrize(("damage", "said"), COCO_DAMAGE)
def test_damaged_coco_annotations_name_the_place(tmp_path, damage, said):
    edited(write_coco(tmp_path, stills(2)), damage)
    with pytest.raises(InputError, match=said):
        read_coco(tmp_path).batch([0, 1])


def test_incomplete_clevrtex(tmp_path):
    root = write_clevrtex(tmp_path, stills())
    read = read_clevrtex(tmp_path, split="release")
    mask = root / "0" / f"{read.names[0]}_flat.png"
    whole = mask.read_bytes()
    write_picture(mask, np.zeros((1, 3, 3)))
    with pytest.raises(InputError, match=r"has \(3, 3\) pixels, its picture \(12, 16\)"):
        read.batch([0])
    write_picture(mask, np.zeros((3, 12, 16)))
    with pytest.raises(InputError, match=r"color picture \(RGB\), not a mask"):
        read.batch([0])
    mask.unlink()
    with pytest.raises(InputError, match="the mask does not exist"):
        read.batch([0])
    mask.write_bytes(whole)
    for number, said in (("x", "index: is str"), (0, "is 0, not in 1..255")):
        edited(mask.with_name(f"{read.names[0]}.json"), lambda c: c["objects"][0].update(index=number))  # noqa: B023
        with pytest.raises(InputError, match=said):
            read.batch([0])
    edited(mask.with_name(f"{read.names[0]}.json"), lambda c: c["objects"][0].pop("index"))
    assert read.batch([0])["segmentation"].max() == 1
    with pytest.raises(InputError, match="leave none for this part"):
        read_clevrtex(root, "validation")
    (root / "1").mkdir()
    (root / "1" / "CLEVRTEX_full_000000.json").write_text("{}")
    with pytest.raises(InputError, match="is there twice"):
        read_clevrtex(root)
    write_clevrtex(tmp_path, stills(1), variant="camo")
    with pytest.raises(InputError, match=r"several variants: clevrtex_camo, clevrtex_full"):
        read_clevrtex(tmp_path)


@pytest.mark.parametrize("layout", WRITERS)
def test_writers_refuse_objects_without_the_layout_s_attributes(tmp_path, layout):
    source = stills(1)
    lacking = "category" if layout == "coco" else "shape"
    del source.fields["objects"][0][0][lacking]
    with pytest.raises(InputError, match=f"picture 0, object 0, {lacking}: is missing"):
        WRITERS[layout](tmp_path, source)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"size": 0}, "size"), ({"crop": 1.5}, "crop"), ({"max_objects": 0}, "max_objects")],
)
def test_impossible_views_are_refused(tmp_path, settings, field):
    write_clevr(tmp_path, stills(1))
    with pytest.raises(InputError) as caught:
        read_clevr(tmp_path, view=View(**settings))
    assert caught.value.field == field


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    write_clevr(tmp_path, stills(2))
    file = tmp_path / "scenes" / "CLEVR_train_scenes.json"
    edited(file, lambda c: [scene["objects"].clear() for scene in c["scenes"]])
    write_picture(tmp_path / "images" / "train" / "CLEVR_train_000001.png", np.zeros((1, 5, 7)))
    with pytest.raises(InputError, match=r"CLEVR_train_000001.png: size: has \(5, 7\) pixels"):
        read_clevr(tmp_path, view=View(size=None)).batch([0, 1])
    assert read_clevr(tmp_path, view=View(size=6)).batch([0, 1])["image"].shape == (2, 3, 6, 6)

"""Every layout of scenes with ground truth is written, read back, and recognized."""

import json
import pickle

import numpy as np
import pytest
import torch

from visus.data.corpora.clevr import read_clevr, write_clevr, write_clevr_hans
from visus.data.corpora.clevrtex import SHARES, read_clevrtex, write_clevrtex
from visus.data.corpora.coco import read_coco, write_coco
from visus.data.corpora.scene_pictures import layout_of, read_scenes
from visus.data.corpora.stills import View, read_attributes, write_attributes
from visus.data.formats.images import write_picture
from visus.data.loader import Tensors, fingerprint
from visus.errors import InputError

WORDS = {
    "shape": ("cube", "sphere", "cylinder"),
    "size": ("large", "small"),
    "material": ("rubber", "metal"),
    "color": ("red", "blue", "gray"),
    "category": ("cat", "dog", "kite"),
}


def stills(counts=(2, 0, 4, 1), height=24, width=32, seed=0):
    """Pictures of rectangles, `counts` of them each, the largest first; later ones lie above earlier ones."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(counts), 3, height, width)) / 255
    segmentation = np.zeros((len(counts), height, width), np.uint8)
    objects = []
    for i, count in enumerate(counts):
        listed = []
        for j in range(count):
            side = 12 - 2 * j  # of falling area, and corners too far apart to hide one another
            y, x = rng.integers(0, 3, 2) + (0, 8 * j)
            segmentation[i, y : y + side, x : x + side] = j + 1
            words = {name: str(rng.choice(values)) for name, values in WORDS.items()}
            listed.append({**words, "position": tuple(float(part) for part in rng.uniform(-3, 3, 3))})
        objects.append(listed)
    return Tensors(
        {
            "image": torch.tensor(images, dtype=torch.float32),
            "segmentation": torch.tensor(segmentation),
            "objects": objects,
            "target": [str(i % 2) for i in range(len(counts))],
        }
    )


def slow_boxes(segmentation, most):
    boxes, visible = np.zeros((most, 4)), np.zeros(most, int)
    height, width = segmentation.shape
    for i in range(most):
        rows, columns = np.nonzero(segmentation == i + 1)
        visible[i] = len(rows)
        if len(rows):
            top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            boxes[i] = top / height, left / width, bottom / height, right / width
    return boxes, visible


def same_pictures(batch, source, names=("shape", "size", "material", "position")):
    whole = source.batch(range(len(source)))
    assert torch.allclose(batch["image"], whole["image"], atol=1e-6)
    assert torch.equal(batch["segmentation"], whole["segmentation"])
    for listed, wanted in zip(batch["objects"], whole["objects"], strict=True):
        assert len(listed) == len(wanted)
        for item, other in zip(listed, wanted):
            assert {name: item[name] for name in names} == {name: other[name] for name in names}
    for i, segmentation in enumerate(whole["segmentation"].numpy()):
        boxes, visible = slow_boxes(segmentation, batch["boxes"].shape[1])
        assert np.allclose(batch["boxes"][i].numpy(), boxes, atol=1e-6)
        assert batch["visibility"][i].tolist() == visible.tolist()


WHOLE = View(size=None, max_objects=4)


def test_clevr_round_trips(tmp_path):
    source = stills()
    file = write_clevr(tmp_path, source, part="validation")
    assert file == tmp_path / "scenes" / "CLEVR_val_scenes.json"
    assert (tmp_path / "images" / "val" / "CLEVR_val_000003.png").is_file()
    read = read_clevr(tmp_path, "validation", view=WHOLE)
    batch = read.batch([0, 1, 2, 3])
    same_pictures(batch, source, ("shape", "size", "material", "color", "position"))
    assert batch["target"] == ["0", "1", "0", "1"]
    assert batch["name"][0] == "CLEVR_val_000000"
    assert read.attributes["shape"] == tuple(
        sorted({item["shape"] for listed in batch["objects"] for item in listed})
    )
    assert set(read.attributes) == {"shape", "size", "material", "color"}
    scene = json.loads(file.read_text())["scenes"][2]
    places = np.array([item["3d_coords"] for item in scene["objects"]])
    for name in ("right", "front"):
        along = places @ np.array(scene["directions"][name])
        for i, further in enumerate(scene["relationships"][name]):
            assert further == [j for j in range(4) if along[j] - along[i] > 0.2]


def test_clevr_positions_are_projected_on_the_camera_s_directions(tmp_path):
    write_clevr(tmp_path, stills((1,)))
    file = tmp_path / "scenes" / "CLEVR_train_scenes.json"
    content = json.loads(file.read_text())
    content["scenes"][0]["directions"] |= {"right": [0.6, 0.8, 0.0], "front": [0.8, -0.6, 0.0]}
    content["scenes"][0]["objects"][0]["3d_coords"] = [1.0, 2.0, 0.7]
    file.write_text(json.dumps(content))
    position = read_clevr(tmp_path).objects(0)[0]["position"]
    assert position == pytest.approx((0.6 + 1.6, 0.8 - 1.2, 0.7))


def test_plain_clevr_has_neither_masks_nor_classes(tmp_path):
    file = write_clevr(tmp_path, stills())
    content = json.loads(file.read_text())
    for scene in content["scenes"]:
        del scene["class_id"]
        for item in scene["objects"]:
            del item["mask"]
    file.write_text(json.dumps(content))
    batch = read_clevr(tmp_path, view=View(size=(12, 16))).batch([3, 0])
    assert sorted(batch) == ["image", "name", "num_instances", "objects"]
    assert batch["num_instances"].tolist() == [1, 2]
    assert batch["image"].shape == (2, 3, 12, 16)


def test_clevr_hans_round_trips_and_numbers_named_classes(tmp_path):
    source = stills()
    source.fields["target"] = ["mice", "cats", "mice", "cats"]
    write_clevr_hans(tmp_path, source, part="test")
    assert (tmp_path / "test" / "images" / "CLEVR_Hans_classid_test_000000.png").is_file()
    read = read_clevr(tmp_path, "test", view=WHOLE)
    same_pictures(read.batch(range(4)), source)
    assert read.batch([0, 1])["target"] == ["1", "0"]
    masks = json.loads((tmp_path / "test" / "CLEVR_HANS_scenes_test.json").read_text())["scenes"][0][
        "objects"
    ]
    assert all(isinstance(item["mask"]["counts"], str) for item in masks)


@pytest.mark.parametrize("version", [1, 2])
def test_clevrtex_round_trips_in_both_releases(tmp_path, version):
    source = stills()
    root = write_clevrtex(tmp_path, source, version=version)
    stem = {1: "0/CLEVRTEX_full_000002", 2: "0/CLEVRTEXv2_full_000002/CLEVRTEXv2_full_000002"}[version]
    picture = {1: ".png", 2: "_0003.png"}[version]
    assert all((root / f"{stem}{end}").is_file() for end in (".json", picture, f"_flat{picture}"))
    read = read_clevrtex(tmp_path, "train", split="slots", view=WHOLE)
    assert len(read) == 3
    assert [name[-6:] for name in read_clevrtex(root, "test", view=WHOLE).names] == ["000003"]
    same_pictures(read.batch(range(3)), source.subset([0, 1, 2]))


def test_clevrtex_splits_by_number():
    count = 50_000
    for split, wanted in (("slots", (37_500, 2_500, 10_000)), ("release", (40_000, 5_000, 5_000))):
        edges = [SHARES[split][part] for part in ("train", "validation", "test")]
        assert tuple(round(b * count) - round(a * count) for a, b in edges) == wanted
        assert sorted(a for a, _ in edges) + [1.0] == [0.0] + sorted(b for _, b in edges)


def test_clevrtex_masks_follow_the_objects_own_numbers(tmp_path):
    source = stills((2, 3))
    root = write_clevrtex(tmp_path, source)
    file = root / "0" / "CLEVRTEX_full_000001.json"
    scene = json.loads(file.read_text())
    scene["objects"].reverse()
    file.write_text(json.dumps(scene))
    read = read_clevrtex(tmp_path, "train", split="release", view=WHOLE)
    batch, wanted = read.batch([len(read) - 1]), source.batch([1])
    assert batch["objects"][0][0]["position"] == wanted["objects"][0][2]["position"]
    renumbered = torch.tensor([0, 3, 2, 1])[wanted["segmentation"].long()]
    assert torch.equal(batch["segmentation"].long(), renumbered)


def test_the_standard_view_cuts_the_center(tmp_path):
    source = stills((1, 1), height=240, width=320)
    write_clevrtex(tmp_path, source)
    batch = read_clevrtex(tmp_path, "train", split="release").batch([0])
    assert batch["image"].shape == (1, 3, 128, 128)
    raw = read_clevrtex(tmp_path, "train", split="release", view=View(size=192, crop=0.8)).batch([0])
    whole = source.batch([0])
    assert torch.allclose(raw["image"], whole["image"][:, :, 24:216, 64:256], atol=1e-6)
    assert torch.equal(raw["segmentation"], whole["segmentation"][:, 24:216, 64:256])


def test_masks_are_resized_by_the_nearest_pixel(tmp_path):
    source = stills((4,), height=24, width=32)
    write_clevr(tmp_path, source)
    made = read_clevr(tmp_path, view=View(size=(7, 11))).batch([0])["segmentation"][0].numpy()
    whole = source.batch([0])["segmentation"][0].numpy()
    for y in range(7):
        for x in range(11):
            assert made[y, x] == whole[int((y + 0.5) * 24 / 7), int((x + 0.5) * 32 / 11)]


def test_coco_round_trips(tmp_path):
    source = stills()
    file = write_coco(tmp_path, source, part="validation")
    assert file == tmp_path / "annotations" / "instances_val2017.json"
    read = read_coco(tmp_path, "validation", view=WHOLE)
    batch = read.batch(range(4))
    assert (read.crowds, read.empty) == (0, 1)
    same_pictures(batch, source, ("category",))
    for listed, boxes in zip(batch["objects"], batch["boxes"].tolist()):
        for item, (top, left, bottom, right) in zip(listed, boxes):
            assert item["box"] == pytest.approx((left, top, right - left, bottom - top))
    assert len(read_coco(tmp_path, "validation", empty="drop", view=WHOLE)) == 3
    (tmp_path / "images").mkdir()
    (tmp_path / "val2017").rename(tmp_path / "images" / "val2017")
    assert torch.equal(read_coco(tmp_path, "validation", view=WHOLE).batch(range(4))["image"], batch["image"])


def coco_by_hand(folder, annotations, height=20, width=30):
    write_picture(folder / "train2017" / "7.png", np.full((3, height, width), 0.5))
    content = {
        "images": [{"id": 7, "file_name": "7.png", "height": height, "width": width}],
        "categories": [{"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}],
        "annotations": annotations,
    }
    file = folder / "annotations" / "instances_train2017.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def square(x, y, side, **more):
    outline = [[x, y, x + side, y, x + side, y + side, x, y + side]]
    made = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [x, y, side, side], "area": side * side}
    return {**made, "iscrowd": 0, "segmentation": outline, **more}


def test_coco_s_polygons_crowds_overlap_and_order(tmp_path):
    crowd = {"size": [20, 30], "counts": [0, 100, 500]}
    annotations = [
        square(6, 6, 2, category_id=90),
        square(4, 4, 8),
        square(0, 0, 5, iscrowd=1, segmentation=crowd, area=100),
    ]
    coco_by_hand(tmp_path, annotations)
    read = read_coco(tmp_path, view=View(size=None))
    batch = read.batch([0])
    assert read.crowds == 1
    assert [item["category"] for item in batch["objects"][0]] == ["car", "toothbrush"]
    wanted = np.zeros((20, 30), int)
    wanted[4:12, 4:12] = 1
    wanted[6:8, 6:8] = 2  # the smaller one lies above
    assert np.array_equal(batch["segmentation"][0].numpy(), wanted)
    assert batch["objects"][0][0]["box"] == pytest.approx((4 / 30, 4 / 20, 8 / 30, 8 / 20))
    kept = read_coco(tmp_path, crowd="keep", view=View(size=None)).batch([0])
    assert int(kept["visibility"][0, 0]) == 100 - 8
    assert len(kept["objects"][0]) == 3
    one = read_coco(tmp_path, view=View(size=None, max_objects=1)).batch([0])
    assert one["segmentation"].max() == 1
    assert len(one["objects"][0]) == 1


def test_coco_s_boxes_follow_the_cut(tmp_path):
    coco_by_hand(tmp_path, [square(0, 5, 10), square(0, 0, 3)])
    batch = read_coco(tmp_path, view=View(size=10, crop=1.0)).batch([0])  # columns 5 to 24 stay
    assert batch["boxes"][0, :2].tolist() == [[0.25, 0.0, 0.75, 0.25], [0.0, 0.0, 0.0, 0.0]]
    assert batch["visibility"][0, :2].tolist() == [5 * 2, 0]  # every second of 10 rows and of 5 columns
    assert len(batch["objects"][0]) == 2


def test_one_door_recognizes_every_layout(tmp_path):
    source = stills((1, 2, 3, 1, 2))
    write_clevr(tmp_path / "a", source, part="validation")
    write_clevr_hans(tmp_path / "b", source, part="test")
    write_clevrtex(tmp_path / "c", source)
    root = write_clevrtex(tmp_path / "d", source, version=2)
    write_coco(tmp_path / "e", source)
    found = {name: layout_of(tmp_path / name) for name in "abcde"}
    assert found == {"a": "CLEVR", "b": "CLEVR-Hans", "c": "CLEVRTex", "d": "CLEVRTex", "e": "COCO"}
    for name, part in (("a", "validation"), ("b", "test"), ("c", "train"), ("e", "train")):
        read = read_scenes(tmp_path / name, part=part, size=16, max_objects=3)
        batch = read.batch([0])
        assert batch["image"].shape == (1, 3, 16, 16)
        assert batch["boxes"].shape == (1, 3, 4)
        assert read.view.crop == (0.8 if name == "c" else None)
    assert read_scenes(root, size=16).names == read_scenes(tmp_path / "d", size=16).names
    with pytest.raises(InputError, match=r"no known corpus.*scenes/CLEVR_\*_scenes.json.*instances_\*2017"):
        read_scenes(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_scenes(tmp_path / "none")
    with pytest.raises(InputError, match=r"CLEVR_train_scenes.json.*use validation"):
        read_scenes(tmp_path / "a")
    with pytest.raises(InputError, match="no annotations of its test part"):
        read_scenes(tmp_path / "e", part="test")


def test_sources_are_pure_picklable_and_fingerprinted(tmp_path):
    write_clevr_hans(tmp_path, stills())
    read = read_scenes(tmp_path, size=8)
    first, again = read.batch([2, 0]), pickle.loads(pickle.dumps(read)).batch([2, 0])
    assert all(torch.equal(first[key], again[key]) for key in ("image", "segmentation", "boxes"))
    assert torch.equal(read.batch([0])["image"][0], first["image"][1])
    part = read.subset([2])
    assert part.batch([0])["name"] == [first["name"][0]]
    prints = [fingerprint(item) for item in (read, part, read_scenes(tmp_path, size=9))]
    assert len(set(prints)) == 3
    assert fingerprint(read_scenes(tmp_path, size=8)) == prints[0]
    write_attributes(tmp_path / "words.json", read.attributes)
    assert read_attributes(tmp_path / "words.json") == read.attributes
    (tmp_path / "words.json").write_text('{"shape": 3}')
    with pytest.raises(InputError, match=r"words.json: is not a table"):
        read_attributes(tmp_path / "words.json")

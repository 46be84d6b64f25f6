"""Images with table rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from visus.data import image_table
from visus.data.formats import write_image
from visus.data.image_table import ImageTable, resize
from visus.errors import InputError
from visus.protocols import Source


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        write_image(tmp_path / "pictures" / f"{name}.png", rng.random((1, 6, 5)))
    lines = [
        "path,age,sex,patient,y",
        "pictures/a.png,30,f,p1,yes",
        "pictures/b.png,,m,p1,no",
        "pictures/c.png,50.5,,p2,yes",
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def load(folder, **options):
    return ImageTable.from_csv(
        folder / "t.csv", **{"image_column": "path", "target": "y", "group": "patient", **options}
    )


def test_a_batch_has_image_row_and_target_and_the_row_hides_target_group_and_path(folder):
    table = load(folder)
    assert isinstance(table, Source)
    batch = table.batch([2, 1])
    assert batch["image"].shape == (2, 1, 6, 5)
    assert batch["image"].dtype == torch.float32
    assert batch["row"] == [{"age": 50.5, "sex": None}, {"age": None, "sex": "m"}]
    assert batch["target"] == ["yes", "no"]
    assert table.columns == ["age", "sex"]
    assert table.targets == ["yes", "no", "yes"]
    assert table.groups == ["p1", "p1", "p2"]
    assert [path.name for path in table.paths] == ["a.png", "b.png", "c.png"]


def test_an_item_is_the_same_alone_in_a_batch_and_in_a_subset(folder):
    table = load(folder)
    whole = table.batch([0, 1, 2])
    part = table.subset([2, 0])
    assert part.batch([0])["image"][0].equal(whole["image"][2])
    assert table.batch([1])["image"][0].equal(whole["image"][1])
    assert part.batch([1])["row"][0] == whole["row"][0]
    assert part.targets == ["yes", "yes"]


def test_images_in_memory_are_scaled_by_their_type():
    frame = pd.DataFrame({"a": [1, 2]}, index=[7, 9])
    whole = ImageTable(frame, images=np.full((2, 1, 3, 3), 255, np.uint8))
    assert whole.batch([0])["image"].unique().tolist() == [1.0]
    assert "target" not in whole.batch([0])
    deep = ImageTable(frame, images=np.full((2, 1, 3, 3), 65535, np.uint16))
    assert deep.batch([1])["image"].unique().tolist() == [1.0]
    kept = ImageTable(frame, images=torch.full((2, 1, 3, 3, 3), -900.0))
    assert kept.batch([0, 1])["image"].unique().tolist() == [-900.0]
    assert kept.batch([0])["row"] == [{"a": 1}]
    with pytest.raises(InputError, match="has no target"):
        _ = kept.targets


def test_image_size_resizes_files_and_memory(folder):
    assert load(folder, image_size=(3, 4)).batch([0])["image"].shape == (1, 1, 3, 4)
    frame = pd.DataFrame({"a": [1]})
    volume = ImageTable(frame, images=torch.ones(1, 2, 8, 9, 7), image_size=(4, 3, 7))
    assert volume.batch([0])["image"].shape == (1, 2, 4, 3, 7)
    with pytest.raises(InputError, match="image_size"):
        load(folder, image_size=(3, 4, 5)).batch([0])


def test_resize_keeps_constants_and_the_mean_of_what_it_shrinks():
    assert torch.allclose(resize(torch.full((1, 1, 9, 7), 3.0), (4, 5)), torch.tensor(3.0))
    noise = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    small = resize(noise, (8, 8, 8))
    assert abs(float(small.mean() - noise.mean())) < 1e-3
    assert float(small.std()) < 0.3 * float(noise.std())
    expected = noise.reshape(1, 1, 8, 4, 8, 4, 8, 4).mean(dim=(3, 5, 7))
    assert torch.allclose(small, expected, atol=1e-6)


def test_mixed_shapes_name_the_line(folder):
    write_image(folder / "pictures" / "b.png", np.zeros((1, 9, 9)))
    with pytest.raises(InputError) as caught:
        load(folder).batch([0, 1])
    assert "t.csv: column path, line 3: is 1 channels of 9x9, but a.png is 1 channels of 6x5" in str(
        caught.value
    )
    assert "image_size" in caught.value.remedy
    assert load(folder, image_size=(6, 5)).batch([0, 1])["image"].shape == (2, 1, 6, 5)


def test_a_damaged_picture_names_table_column_line_and_file_also_in_a_subset(folder):
    path = folder / "pictures" / "c.png"
    path.write_bytes(path.read_bytes()[:60])
    for table, index in ((load(folder), 2), (load(folder).subset([1, 2]), 1)):
        with pytest.raises(InputError) as caught:
            table.batch([index])
        text = str(caught.value)
        assert "t.csv: column path, line 4" in text
        assert "c.png" in text
        assert "cut off" in text


def test_values_that_are_not_finite_are_refused(folder):
    bad = np.ones((1, 6, 5), np.float32)
    bad[0, 0, 0] = np.nan
    np.save(folder / "bad.npy", bad)
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(InputError, match="not finite"):
        ImageTable(frame, images=[folder / "bad.npy"]).batch([0])
    with pytest.raises(InputError, match="item 0 holds values that are not finite"):
        ImageTable(frame, images=bad[None])


def change(folder, old, new):
    file = folder / "t.csv"
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pictures/b.png", "pictures/x.png", ["line 3", "x.png does not exist", "1 of 3", "another root"]),
        ("pictures/b.png", "", ["column path, line 3", "names no image"]),
        ("path,", "Path,", ["column path", "did you mean Path?"]),
        (",age,", ",sex,", ["column sex", "more than once"]),
        ("m,p1,no", "m,p1,", ["column y, line 3", "target is missing in 1 of 3", "delete"]),
        ("m,p1,no", "m,,no", ["column patient, line 3", "group is missing"]),
        ("m,p1,no", "m,p1,no,more", ["line 3", "6 fields where the header has 5", "double quotes"]),
        ("m,p1,no", '"m,p1,no', ["line", "quotes"]),
    ],
)
def test_malformed_tables_name_file_place_and_remedy(folder, old, new, words):
    change(folder, old, new)
    with pytest.raises(InputError) as caught:
        load(folder)
    assert "t.csv" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_empty_and_foreign_tables(folder):
    file = folder / "t.csv"
    file.write_text("path,y\n")
    with pytest.raises(InputError, match="no rows"):
        load(folder)
    file.write_text("")
    with pytest.raises(InputError, match="empty"):
        load(folder)
    file.unlink()
    with pytest.raises(InputError, match="does not exist"):
        load(folder)
    frame = pd.DataFrame({"a": [1, 2]})
    with pytest.raises(InputError, match="1 images for 2 rows"):
        ImageTable(frame, images=torch.zeros(1, 1, 2, 2))
    with pytest.raises(InputError, match="axes"):
        ImageTable(frame, images=torch.zeros(2, 2))
    with pytest.raises(InputError, match="no such column"):
        ImageTable(frame, images=torch.zeros(2, 1, 2, 2), target="b")
    with pytest.raises(InputError, match="no rows"):
        ImageTable(frame[:0], images=torch.zeros(0, 1, 2, 2))


def test_a_table_without_targets_serves_prediction(folder):
    change(folder, ",yes", ",")
    table = load(folder, require_target=False)
    assert table.target is None
    assert "y" not in table.columns
    assert "target" not in table.batch([0])
    change(folder, ",patient,y", ",patient,z")
    assert load(folder, require_target=False).target is None


def test_paths_resolve_against_the_table_or_the_given_root(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "t.csv"
    other.write_text((folder / "t.csv").read_text().replace("/", "\\"))
    with pytest.raises(InputError, match="does not exist"):
        ImageTable.from_csv(other, image_column="path")
    assert len(ImageTable.from_csv(other, image_column="path", root=folder).batch([0])["image"]) == 1
    other.write_text("path\n" + str(folder / "pictures" / "a.png") + "\n")
    assert len(ImageTable.from_csv(other, image_column="path")) == 1


def test_the_cache_is_bounded_and_shared_and_left_behind_by_pickling(folder, monkeypatch):
    monkeypatch.setattr(image_table, "CACHE_BYTES", 2 * 30 * 4)  # two pictures of 6x5
    reads = []
    table = load(folder, read=lambda path: reads.append(path.name) or torch.ones(1, 6, 5))
    table.batch([0, 1])
    table.subset([0]).batch([0])
    assert reads == ["a.png", "b.png"]
    table.batch([2])
    table.batch([0])
    assert reads == ["a.png", "b.png", "c.png"]  # b, the oldest, made room
    table.batch([1])
    assert reads[-1] == "b.png"
    assert table._cache.used <= table._cache.limit
    plain = load(folder)
    before = plain.batch([0])["image"]
    copy = pickle.loads(pickle.dumps(plain))
    assert len(copy._cache.items) == 0
    assert copy.batch([0])["image"].equal(before)


def test_fingerprints_follow_table_and_pictures(folder):
    first = load(folder).fingerprint()
    assert load(folder).fingerprint() == first
    assert load(folder).subset([0, 1]).fingerprint() != first
    assert load(folder, image_size=(3, 3)).fingerprint() != first
    write_image(folder / "pictures" / "c.png", np.zeros((1, 6, 5)))
    second = load(folder).fingerprint()
    assert second != first
    change(folder, "50.5", "51.5")
    assert load(folder).fingerprint() != second
    frame = pd.DataFrame({"a": [1]})
    zero, one = (ImageTable(frame, images=torch.full((1, 1, 2, 2), value)) for value in (0.0, 1.0))
    assert zero.fingerprint() != one.fingerprint()

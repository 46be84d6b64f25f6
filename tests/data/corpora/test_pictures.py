"""Picture corpora in their layouts."""

import gzip
import os
import pickle
import struct

import numpy as np
import pytest

from visus.data.corpora.cifar import load_cifar, write_cifar100
from visus.data.corpora.image_folder import load_image_csv, load_image_folder, write_image_folder
from visus.data.corpora.mnist import load_mnist, read_idx, write_idx, write_mnist
from visus.errors import InputError

RNG = np.random.default_rng(0)


def test_image_folder_round_trips(tmp_path):
    images = np.rint(RNG.random((4, 3, 5, 6)) * 255) / 255
    write_image_folder(tmp_path, images, ["dog", "cat", "dog", "cat"])
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / ".hidden.png").write_text("x")
    (tmp_path / ".git").mkdir()
    table = load_image_folder(tmp_path)
    assert table.targets == ["cat", "cat", "dog", "dog"]
    batch = table.batch([0, 1, 2, 3])
    assert np.allclose(batch["image"].numpy(), images[[1, 3, 0, 2]], atol=1e-6)
    assert batch["row"] == [{}, {}, {}, {}]
    assert load_image_folder(tmp_path, image_size=(2, 2)).batch([0])["image"].shape == (1, 3, 2, 2)


def test_malformed_image_folders(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        load_image_folder(tmp_path / "none")
    with pytest.raises(InputError, match="no sub-folders"):
        load_image_folder(tmp_path)
    write_image_folder(tmp_path, RNG.random((1, 1, 4, 4)), ["a"])
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="b: holds no pictures"):
        load_image_folder(tmp_path)


def test_image_csv_finds_usual_names(tmp_path):
    write_image_folder(tmp_path / "pictures", RNG.random((2, 1, 4, 4)), ["a", "b"])
    (tmp_path / "t.csv").write_text("Path,Label\npictures/a/00000.png,a\npictures/b/00001.png,b\n")
    table = load_image_csv(tmp_path / "t.csv")
    assert table.batch([1, 0])["target"] == ["b", "a"]
    (tmp_path / "t.csv").write_text("Path,kind\npictures/a/00000.png,a\n")
    with pytest.raises(InputError, match=r"label, class, target, category.*there are: Path, kind"):
        load_image_csv(tmp_path / "t.csv")
    assert load_image_csv(tmp_path / "t.csv", require_target=False).columns == ["kind"]
    assert load_image_csv(tmp_path / "t.csv", target="kind").targets == ["a"]


def test_mnist_round_trips_packed_and_plain(tmp_path):
    images, labels = RNG.integers(0, 256, (5, 4, 3)).astype(np.uint8), np.array([3, 1, 4, 1, 5], np.uint8)
    write_mnist(tmp_path, images, labels)
    write_mnist(tmp_path, images[:2], labels[:2], part="test")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    }
    table = load_mnist(tmp_path)
    assert table.targets == [3, 1, 4, 1, 5]
    assert np.allclose(table.batch([0, 4])["image"][:, 0].numpy(), images[[0, 4]] / 255)
    assert len(load_mnist(tmp_path, "test")) == 2
    for path in list(tmp_path.iterdir()):
        path.with_name(path.name.replace("-idx", ".idx")[:-3]).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load_mnist(tmp_path).targets == [3, 1, 4, 1, 5]


def test_idx_types_follow_the_published_head(tmp_path):
    (tmp_path / "x").write_bytes(bytes([0, 0, 0x0C, 2, 0, 0, 0, 1, 0, 0, 0, 2]) + struct.pack(">ii", -5, 7))
    assert read_idx(tmp_path / "x").tolist() == [[-5, 7]]
    for kind in (np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64):
        values = np.array([[1, 2], [3, 4]], kind)
        write_idx(tmp_path / "y", values)
        again = read_idx(tmp_path / "y")
        assert again.dtype == kind
        assert np.array_equal(again, values)
    with pytest.raises(InputError, match="no idx type"):
        write_idx(tmp_path / "z", np.zeros(2, np.int64))


def test_malformed_mnist(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_mnist(tmp_path)
    write_mnist(tmp_path, np.zeros((3, 4, 4)), np.zeros(2))
    with pytest.raises(InputError, match="do not go with"):
        load_mnist(tmp_path)
    with pytest.raises((InputError, TypeError)):  # a type error where calls are type-checked
        load_mnist(tmp_path, "all")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    for content in (whole[: len(whole) // 2], plain[:-1], plain[:6], b"\0\0", b"words and words"):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_mnist(tmp_path)
        assert caught.value.file == path


CIFAR = RNG.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)


def pickled(path, content, protocol=2):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def cifar100(folder, protocol=2, as_bytes=True):
    def key(name):
        return name.encode() if as_bytes else name

    names = [key("apple"), key("bee")]
    pickled(
        folder / "meta", {key("fine_label_names"): names, key("coarse_label_names"): [key("all")]}, protocol
    )
    content = {
        key("data"): CIFAR.reshape(4, -1),
        key("fine_labels"): [0, 1, 1, 0],
        key("coarse_labels"): [0] * 4,
    }
    for part in ("train", "test"):
        pickled(folder / part, {**content, key("filenames"): [key("a.png")] * 4}, protocol)
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_cifar100_python_layout(tmp_path, protocol, as_bytes):
    table = load_cifar(cifar100(tmp_path / "c", protocol, as_bytes))
    assert table.targets == ["apple", "bee", "bee", "apple"]
    assert np.allclose(table.batch([0, 3])["image"].numpy(), CIFAR[[0, 3]] / 255)
    assert load_cifar(tmp_path / "c", "test", level="coarse").targets == ["all"] * 4


def test_cifar100_binary_layout_gives_the_same_pictures(tmp_path):
    write_cifar100(tmp_path / "b", CIFAR, [0, 1, 1, 0], ["apple", "bee"])
    binary, python = load_cifar(tmp_path / "b"), load_cifar(cifar100(tmp_path / "c"))
    assert binary.targets == python.targets
    assert binary.batch(range(4))["image"].equal(python.batch(range(4))["image"])
    assert (tmp_path / "b" / "train.bin").stat().st_size == 4 * 3074


def test_cifar10_layouts(tmp_path):
    folder = tmp_path / "py"
    pickled(folder / "batches.meta", {b"label_names": [b"plane", b"car"]})
    for i in (1, 2):
        pickled(
            folder / f"data_batch_{i}", {b"data": CIFAR[2 * i - 2 : 2 * i].reshape(2, -1), b"labels": [0, 1]}
        )
    table = load_cifar(folder)
    assert table.targets == ["plane", "car"] * 2
    assert np.allclose(table.batch([3])["image"].numpy(), CIFAR[3:] / 255)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("plane\ncar\n\n")
    (folder / "test_batch.bin").write_bytes(bytes([1]) + CIFAR[2].tobytes())
    table = load_cifar(folder, "test")
    assert table.targets == ["car"]
    assert np.allclose(table.batch([0])["image"].numpy(), CIFAR[2:3] / 255)
    with pytest.raises(InputError, match=r"data_batch_1.bin: does not exist"):
        load_cifar(folder)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_cifar_pickle_that_asks_for_code_is_refused(tmp_path):
    folder, marker = cifar100(tmp_path / "c"), tmp_path / "ran"
    for name in ("train", "meta"):
        whole = (folder / name).read_bytes()
        pickled(folder / name, {b"data": Call(os.mkdir, str(marker))})
        with pytest.raises(InputError, match=r"refused.*binary version"):
            load_cifar(folder)
        (folder / name).write_bytes(whole)
    assert not marker.exists()


def test_malformed_cifar(tmp_path):
    with pytest.raises(InputError, match="no CIFAR folder"):
        load_cifar(tmp_path)
    folder = cifar100(tmp_path / "c")
    whole = (folder / "train").read_bytes()
    for content in (whole[:3000], b"words", pickle.dumps([1])):
        (folder / "train").write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_cifar(folder)
        assert caught.value.file == folder / "train"
    for wrong in (
        {b"data": CIFAR.reshape(4, -1), b"fine_labels": [0]},
        {b"data": [1, 2], b"fine_labels": [0]},
        {b"data": CIFAR.reshape(4, -1).astype(float), b"fine_labels": [0] * 4},
    ):
        pickled(folder / "train", wrong)
        with pytest.raises(InputError, match="holds no"):
            load_cifar(folder)
    pickled(folder / "train", {b"data": CIFAR.reshape(4, -1), b"fine_labels": [0, 1, 2, 0]})
    with pytest.raises(InputError, match="label 2 with 2 class names"):
        load_cifar(folder)
    pickled(folder / "meta", {b"names": []})
    with pytest.raises(InputError, match="no list fine_label_names"):
        load_cifar(folder, "test")
    write_cifar100(tmp_path / "b", CIFAR, [0] * 4, ["apple"])
    with (tmp_path / "b" / "train.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="not a multiple of 3074"):
        load_cifar(tmp_path / "b")
    with pytest.raises((InputError, TypeError)):
        load_cifar(tmp_path / "b", "valid")

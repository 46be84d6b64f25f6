"""Matrices of embeddings in files: round trips, names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from visus.data.features import Embeddings, embeddings_in, read_embeddings, write_embeddings
from visus.errors import InputError

ENDINGS = (".npy", ".npz", ".safetensors", ".csv", ".tsv")


def made(n: int = 4, e: int = 3) -> Embeddings:
    values = torch.randn(n, e, generator=torch.Generator().manual_seed(0))
    return Embeddings(values, tuple(f"item, {i} é" for i in range(n)), origin="encoder 1")


@pytest.mark.parametrize("ending", ENDINGS)
def test_written_and_read_again(tmp_path, ending):
    path = tmp_path / f"some{ending}"
    write_embeddings(path, made())
    found = read_embeddings(path)
    assert torch.equal(found.values, made().values)
    assert found.names == made().names
    assert found.origin == ("encoder 1" if ending in (".npz", ".safetensors") else path.name)
    again = tmp_path / f"again{ending}"
    write_embeddings(again, made())
    assert again.read_bytes() == path.read_bytes() or ending == ".npz"  # a zip file knows its time


def test_rows_by_name_and_number():
    all_rows = made()
    assert (len(all_rows), all_rows.width) == (4, 3)
    part = all_rows.subset(["item, 3 é", "item, 0 é"])
    assert torch.equal(part.values, all_rows.values[[3, 0]])
    assert part.origin == "encoder 1"
    for items in ([3, 0], np.array([3, 0]), torch.tensor([3, 0])):
        assert all_rows.subset(items).names == part.names
    assert all_rows.subset(torch.tensor([True, False, False, True])).names == ("item, 0 é", "item, 3 é")
    assert all_rows.where("item, 2 é") == 2
    with pytest.raises(InputError, match="'crane' is not among them"):
        all_rows.where("crane")
    with pytest.raises(InputError, match=r"row 4 is outside 0\.\.3"):
        all_rows.subset([0, 4])
    with pytest.raises(InputError, match="items: are 2 for 4 rows"):
        all_rows.subset([True, False])


def test_doubled_names():
    values = torch.tensor([[1.0], [2.0], [1.0]])
    assert Embeddings(values, ("a", "b", "a")).where("a") == 0
    with pytest.raises(InputError, match="'a' stands at rows 0, 1, which differ"):
        Embeddings(values, ("a", "a", "b")).where("a")


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (torch.zeros(3), "abc", r"have shape \(3,\)"),
        (torch.zeros(0, 3), "", r"have shape \(0, 3\)"),
        (torch.zeros(2, 3), "abc", "are 3 for 2 rows"),
        (torch.tensor([[1.0], [torch.nan]]), "ab", r"row 1 \(b\) holds values that are not finite"),
        (torch.tensor([[1e300]], dtype=torch.float64), "a", "not finite"),
    ],
)
def test_what_is_no_matrix_of_embeddings(values, names, message):
    with pytest.raises(InputError, match=message):
        Embeddings(values, tuple(names))


def test_where_names_come_from(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.eye(2))
    assert read_embeddings(path).names == ("0", "1")
    assert read_embeddings(path).values.dtype == torch.float32
    (tmp_path / "m.names.txt").write_text("cat\n\n dog \n")
    assert read_embeddings(path).names == ("cat", "dog")
    assert read_embeddings(path, names=["x", "y"]).names == ("x", "y")
    (tmp_path / "list.txt").write_text("u\nv\n")
    assert read_embeddings(path, names=tmp_path / "list.txt").names == ("u", "v")
    with pytest.raises(InputError, match=r"m\.npy: names: are 1 for 2 rows"):
        read_embeddings(path, names=["x"])
    for stored in ("wnid", "image", "names"):
        np.savez(tmp_path / "m.npz", some=np.eye(2, dtype=np.float16), **{stored: np.array(["p", "q"])})
        assert read_embeddings(tmp_path / "m.npz").names == ("p", "q")


def test_several_matrices_need_a_key(tmp_path, shared):
    path = tmp_path / "two.npz"
    np.savez(path, a=np.eye(2), b=np.ones((2, 3)), c=np.ones(2), names=np.array(["p", "q"]))
    with pytest.raises(
        InputError, match=r"holds several matrices \(a \(2, 2\), b .*choose one by its key: a, b"
    ):
        read_embeddings(path)
    assert read_embeddings(path, key="b").width == 3
    with pytest.raises(InputError, match="key d: holds a"):
        read_embeddings(path, key="d")
    with pytest.raises(InputError, match="no matrix"):
        read_embeddings(path, key="c")
    real = read_embeddings(shared / "data" / "imagenet_sample" / "efficientnet_lite0.npz", key="features")
    assert (len(real), real.width) == (1000, 1280)
    assert real.names[real.where("n01440764")] == "n01440764"


def test_tables(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("cat,1,2.5\ndog,-3,1e-3\n")
    assert read_embeddings(path).values.tolist() == [[1.0, 2.5], [-3.0, pytest.approx(1e-3)]]
    path.write_text('name;x0;x1\n"a; b";1;2\n')
    assert read_embeddings(path).names == ("a; b",)
    for text, message in (
        ("name,x\ncat,red\n", "line 2: holds 'red', no number"),
        ("name,x,y\ncat,1,2\ndog,1\n", "line 3: has 2 of 3 cells"),
        ("cat\ndog\n", "has one column"),
        ("name,x\ncat,nan\n", "not finite"),
        ("", "is empty"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_embeddings(path)
        assert caught.value.file == path


def damaged(folder: Path) -> dict[str, Path]:
    names = {}
    for ending in (".npy", ".npz", ".safetensors"):
        path = folder / f"cut{ending}"
        write_embeddings(path, made())
        path.write_bytes(path.read_bytes()[:50])
        names[ending] = path
    np.save(folder / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(folder / "volume.npy", np.zeros((2, 2, 2)))
    np.save(folder / "words.npy", np.array([["a", "b"]]))
    save_file({"x": torch.zeros(2, 2, dtype=torch.bool)}, folder / "flags.safetensors")
    return names | {path.name: path for path in folder.iterdir() if "cut" not in path.name}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".npy", "is not a complete NumPy file"),
        (".npz", "is not a complete NumPy file"),
        (".safetensors", "is not a complete safetensors file"),
        ("pickled.npy", "holds Python objects"),
        ("volume.npy", r"holds the array \(2, 2, 2\), no matrix"),
        ("words.npy", "no matrix"),
        ("flags.safetensors", "no matrix"),
    ],
)
def test_damaged_files(tmp_path, name, message):
    path = damaged(tmp_path)[name]
    with pytest.raises(InputError, match=message) as caught:
        read_embeddings(path)
    assert caught.value.file == path


def test_other_endings(tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has no known ending.*\.npy \.npz"):
        read_embeddings(tmp_path / "m.pkl")
    with pytest.raises(InputError, match="has no known ending"):
        write_embeddings(tmp_path / "m.txt", made())
    with pytest.raises(InputError, match="does not exist"):
        read_embeddings(tmp_path / "gone.npy")
    with pytest.raises(InputError, match="has a line break"):
        write_embeddings(tmp_path / "m.npy", Embeddings(torch.ones(1, 1), ("a\nb",)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pkl"]


def test_a_folder_of_models(tmp_path):
    for name, ending in (("b", ".npz"), ("a", ".csv"), ("c", ".npy")):
        write_embeddings(tmp_path / f"{name}{ending}", made(e=2 + ord(name)))
    (tmp_path / "attributes.csv").write_text("model,size\na,1\n")
    (tmp_path / "notes.md").write_text("x")
    found = embeddings_in(tmp_path)
    assert {name: each.width for name, each in found.items()} == {"a": 99, "b": 100, "c": 101}
    assert list(found) == ["a", "b", "c"]
    write_embeddings(tmp_path / "a.npz", made())
    with pytest.raises(InputError, match="there are two files called a"):
        embeddings_in(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no embeddings"):
        embeddings_in(tmp_path / "empty")
    with pytest.raises(InputError, match="is not a folder"):
        embeddings_in(tmp_path / "gone")

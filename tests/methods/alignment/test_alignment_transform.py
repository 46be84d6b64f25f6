"""The record of a learned map, and the files it is exchanged in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.methods.alignment import Transform
from visus.methods.alignment.model import LinearAligner


def made(*, bias: bool = True, std: float = 0.37) -> Transform:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(6, 6, generator=draw)
    return Transform(weights, torch.randn(6, generator=draw) if bias else None, mean=0.25, std=std)


def points(count: int = 9) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("std", [0.5, 0.37])
def test_what_was_saved_transforms_bit_for_bit_alike(tmp_path, bias, std):
    transform = made(bias=bias, std=std)
    transform.save_npz(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        assert set(file) == {"weights", "mean", "std"} | ({"bias"} if bias else set())
        assert file["weights"].shape == (6, 6)
        assert file["mean"].shape == file["std"].shape == ()
        # a single precision number stays one, so that NumPy's promotion leaves the features' type alone
        assert file["std"].dtype == (np.float32 if std == 0.5 else np.float64)
    loaded = Transform.load_npz(tmp_path / "t.npz")
    assert torch.equal(loaded.apply(points()), transform.apply(points()))
    assert (loaded.mean, loaded.std) == (transform.mean, transform.std)


def test_apply_is_the_published_formula():
    transform, x = made(), points()
    assert transform.bias is not None
    slow = ((x.double() - 0.25) / 0.37) @ transform.weights.double() + transform.bias.double()
    torch.testing.assert_close(transform.apply(x.double()), slow)
    torch.testing.assert_close(transform.apply(x), slow.float(), rtol=1e-5, atol=1e-5)
    assert transform.apply(x.reshape(3, 3, 6)).shape == (3, 3, 6)


def test_a_module_and_its_record_say_the_same():
    transform = made()
    net = LinearAligner.from_transform(transform)
    x = points()
    assert torch.equal(net(transform.standardize(x)), transform.apply(x))
    back = net.to_transform()
    assert torch.equal(back.weights, transform.weights)
    assert (back.mean, back.std) == (transform.mean, transform.std)


def test_a_bias_kept_as_a_last_column_is_taken_apart(tmp_path):
    transform = made()
    assert transform.bias is not None
    column = np.concatenate([transform.weights.numpy(), transform.bias.numpy()[:, None]], axis=1)
    np.savez(tmp_path / "old.npz", weights=column, mean=transform.mean, std=transform.std)
    loaded = Transform.load_npz(tmp_path / "old.npz")
    assert torch.equal(loaded.apply(points()), transform.apply(points()))
    assert loaded.outputs == 6


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"weights": np.eye(3), "mean": 0.0}, "std: is missing; the file holds mean, weights"),
        ({"weights": np.zeros(3), "mean": 0.0, "std": 1.0}, "weights: has shape (3,)"),
        ({"weights": np.full((3, 3), np.nan), "mean": 0.0, "std": 1.0}, "weights: holds values that are not"),
        ({"weights": np.eye(3), "mean": np.zeros(3), "std": 1.0}, "mean: has shape (3,)"),
        ({"weights": np.eye(3), "mean": 0.0, "std": 0.0}, "std: is 0.0, not above 0"),
        ({"weights": np.eye(3), "mean": 0.0, "std": 1.0, "bias": np.zeros(2)}, "bias: has 2 numbers for 3"),
        ({"weights": np.array([["a"]]), "mean": 0.0, "std": 1.0}, "weights: has shape (1, 1) of <U1"),
    ],
)
def test_files_that_are_no_transform_are_refused(tmp_path, arrays, says):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError) as refusal:
        Transform.load_npz(tmp_path / "bad.npz")
    assert says in str(refusal.value)
    assert "bad.npz" in str(refusal.value)
    assert "What to do" in str(refusal.value)


def test_absent_and_cut_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Transform.load_npz(tmp_path / "none.npz")
    made().save_npz(tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:60])
    with pytest.raises(InputError, match="complete NumPy file"):
        Transform.load_npz(tmp_path / "cut.npz")


def test_features_of_another_network_are_refused():
    with pytest.raises(InputError, match="takes 6 numbers"):
        made().apply(torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("name", "width", "bias"),
    [
        ("glocal/resnet18_avgpool.npz", 512, True),
        ("glocal/clip_RN50_visual.npz", 1024, True),
        ("glocal/clip_ViT-L_14_visual.npz", 768, False),
    ],
)
def test_published_glocal_files_load_and_come_back_whole(extra_data, tmp_path, name, width, bias):
    transform = Transform.load_npz(extra_data(name))
    assert (transform.inputs, transform.outputs) == (width, width)
    assert (transform.bias is not None) == bias
    diagonal = transform.weights.diagonal()
    assert 0.05 < float(diagonal.mean()) < 0.13
    off = transform.weights - torch.diag(diagonal)
    assert 2e-4 < float(off.square().mean().sqrt()) < 9e-4
    x = torch.randn(4, width, generator=torch.Generator().manual_seed(0))
    with np.load(extra_data(name)) as file:
        wanted = ((x.numpy() - np.float32(file["mean"])) / np.float32(file["std"])) @ file["weights"]
        wanted = wanted + (file["bias"] if bias else 0)
        transform.save_npz(tmp_path / "again.npz")
        with np.load(tmp_path / "again.npz") as again:
            assert {key: again[key].dtype for key in again} == {key: file[key].dtype for key in file}
            assert all(np.array_equal(again[key], file[key]) for key in file)
    torch.testing.assert_close(transform.apply(x), torch.from_numpy(wanted), rtol=1e-4, atol=1e-4)
    assert torch.equal(Transform.load_npz(tmp_path / "again.npz").apply(x), transform.apply(x))

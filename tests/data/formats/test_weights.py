"""Files of weights as networks: every layout people use, exact round trips, and refusals that name the tensor."""

from __future__ import annotations

import itertools
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from visus.data.formats.weights import read_network, write_network
from visus.errors import InputError


def stack(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]


def same(one, other, *shape):
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.equal(one.eval()(x), other.eval()(x))


def parameters(network):
    return dict(network.state_dict().items())


CONV = nn.Sequential(
    nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(4, eps=1e-3),
    nn.LeakyReLU(0.2),
    nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding="same", groups=2), nn.PReLU(4)),
    nn.AdaptiveAvgPool2d((2, 2)),
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(16, 5),
    nn.Hardtanh(-0.5, 2.0),
    nn.Linear(5, 2, bias=False),
)


def test_written_networks_come_back_exactly(tmp_path):
    with torch.no_grad():
        for tensor in CONV.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0, generator=torch.Generator().manual_seed(tensor.numel()))
    write_network(tmp_path / "a.safetensors", CONV)
    before = torch.get_rng_state()
    made = read_network(tmp_path / "a.safetensors")
    assert torch.get_rng_state().equal(before)
    assert not made.training
    assert [type(layer).__name__ for layer in made] == [
        *("Conv2d", "BatchNorm2d", "LeakyReLU", "MaxPool2d", "Conv2d", "PReLU", "AdaptiveAvgPool2d"),
        *("Flatten", "Dropout", "Linear", "Hardtanh", "Linear"),
    ]
    assert same(made, CONV, 3, 9, 8)
    assert all(weight.requires_grad for weight in made.parameters())
    write_network(tmp_path / "b.safetensors", made)
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_double_precision_is_kept(tmp_path):
    network = stack(2, 3, 1).double()
    write_network(tmp_path / "a.safetensors", network)
    made = read_network(tmp_path / "a.safetensors")
    assert made[0].weight.dtype == torch.float64
    assert made[0].weight.equal(network[0].weight)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    style=st.sampled_from(["W0", "weights_0", "arr_0", "layer.0.kernel"]),
    turned=st.booleans(),
    bias=st.booleans(),
)
def test_npz_lists_in_every_style_and_either_way_round(tmp_path_factory, widths, style, turned, bias):
    network = stack(*widths)
    matrices = [layer for layer in network if isinstance(layer, nn.Linear)]
    arrays = {}
    for i, layer in enumerate(matrices):
        weight = layer.weight.detach().numpy()
        names = {
            "W0": (f"W{i}", f"b{i}"),
            "weights_0": (f"weights_{i}", f"biases_{i}"),
            "arr_0": (f"arr_{i * (1 + bias)}", f"arr_{2 * i + 1}"),
            "layer.0.kernel": (f"layer.{i}.kernel", f"layer.{i}.bias"),
        }[style]
        arrays[names[0]] = weight.T if turned else weight
        if bias:
            arrays[names[1]] = layer.bias.detach().numpy()
        else:
            with torch.no_grad():
                layer.bias.zero_()
    path = tmp_path_factory.mktemp("npz") / "net.npz"
    np.savez(path, **arrays)
    try:
        made = read_network(path)
    except InputError as error:
        assert "both chain" in str(error)  # noqa: PT017 - legal for some shapes only
        made = read_network(path, orientation="in_out" if turned else "out_in")
    assert torch.allclose(made(torch.ones(1, widths[0])), network(torch.ones(1, widths[0])), atol=1e-6)


def test_ambiguous_squares_are_asked_about(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, W0=np.eye(3), b0=np.zeros(3), W1=np.ones((3, 3)), b1=np.zeros(3))
    with pytest.raises(InputError, match=r"tensor W0.*both chain.*out_in \(as torch\) or in_out"):
        read_network(path)
    weight = np.triu(np.ones((3, 3)))
    np.savez(path, W0=weight)
    x = torch.eye(3, dtype=torch.float64)
    assert read_network(path, orientation="out_in")(x).detach().numpy().tolist() == weight.T.tolist()
    assert read_network(path, orientation="in_out")(x).detach().numpy().tolist() == weight.tolist()


@pytest.mark.parametrize("ending", [".pt", ".pth", ".safetensors"])
def test_state_dicts(ending, tmp_path):
    network = stack(3, 7, 7, 2)
    path = tmp_path / f"net{ending}"
    if ending == ".safetensors":
        save_file(parameters(network), path)
    else:
        torch.save(network.state_dict(), path)
    made = read_network(path)
    assert same(made, network, 3)
    leaky = read_network(path, activation="leaky_relu")
    assert [type(layer).__name__ for layer in leaky] == [
        "Linear",
        "LeakyReLU",
        "Linear",
        "LeakyReLU",
        "Linear",
    ]


def test_nested_checkpoints_and_wrappers(tmp_path):
    network = stack(3, 7, 2)
    wrapped = {f"module.{name}": value for name, value in parameters(network).items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "net.pt")
    assert same(read_network(tmp_path / "net.pt"), network, 3)


def test_layers_are_sorted_by_number_and_the_state_dict_keeps_its_order(tmp_path):
    network = stack(*[4] * 12)
    places = [(*name.split("."), value) for name, value in parameters(network).items()]
    tensors = {f"fc{int(number) // 2}.{role}": value for number, role, value in places}
    save_file(tensors, tmp_path / "net.safetensors")
    assert same(read_network(tmp_path / "net.safetensors"), network, 4)
    network = stack(2, 5, 3)
    named = {
        f"{name}.{role}": value
        for name, i in (("input", 0), ("head", 2))
        for role, value in parameters(network[i]).items()
    }
    torch.save(named, tmp_path / "net.pt")
    assert same(read_network(tmp_path / "net.pt"), network, 2)
    save_file(named, tmp_path / "named.safetensors")
    with pytest.raises(
        InputError, match=r"tensor input.weight: takes 2 numbers where layer head gives 3.*order"
    ):
        read_network(tmp_path / "named.safetensors")
    assert same(read_network(tmp_path / "named.safetensors", order=("input", "head")), network, 2)
    with pytest.raises(InputError, match="layers: head, input"):
        read_network(tmp_path / "named.safetensors", order=("input",))


def test_convolutions_with_batch_normalization(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 9, 3),
    )
    network[1].running_mean.uniform_()
    save_file(
        {key: value.contiguous() for key, value in network.state_dict().items()}, tmp_path / "net.safetensors"
    )
    made = read_network(tmp_path / "net.safetensors")
    assert made[3].groups == 4
    assert same(made, network, 2, 7, 7)


def test_real_networks_of_the_subdivision_paper(extra_data):
    for name, widths in {"2,2x50.pt": [2, 50, 50, 1], "3,8x32.pt": [3, *[32] * 8, 1]}.items():
        made = read_network(extra_data(f"subdivision/{name}"))
        sizes = [(layer.in_features, layer.out_features) for layer in made if isinstance(layer, nn.Linear)]
        assert sizes == list(itertools.pairwise(widths))


# ---- refusals -----------------------------------------------------------------------------------------------


def refused(path, *words, **options):
    with pytest.raises(InputError) as caught:
        read_network(path, **options)
    for word in [str(path), *words]:
        assert word in str(caught.value), str(caught.value)


def test_broken_files(tmp_path):
    torch.save(stack(3, 40, 2).state_dict(), tmp_path / "a.pt")
    save_file(parameters(stack(3, 40, 2)), tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", W0=np.ones((40, 3)), b0=np.ones(40))
    for name in ("a.pt", "a.safetensors", "a.npz"):
        path = tmp_path / name
        whole = path.read_bytes()
        for share in (0.5, 0.9):
            path.write_bytes(whole[: int(len(whole) * share)])
            refused(path, "is not a complete", "What to do")
        path.write_bytes(b"not a file of weights at all")
        refused(path, "What to do")
        path.write_bytes(b"")
        refused(path, "empty")
        path.unlink()
        refused(path, "does not exist")
    (tmp_path / "a.h5").write_bytes(b"x")
    refused(tmp_path / "a.h5", "no known ending", ".safetensors .npz .pt .pth .onnx")
    refused(tmp_path, "folder")


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Evil()}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "foreign code", "state_dict()")
    torch.save(stack(2, 3), tmp_path / "b.pt")
    refused(tmp_path / "b.pt", "foreign code")
    np.savez(tmp_path / "c.npz", W0=np.array([Evil()], dtype=object))
    refused(tmp_path / "c.npz", "foreign code", "numpy.savez")
    assert not (tmp_path / "executed").exists()


def tensors_file(folder, tensors, **notes):
    save_file(
        {k: v.clone() for k, v in tensors.items()},
        folder / "net.safetensors",
        metadata=notes or None,
    )
    return folder / "net.safetensors"


W, B = torch.ones(4, 3), torch.zeros(4)
FAULTS = {
    "not a number": ({"0.weight": W * float("nan"), "0.bias": B}, ["tensor 0.weight", "12 values", "finite"]),
    "infinite": ({"0.weight": W, "0.bias": B + float("inf")}, ["tensor 0.bias", "finite"]),
    "whole numbers": ({"0.weight": W.long()}, ["tensor 0.weight", "torch.int64"]),
    "no chain": ({"0.weight": W, "1.weight": torch.ones(2, 5)}, ["tensor 1.weight", "takes 5", "gives 4"]),
    "bias": ({"0.weight": W, "0.bias": torch.zeros(9)}, ["tensor 0.bias", "(9,)", "4"]),
    "layer norm": ({"0.weight": W, "1.weight": B, "1.bias": B}, ["tensor 1.weight", "(4,)", "ONNX"]),
    "bias alone": ({"0.bias": B}, ["bias but no weight"]),
    "unknown names": ({"table": W, "offset": B}, ["tensor offset", "says no layer"]),
    "two weights": ({"W0": W, "V0": W}, ["two for layer 0: V0 and W0"]),
    "norm of other width": (
        {"0.weight": W, "1.running_mean": torch.zeros(5), "1.running_var": torch.ones(5)},
        ["tensor 1.running_mean", "5 channels", "gives 4"],
    ),
    "half a norm": ({"0.weight": W, "1.running_mean": B}, ["lacks running_var"]),
    "channels": (
        {"0.weight": torch.ones(4, 3, 2, 2), "1.weight": torch.ones(5, 3, 2, 2)},
        ["tensor 1.weight", "3 channels", "gives 4"],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_tensors_that_make_no_network(case, tmp_path):
    tensors, words = FAULTS[case]
    refused(tensors_file(tmp_path, tensors), *words, "What to do")


def test_the_options_are_checked(tmp_path):
    path = tensors_file(tmp_path, {"0.weight": W})
    with pytest.raises(InputError, match="activation"):
        read_network(path, activation="swish")
    refused(
        tensors_file(tmp_path, {"0.weight": W, "1.weight": torch.ones(2, 4)}), "takes 2", orientation="in_out"
    )


def test_headers_that_do_not_fit(tmp_path):
    good = [{"kind": "Linear", "in_features": 3, "out_features": 4, "bias": True}]
    faults = [
        ("not JSON", "is not valid JSON"),
        (json.dumps({"kind": "Linear"}), "not a list"),
        (json.dumps([{"kind": "Module"}]), "'Module' is no known layer"),
        (json.dumps([{"kind": "Linear", "in_features": "many", "out_features": 4}]), "cannot be built"),
        (json.dumps([{**good[0], "speed": 3}]), "unknown option speed"),
        (
            json.dumps([{**good[0], "in_features": 9}]),
            "tensor 0.weight: has shape (4, 3), the layer takes (4, 9)",
        ),
        (json.dumps([{**good[0], "bias": False}]), "tensor 0.bias: belongs to no layer"),
        (json.dumps(good * 2), "tensor 1.bias: is not in the file"),
    ]
    for text, words in faults:
        refused(tensors_file(tmp_path, {"0.weight": W, "0.bias": B}, **{"visus.network": text}), words)


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"MultiheadAttention.*ONNX"):
        write_network(tmp_path / "a.safetensors", nn.Sequential(nn.MultiheadAttention(4, 2)))
    with pytest.raises(InputError, match=r"\.safetensors"):
        write_network(tmp_path / "a.pt", stack(2, 2))
    assert not list(tmp_path.iterdir())


def test_onnx_files_are_read_too(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, (1, 2))],
        [onnx.helper.make_tensor_value_info("y", 1, (1, 2))],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    assert read_network(tmp_path / "net.onnx")(torch.tensor([[-1.0, 2.0]])).tolist() == [[0.0, 2.0]]

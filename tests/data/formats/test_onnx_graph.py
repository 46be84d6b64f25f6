"""ONNX graphs as torch modules: every operator against onnx's own reference, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from visus.data.formats.onnx_graph import OPERATORS, read_onnx
from visus.errors import InputError

onnx = pytest.importorskip("onnx")
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def write(
    folder, nodes, weights=None, *, shape=(3, 4), outputs=("y",), opset=17, name="net.onnx", inputs=("x",)
):
    """A file with these nodes between x and y; `weights` become initializers."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, shape) for given in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    onnx.save(model, folder / name)
    return folder / name


def one(kind, *more, **attributes):
    return helper.make_node(kind, ["x", *more], ["y"], name="it", **attributes)


IMAGE = (2, 3, 9, 8)
INTS = lambda *values: np.array(values, dtype=np.int64)

CASES = {
    # name: (node, weights, input shape, opset)
    "Abs": (one("Abs"), {}, (3, 4), 17),
    "Add const right": (one("Add", "c"), {"c": normal(4)}, (3, 4), 17),
    "Add const left": (helper.make_node("Add", ["c", "x"], ["y"]), {"c": normal(1, 4)}, (3, 4), 17),
    "Sub const left": (helper.make_node("Sub", ["c", "x"], ["y"]), {"c": normal(4)}, (3, 4), 17),
    "Sub": (one("Sub", "c"), {"c": normal(4)}, (3, 4), 17),
    "Mul": (one("Mul", "c"), {"c": normal(1)}, (3, 4), 17),
    "Mul itself": (one("Mul", "x"), {}, (3, 4), 17),
    "Div": (one("Div", "c"), {"c": normal(4)}, (3, 4), 17),
    "Neg": (one("Neg"), {}, (3, 4), 17),
    "Sum": (one("Sum", "c", "x"), {"c": normal(4)}, (3, 4), 17),
    "Relu": (one("Relu"), {}, (3, 4), 17),
    "LeakyRelu": (one("LeakyRelu", alpha=0.2), {}, (3, 4), 17),
    "LeakyRelu default": (one("LeakyRelu"), {}, (3, 4), 17),
    "PRelu one": (one("PRelu", "c"), {"c": normal(1)}, (3, 4), 17),
    "PRelu channels": (one("PRelu", "c"), {"c": normal(3, 1, 1)}, IMAGE, 17),
    "PRelu row": (one("PRelu", "c"), {"c": normal(4)}, (3, 4), 17),
    "Clip 6": (one("Clip", "a", "b"), {"a": np.float32(0), "b": np.float32(6)}, (3, 4), 17),
    "Clip low": (one("Clip", "a"), {"a": np.float32(-0.2)}, (3, 4), 17),
    "Clip relu": (one("Clip", "a"), {"a": np.float32(0)}, (3, 4), 17),
    "Clip high": (one("Clip", "", "b"), {"b": np.float32(0.3)}, (3, 4), 17),
    "Clip both": (one("Clip", "a", "b"), {"a": np.float32(-0.5), "b": np.float32(0.3)}, (3, 4), 17),
    "Clip old": (one("Clip", min=-0.3, max=0.4), {}, (3, 4), 10),
    "Clip none": (one("Clip"), {}, (3, 4), 17),
    "Sigmoid": (one("Sigmoid"), {}, (3, 4), 17),
    "Tanh": (one("Tanh"), {}, (3, 4), 17),
    "Gelu": (one("Gelu"), {}, (3, 4), 20),
    "Gelu tanh": (one("Gelu", approximate="tanh"), {}, (3, 4), 20),
    "Softmax": (one("Softmax"), {}, (3, 4), 17),
    "Softmax axis": (one("Softmax", axis=1), {}, IMAGE, 13),
    "Identity": (one("Identity"), {}, (3, 4), 17),
    "Dropout": (one("Dropout"), {}, (3, 4), 17),
    "Dropout old": (one("Dropout", ratio=0.3), {}, (3, 4), 10),
    "Gemm": (one("Gemm", "w", "c", transB=1), {"w": normal(5, 4), "c": normal(5)}, (3, 4), 17),
    "Gemm plain": (one("Gemm", "w"), {"w": normal(4, 5)}, (3, 4), 17),
    "Gemm scaled": (
        one("Gemm", "w", "c", alpha=0.5, beta=2.0),
        {"w": normal(4, 5), "c": normal(1)},
        (3, 4),
        17,
    ),
    "Gemm matrix bias": (one("Gemm", "w", "c"), {"w": normal(4, 5), "c": normal(3, 5)}, (3, 4), 17),
    "Gemm turned": (one("Gemm", "w", transA=1), {"w": normal(3, 5)}, (3, 4), 17),
    "MatMul": (one("MatMul", "w"), {"w": normal(4, 5)}, (3, 4), 17),
    "MatMul many axes": (one("MatMul", "w"), {"w": normal(8, 5)}, IMAGE, 17),
    "MatMul left": (helper.make_node("MatMul", ["w", "x"], ["y"]), {"w": normal(5, 3)}, (3, 4), 17),
    "Conv": (one("Conv", "w", "b"), {"w": normal(5, 3, 3, 2), "b": normal(5)}, IMAGE, 17),
    "Conv strided": (
        one("Conv", "w", strides=[2, 1], pads=[1, 0, 1, 0], dilations=[1, 2]),
        {"w": normal(5, 3, 3, 2)},
        IMAGE,
        17,
    ),
    "Conv uneven": (one("Conv", "w", pads=[0, 1, 2, 0]), {"w": normal(5, 3, 3, 2)}, IMAGE, 17),
    "Conv groups": (one("Conv", "w", group=3), {"w": normal(6, 1, 3, 3)}, IMAGE, 17),
    "Conv 1d": (one("Conv", "w"), {"w": normal(2, 3, 3)}, (2, 3, 9), 17),
    "Conv 3d": (one("Conv", "w"), {"w": normal(2, 1, 2, 2, 2)}, (2, 1, 4, 4, 3), 17),
    "Conv same": (
        one("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 2]),
        {"w": normal(5, 3, 3, 2)},
        IMAGE,
        17,
    ),
    "Conv same low": (one("Conv", "w", auto_pad="SAME_LOWER"), {"w": normal(5, 3, 2, 2)}, IMAGE, 17),
    "Conv valid": (one("Conv", "w", auto_pad="VALID"), {"w": normal(5, 3, 2, 2)}, IMAGE, 17),
    "BatchNormalization": (
        one("BatchNormalization", "s", "b", "m", "v", epsilon=1e-3),
        {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3))},
        IMAGE,
        17,
    ),
    "BatchNormalization row": (
        one("BatchNormalization", "s", "b", "m", "v"),
        {"s": normal(4), "b": normal(4), "m": normal(4), "v": np.abs(normal(4))},
        (3, 4),
        17,
    ),
    "MaxPool": (one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), {}, IMAGE, 17),
    "MaxPool padded": (
        one("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        {},
        IMAGE,
        17,
    ),
    "MaxPool uneven": (one("MaxPool", kernel_shape=[3, 3], pads=[0, 1, 1, 0]), {}, IMAGE, 17),
    "MaxPool same": (
        one("MaxPool", kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2]),
        {},
        IMAGE,
        17,
    ),
    "MaxPool ceil": (
        one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        {},
        IMAGE,
        17,
    ),
    "MaxPool dilated": (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 3]), {}, IMAGE, 17),
    "MaxPool 1d": (one("MaxPool", kernel_shape=[3]), {}, (2, 3, 9), 17),
    "AveragePool": (one("AveragePool", kernel_shape=[2, 3]), {}, IMAGE, 17),
    "AveragePool padded": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        {},
        IMAGE,
        17,
    ),
    "AveragePool counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        {},
        IMAGE,
        17,
    ),
    "AveragePool uneven": (one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 2]), {}, IMAGE, 17),
    "AveragePool uneven counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 2], count_include_pad=1),
        {},
        IMAGE,
        17,
    ),
    "AveragePool same": (
        one("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_LOWER", strides=[2, 2]),
        {},
        IMAGE,
        17,
    ),
    "AveragePool ceil": (
        one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        {},
        IMAGE,
        17,
    ),
    "GlobalAveragePool": (one("GlobalAveragePool"), {}, IMAGE, 17),
    "Flatten": (one("Flatten"), {}, IMAGE, 17),
    "Flatten 2": (one("Flatten", axis=2), {}, IMAGE, 17),
    "Flatten last": (one("Flatten", axis=-1), {}, IMAGE, 17),
    "Reshape": (one("Reshape", "s"), {"s": INTS(0, 3, -1)}, IMAGE, 17),
    "Transpose": (one("Transpose", perm=[0, 2, 3, 1]), {}, IMAGE, 17),
    "Transpose plain": (one("Transpose"), {}, IMAGE, 17),
    "Concat": (one("Concat", "c", axis=-1), {"c": normal(3, 2)}, (3, 4), 17),
    "Pad": (one("Pad", "p", "v"), {"p": INTS(0, 0, 1, 0, 0, 0, 2, 1), "v": np.float32(3)}, IMAGE, 17),
    "Pad old": (one("Pad", pads=[0, 1, 0, 2], value=0.5), {}, (3, 4), 10),
    "Pad reflect": (one("Pad", "p", mode="reflect"), {"p": INTS(0, 0, 1, 0, 0, 0, 2, 1)}, IMAGE, 17),
    "Pad edge": (one("Pad", "p", mode="edge"), {"p": INTS(0, 0, 1, 0, 0, 0, 2, 1)}, IMAGE, 17),
    "Pad axes": (one("Pad", "p", "", "a"), {"p": INTS(1, 2), "a": INTS(1)}, (3, 4), 18),
    "Squeeze": (one("Squeeze", "a"), {"a": INTS(1)}, (3, 1, 4), 17),
    "Squeeze all": (one("Squeeze"), {}, (3, 1, 4), 17),
    "Squeeze old": (one("Squeeze", axes=[1]), {}, (3, 1, 4), 11),
    "Unsqueeze": (one("Unsqueeze", "a"), {"a": INTS(1, -1)}, (3, 4), 17),
    "ReduceMean": (one("ReduceMean", axes=[2, 3], keepdims=0), {}, IMAGE, 17),
    "ReduceMean 18": (one("ReduceMean", "a"), {"a": INTS(-1)}, (3, 4), 18),
    "ReduceMean all": (one("ReduceMean"), {}, (3, 4), 17),
    "Gather": (one("Gather", "i", axis=1), {"i": INTS(2, -1)}, (3, 4), 17),
    "Slice": (
        one("Slice", "s", "e", "a", "t"),
        {"s": INTS(1), "e": INTS(9), "a": INTS(-1), "t": INTS(2)},
        (3, 4),
        17,
    ),
    "Cast": (one("Cast", to=TensorProto.FLOAT), {}, (3, 4), 17),
}


@pytest.mark.parametrize("case", CASES)
def test_operator_equals_the_reference(case, tmp_path):
    node, weights, shape, opset = CASES[case]
    path = write(tmp_path, [node], weights, shape=shape, opset=opset)
    x = normal(*shape)
    expected = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    made = read_onnx(path)
    with torch.no_grad():
        found = made(torch.from_numpy(x))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-6)
        again = pickle.loads(pickle.dumps(copy.deepcopy(made)))  # other processes get it
        assert again(torch.from_numpy(x)).equal(found)


def test_every_operator_has_a_case():
    tried = {case.split()[0] for case in CASES}
    assert set(OPERATORS) - tried == {"Shape"}  # gives whole numbers; see the chain of shapes below


def test_layers_become_torch_layers_and_draw_nothing(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "b", "s"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "k"], ["y"], transB=1),
    ]
    weights = {
        "w": normal(5, 3, 3, 3),
        "b": normal(5),
        "s": np.ones(5, np.float32),
        "m": normal(2, 5),
        "k": normal(2),
    }
    before = torch.get_rng_state()
    made = read_onnx(write(tmp_path, nodes, weights, shape=IMAGE))
    assert torch.get_rng_state().equal(before)
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    assert [type(layer) for layer in made.layers.values()] == kinds
    assert not made.training
    assert made.input_shape == (3, 9, 8)
    assert all(weight.requires_grad for weight in made.parameters())
    assert made(torch.zeros(1, 3, 9, 8)).shape == (1, 2)


def test_constants_are_folded_and_shapes_followed(tmp_path):
    """x.view(x.size(0), -1) as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        helper.make_node(
            "Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0, dtype=np.int64))
        ),
        helper.make_node("Constant", [], ["minus"], value_ints=[-1]),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "minus"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["f"]),
        helper.make_node("Transpose", ["w"], ["wt"]),
        helper.make_node("MatMul", ["f", "wt"], ["y"]),
    ]
    weights = {"axis": INTS(0), "w": normal(2, 12)}
    path = write(tmp_path, nodes, weights, shape=("n", 3, 4))
    made = read_onnx(path)
    assert isinstance(list(made.layers.values())[-1], nn.Linear)  # the transposed weight was a constant
    x = normal(5, 3, 4)
    expected = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(made(torch.from_numpy(x)).detach(), expected, rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_size_stands_for_any_and_flat_rows_are_folded(tmp_path):
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        helper.make_node("Reshape", ["a", "to"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["y"]),
    ]
    weights = {"mean": normal(1, 1, 1, 5), "to": INTS(1, 5), "w": normal(5, 2)}
    made = read_onnx(write(tmp_path, nodes, weights, shape=(1, 1, 1, 5)))
    rows = torch.from_numpy(normal(7, 5))
    found = made(rows)
    assert found.shape == (7, 2)
    expected = (rows.numpy() - weights["mean"][0, 0]) @ weights["w"]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="takes 5"):
        made(torch.zeros(3, 4))


def test_one_of_several_outputs(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("NonMaxSuppression", ["x"], ["z"], name="boxes"),
    ]
    path = write(tmp_path, nodes, outputs=("y", "z"))
    assert read_onnx(path, output="y")(-torch.ones(1, 4)).sum() == 0
    with pytest.raises(InputError, match=r"2 outputs \(y, z\)"):
        read_onnx(path)
    with pytest.raises(InputError, match="outputs: y, z"):
        read_onnx(path, output="w")
    with pytest.raises(InputError, match=r"net.onnx: node boxes \(NonMaxSuppression\).*not known"):
        read_onnx(path, output="z")


def test_half_precision_and_doubles(tmp_path):
    weights = {"w": normal(4, 2).astype(np.float16)}
    made = read_onnx(write(tmp_path, [one("MatMul", "w")], weights))
    assert next(iter(made.layers.values())).weight.dtype == torch.float32
    made = read_onnx(write(tmp_path, [one("MatMul", "w")], {"w": normal(4, 2).astype(np.float64)}))
    assert next(iter(made.layers.values())).weight.dtype == torch.float64


REFUSED = {
    "unknown operator": (one("Erf"), {}, ["node it (Erf)", "not known"]),
    "other domain": (one("Relu", domain="com.example"), {}, ["com.example"]),
    "attribute": (one("Relu", strange=1), {}, ["attribute strange"]),
    "slope along space": (one("PRelu", "c"), {"c": normal(3, 4)}, ["slope of shape (3, 4)"]),
    "bounds": (one("Clip", "a", "b"), {"a": np.float32(1), "b": np.float32(0)}, ["bounds"]),
    "computed weights": (one("Conv", "x"), {}, ["weight is not a constant"]),
    "mode of pad": (one("Pad", "p", mode="wrap"), {"p": INTS(0, 0, 0, 1)}, ["mode"]),
    "dilated mean": (one("AveragePool", kernel_shape=[2], dilations=[2]), {}, ["dilations=[2]"]),
    "reversed": (
        one("Slice", "s", "e", "a", "t"),
        {"s": INTS(3), "e": INTS(0), "a": INTS(1), "t": INTS(-1)},
        ["backwards"],
    ),
    "not a number": (one("MatMul", "w"), {"w": np.full((4, 2), np.nan, np.float32)}, ["tensor w", "finite"]),
    "infinite": (one("MatMul", "w"), {"w": np.full((4, 2), np.inf, np.float32)}, ["tensor w", "finite"]),
    "dangling": (one("Add", "nothing"), {}, ["reads nothing"]),
    "training": (
        one("BatchNormalization", "s", "s", "s", "s", training_mode=1),
        {"s": np.ones(4, np.float32)},
        ["training_mode=1"],
    ),
    "indices of maxima": (
        helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2]),
        {},
        ["places of the maxima"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_file_node_and_remedy(case, tmp_path):
    node, weights, words = REFUSED[case]
    path = write(tmp_path, [node], weights, shape=(3, 4, 5) if "Pool" in node.op_type else (3, 4), opset=19)
    with pytest.raises(InputError) as caught:
        read_onnx(path)
    for word in [str(path), "What to do:", *words]:
        assert word in str(caught.value)


def test_broken_files(tmp_path):
    path = write(tmp_path, [one("MatMul", "w")], {"w": normal(4, 50)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"net.onnx.*not a complete ONNX file"):
        read_onnx(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        read_onnx(path)
    with pytest.raises(InputError, match="does not exist"):
        read_onnx(tmp_path / "nowhere.onnx")
    two = write(tmp_path, [helper.make_node("Add", ["x", "z"], ["y"])], inputs=("x", "z"))
    with pytest.raises(InputError, match=r"2 inputs \(x, z\)"):
        read_onnx(two)

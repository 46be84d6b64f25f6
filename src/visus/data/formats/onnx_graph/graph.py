"""The graph of an ONNX file as one torch module."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visus.data.formats.onnx_graph.node import Node, readable
from visus.data.formats.onnx_graph.operators import OPERATORS
from visus.data.formats.picture import present
from visus.errors import InputError
from visus.extras import need

DOMAINS = ("", "ai.onnx")


class OnnxGraph(nn.Module):
    """A feed-forward ONNX graph: one tensor in, one tensor out. Starts in evaluation mode.

    Layers become the torch modules of the same name (`nn.Linear`, `nn.Conv2d`, `nn.ReLU`, ...), in the order
    of the graph, so that hooks, tracers and optimizers find them. The batch axis is free even where the file
    fixes it, and flat rows (b, prod(shape)) are folded to the declared shape.

    Attributes
    ----------
    input_shape : sizes without the batch axis, None where the file leaves one open; None if it declares none.
    layers : the modules in order, each named by its number and its node's name.
    node_names : name and kind of the node behind each module.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        wires: Sequence[tuple[tuple[str, ...], str]],
        *,
        names: Sequence[str],
        source: str,
        result: str,
        input_shape: tuple[int | None, ...] | None,
        constants: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                f"{i}_{_plain(name)}": module
                for i, (name, module) in enumerate(zip(names, modules, strict=True))
            }
        )
        self.wires, self.node_names = list(wires), list(names)
        self.source, self.result, self.input_shape = source, result, input_shape
        asked = sorted({name for inputs, _ in wires for name in (*inputs, result)} & constants.keys())
        self.constants = {name: f"value{i}" for i, name in enumerate(asked)}
        for name, place in self.constants.items():
            self.register_buffer(place, constants[name])
        self._last_use = self._plan()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values = {self.source: self._folded(x)}
        values |= {name: self.get_buffer(place) for name, place in self.constants.items()}
        for number, (layer, (inputs, output)) in enumerate(
            zip(self.layers.values(), self.wires, strict=True)
        ):
            values[output] = layer(*(values[name] for name in inputs))
            for name in self._last_use.get(number, ()):
                del values[name]
        return values[self.result]

    def _folded(self, x: Tensor) -> Tensor:
        declared = self.input_shape
        if declared is None or None in declared or len(declared) < 2 or x.ndim != 2:
            return x
        sizes = [size for size in declared if size is not None]
        if x.shape[1] != math.prod(sizes):
            raise InputError(
                f"has {x.shape[1]} numbers, the network takes {math.prod(sizes)} ({sizes})", field="input row"
            )
        return x.reshape(len(x), *sizes)

    def _plan(self) -> dict[int, list[str]]:
        """Module number -> values that nobody asks for afterwards."""
        last = {name: number for number, (inputs, _) in enumerate(self.wires) for name in inputs}
        done: dict[int, list[str]] = {}
        for name, number in last.items():
            if name != self.result:
                done.setdefault(number, []).append(name)
        return done


def _plain(name: str) -> str:
    """A node's name in the letters that a module's name may have."""
    return re.sub(r"\W+", "_", name.rpartition(" (")[0] or name).strip("_")


def read_onnx(path: str | Path, *, output: str | None = None) -> OnnxGraph:
    """Read an ONNX file as a torch module; needs the extra `onnx`. Nothing in the file is executed as code.

    Half-precision weights become float32. Operators: see `OPERATORS`.

    Parameters
    ----------
    output : which output to compute, where the graph has several.

    Raises
    ------
    InputError : absent, empty or cut-off file, several inputs or outputs, an operator or attribute that is not
        known (with the node's name), weights that are not finite numbers.
    """
    path = present(path)
    onnx = need("onnx", extra="onnx", purpose="reading ONNX files")
    graph, opset, model = _load(onnx, path)
    constants = {tensor.name: _tensor(onnx, tensor, path) for tensor in graph.initializer}
    source, shape, batch = _input(graph, constants, path)
    result = _output(graph, output, path)
    ranks = _ranks(onnx, model)
    modules: list[nn.Module] = []
    wires: list[tuple[tuple[str, ...], str]] = []
    names: list[str] = []
    for proto in _needed(graph.node, result):
        node = Node(
            kind=proto.op_type,
            name=proto.name,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes={item.name: _attribute(onnx, item, path) for item in proto.attribute},
            constants=constants,
            ranks=ranks,
            opset=opset,
            batch=batch,
            file=path,
        )
        if proto.domain not in DOMAINS:
            node.refuse(f"is of the domain {proto.domain}", "export the model with standard operators")
        if node.kind == "Constant":
            constants[node.outputs[0]] = _constant(node)
            continue
        made, inputs = _build(node)
        if all(name in constants for name in node.inputs if name):
            with torch.no_grad():
                constants[node.outputs[0]] = made.eval()(*(constants[node.inputs[i]] for i in inputs))
            continue
        modules.append(made)
        wires.append((tuple(node.inputs[i] for i in inputs), node.outputs[0]))
        names.append(node.where.removeprefix("node "))
    _check_wires(wires, {source, *constants}, result, names, path)
    return OnnxGraph(
        modules,
        wires,
        names=names,
        source=source,
        result=result,
        input_shape=shape,
        constants=constants,
    )


def _load(onnx: Any, path: Path) -> tuple[Any, int, Any]:
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf, the checker and missing weight files each have errors of their own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"is not a complete ONNX file ({reason})", file=path, remedy="export or copy it again"
        ) from None
    if not model.graph.node:
        raise InputError("holds no graph", file=path, remedy="export or copy it again")
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    return model.graph, max(versions, default=1), model


def _build(node: Node) -> tuple[nn.Module, Sequence[int]]:
    build = OPERATORS.get(node.kind)
    if build is None:
        node.refuse(
            f"the operator {node.kind} is not known",
            "known operators: " + ", ".join([*OPERATORS, "Constant"]),
        )
    if any(node.outputs[1:]) and node.kind not in ("Dropout", "BatchNormalization", "MaxPool"):
        node.refuse("it has more than one output", "export it with one output")
    try:
        made, inputs = build(node)
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        node.refuse(f"cannot be built ({str(error).splitlines()[0]})", "check the file with onnx.checker")
    left = sorted(node.attributes.keys() - node.taken)
    if left:
        node.refuse(f"attribute {left[0]} is not supported", "export it without this attribute")
    return made, inputs


def _needed(nodes: Iterable[Any], result: str) -> list[Any]:
    """The nodes that `result` depends on, in the graph's order."""
    wanted, kept = {result}, []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _input(
    graph: Any, constants: Mapping[str, Tensor], path: Path
) -> tuple[str, tuple[int | None, ...] | None, int | None]:
    """Name, sizes without the batch axis, and the batch size the file fixes."""
    given = [entry for entry in graph.input if entry.name not in constants]
    if len(given) != 1:
        names = ", ".join(entry.name for entry in given) or "none"
        raise InputError(
            f"has {len(given)} inputs ({names})",
            file=path,
            field="inputs",
            remedy="give a model with one input",
        )
    kind = given[0].type.tensor_type
    if not kind.HasField("shape"):
        return given[0].name, None, None
    sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim]
    sizes = [size if size is None or size > 0 else None for size in sizes]
    return given[0].name, tuple(sizes[1:]), sizes[0] if sizes else None


def _output(graph: Any, asked: str | None, path: Path) -> str:
    names = [entry.name for entry in graph.output]
    if asked is not None and asked not in names:
        raise InputError("no such output", file=path, field=asked, remedy="outputs: " + ", ".join(names))
    if asked is None and len(names) != 1:
        raise InputError(
            f"has {len(names)} outputs ({', '.join(names) or 'none'})",
            file=path,
            field="outputs",
            remedy="name one: read_onnx(path, output=...)",
        )
    return asked if asked is not None else names[0]


def _ranks(onnx: Any, model: Any) -> dict[str, int]:
    """Number of axes of every value ONNX can infer it for; shapes only help, so a failure is no error."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:
        graph = model.graph
    found = {}
    for entry in (*graph.input, *graph.value_info, *graph.output):
        kind = entry.type.tensor_type
        if kind.HasField("shape"):
            found[entry.name] = len(kind.shape.dim)
    return found


def _tensor(onnx: Any, proto: Any, path: Path) -> Tensor:
    try:
        array = onnx.numpy_helper.to_array(proto)
        name = str(array.dtype)
        values = torch.from_numpy(
            (array.astype("float32") if name in ("bfloat16", "float16") else array).copy()
        )
    except Exception as error:  # damaged raw data, or a type torch does not have
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot be read ({reason})", file=path, field=f"tensor {proto.name}", remedy="export it again"
        ) from None
    # a single infinity may be a bound
    wrong = values.is_floating_point() and (values.isnan() | (values.isinf() & (values.numel() > 1))).any()
    if wrong:
        raise InputError(
            "holds values that are not finite numbers",
            file=path,
            field=f"tensor {proto.name}",
            remedy="export trained weights that are finite",
        )
    return readable(values)


def _attribute(onnx: Any, item: Any, path: Path) -> Any:
    kind = item.type
    if kind == onnx.AttributeProto.TENSOR:
        return _tensor(onnx, item.t, path)
    value = onnx.helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return list(value) if kind in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def _constant(node: Node) -> Tensor:
    for name, kind in (
        ("value", None),
        ("value_float", torch.float32),
        ("value_floats", torch.float32),
        ("value_int", torch.int64),
        ("value_ints", torch.int64),
    ):
        if name in node.attributes:
            value = node.attributes[name]
            return value if isinstance(value, Tensor) else torch.tensor(value, dtype=kind)
    node.refuse(f"holds {', '.join(node.attributes) or 'nothing'}", "export it as a plain tensor")


def _check_wires(
    wires: Sequence[tuple[tuple[str, ...], str]],
    known: set[str],
    result: str,
    names: Sequence[str],
    path: Path,
) -> None:
    there = set(known)
    for (inputs, output), name in zip(wires, names, strict=True):
        for asked in inputs:
            if asked not in there:
                raise InputError(
                    f"reads {asked}, which nothing before it gives",
                    file=path,
                    field=f"node {name}",
                    remedy="check the file with onnx.checker",
                )
        there.add(output)
    if result not in there:
        raise InputError("is computed by no node", file=path, field=result, remedy="export the model again")

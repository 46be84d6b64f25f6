"""The lossless record of a network: one line of facts per layer, and who reads whom."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from visus.errors import InputError

Family: TypeAlias = Literal["conv", "pool", "fc", "other"]
Size: TypeAlias = tuple[int, ...]
Setting: TypeAlias = bool | int | float | str | tuple[int, ...]
Span: TypeAlias = tuple[str, int, int]

SOURCE = -1
"""The id by which a layer reads the network's input."""
FAMILIES: tuple[Family, ...] = ("conv", "pool", "fc", "other")
_WORD = re.compile(r"[^\s=]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer: what it computes, on which size, from which layers.

    Sizes leave the batch axis out: (C, H, W) for images, (C,) for vectors; other ranks occur inside reshapes.

    Parameters
    ----------
    family : `conv`, `pool`, `fc` (a linear map of the last axis) or `other`.
    id : position in the network, from 0.
    in_size, out_size : sizes of the first tensor it reads and of the tensor it gives.
    inputs : ids of the layers it reads, in order; -1 is the network's input.
    type : `MAX` or `AVG`, for pools.
    name : what it is, for `other`: a class of `torch.nn`, an operation (`add`, `cat`), or a foreign class.
    kernel, stride, dilation : one number per spatial axis, for convolutions and pools with a window. A pool
        that adapts its window to the size has none.
    padding : begin and end per spatial axis; top, bottom, left, right for images.
    groups : of a convolution. bias_used : of a convolution or linear map.
    value : further numbers by name, sorted; those that have their usual value are left out. `parameters` is
        how many numbers an `other` layer learns, `shared` the id of the layer whose weights it uses,
        `opaque` marks what can be described but not rebuilt.

    Paper: 2305.05351, Table I.
    Differs: `inputs` are ours (without them branches are lost), sizes keep their rank, dilation is per axis,
    and the operation's numbers have names.
    """

    family: Family
    id: int
    in_size: Size
    out_size: Size
    inputs: tuple[int, ...] = ()
    type: Literal["MAX", "AVG"] | None = None
    name: str | None = None
    kernel: Size | None = None
    stride: Size | None = None
    padding: Size | None = None
    dilation: Size | None = None
    groups: int | None = None
    bias_used: bool | None = None
    value: tuple[tuple[str, Setting], ...] = ()

    def __post_init__(self) -> None:
        _check_fields(self)
        _check_sizes(self)

    @property
    def settings(self) -> dict[str, Setting]:
        """`value` as a dict."""
        return dict(self.value)

    @property
    def num_params(self) -> int:
        """How many numbers the layer learns; 0 where it uses another layer's weights."""
        settings = self.settings
        if "shared" in settings:
            return 0
        if self.family == "conv":
            kernel, groups = self.kernel or (), self.groups or 1
            weights = self.in_size[0] * self.out_size[0] // groups * math.prod(kernel)
            return weights + self.out_size[0] * bool(self.bias_used)
        if self.family == "fc":
            return self.out_size[-1] * (self.in_size[-1] + bool(self.bias_used))
        return int(settings.get("parameters", 0))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A network as data: its layers in the order they run; the last one is the output.

    Parameters
    ----------
    name : of the network.
    input_size : (C, H, W) of the images it takes.
    layers : see `Layer`.
    blocks : (block name, start, stop): the layers start..stop-1 form a block. In order, without overlap;
        layers may belong to none.

    Raises
    ------
    InputError : an id is out of place, sizes disagree along an edge, a span is impossible; the message names
        layer and field.

    Paper: 2305.05351, sec. III-A (layers) and Table II (blocks).
    """

    name: str
    input_size: Size
    layers: tuple[Layer, ...]
    blocks: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        _demand(bool(self.name.strip()), "is empty", "name", "give the network a name")
        _demand(_positive(self.input_size), f"is {self.input_size}", "input_size", "give positive sizes")
        _demand(bool(self.layers), "is empty", "layers", "a network has at least one layer")
        for position, layer in enumerate(self.layers):
            _check_edges(layer, position, self)
        _check_blocks(self.blocks, len(self.layers))

    @property
    def num_params(self) -> int:
        """How many numbers the network learns."""
        return sum(layer.num_params for layer in self.layers)

    @property
    def out_size(self) -> Size:
        """Size of the output, without the batch axis."""
        return self.layers[-1].out_size

    def with_blocks(self, blocks: Sequence[Span]) -> Architecture:
        """The same network with other block spans."""
        return replace(self, blocks=tuple(blocks))

    def to_text(self) -> str:
        """One line per layer; see `visus.methods.gptnas.model.text`."""
        from visus.methods.gptnas.model.text import to_text

        return to_text(self)

    @staticmethod
    def from_text(text: str, *, file: str | None = None) -> Architecture:
        """Read what `to_text` wrote; `InputError` names the line of what cannot be read."""
        from visus.methods.gptnas.model.text import from_text

        return from_text(text, file=file)

    def to_plain(self) -> dict[str, Any]:
        """As dicts, lists, numbers and strings (JSON)."""
        from visus.methods.gptnas.model.text import to_plain

        return to_plain(self)

    @staticmethod
    def from_plain(plain: Any, *, file: str | None = None) -> Architecture:
        """Read what `to_plain` gave; `InputError` names layer and field of what cannot be read."""
        from visus.methods.gptnas.model.text import from_plain

        return from_plain(plain, file=file)


def _demand(condition: bool, problem: str, field: str, remedy: str | None = None) -> None:
    if not condition:
        raise InputError(problem, field=field, remedy=remedy)


def _positive(size: Any) -> bool:
    return isinstance(size, tuple) and all(type(side) is int and side > 0 for side in size)


_NEEDED = {
    "conv": {"kernel", "stride", "padding", "dilation", "groups", "bias_used"},
    "pool": {"type"},
    "fc": {"bias_used"},
    "other": {"name"},
}
_ALLOWED = {**_NEEDED, "pool": {"type", "kernel", "stride", "padding", "dilation"}}
_OPTIONAL = ("type", "name", "kernel", "stride", "padding", "dilation", "groups", "bias_used")


def _check_fields(layer: Layer) -> None:
    """The fields a family has, each of its type."""
    where = f"layer {layer.id}"
    _demand(layer.family in FAMILIES, f"is {layer.family!r}", f"{where}, family", f"one of {FAMILIES}")
    given = {name for name in _OPTIONAL if getattr(layer, name) is not None}
    for name in sorted(_NEEDED[layer.family] - given):
        _demand(False, "is missing", f"{where}, {name}", f"a {layer.family} layer has it")
    for name in sorted(given - _ALLOWED[layer.family]):
        _demand(False, f"does not belong to a {layer.family} layer", f"{where}, {name}", "leave it out")
    _demand(layer.type in (None, "MAX", "AVG"), f"is {layer.type!r}", f"{where}, type", "MAX or AVG")
    if layer.name is not None:
        _demand(
            bool(_WORD.fullmatch(layer.name)), f"is {layer.name!r}", f"{where}, name", "one word without ="
        )
    names = [name for name, _ in layer.value]
    _demand(names == sorted(set(names)), "is not sorted by name", f"{where}, value", "sort it, names once")
    for name, setting in layer.value:
        finite = not isinstance(setting, float) or math.isfinite(setting)
        _demand(finite, f"is {setting}", f"{where}, value {name}", "leave it out")


def _check_sizes(layer: Layer) -> None:
    """Positive sizes, one number per axis, and the size a window gives."""
    where = f"layer {layer.id}"
    for name in ("in_size", "out_size", "kernel", "stride", "dilation"):
        size = getattr(layer, name)
        _demand(size is None or _positive(size), f"is {size}", f"{where}, {name}", "give positive numbers")
    if layer.kernel is None:
        windowed = layer.stride or layer.padding or layer.dilation
        _demand(not windowed, "is missing", f"{where}, kernel", "a pool without window has none of these")
        return
    axes = len(layer.kernel)
    for name, count in (("stride", axes), ("dilation", axes), ("padding", 2 * axes)):
        size = getattr(layer, name)
        _demand(size is not None and len(size) == count, f"is {size}", f"{where}, {name}", f"{count} numbers")
    padding = layer.padding or ()
    _demand(min(padding, default=0) >= 0, f"is {padding}", f"{where}, padding", "give numbers from 0")
    for name in ("in_size", "out_size"):
        size = getattr(layer, name)
        _demand(
            len(size) == axes + 1,
            f"is {size} under a window of {axes} axes",
            f"{where}, {name}",
            "C and axes",
        )
    if layer.family == "conv":
        groups = layer.groups or 0
        whole = groups > 0 and layer.in_size[0] % groups == 0 and layer.out_size[0] % groups == 0
        _demand(whole, f"is {groups}", f"{where}, groups", "it must divide the channels of both sizes")
    elif layer.in_size[0] != layer.out_size[0]:
        _demand(False, f"is {layer.out_size}", f"{where}, out_size", "a pool keeps its channels")
    if not {"transposed", "ceil_mode"} & set(layer.settings):
        want = tuple(
            (side + padding[2 * i] + padding[2 * i + 1] - d * (k - 1) - 1) // s + 1
            for i, (side, k, s, d) in enumerate(
                zip(layer.in_size[1:], layer.kernel, layer.stride or (), layer.dilation or ())
            )
        )
        _demand(layer.out_size[1:] == want, f"is {layer.out_size}", f"{where}, out_size", f"here {want}")


def _check_edges(layer: Layer, position: int, network: Architecture) -> None:
    where = f"layer {layer.id}"
    _demand(layer.id == position, f"is {layer.id} at position {position}", f"{where}, id", "count from 0")
    _demand(bool(layer.inputs), "is empty", f"{where}, inputs", "name the layers it reads, -1 for the input")
    for source in layer.inputs:
        _demand(SOURCE <= source < position, f"names {source}", f"{where}, inputs", "name earlier layers")
    first = layer.inputs[0]
    size = network.input_size if first == SOURCE else network.layers[first].out_size
    _demand(
        layer.in_size == size,
        f"is {layer.in_size}, but layer {first} gives {size}",
        f"{where}, in_size",
        "make both ends of the edge agree",
    )
    owner = layer.settings.get("shared", 0)
    _demand(
        isinstance(owner, int) and 0 <= owner < max(position, 1),
        f"is {owner}",
        f"{where}, value shared",
        "name an earlier layer",
    )


def _check_blocks(blocks: tuple[Span, ...], count: int) -> None:
    end = 0
    for number, (name, start, stop) in enumerate(blocks):
        _demand(bool(name.strip()), "has no name", f"block {number}", "name it")
        _demand(
            end <= start < stop <= count,
            f"spans {start}..{stop}",
            f"block {number} ({name})",
            f"blocks are in order, without overlap, within {count} layers",
        )
        end = stop

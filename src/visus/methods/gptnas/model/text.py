"""Records as text and as plain data, both exact.

The text has a head and one line per layer, in the spirit of ArcText: the family, the type or name, then
`field=content`. Sizes are written 3x224x224, a size without axes `-`, the network's input `input`; `value` is
JSON and comes last. Blank lines and lines that begin with `#` are skipped::

    architecture "tiny" input=3x32x32
    0 conv in=3x32x32 out=8x16x16 kernel=3x3 stride=2x2 padding=1,1,1,1 dilation=1x1 groups=1 bias=no from=input
    1 other BatchNorm2d in=8x16x16 out=8x16x16 from=0 value={"parameters":16}
    block "Conv" 0..1

Paper: 2305.05351 encodes networks with ArcText, which writes a layer as a line of `key:value` pairs.
Differs: ArcText's own line form names each layer's neighbors by a graph-wide numbering; here `from` lists them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from visus.errors import InputError
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer, Setting, Size, Span

_FIELDS = {
    "in": "in_size",
    "out": "out_size",
    "kernel": "kernel",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
    "groups": "groups",
    "bias": "bias_used",
    "from": "inputs",
}
_HEAD = re.compile(r'architecture\s+(".*")\s+input=(\S+)')
_LAYER = re.compile(r"(\d+)\s+(conv|pool|fc|other)(?:\s+([^\s=]+)(?=\s))?\s+(.*)")
_BLOCK = re.compile(r'block\s+(".*")\s+(\d+)\.\.(\d+)')
_PLAIN = ("family", "id", "type", "name", *_FIELDS.values(), "value")
_REMEDY = "see the form in visus.methods.gptnas.model.text"


def to_text(architecture: Architecture) -> str:
    """The network as text; `from_text` gives it back exactly."""
    head = f"architecture {json.dumps(architecture.name)} input={_size(architecture.input_size)}"
    lines = [head, *(_line(layer) for layer in architecture.layers)]
    lines += [f"block {json.dumps(name)} {start}..{stop}" for name, start, stop in architecture.blocks]
    return "\n".join(lines) + "\n"


def from_text(text: str, *, file: str | None = None) -> Architecture:
    """Read a network from text.

    Raises
    ------
    InputError : a line cannot be read (it is named by its number), or the network makes no sense.
    """
    head: tuple[str, Size] | None = None
    layers: list[Layer] = []
    blocks: list[Span] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if head is None:
                head = _read_head(line)
            elif line.startswith("block"):
                blocks.append(_read_block(line))
            else:
                layers.append(_read_layer(line))
        except InputError as error:
            field = f"line {number}: {error.field}" if error.field else f"line {number}"
            raise InputError(error.problem, file=file, field=field, remedy=error.remedy or _REMEDY) from None
        except ValueError as error:
            raise InputError(str(error), file=file, field=f"line {number}", remedy=_REMEDY) from None
    if head is None:
        raise InputError("holds no architecture", file=file, field="line 1", remedy=_REMEDY)
    return _network(head[0], head[1], layers, blocks, file)


def to_plain(architecture: Architecture) -> dict[str, Any]:
    """The network as dicts, lists, numbers and strings."""
    return {
        "name": architecture.name,
        "input_size": list(architecture.input_size),
        "layers": [_plain_layer(layer) for layer in architecture.layers],
        "blocks": [list(span) for span in architecture.blocks],
    }


def from_plain(plain: Any, *, file: str | None = None) -> Architecture:
    """Read a network from plain data.

    Raises
    ------
    InputError : a field is missing, unknown or of the wrong type (layer and field are named).
    """
    _expect(isinstance(plain, dict), "is no architecture", None, file)
    _known(plain, ("name", "input_size", "layers", "blocks"), "", file)
    for name in ("name", "input_size", "layers"):
        _expect(name in plain, "is missing", name, file)
    _expect(isinstance(plain["name"], str), "is no text", "name", file)
    _expect(_whole(plain["input_size"]), "is no list of whole numbers", "input_size", file)
    for name in ("layers", "blocks"):
        _expect(isinstance(plain.get(name, []), list), "is no list", name, file)
    layers = [_layer_of(item, number, file) for number, item in enumerate(plain["layers"])]
    blocks = [_span_of(item, number, file) for number, item in enumerate(plain.get("blocks", []))]
    return _network(plain["name"], tuple(plain["input_size"]), layers, blocks, file)


def _network(
    name: str, input_size: Size, layers: list[Layer], blocks: list[Span], file: str | None
) -> Architecture:
    try:
        return Architecture(name=name, input_size=input_size, layers=tuple(layers), blocks=tuple(blocks))
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from None


# ---- text -------------------------------------------------------------------------------------------------


def _size(size: Size) -> str:
    return "x".join(map(str, size)) or "-"


def _line(layer: Layer) -> str:
    return " ".join([str(layer.id), layer.family, *_words(layer)])


def _words(layer: Layer) -> Iterator[str]:
    if layer.type or layer.name:
        yield str(layer.type or layer.name)
    for key, name in _FIELDS.items():
        content = getattr(layer, name)
        if content is None:
            continue
        if name == "inputs":
            yield "from=" + ",".join("input" if i == SOURCE else str(i) for i in content)
        elif name == "padding":
            yield "padding=" + ",".join(map(str, content))
        elif isinstance(content, bool):
            yield f"{key}={'yes' if content else 'no'}"
        else:
            yield f"{key}={_size(content) if isinstance(content, tuple) else content}"
    if layer.value:
        yield "value=" + json.dumps(layer.settings, separators=(",", ":"))


def _read_size(text: str) -> Size:
    return () if text == "-" else tuple(int(side) for side in text.split("x"))


def _read_head(line: str) -> tuple[str, Size]:
    found = _HEAD.fullmatch(line)
    if not found:
        raise ValueError("is not the head of an architecture")
    return json.loads(found[1]), _read_size(found[2])


def _read_block(line: str) -> Span:
    found = _BLOCK.fullmatch(line)
    if not found:
        raise ValueError("is no block")
    return json.loads(found[1]), int(found[2]), int(found[3])


def _read_layer(line: str) -> Layer:
    found = _LAYER.fullmatch(line)
    if not found:
        raise ValueError("is no layer")
    fields: dict[str, Any] = {"id": int(found[1]), "family": found[2]}
    if found[3]:
        fields["type" if found[2] == "pool" else "name"] = found[3]
    rest, marker, value = found[4].partition("value=")
    if marker:
        fields["value"] = _settings(json.loads(value))
    for word in rest.split():
        key, equals, content = word.partition("=")
        if not equals or key not in _FIELDS:
            raise ValueError(f"has {word!r}, which is no field")
        if _FIELDS[key] in fields:
            raise ValueError(f"names {key} twice")
        fields[_FIELDS[key]] = _content(key, content)
    for key in ("in", "out", "from"):
        if _FIELDS[key] not in fields:
            raise ValueError(f"lacks {key}=")
    return Layer(**fields)


def _content(key: str, text: str) -> Any:
    try:
        if key == "from":
            return tuple(SOURCE if word == "input" else int(word) for word in text.split(","))
        if key == "padding":
            return tuple(int(word) for word in text.split(","))
        if key == "bias":
            return {"yes": True, "no": False}[text]
        return int(text) if key == "groups" else _read_size(text)
    except (ValueError, KeyError):
        raise ValueError(f"has {key}={text}, which cannot be read") from None


# ---- plain data -------------------------------------------------------------------------------------------


def _plain_layer(layer: Layer) -> dict[str, Any]:
    contents = {name: getattr(layer, name) for name in _PLAIN if name != "value"}
    plain = {name: _listed(content) for name, content in contents.items() if content is not None}
    if layer.value:
        plain["value"] = {name: _listed(setting) for name, setting in layer.value}
    return plain


def _listed(content: Any) -> Any:
    return list(content) if isinstance(content, tuple) else content


def _settings(plain: Any) -> tuple[tuple[str, Setting], ...]:
    if not isinstance(plain, dict):
        raise ValueError("has a value that is no JSON object")
    for name, content in plain.items():
        if not (isinstance(content, bool | int | float | str) or _whole(content)):
            raise ValueError(f"has a value whose {name} is neither a number, a text nor whole numbers")
    return tuple(
        sorted(
            (name, tuple(content) if isinstance(content, list) else content)
            for name, content in plain.items()
        )
    )


def _expect(condition: bool, problem: str, field: str | None, file: str | None) -> None:
    if not condition:
        raise InputError(problem, file=file, field=field, remedy="see Architecture.to_plain for the form")


def _known(plain: dict[str, Any], names: tuple[str, ...], where: str, file: str | None) -> None:
    for name in plain:
        _expect(name in names, f"is no field (fields: {', '.join(names)})", f"{where}{name}", file)


def _whole(content: Any) -> bool:
    return isinstance(content, list) and all(type(number) is int for number in content)


def _layer_of(plain: Any, number: int, file: str | None) -> Layer:
    where = f"layer {number}"
    _expect(isinstance(plain, dict), "is no layer", where, file)
    _known(plain, _PLAIN, f"{where}, ", file)
    for name in ("family", "id", "in_size", "out_size", "inputs"):
        _expect(name in plain, "is missing", f"{where}, {name}", file)
    types: dict[str, Any] = {"family": str, "id": int, "type": str, "name": str, "groups": int}
    fields: dict[str, Any] = {}
    for name, content in plain.items():
        if name == "value":
            try:
                content = _settings(content)
            except ValueError as error:
                raise InputError(str(error), file=file, field=f"{where}, value") from None
        elif name == "bias_used" or name in types:
            wanted = types.get(name, bool)
            _expect(type(content) is wanted, f"is no {wanted.__name__}", f"{where}, {name}", file)
        else:
            _expect(_whole(content), "is no list of whole numbers", f"{where}, {name}", file)
            content = tuple(content)
        fields[name] = content
    try:
        return Layer(**fields)
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from None


def _span_of(plain: Any, number: int, file: str | None) -> Span:
    good = isinstance(plain, list) and len(plain) == 3 and isinstance(plain[0], str) and _whole(plain[1:])
    _expect(good, "is not [name, start, stop]", f"block {number}", file)
    return plain[0], plain[1], plain[2]

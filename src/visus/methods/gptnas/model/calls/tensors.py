"""Calls that rearrange or combine tensors: shapes, slices, joins, arithmetic, reductions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from visus.methods.gptnas.model.calls.draft import Draft, Reader, Table, Unreadable, other, reads
from visus.methods.gptnas.model.records import Setting

READERS: Table = {}


def _axis(dim: int, x: Tensor) -> int:
    """The axis counted from the front; the batch axis is out of bounds."""
    dim = dim % x.ndim
    if dim == 0:
        raise Unreadable("the call works on the batch axis")
    return dim


def _numbers(args: Sequence[Any]) -> tuple[int, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], Iterable) else tuple(args)


# ---- shapes and parts ---------------------------------------------------------------------------------------


@reads(
    READERS,
    *(Tensor.view, Tensor.reshape, Tensor.flatten, Tensor.squeeze, Tensor.unsqueeze, Tensor.unflatten),
    *(torch.reshape, torch.flatten, torch.squeeze, torch.unsqueeze, torch.unflatten),
)
def _reshape(out: Tensor, input: Tensor, *args: Any, **kwargs: Any) -> Draft:
    """Every change of shape that leaves the batch axis alone, told by what comes out."""
    if not out.ndim or out.shape[0] != input.shape[0] or out.dtype != input.dtype:
        raise Unreadable("a reshape of the batch axis")
    if out.ndim == 2:
        return other("flatten", [input], out)
    return other("reshape", [input], out, shape=tuple(out.shape[1:]))


@reads(READERS, Tensor.permute, torch.permute)
def _permute(out: Tensor, input: Tensor, *dims: Any) -> Draft:
    order = tuple(dim % input.ndim for dim in _numbers(dims))
    if order[0] != 0:
        raise Unreadable("the batch axis moves")
    return other("permute", [input], out, dims=order)


@reads(READERS, Tensor.transpose, torch.transpose, Tensor.swapaxes, torch.swapaxes)
def _transpose(out: Tensor, input: Tensor, dim0: int, dim1: int) -> Draft:
    order = list(range(input.ndim))
    first, second = _axis(dim0, input), _axis(dim1, input)
    order[first], order[second] = second, first
    return other("permute", [input], out, dims=tuple(order))


def _slices(outs: Sequence[Tensor], x: Tensor, dim: int) -> list[Draft]:
    """One record per part; parts are told by where they begin and end."""
    axis, start, drafts = _axis(dim, x), 0, []
    for out in outs:
        stop = start + out.shape[axis]
        drafts.append(other("slice", [x], out, dim=axis, start=start, stop=stop))
        start = stop
    return drafts


@reads(READERS, Tensor.chunk, torch.chunk, Tensor.split, torch.split, Tensor.tensor_split, torch.tensor_split)
def _split(outs: Sequence[Tensor], input: Tensor, sizes: Any = None, dim: int = 0, **_: Any) -> list[Draft]:
    return _slices(outs, input, dim)


@reads(READERS, Tensor.narrow, torch.narrow)
def _narrow(out: Tensor, input: Tensor, dim: int, start: int, length: int) -> Draft:
    axis = _axis(dim, input)
    start = int(start) % input.shape[axis]
    return other("slice", [input], out, dim=axis, start=start, stop=start + int(length))


@reads(READERS, Tensor.__getitem__)
def _getitem(out: Tensor, input: Tensor, key: Any) -> Draft:
    """`x[:, a:b]` and `x[:, i]`; anything else is kept by name."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        middle = keys.index(Ellipsis)
        keys[middle : middle + 1] = [slice(None)] * (input.ndim - len(keys) + 1)
    real = [(axis, part) for axis, part in enumerate(keys) if part != slice(None)]
    if len(real) != 1 or not isinstance(real[0][1], slice | int):
        raise Unreadable("an index on several axes")
    axis, part = _axis(real[0][0], input), real[0][1]
    if isinstance(part, int):
        return other("select", [input], out, dim=axis, index=part % input.shape[axis])
    start, stop, step = part.indices(input.shape[axis])
    if step != 1:
        raise Unreadable("a slice with steps")
    return other("slice", [input], out, dim=axis, start=start, stop=stop)


@reads(READERS, Tensor.select, torch.select)
def _select(out: Tensor, input: Tensor, dim: int, index: int) -> Draft:
    axis = _axis(dim, input)
    return other("select", [input], out, dim=axis, index=int(index) % input.shape[axis])


@reads(READERS, torch.cat, torch.concat, torch.concatenate)
def _cat(out: Tensor, tensors: Sequence[Tensor], dim: int = 0, **more: Any) -> Draft:
    return other("cat", list(tensors), out, dim=_axis(more.get("axis", dim), out))


@reads(READERS, torch.stack)
def _stack(out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Draft:
    return other("stack", list(tensors), out, dim=_axis(dim, out))


# ---- arithmetic and reductions ------------------------------------------------------------------------------


def _arithmetic(name: str) -> Reader:
    def read(out: Tensor, input: Any, other_: Any = None, **kwargs: Any) -> Draft:
        second = kwargs.pop("other", other_)
        if any(content not in (None, 1) for content in kwargs.values()):
            raise Unreadable("arithmetic with more than two terms")
        if isinstance(second, Tensor):
            if isinstance(input, Tensor) and input.ndim != second.ndim:
                raise Unreadable("terms of different rank")
            return other(name, [input, second], out)
        if not isinstance(second, bool | int | float):
            raise Unreadable("a term that is no number")
        return other(name, [input], out, number=float(second))

    return read


_ARITHMETIC = {
    "add": (torch.add, Tensor.add, Tensor.add_, Tensor.__radd__),
    "sub": (torch.sub, Tensor.sub, Tensor.sub_, torch.subtract, Tensor.subtract),
    "rsub": (torch.rsub, Tensor.__rsub__),
    "mul": (torch.mul, Tensor.mul, Tensor.mul_, torch.multiply, Tensor.multiply, Tensor.__rmul__),
    "div": (torch.div, Tensor.div, Tensor.div_, torch.divide, Tensor.divide, torch.true_divide),
    "rdiv": (Tensor.__rtruediv__,),
    "pow": (torch.pow, Tensor.pow, Tensor.__pow__),
    "maximum": (torch.maximum, Tensor.maximum),
    "minimum": (torch.minimum, Tensor.minimum),
    "matmul": (torch.matmul, Tensor.matmul, torch.bmm, Tensor.bmm, Tensor.__matmul__),
}
for _name, _functions in _ARITHMETIC.items():
    reads(READERS, *_functions)(_arithmetic(_name))


def _plain(name: str) -> Reader:
    def read(out: Tensor, input: Tensor) -> Draft:
        return other(name, [input], out)

    return read


for _name in ("abs", "neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "cos", "erf"):
    reads(READERS, getattr(torch, _name), getattr(Tensor, _name))(_plain(_name))


@reads(READERS, torch.clamp, Tensor.clamp, torch.clip, Tensor.clip, Tensor.clamp_)
def _clamp(out: Tensor, input: Tensor, min: Any = None, max: Any = None) -> Draft:
    bounds: dict[str, Setting] = {}
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, Tensor):
            raise Unreadable("a bound that is a tensor")
        if bound is not None:
            bounds[name] = float(bound)
    return other("clamp", [input], out, **bounds)


def _reduction(name: str) -> Reader:
    def read(out: Tensor, input: Tensor, dim: Any = None, keepdim: bool = False, **more: Any) -> Draft:
        dim = more.pop("axis", dim)
        if dim is None or more.get("dtype") is not None or isinstance(dim, Tensor):
            raise Unreadable("a reduction over the batch")
        axes = tuple(sorted(_axis(d, input) for d in (dim if isinstance(dim, Iterable) else [dim])))
        if not isinstance(out, Tensor):
            raise Unreadable("a reduction with indices")
        return other(name, [input], out, dims=axes, **({"keepdim": True} if keepdim else {}))

    return read


for _name in ("mean", "sum", "amax", "amin"):
    reads(READERS, getattr(torch, _name), getattr(Tensor, _name))(_reduction(_name))

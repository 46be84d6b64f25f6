"""Following data through a forward run, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from visus.errors import InputError
from visus.methods.polytopes.model.operations import (
    AFFINE,
    BENDS,
    CONSTANTS,
    CONTESTS,
    FACTORS,
    MOVES,
    REASONS,
    SYMMETRIC,
    tournament,
)


class Traced(Tensor):
    """A tensor that depends on the input: every operation on it is shown to a tracer first."""

    inner: Tensor
    tracer: Tracer

    @staticmethod
    def __new__(cls, inner: Tensor, tracer: Tracer) -> Traced:
        self = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=inner.device
        )
        self.inner, self.tracer = inner, tracer
        return self

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"data of shape {tuple(self.shape)}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = next(x for x in _tensors((*args, *kwargs.values())) if isinstance(x, Traced))
        return first.tracer.run(func, args, kwargs)


class Tracer:
    """Follows the data through one forward run and hands the functionals of each stage to `visit`.

    Parameters
    ----------
    path : the names of the modules that are running, outermost first; kept up to date by their hooks.
    visit : called with the functionals of each stage, before the operation that bends there is done.
    """

    def __init__(self, path: list[str], visit: Callable[[list[Tensor]], None]) -> None:
        self.path, self.visit, self.widest = path, visit, 1

    def run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Do an operation on the data inside; `kwargs` is the named part of its arguments."""
        name, in_place = func._schema.name.split("::")[1], func._schema.is_mutable
        base = name.rstrip("_") if in_place else name
        carried = {
            place for place, arg in enumerate(args) if any(isinstance(x, Traced) for x in _tensors([arg]))
        }
        if in_place and (0 not in carried or "out" in kwargs):
            self._refuse(base, "it writes data into a tensor that carried none")
        if any(isinstance(x, Traced) for x in kwargs.values()):
            self._refuse(base, "an option depends on the data")
        inner_args = [_each(arg, _bare) for arg in args]
        inner_kwargs = {key: _each(value, _bare) for key, value in kwargs.items()}
        kind = inner_kwargs.get("dtype")
        if kind is not None and kind.is_floating_point:
            inner_kwargs["dtype"] = torch.float64
        elif kind is not None and not base.endswith(("_like", "empty", "zeros", "ones", "full")):
            self._refuse("to_integer", REASONS["to_integer"])
        self._judge(name if name in REASONS else base, args, inner_args, inner_kwargs, carried)
        result = func(*inner_args, **inner_kwargs)
        return args[0] if in_place else _each(result, self._wrap)

    def _wrap(self, value: Tensor) -> Tensor:
        self.widest = max(self.widest, value.numel())
        return Traced(value, self)

    def _judge(self, name: str, args: Any, inner: Any, named: dict[str, Any], carried: set[int]) -> None:
        """Refuse an operation that is not piecewise affine; show `visit` where one bends."""
        whole = any(isinstance(x, Traced) and not x.is_floating_point() for x in _tensors(args))
        if whole and name not in MOVES:
            self._refuse(name, "it uses indices or choices that depend on the data")
        if len(carried & set(FACTORS.get(name, ()))) > 1:
            self._refuse(name, "it multiplies two tensors that both depend on the data")
        if carried & set(CONSTANTS.get(name, ())):
            self._refuse(name, "its parameters depend on the data")
        if name in ("native_batch_norm", "batch_norm") and inner[5]:
            self._refuse(name, "it normalizes by the statistics of the batch")
        if name == "rrelu_with_noise" and len(inner) > 4 and inner[4]:
            self._refuse(name, "it draws random numbers")
        if named.get("rounding_mode") is not None or named.get("reduce") is not None:
            self._refuse(name, "it rounds or multiplies the data")
        if name in BENDS and not (name == "threshold" and inner[1] != inner[2]):
            if carried != {0} and name not in SYMMETRIC:
                self._refuse(name, "its bounds depend on the data")
            self.visit(BENDS[name](*inner, **named))
        elif name in CONTESTS:
            sign, entries = CONTESTS[name]
            for difference in tournament(entries(*inner, **named), sign):
                self.visit([difference])
        elif name not in AFFINE and name not in FACTORS and name not in CONSTANTS:
            self._refuse(name, REASONS.get(name, "it is not known to be piecewise affine"))

    def _refuse(self, name: str, reason: str) -> None:
        raise InputError(
            f"operation {name.strip('_')} cannot be followed: {reason}",
            field=self.path[-1] if self.path else "forward",
            remedy="use piecewise affine operations (relu, leaky_relu, abs, clamp, max, ...) and return logits",
        )


def _bare(value: Tensor) -> Tensor:
    if isinstance(value, Traced):
        return value.inner
    return value.double() if value.is_floating_point() else value


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_each(item, change) for item in value])
    return value


def _tensors(values: Any) -> Iterator[Tensor]:
    """All tensors in nested lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)

"""What a call of a torch function says as a layer.

A reader takes the call's output and its arguments and gives a `Draft`, or one per output. It raises `Unreadable`
where the call means something a record cannot say exactly; the tracer then keeps the call's name alone.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from visus.methods.gptnas.model.calls import layers, tensors
from visus.methods.gptnas.model.calls.draft import Draft, Table, Unreadable

READERS: Table = {**layers.READERS, **tensors.READERS}
"""Torch function -> its reader."""
ALIASES = {
    *(Tensor.contiguous, Tensor.clone, Tensor.detach, Tensor.float, Tensor.half, Tensor.double, Tensor.to),
    *(Tensor.type_as, Tensor.requires_grad_, Tensor.data.__get__, torch.clone, torch.detach),  # type: ignore[attr-defined]
}
"""Functions whose result is, for a record, the tensor they were given."""


def hollow_result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The result of a call on the meta device where only its size matters and the size is known; else None.

    Saves most of a trace's time: torch works out the size of a batch normalization in Python.
    """
    x = args[0] if args else None
    if (
        not isinstance(x, Tensor)
        or not x.is_meta
        or kwargs.get("inplace")
        or any(a is True for a in args[1:])
    ):
        return None
    if func is F.batch_norm:
        sizes = {t.numel() for t in (*args[1:], *kwargs.values()) if isinstance(t, Tensor)}
        return _hollow(x) if x.ndim > 1 and sizes == {x.shape[1]} else None
    return _hollow(x) if func in layers.KEEP_SIZE and x.is_floating_point() else None


def _hollow(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device="meta")  # empty_like takes ten times as long


__all__ = ["ALIASES", "READERS", "Draft", "Unreadable", "hollow_result"]

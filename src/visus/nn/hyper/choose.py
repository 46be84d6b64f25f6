"""Pick the fastest of several equal implementations by trying them once per shape and device."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Ways = Mapping[str, Callable[..., Tensor]]
_lock = threading.Lock()
_measured: dict[tuple, tuple[str, dict[str, float]]] = {}


def fastest(
    what: tuple, ways: Ways, inputs: Sequence[Tensor | None], *, default: str, shared: int = 0
) -> str:
    """Name of the fastest way for tensors of this shape, type and device.

    Every way takes `inputs`, of which all but the last `shared` have the batch axis first. Measured once
    (forward, and backward where gradients are on) on constant tensors, so no random numbers are drawn; batch
    sizes share a measurement within a factor of two. The `default` is returned without measuring
    when PyTorch was asked for deterministic algorithms or is compiling, because timing is neither.
    """
    x = inputs[0]
    assert x is not None
    compiling = torch.compiler.is_compiling()
    if torch.are_deterministic_algorithms_enabled() or compiling or x.device.type == "meta":
        return default
    backward = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    batched = len(inputs) - shared
    shapes = tuple(t if t is None else tuple(t.shape[i < batched :]) for i, t in enumerate(inputs))
    bucket = max(len(x) - 1, 0).bit_length()
    key = (*what, bucket, *shapes, x.dtype, str(x.device), torch.get_num_threads(), backward)
    if key not in _measured:
        with _lock:
            if key not in _measured:
                seconds = _race(ways, inputs, backward)
                best = min(seconds, key=seconds.__getitem__) if seconds else default
                _measured[key] = (best, seconds)
    return _measured[key][0]


def measurements() -> dict[tuple, tuple[str, dict[str, float]]]:
    """What `impl="auto"` has measured in this process: case -> (choice, seconds of each way)."""
    return dict(_measured)


def forget_measurements() -> None:
    """Measure again from now on (after the number of threads or the load of the machine changed)."""
    with _lock:
        _measured.clear()


def _race(ways: Ways, inputs: Sequence[Tensor | None], backward: bool) -> dict[str, float]:
    given = [None if t is None else torch.ones_like(t).requires_grad_(backward) for t in inputs]
    seconds: dict[str, float] = {}
    for name, way in ways.items():
        try:
            first = _time(way, given, backward)
            if first > 4 * min(seconds.values(), default=math.inf):
                continue
            seconds[name] = statistics.median(_time(way, given, backward) for _ in range(3))
        except RuntimeError:  # out of memory or not implemented on this device: that way is not a candidate
            continue
    return seconds


def _time(way: Callable[..., Tensor], inputs: Sequence[Tensor | None], backward: bool) -> float:
    x = inputs[0]
    cuda = x is not None and x.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    y = way(*inputs)
    if backward:
        torch.autograd.grad(y.sum(), [t for t in inputs if t is not None])
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start

"""Turn named layers of any network into conditioned ones; the network's own code does not change."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.nn.hyper.initialize import Hyperfan
from visus.nn.hyper.layers import HyperConv1d, HyperConv2d, HyperConv3d, HyperLinear, Implementation

_CONVS: dict[type, type] = {nn.Conv1d: HyperConv1d, nn.Conv2d: HyperConv2d, nn.Conv3d: HyperConv3d}
_conditions: ContextVar[dict[_Channel, Tensor]] = ContextVar("visus_conditions")


class _Channel:
    """Identity by which the layers of one wrapped network find its condition, and no other network's."""


class _Inject:
    """Forward pre-hook of a conditioned layer: hands it the condition of the running forward pass."""

    def __init__(self, channel: _Channel, name: str) -> None:
        self.channel, self.name = channel, name

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *more = args
        if more and more[0] is not None:
            return args
        cond = _conditions.get({}).get(self.channel)
        if cond is None:
            raise InputError(
                "no condition is set while this layer runs",
                field=self.name,
                remedy="call the wrapped network as model(x, cond=...), or run inside model.condition(cond)",
            )
        return x, cond


class Hyperized(nn.Module):
    """A network of which some layers have weights emitted per sample; see `hyperize`.

    The condition travels in a context variable, so threads, nested wrapped networks and copies do not mix.

    >>> import torch
    >>> net = hyperize(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), ["2"], cond_dim=3)
    >>> net(torch.zeros(5, 4), cond=torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(self, model: nn.Module, names: Sequence[str], cond_dim: int, channel: _Channel) -> None:
        super().__init__()
        self.model, self.names, self.cond_dim, self._channel = model, tuple(names), cond_dim, channel

    def forward(self, *args: Any, cond: Float[Tensor, "b m"], **kwargs: Any) -> Any:
        """Run the wrapped network; `cond` has one row per sample."""
        with self.condition(cond):
            return self.model(*args, **kwargs)

    @contextmanager
    def condition(self, cond: Float[Tensor, "b m"]) -> Iterator[None]:
        """Set the condition, in this thread, for what runs inside (a submodule, a recomputing backward)."""
        token = _conditions.set({**_conditions.get({}), self._channel: cond})
        try:
            yield
        finally:
            _conditions.reset(token)

    def conditioned(self) -> dict[str, nn.Module]:
        """The conditioned layers by name."""
        return {name: self.model.get_submodule(name) for name in self.names}


def hyperize(
    model: nn.Module,
    names: Sequence[str],
    *,
    cond_dim: int,
    init: Literal["original"] | Hyperfan = "original",
    impl: Implementation = "auto",
    in_place: bool = False,
) -> Hyperized:
    """Let a condition emit the weights of the named `nn.Linear` and `nn.Conv1d/2d/3d` layers of `model`.

    Paper: 2403.13319 conditions the last shortcut convolution, in a ResNet `["layer4.0.downsample.0"]`.

    Parameters
    ----------
    model : any network; a copy is changed unless `in_place`.
    names : module names as in `model.named_modules()`; `*` matches any text.
    cond_dim : columns of the condition given later as `wrapped(x, cond=...)`.
    init : `"original"` starts as the network it was (outputs equal bit for bit, generators zero, generator
        biases the old weights); a `Hyperfan` draws fresh generators.
    impl : how weights are applied per sample, see `visus.nn.hyper.apply`; also "factored", see
        `visus.nn.hyper.factored`.

    Raises `InputError` for a name that matches nothing, for layers of other kinds (subclasses too: their
    weights may be read by other code) and for layers with hooks.
    Limits: gradient checkpointing recomputes outside the forward pass; keep `wrapped.condition(cond)` open
    around the backward call then (on the CPU; elsewhere autograd recomputes in a thread of its own).
    """
    model = model if in_place else deepcopy(model)
    channel = _Channel()
    chosen = _resolve(model, names)
    made: dict[nn.Module, nn.Module] = {}
    for name in chosen:
        old = model.get_submodule(name)
        if old not in made:
            made[old] = _convert(old, name, cond_dim, init, impl)
            made[old].register_forward_pre_hook(_Inject(channel, name))
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, made[old])
    return Hyperized(model, chosen, cond_dim, channel)


def _resolve(model: nn.Module, names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not names:
        raise InputError("is not a list of module names", field="names", remedy='give for example ["fc"]')
    known = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    found: dict[str, None] = {}
    for wanted in names:
        matches = [
            name
            for name, module in known.items()
            if name == wanted or ("*" in wanted and fnmatchcase(name, wanted) and _kind(module))
        ]
        if not matches:
            near = difflib.get_close_matches(wanted, [n for n, m in known.items() if _kind(m)], cutoff=0.3)
            remedy = "near names: " + ", ".join(near) if near else "see model.named_modules()"
            raise InputError("no such layer in the network", field=wanted, remedy=remedy)
        found.update(dict.fromkeys(matches))
    shared = [name for name, module in known.items() for other in found if module is known[other]]
    return list(dict.fromkeys([*found, *shared]))


def _kind(module: nn.Module) -> bool:
    return type(module) is nn.Linear or type(module) in _CONVS


def _convert(
    old: nn.Module, name: str, cond_dim: int, init: Literal["original"] | Hyperfan, impl: Implementation
) -> nn.Module:
    if not _kind(old):
        raise InputError(
            f"is a {type(old).__name__}",
            field=name,
            remedy="name nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d layers",
        )
    if old._forward_hooks or old._forward_pre_hooks or old._backward_hooks:
        raise InputError("has hooks, which would be lost", field=name, remedy="remove them first")
    fan = init if isinstance(init, Hyperfan) else None
    options: dict[str, Any] = {"cond_dim": cond_dim, "bias": old.bias is not None, "init": fan, "impl": impl}
    if isinstance(old, nn.Linear):
        layer: Any = HyperLinear(old.in_features, old.out_features, **options)
    else:
        geometry = {
            key: getattr(old, key) for key in ("stride", "padding", "dilation", "groups", "padding_mode")
        }
        layer = _CONVS[type(old)](old.in_channels, old.out_channels, old.kernel_size, **options, **geometry)
    layer.to(device=old.weight.device, dtype=old.weight.dtype).train(old.training)
    if fan is None:
        layer.start_from(old.weight, old.bias)
    return layer

"""Any torch module -> its record, by watching it run once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from visus.errors import InputError
from visus.methods.gptnas.model.calls import ALIASES, READERS, Draft, Unreadable, hollow_result
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer, Setting, Span

BATCH = 3
"""Images the watched run takes. More than one, so that a shape which loses the batch axis is noticed."""


def trace(
    model: nn.Module,
    input_size: Sequence[int],
    *,
    name: str | None = None,
    blocks: Mapping[str, str] | None = None,
) -> Architecture:
    """Record what `model` computes on images of `input_size`, layer by layer.

    The module runs once, in evaluation mode, on the meta device: shapes are real, numbers and memory are not,
    weights and statistics stay as they are. (It must not run elsewhere at the same time.) A module that needs
    numbers to run (a branch on a value, a constant on another device) runs on the device it is on instead, with
    copies of its buffers. Calls of torch functions are recorded in order with the tensors they read, so a layer
    written as a module and one written as a function give the same record. What has no effect on the output
    leaves no record.

    A module without children, or one of torch.nn, that does something a record cannot say becomes a single
    `other` layer under its class name with its numbers in `value`; it can be made a token but not be rebuilt
    (`opaque`, see `visus.methods.gptnas.model.rebuild.obstacles`).

    Parameters
    ----------
    model : takes one tensor (b, *input_size); of several outputs the first counts.
    input_size : (C, H, W), without the batch axis.
    name : of the record; the class name by default.
    blocks : module name as in `model.named_modules()` -> block name; the layers that run inside it are a block.

    Raises
    ------
    InputError : the module cannot run on that size, or its output does not come from recorded calls.

    >>> trace(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8)).layers[1].name
    'ReLU'
    """
    return watch(model, input_size, name=name, blocks=blocks)[0]


def watch(
    model: nn.Module,
    input_size: Sequence[int],
    *,
    name: str | None = None,
    blocks: Mapping[str, str] | None = None,
) -> tuple[Architecture, dict[int, tuple[str, ...]]]:
    """As `trace`; beside the record, layer id -> names of its tensors in `model.state_dict()`."""
    size = tuple(int(side) for side in input_size)
    if not size or min(size) < 1:
        raise InputError(f"is {size}", field="input_size", remedy="give (channels, height, width)")
    try:
        with evaluating(model):
            recorder, output = _run(model, size, dict(blocks or {}))
    except Exception as error:  # the module is foreign code and may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"{type(model).__name__} cannot run on an input of size {size} ({reason})"
        raise InputError(problem, field="model", remedy="give the size that it was made for") from error
    return recorder.finished(output, name or type(model).__name__, size)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every module has the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def hollow(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Parameters and buffers without numbers (on the meta device) inside; afterwards those it had.

    Gives the hollow tensors by name.
    """
    tensors = _tensors_of(model)
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    with _swapped(model, {id(tensor): empty[name] for name, tensor in tensors.items()}):
        yield empty


@contextlib.contextmanager
def _swapped(model: nn.Module, others: Mapping[int, Tensor]) -> Iterator[None]:
    """Other tensors in place of those with these ids, wherever they are registered.

    torch.func.functional_call is not used: it leaves modules that occur twice with the swapped tensors.
    """
    saved: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            found = [(key, tensor) for key, tensor in table.items() if tensor is not None]
            saved += [(table, key, tensor) for key, tensor in found if id(tensor) in others]
    try:
        for table, key, tensor in saved:
            table[key] = others[id(tensor)]
        yield
    finally:
        for table, key, tensor in saved:
            table[key] = tensor


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _run(model: nn.Module, size: tuple[int, ...], blocks: dict[str, str]) -> tuple[_Recorder, Any]:
    """Without numbers if the module lets us, with numbers otherwise."""
    tensors = _tensors_of(model)
    floats = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    dtype = floats[0].dtype if floats else torch.get_default_dtype()
    try:
        with hollow(model) as empty:
            x = torch.empty(BATCH, *size, dtype=dtype, device="meta")
            return _watched(model, x, empty, blocks)
    except Exception:
        if any(tensor.is_meta for tensor in tensors.values()):
            raise
    x = torch.rand(BATCH, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    copies = {name: tensor.clone() for name, tensor in model.named_buffers()}
    with _swapped(model, {id(tensors[name]): copy for name, copy in copies.items()}):
        device = floats[0].device if floats else x.device
        return _watched(model, x.to(device), {**tensors, **copies}, blocks)


def _watched(
    model: nn.Module, x: Tensor, tensors: dict[str, Tensor], blocks: dict[str, str]
) -> tuple[_Recorder, Any]:
    learned = {name for name, _ in model.named_parameters()}
    recorder = _Recorder(x, tensors, learned)
    with torch.random.fork_rng(devices=[]), recorder.attached(model, blocks), torch.no_grad(), recorder:
        return recorder, model(x)


@dataclass
class _Entry:
    """A draft with the ids it reads and the names of its weights."""

    draft: Draft
    sources: tuple[int, ...]
    in_size: tuple[int, ...]
    weights: tuple[str, ...] = ()

    @property
    def opaque(self) -> bool:
        return bool(self.draft.value.get("opaque"))


class _Recorder(TorchFunctionMode):
    """Writes down every call of a torch function on tensors that come from `x`."""

    def __init__(self, x: Tensor, tensors: Mapping[str, Tensor], learned: set[str]) -> None:
        self.entries: list[_Entry] = []
        self.spans: list[Span] = []
        self.names = {id(tensor): name for name, tensor in tensors.items()}
        self.learned = {id(tensor): tensor.numel() for name, tensor in tensors.items() if name in learned}
        self.producers = {id(x): SOURCE}
        self.alive: list[Any] = [x, tensors]  # an id is only good while its tensor lives

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = hollow_result(func, args, kwargs)
        if out is None:
            out = func(*args, **kwargs)
        given = self._tracked((args, kwargs))
        found = [args[0]] if func is Tensor.__setitem__ else _tensors(out)
        if given and found:
            self._note(func, args, kwargs, out, given, found)
        return out

    def _tracked(self, tree: Any) -> list[Tensor]:
        return [tensor for tensor in _tensors(tree) if id(tensor) in self.producers]

    def _note(
        self, func: Any, args: Any, kwargs: Any, out: Any, given: list[Tensor], found: list[Tensor]
    ) -> None:
        if func in ALIASES and found[0].shape == given[0].shape:
            self._remember(found[:1], self.producers[id(given[0])])
            return
        try:
            drafts = READERS[func](out, *args, **kwargs)
            entries = [self._entry(draft) for draft in (drafts if isinstance(drafts, list) else [drafts])]
        except (KeyError, TypeError, Unreadable):  # TypeError: arguments the reader does not know
            word = getattr(func, "__name__", "call").strip("_")
            value: dict[str, Setting] = {"opaque": True}
            learned = sum(self.learned.get(id(tensor), 0) for tensor in _tensors((args, kwargs)))
            entries = [self._entry(_opaque(word, given, found[0], value, learned))]
            self._remember(found, len(self.entries))
        for entry in entries:
            self._remember([entry.draft.out], len(self.entries))
            self.entries.append(entry)

    def _entry(self, draft: Draft) -> _Entry:
        known = all(isinstance(tensor, Tensor) and id(tensor) in self.producers for tensor in draft.inputs)
        weights = [tensor for tensor in draft.weights if tensor is not None]
        if not known or any(id(tensor) not in self.names for tensor in weights):
            raise Unreadable("a constant takes part")
        if not draft.value.get("opaque") and draft.out.shape[:1] != (BATCH,):
            raise Unreadable("the batch axis is lost")
        return _Entry(
            draft,
            tuple(self.producers[id(tensor)] for tensor in draft.inputs),
            tuple(draft.inputs[0].shape[1:]),
            tuple(self.names[id(tensor)] for tensor in weights),
        )

    def _remember(self, tensors: Sequence[Tensor], producer: int) -> None:
        self.alive.extend(tensors)
        self.producers.update({id(tensor): producer for tensor in tensors})

    @contextlib.contextmanager
    def attached(self, model: nn.Module, blocks: Mapping[str, str]) -> Iterator[None]:
        """Hooks that tell when modules begin and end; removed afterwards."""
        open_calls: list[tuple[int, list[Tensor], tuple[int, ...]]] = []

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            given = self._tracked((args, kwargs))
            sources = tuple(self.producers[id(tensor)] for tensor in given)
            open_calls.append((len(self.entries), given, sources))

        def leave(block: str | None) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
                start, given, sources = open_calls.pop()
                if given and _whole(module) and any(entry.opaque for entry in self.entries[start:]):
                    self._collapse(module, start, given, sources, _tensors(out))
                if block is not None and len(self.entries) > start:
                    self.spans = [span for span in self.spans if span[2] <= start]
                    self.spans.append((block, start, len(self.entries)))

            return hook

        handles = []
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave(blocks.get(name)), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _collapse(
        self, module: nn.Module, start: int, given: list[Tensor], sources: tuple[int, ...], out: list[Tensor]
    ) -> None:
        """One record in place of what happened inside the module."""
        value: dict[str, Setting] = {"opaque": True, **_numbers(module)}
        learned = sum(parameter.numel() for parameter in module.parameters())
        draft = _opaque(type(module).__name__, given, out[0], value, learned)
        names = tuple(
            self.names[id(t)] for t in module.state_dict(keep_vars=True).values() if id(t) in self.names
        )
        self.producers = {key: place for key, place in self.producers.items() if place < start}
        self.spans = [span for span in self.spans if span[2] <= start]
        self.entries[start:] = [_Entry(draft, sources, tuple(given[0].shape[1:]), names)]
        self._remember(out, start)

    def finished(
        self, output: Any, name: str, size: tuple[int, ...]
    ) -> tuple[Architecture, dict[int, tuple[str, ...]]]:
        """The record of what the output depends on."""
        ends = [self.producers[id(tensor)] for tensor in _tensors(output) if id(tensor) in self.producers]
        if not ends or ends[0] == SOURCE:
            raise InputError(
                "gives an output that no recorded call computed",
                field="model",
                remedy="trace the plain module, not a compiled or scripted one",
            )
        kept = self._ancestors(ends[0])
        place = {SOURCE: SOURCE, **{old: new for new, old in enumerate(kept)}}
        layers = []
        owners: dict[str, tuple[int, tuple[str, ...]]] = {}
        for new, old in enumerate(kept):
            layers.append(_layer(self.entries[old], new, place, owners))
        spans = [(block, [place[i] for i in range(a, b) if i in place]) for block, a, b in self.spans]
        return (
            Architecture(
                name=name,
                input_size=size,
                layers=tuple(layers),
                blocks=tuple((block, ids[0], ids[-1] + 1) for block, ids in spans if ids),
            ),
            {new: self.entries[old].weights for new, old in enumerate(kept) if self.entries[old].weights},
        )

    def _ancestors(self, end: int) -> list[int]:
        needed = {end}
        for index in range(end, -1, -1):
            if index in needed:
                needed.update(source for source in self.entries[index].sources if source != SOURCE)
        return sorted(needed)


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    items = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, tuple | list) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def _opaque(
    name: str, given: Sequence[Tensor], out: Tensor, value: dict[str, Setting], learned: int
) -> Draft:
    if learned:
        value["parameters"] = learned
    return Draft("other", given, out, {"name": name or "call"}, value)


def _whole(module: nn.Module) -> bool:
    """Whether the module may be told as one layer: it has no children, or torch made it and it is no container."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    foreign = not type(module).__module__.startswith("torch.nn.")
    return next(module.children(), None) is None if foreign else not isinstance(module, containers)


def _numbers(module: nn.Module) -> dict[str, Setting]:
    """The module's public attributes that are numbers."""
    found: dict[str, Setting] = {}
    for key, content in vars(module).items():
        whole = isinstance(content, tuple) and all(type(number) is int for number in content)
        finite = isinstance(content, bool | int) or (isinstance(content, float) and math.isfinite(content))
        if not key.startswith("_") and key != "training" and (whole or finite):
            found[key] = content
    return found


def _layer(
    entry: _Entry, new: int, place: Mapping[int, int], owners: dict[str, tuple[int, tuple[str, ...]]]
) -> Layer:
    """The record of one entry; weights that an earlier layer has are shared with it."""
    value = dict(entry.draft.value)
    for weight in entry.weights:
        owner, weights = owners.setdefault(weight, (new, entry.weights))
        if owner != new:
            value["shared"] = owner
            if weights != entry.weights:
                value["opaque"] = True
    return Layer(
        family=entry.draft.family,
        id=new,
        in_size=entry.in_size,
        out_size=tuple(entry.draft.out.shape[1:]),
        inputs=tuple(place[source] for source in entry.sources),
        value=tuple(sorted(value.items())),
        **entry.draft.fields,
    )

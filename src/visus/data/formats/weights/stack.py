"""From named tensors to a chain of layers: which tensors belong together, in which order, which way round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Never

import torch
from torch import Tensor, nn

from visus.errors import InputError

Orientation = Literal["auto", "out_in", "in_out"]
Activation = Literal["relu", "leaky_relu", "relu6", "hardtanh", "sigmoid", "tanh", "gelu", "identity"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}
ROLES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@dataclass
class Group:
    """The tensors of one layer by role, with the names they have in the file."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, role: str, name: str, value: Tensor, file: Path) -> None:
        """Take a tensor in; two of one role are refused."""
        if role in self.tensors:
            problem = f"there are two for layer {self.name}: {self.names[role]} and {name}"
            raise InputError(problem, file=file, field=f"tensor {name}", remedy=NAMES)
        self.tensors[role], self.names[role] = value, name

    @property
    def weight(self) -> Tensor:
        """The layer's weight."""
        return self.tensors["weight"]

    @property
    def is_norm(self) -> bool:
        """Whether this is batch normalization."""
        return "running_mean" in self.tensors


NAMES = "name the tensors as torch does (0.weight, 0.bias, 2.weight, ...) or W0, b0, W1, b1, ..."


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts names so that `fc10` comes after `fc2`.

    >>> sorted(["fc10", "fc2", "fc1"], key=natural)
    ['fc1', 'fc2', 'fc10']
    """
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part
    ]


def assemble(
    tensors: Mapping[str, Tensor],
    *,
    ordered: bool,
    orientation: Orientation,
    activation: Activation,
    order: Sequence[str] | None,
    file: Path,
) -> nn.Sequential:
    """A chain of linear layers, convolutions and batch normalizations with `activation` between them.

    Raises
    ------
    InputError : names that tell no layers apart, a tensor that belongs to none of these layers, shapes that do
        not chain, or square matrices that may stand either way round.
    """
    groups, torch_names = _groups(tensors, file)
    groups = _in_order(groups, ordered=ordered, order=order, file=file)
    for group in groups:
        _check_group(group, file)
    turned = _is_turned(groups, orientation, torch_names=torch_names, file=file)
    return _chain(groups, turned, ACTIVATIONS[activation], file)


# ---- which tensors make a layer ---------------------------------------------------------------------------


def _groups(tensors: Mapping[str, Tensor], file: Path) -> tuple[list[Group], bool]:
    """Tensors by layer, and whether the names are torch's."""
    dotted = [name.rpartition(".") for name in tensors]
    if all(role in ROLES for _, _, role in dotted):
        groups: dict[str, Group] = {}
        for (prefix, _, role), (name, value) in zip(dotted, tensors.items()):
            groups.setdefault(prefix, Group(prefix)).add(role, name, value, file)
        return list(groups.values()), True
    if all(re.fullmatch(r"arr_\d+", name) for name in tensors):
        return _by_turns(sorted(tensors, key=natural), tensors, file), False
    numbered: dict[str, Group] = {}
    for name in sorted(tensors, key=natural):
        numbers = re.findall(r"\d+", name)
        if not numbers:
            raise InputError("says no layer", file=file, field=f"tensor {name}", remedy=NAMES)
        value = tensors[name]
        role = (
            "bias"
            if value.ndim == 1 or (value.ndim == 2 and 1 in value.shape and _is_bias(name))
            else "weight"
        )
        value = value.flatten() if role == "bias" else value
        numbered.setdefault(numbers[-1], Group(numbers[-1])).add(role, name, value, file)
    return list(numbered.values()), False


def _is_bias(name: str) -> bool:
    return re.search(r"bias|(^|[^a-z])b", name.lower()) is not None


def _by_turns(names: Sequence[str], tensors: Mapping[str, Tensor], file: Path) -> list[Group]:
    """A matrix begins a layer, a vector after it is its bias."""
    groups: list[Group] = []
    for name in names:
        value = tensors[name]
        if value.ndim != 1:
            groups.append(Group(str(len(groups))))
        elif not groups:
            raise InputError("is a bias before any matrix", file=file, field=f"tensor {name}", remedy=NAMES)
        groups[-1].add("bias" if value.ndim == 1 else "weight", name, value, file)
    return groups


def _in_order(
    groups: Sequence[Group], *, ordered: bool, order: Sequence[str] | None, file: Path
) -> list[Group]:
    if order is None:
        return list(groups) if ordered else sorted(groups, key=lambda group: natural(group.name))
    known = {group.name: group for group in groups}
    if sorted(order) != sorted(known):
        raise InputError(
            f"{', '.join(order)} are not the layers",
            file=file,
            field="order",
            remedy="layers: " + ", ".join(known),
        )
    return [known[name] for name in order]


def _check_group(group: Group, file: Path) -> None:
    where = f"tensor {next(iter(group.names.values()))}"
    if group.is_norm:
        absent = {"running_var"} - group.tensors.keys()
        sizes = {tuple(value.shape) for role, value in group.tensors.items() if role != "num_batches_tracked"}
        if absent or len(sizes) != 1 or len(next(iter(sizes))) != 1:
            problem = f"batch normalization {group.name} lacks running_var or mixes shapes {sorted(sizes)}"
            raise InputError(problem, file=file, field=where, remedy="save the whole state_dict()")
        return
    if "weight" not in group.tensors:
        raise InputError(
            f"layer {group.name} has a bias but no weight", file=file, field=where, remedy="save both"
        )
    shape = tuple(group.weight.shape)
    if not 2 <= len(shape) <= 5 or 0 in shape:
        raise InputError(
            f"shape {shape} belongs to no linear layer, convolution or batch normalization",
            file=file,
            field=f"tensor {group.names['weight']}",
            remedy="export the network to ONNX, or build it in Python and call census(model)",
        )


# ---- which way round ----------------------------------------------------------------------------------------


def _is_turned(groups: Sequence[Group], orientation: Orientation, *, torch_names: bool, file: Path) -> bool:
    """Whether matrices are stored (in, out)."""
    matrices = [group for group in groups if not group.is_norm and group.weight.ndim == 2]
    if not matrices:
        return False
    faults = {turned: _break(matrices, groups, turned) for turned in (False, True)}
    if orientation != "auto":
        turned = orientation == "in_out"
        return turned if faults[turned] is None else _refuse_chain(faults[turned], file)
    fits = [turned for turned, fault in faults.items() if fault is None]
    if len(fits) == 2 and not torch_names:
        raise InputError(
            "may hold its matrices as (out, in) or as (in, out): both chain",
            file=file,
            field=f"tensor {matrices[0].names['weight']}",
            remedy="say which: orientation out_in (as torch) or in_out (as Keras)",
        )
    return fits[0] if fits else _refuse_chain(faults[False], file)


def _break(matrices: Sequence[Group], groups: Sequence[Group], turned: bool) -> tuple[str, str] | None:
    """The first tensor that does not fit what comes before it, and why; None where all fit."""
    before: tuple[str, int] | None = None
    for group in groups:
        if group not in matrices:
            out = len(next(iter(group.tensors.values()))) if group.is_norm else group.weight.shape[0]
            before = (group.name, out)
            continue
        entering, leaving = group.weight.shape if turned else group.weight.shape[::-1]
        name = group.names["weight"]
        whole = before is None or entering == before[1]
        flattened = before is not None and len(matrices) < len(groups) and entering % before[1] == 0
        if not whole and not flattened and before is not None:
            return name, f"takes {entering} numbers where layer {before[0]} gives {before[1]}"
        bias = group.tensors.get("bias")
        if bias is not None and bias.shape != (leaving,):
            return group.names[
                "bias"
            ], f"has shape {tuple(bias.shape)} where the layer gives {leaving} numbers"
        before = (group.name, leaving)
    return None


def _refuse_chain(fault: tuple[str, str] | None, file: Path) -> Never:
    name, problem = fault if fault is not None else ("", "")
    raise InputError(
        problem,
        file=file,
        field=f"tensor {name}",
        remedy="give the layers in order (order=...), or export the network to ONNX",
    )


# ---- the chain ----------------------------------------------------------------------------------------------


def _chain(groups: Sequence[Group], turned: bool, activation: type[nn.Module], file: Path) -> nn.Sequential:
    layers: list[nn.Module] = []
    width, axes, pending = None, 2, False
    for group in groups:
        if group.is_norm:
            made = _norm(group, axes)
            _fits(group, "running_mean", made.num_features, width, file)
            layers.append(made)
            continue
        if pending:
            layers.append(activation())
        pending = True
        if group.weight.ndim == 2:
            if axes > 2:
                layers.append(nn.Flatten(1))
            made, axes = _linear(group, turned), 2
            width = made.out_features
        else:
            made = _conv(group, width, file)
            width, axes = made.out_channels, group.weight.ndim
        layers.append(made)
    return nn.Sequential(*layers).eval()


def _fits(group: Group, role: str, found: int, width: int | None, file: Path) -> None:
    if width is not None and found != width:
        raise InputError(
            f"is for {found} channels where the layer before gives {width}",
            file=file,
            field=f"tensor {group.names[role]}",
            remedy="give the layers in order (order=...), or export the network to ONNX",
        )


def _filled(kind: Any, group: Group, weight: Tensor, *sizes: Any, **options: Any) -> Any:
    bias = group.tensors.get("bias")
    made: Any = nn.utils.skip_init(kind, *sizes, bias=bias is not None, dtype=weight.dtype, **options)
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def _linear(group: Group, turned: bool) -> nn.Linear:
    weight = group.weight.T if turned else group.weight
    return _filled(nn.Linear, group, weight, weight.shape[1], weight.shape[0])


def _conv(group: Group, width: int | None, file: Path) -> Any:
    """A convolution of stride 1 without padding; groups where the channels before say so."""
    weight = group.weight
    out, own = weight.shape[:2]
    groups = 1 if width is None or width % own or out % (width // own) else width // own
    _fits(group, "weight", own * groups, width, file)
    bias = group.tensors.get("bias")
    if bias is not None and bias.shape != (out,):
        problem = f"has shape {tuple(bias.shape)} where the convolution gives {out} channels"
        raise InputError(problem, file=file, field=f"tensor {group.names['bias']}", remedy="save it again")
    return _filled(
        CONVOLUTIONS[weight.ndim], group, weight, own * groups, out, tuple(weight.shape[2:]), groups=groups
    )


def _norm(group: Group, axes: int) -> Any:
    mean = group.tensors["running_mean"]
    made = NORMS[axes](len(mean), affine="weight" in group.tensors, dtype=mean.dtype)
    made.load_state_dict(group.tensors, strict=False)
    return made

"""What a network computes at one of its layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from visus.errors import InputError


def find_layer(module: nn.Module, layer: str) -> nn.Module:
    """A layer by its dotted name as in `module.named_modules()`; "" is the network itself.

    Raises
    ------
    InputError : there is none of that name; the message names some that there are.
    """
    try:
        return module.get_submodule(layer)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name]
        problem = f"is {layer!r}, which the {type(module).__name__} does not have"
        raise InputError(problem, field="layer", remedy=f"give one of its layers: {_listed(names)}") from None


def output_at(module: nn.Module, layer: str, *inputs: Any, **options: Any) -> Any:
    """The output of a layer when `module` is called with the inputs.

    What comes after the layer is not computed and cannot change its output in place. Of a layer that is passed
    several times, the first output.

    Raises
    ------
    InputError : no such layer, or the network's forward does not pass through it.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 2))
    >>> output_at(network, "1", torch.zeros(5, 2, 3)).shape
    torch.Size([5, 4])
    """

    def stop(module: nn.Module, args: object, output: Any) -> None:
        raise _Reached(output)

    handle = find_layer(module, layer).register_forward_hook(stop)
    try:
        module(*inputs, **options)
    except _Reached as reached:
        return reached.output
    finally:
        handle.remove()
    remedy = "choose a layer that the network's forward passes through"
    raise InputError("is never reached", field=f"layer {layer}", remedy=remedy)


class _Reached(Exception):
    """Ends a forward pass at the layer whose output is wanted."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _listed(names: list[str], most: int = 8) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most // 2])}, ..., {', '.join(names[-most // 2 :])}"

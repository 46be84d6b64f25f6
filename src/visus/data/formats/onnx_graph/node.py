"""One node of an ONNX graph on its way to becoming a torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Never

import torch
from torch import Tensor, nn

from visus.errors import InputError


@dataclass(kw_only=True)
class Node:
    """What an operator's builder may know: attributes, constant inputs, numbers of axes where they are known.

    A builder takes every attribute it understands; what is left over is refused.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    constants: Mapping[str, Tensor]
    ranks: Mapping[str, int]
    opset: int
    batch: int | None
    """The graph's batch size where the file fixes one."""
    file: Path
    taken: set[str] = field(default_factory=set)

    @property
    def where(self) -> str:
        """How the node is named to a person."""
        return (
            f"node {self.name} ({self.kind})" if self.name else f"node {self.kind} giving {self.outputs[0]}"
        )

    def take(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        self.taken.add(name)
        return self.attributes.get(name, default)

    def expect(self, **values: Any) -> None:
        """Attributes that have only one supported value."""
        for name, value in values.items():
            found = self.take(name, value)
            if found != value:
                self.refuse(f"attribute {name}={found} is not supported", f"export it with {name}={value}")

    def has(self, i: int) -> bool:
        """Whether the optional input `i` is given."""
        return i < len(self.inputs) and self.inputs[i] != ""

    def constant(self, i: int) -> Tensor | None:
        """Input `i` where it is a constant; None where it is absent or computed."""
        return self.constants.get(self.inputs[i]) if self.has(i) else None

    def fixed(self, i: int, what: str) -> Tensor:
        """Input `i`, which must be a constant."""
        found = self.constant(i)
        if found is None:
            self.refuse(f"its {what} is not a constant", "export the model with fixed weights and shapes")
        return found

    def numbers(self, attribute: str, i: int) -> list[int] | None:
        """Whole numbers that older files give as an attribute and newer ones as the constant input `i`."""
        found = self.take(attribute)
        if found is None and self.has(i):
            found = self.fixed(i, attribute).tolist()
        return None if found is None else [int(value) for value in found]

    def rank(self, i: int = 0) -> int | None:
        """Number of axes of input `i`, batch axis included; None where the file does not tell."""
        known = self.constant(i)
        return known.ndim if known is not None else self.ranks.get(self.inputs[i])

    def refuse(self, problem: str, remedy: str) -> Never:
        """Raise an `InputError` that names file and node."""
        raise InputError(problem, file=self.file, field=self.where, remedy=remedy)


class Call(nn.Module):
    """A function of tensors, some of which are constants of the file.

    `function` is a module-level function or a `functools.partial` of one, so that the module can be copied
    and sent to other processes.
    """

    def __init__(
        self, function: Callable[..., Tensor], constants: Mapping[int, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.function = function
        self.places = tuple(sorted(constants or {}))
        for place in self.places:
            self.register_buffer(f"constant{place}", (constants or {})[place])

    def forward(self, *given: Tensor) -> Tensor:
        values = list(given)
        for place in self.places:
            values.insert(place, self.get_buffer(f"constant{place}"))
        return self.function(*values)

    def extra_repr(self) -> str:
        """The function's name."""
        plain = getattr(self.function, "func", self.function)
        return getattr(plain, "__name__", type(plain).__name__).strip("_")


def readable(values: Tensor) -> Tensor:
    """Half-precision numbers as float32, all else as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

"""The linear map as a module: what is trained, saved and moved."""

from __future__ import annotations

from typing import Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.methods.alignment.model.transform import Transform


class LinearAligner(nn.Module):
    """z = x~ W + b on standardized features x~ = (x - mean) / std; `forward` takes x~.

    Paper: 2211.01201, sec. 4. Differs: the bias is a vector added to every row; the public code stores it as a
    further column of W.

    Parameters
    ----------
    inputs, outputs : p and q.
    bias : whether there is one.
    mean, std : the two numbers that features are standardized with.

    >>> LinearAligner(4, 3)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool = False, mean: float = 0.0, std: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64))

    @torch.no_grad()
    def start(self, init: Literal["gaussian", "identity"], scale: float, generator: torch.Generator) -> Self:
        """W ~ N(0, scale^2) or W = scale I; the bias is `scale` everywhere."""
        if init == "gaussian":
            self.weight.normal_(std=scale, generator=generator)
        else:
            nn.init.eye_(self.weight).mul_(scale)
        if self.bias is not None:
            self.bias.fill_(scale)
        return self

    def forward(self, x: Float[Tensor, "*n p"]) -> Float[Tensor, "*n q"]:
        found = x @ self.weight
        return found if self.bias is None else found + self.bias

    def to_transform(self) -> Transform:
        """The map as it is now, as a record on the CPU."""
        bias = None if self.bias is None else self.bias.detach().cpu().clone()
        weights = self.weight.detach().cpu().clone()
        return Transform(weights, bias, mean=float(self.mean), std=float(self.std))

    @classmethod
    def from_transform(cls, transform: Transform) -> Self:
        """A module that does what the record says."""
        made = cls(
            transform.inputs,
            transform.outputs,
            bias=transform.bias is not None,
            mean=transform.mean,
            std=transform.std,
        )
        with torch.no_grad():
            made.weight.copy_(transform.weights)
            if made.bias is not None and transform.bias is not None:
                made.bias.copy_(transform.bias)
        return made

"""The small ReLU classifier whose cells are counted while it learns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

STARTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
}


class Hidden(nn.Module):
    """relu(W x + b), then dropout; with a shortcut x is added to it."""

    def __init__(self, inputs: int, width: int, *, dropout: float = 0.0, shortcut: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = shortcut and inputs == width

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        y = self.dropout(torch.relu(self.linear(x)))
        return x + y if self.shortcut else y


class Classifier(nn.Module):
    """Hidden layers and an affine one that gives class scores.

    Weights start by `init`, drawn from the global generator, all biases at the constant `bias`.

    Paper: 2305.09145, experiments (four ways to start, constant biases, networks such as 3-40-20, shortcuts).
    Differs: a score per class instead of one output.

    >>> Classifier(3, (8, 8), 2, shortcuts=True)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        classes: int,
        *,
        init: str = "xavier_uniform",
        bias: float = 0.01,
        shortcuts: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.hidden = nn.ModuleList(
            Hidden(one, other, dropout=dropout, shortcut=shortcuts)
            for one, other in itertools.pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], classes)
        for layer in self.linears():
            STARTS[init](layer.weight)
            nn.init.constant_(layer.bias, bias)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        for layer in self.hidden:
            x = layer(x)
        return self.head(x)

    def linears(self) -> list[nn.Linear]:
        """The affine layers from input to output."""
        return [module for module in self.modules() if isinstance(module, nn.Linear)]

    def plain(self) -> nn.Sequential:
        """The same layers as an `nn.Sequential` of linear layers and ReLUs, sharing weights; needs no shortcuts."""
        layers = [part for layer in self.linears() for part in (layer, nn.ReLU())]
        return nn.Sequential(*layers[:-1])

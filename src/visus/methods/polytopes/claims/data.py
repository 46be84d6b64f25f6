"""The networks of the claims: sizes by preset, initializations, and the box in which they are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from visus.engine.seeds import seeded
from visus.methods.polytopes.config import Init
from visus.methods.polytopes.model.classifier import Classifier

INITS: tuple[Init, ...] = ("xavier_uniform", "xavier_normal", "kaiming", "orthogonal")
BIAS = 0.01
"""Constant start of all biases, as in the paper."""
STATED_SHARE = 0.5
"""Simple cells dominate, says the paper: they are more than half."""
WIDTHS: Mapping[str, tuple[int, ...]] = {
    "smoke": (3, 10, 6),
    "demo": (3, 40, 20),
    "gpu": (3, 80, 40),
    "paper": (3, 80, 40),
}
DEPTH_WIDTH: Mapping[str, int] = {"smoke": 5, "demo": 14, "gpu": 80, "paper": 80}
LARGE = (3, 160, 160, 160)
POINTS: Mapping[str, int] = {"smoke": 200, "demo": 8000, "gpu": 8000, "paper": 8000}
LINES: Mapping[str, int] = {"smoke": 40, "demo": 400, "gpu": 1500, "paper": 1500}


def network(
    widths: Sequence[int], *, init: Init = "xavier_uniform", bias: float = BIAS, seed: int = 0
) -> nn.Sequential:
    """A float64 stack of Linear and ReLU with one output; `widths` are those of the input and the hidden layers.

    All biases are the same constant.
    """
    with seeded(seed, "network", init):
        return Classifier(widths[0], widths[1:], 1, init=init, bias=bias).double().plain()


def scaled(model: nn.Sequential, factor: float) -> nn.Sequential:
    """The same network with all biases multiplied: x -> factor f(x / factor)."""
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.bias.mul_(factor)
    return model

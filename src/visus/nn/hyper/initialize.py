"""Hyperfan-in initialization: emitted weights with the variance that He initialization would give them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError

VarianceKind: TypeAlias = Literal["input_variance", "embedding_variance", "embedding_second_moment"]


@dataclass(frozen=True, kw_only=True)
class Hyperfan:
    """Variances of a weight generator's own weights.

    Var(weights of the weight generator) = 2^relu / (2^bias * d_j * d_k * v)
    Var(weights of the bias generator)   = 2^relu / (2 * d_k * v)

    d_j: fan-in of the emitted layer, d_k: width of the condition, v: variance of the condition.

    Paper: Chang, Flokas, Lipson, "Principled weight initialization for hypernetworks" (ICLR 2020,
    arXiv 2312.08399); used by 2403.13319.
    Differs: v = 0 counts as 1, so that a constant condition does not divide by zero.

    Parameters
    ----------
    variance : v. The derivation wants the second moment of the generator's input; see `condition_variance`.
    relu : a rectifier precedes the emitted layer, which halves the second moment of its input.
    bias : the emitted bias shares the output variance with the weights; None follows the layer.

    >>> Hyperfan(variance=0.25).variances(fan_in=16, width=2, has_bias=True)
    (0.125, 2.0)
    """

    variance: float = 1.0
    relu: bool = True
    bias: bool | None = None

    def variances(self, *, fan_in: int, width: int, has_bias: bool) -> tuple[float, float]:
        """(variance of the weight generator, variance of the bias generator)."""
        if not (math.isfinite(self.variance) and self.variance >= 0):
            raise InputError(
                f"{self.variance} is not a variance", field="variance", remedy="give a number >= 0"
            )
        v = self.variance or 1.0
        shared = has_bias if self.bias is None else self.bias
        gain = 2.0 if self.relu else 1.0
        return gain / ((2.0 if shared else 1.0) * fan_in * width * v), gain / (2.0 * width * v)


@torch.no_grad()
def uniform_(tensor: Tensor, variance: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill in place from U(-a, a) with a = sqrt(3 * variance)."""
    bound = math.sqrt(3.0 * variance)
    return tensor.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def condition_variance(
    table: Float[Tensor, "n m"],
    kind: VarianceKind = "embedding_second_moment",
    embed: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """The v of `Hyperfan`, from training rows.

    Parameters
    ----------
    table : the training rows as numbers.
    kind : `input_variance` is the mean over rows of the variance across a row's columns (what the paper's
        experiments used); `embedding_variance` the same for `embed(table)`; `embedding_second_moment` the
        mean square of `embed(table)`, which is what the derivation asks for.
    embed : the network between table and generators; None means the table enters the generators itself.

    The embedding is evaluated in evaluation mode and put back into its mode.
    Zero comes back as 1. Raises `InputError` for an unknown kind or a table without rows.
    """
    if kind not in ("input_variance", "embedding_variance", "embedding_second_moment"):
        raise InputError(
            f"{kind!r} is unknown", field="kind", remedy="see the docstring of condition_variance"
        )
    if table.numel() == 0:
        raise InputError("has no rows or no columns", field="table", remedy="give the training rows")
    rows = table if kind == "input_variance" or embed is None else _evaluated(embed, table)
    if kind == "embedding_second_moment":
        found = rows.square().mean()
    else:
        found = rows.var(dim=1, correction=0).mean()
    return float(found) or 1.0


def _evaluated(embed: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    if not isinstance(embed, nn.Module):
        return embed(table)
    modes = [(module, module.training) for module in embed.modules()]
    try:
        return embed.eval()(table)
    finally:
        for module, mode in modes:
            module.training = mode

"""Networks made on purpose: one with a complicated cell, and random arrangements as the reference."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.engine.seeds import derive_seed
from visus.errors import InputError


def tangent_network(neurons: int, dimension: int, *, radius: float = 0.5, seed: int = 0) -> nn.Sequential:
    """One hidden layer whose hyperplanes touch a sphere: the cell around its center has `neurons` facets.

    z_i = u_i x - r with unit vectors u_i. The point r u_i satisfies every other inequality strictly, so each
    hyperplane contributes a facet; a box that contains the ball sees all of them.

    That complicated cells exist is no question; that they are rare is what a census shows.
    """
    if radius <= 0:
        raise InputError("is no radius", field="radius", remedy="give a number above 0")
    normals = _unit_vectors(neurons, dimension, seed)
    return _layer(normals, torch.full((neurons,), -radius, dtype=torch.float64))


def random_arrangement(
    neurons: int, dimension: int, *, reach: float | None = None, seed: int = 0
) -> nn.Sequential:
    """One hidden layer of isotropic random hyperplanes, the arrangement closest to a Poisson tessellation.

    Normals are uniform on the sphere, distances from the origin uniform in [0, reach]. By default `reach` is
    sqrt(d), the corner of the box [-1, 1]^d: inside that box the hyperplanes are distributed without
    preferred place or direction.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "arrangement"))
    normals = torch.randn(neurons, dimension, generator=generator, dtype=torch.float64)
    normals = normals / normals.norm(dim=1, keepdim=True)
    reach = math.sqrt(dimension) if reach is None else reach
    return _layer(normals, -reach * torch.rand(neurons, generator=generator, dtype=torch.float64))


def _unit_vectors(count: int, dimension: int, seed: int) -> Float[Tensor, "n d"]:
    """Directions far from each other: even in the plane, a spiral in space, random beyond; turned by `seed`."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "tangent"))
    turn, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    steps = torch.arange(count, dtype=torch.float64) + 0.5
    if dimension == 2:
        angle = 2 * math.pi * steps / count
        even = torch.stack([angle.cos(), angle.sin()], dim=1)
    elif dimension == 3:
        height, angle = 1 - 2 * steps / count, math.pi * (1 + math.sqrt(5)) * steps
        ring = (1 - height**2).sqrt()
        even = torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=1)
    else:
        even = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
        even = even / even.norm(dim=1, keepdim=True)
    return even @ turn.T


def _layer(normals: Float[Tensor, "n d"], offsets: Float[Tensor, " n"]) -> nn.Sequential:
    """Linear and ReLU with these weights, and a sum as the output."""
    neurons, dimension = normals.shape
    hidden, last = nn.Linear(dimension, neurons).double(), nn.Linear(neurons, 1).double()
    with torch.no_grad():
        hidden.weight.copy_(normals)
        hidden.bias.copy_(offsets)
        last.weight.fill_(1.0)
        last.bias.zero_()
    return nn.Sequential(hidden, nn.ReLU(), last)

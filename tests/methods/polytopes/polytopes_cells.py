"""Small complexes for tests, cut stage by stage without the census driver, and slow looks at them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from visus.methods.polytopes.model.complex import Complex
from visus.methods.polytopes.model.lattice import Lattice


def network(widths, *, seed=0, bias=None):
    """A ReLU network in float64 with Xavier weights; biases uniform, or all equal to `bias`."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for index, (m, n) in enumerate(pairwise(widths)):
        layer = nn.Linear(m, n, dtype=torch.float64).requires_grad_(False)
        limit = (6 / (m + n)) ** 0.5
        layer.weight.uniform_(-limit, limit, generator=generator)
        layer.bias.uniform_(-(m**-0.5), m**-0.5, generator=generator)
        if bias is not None:
            layer.bias.fill_(bias)
        layers += [layer, nn.ReLU()] if index < len(widths) - 2 else [layer]
    return nn.Sequential(*layers)


def arrangement(normals, offsets=None, head=None):
    """One hidden layer whose neurons are the given hyperplanes; the output sums them up or is `head` of them."""
    normals = torch.as_tensor(normals, dtype=torch.float64)
    hidden = nn.Linear(normals.shape[1], len(normals), dtype=torch.float64).requires_grad_(False)
    hidden.weight.copy_(normals)
    hidden.bias.copy_(torch.zeros(len(normals)) if offsets is None else torch.as_tensor(offsets))
    weights = torch.ones(1, len(normals)) if head is None else torch.as_tensor(head)
    last = nn.Linear(len(normals), len(weights), dtype=torch.float64).requires_grad_(False)
    last.weight.copy_(weights)
    last.bias.zero_()
    return nn.Sequential(hidden, nn.ReLU(), last)


def stages(model, x):
    """Pre-activations of every ReLU of a Sequential at x, and the output."""
    found = []
    for layer in model:
        if isinstance(layer, nn.ReLU):
            found.append(x)
        x = layer(x)
    return found, x


def complex_of(model, low=-1.0, high=1.0):
    """The cells of a Sequential of Linear and ReLU in the box [low, high]^d."""
    dim = model[0].in_features
    lattice = Lattice.box([low] * dim, [high] * dim)
    for stage in range(sum(isinstance(layer, nn.ReLU) for layer in model)):
        lattice = lattice.cut(stages(model, lattice.points)[0][stage])
    cells = [sorted(cell) for cell in vertex_sets(lattice)[-1]]
    centers = torch.stack([lattice.points[cell].mean(0) for cell in cells])
    signs = torch.cat(stages(model, centers)[0], 1) > 0
    packed = torch.from_numpy(np.packbits(signs.numpy(), axis=1))
    return Complex(lattice, stages(model, lattice.points)[1], packed, num_signs=signs.shape[1])


def vertex_sets(lattice):
    """Per dimension 1..d the vertices of every face as sets, gathered face by face."""
    levels = [[set(edge) for edge in lattice.edges.tolist()]]
    for rows in lattice.rows:
        faces = [set() for _ in range(max(face for face, _ in rows.tolist()) + 1)]
        for face, side in rows.tolist():
            faces[face] |= levels[-1][side]
        levels.append(faces)
    return levels


def side_lists(lattice):
    """Per dimension 2..d the (k-1)-faces of every k-face."""
    found = []
    for rows in lattice.rows:
        sides = {}
        for face, side in rows.tolist():
            sides.setdefault(face, []).append(side)
        found.append(sides)
    return found


SHAPES = [(2, 7, 5, 1), (2, 5, 4, 3, 2), (3, 6, 4, 1), (3, 5, 3, 3, 3), (4, 5, 3, 1), (5, 4, 2, 1)]
"""Widths of networks small enough for slow references, in 2 to 5 dimensions."""

BRAID = [[1, -1, 0], [0, 1, -1], [1, 0, -1]]
B3 = [*BRAID, [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
GRID = np.eye(3).tolist()


def degenerate():
    """Complexes with many faces through common points: cones, reflection arrangements, a grid, repeated planes."""
    return {
        "cones": complex_of(network((3, 7, 1), seed=1, bias=0.0)),
        "deep cones": complex_of(network((3, 4, 4, 2), seed=2, bias=0.0)),
        "braid": complex_of(arrangement(BRAID)),
        "B3": complex_of(arrangement(B3)),
        "grid": complex_of(arrangement([*GRID, *GRID], [0.25] * 3 + [-0.5] * 3)),
        "repeated": complex_of(arrangement([[1, 2], [2, 4], [0, 0], [1, 0]], [0.1, 0.2, 0.0, -1.0])),
        "no cut": complex_of(arrangement([[0.0, 0.0]])),
    }

"""What theory says about numbers and shapes of cells: the references a census is read against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from visus.errors import InputError


def most_cells(neurons: int, dimension: int) -> int:
    """Cells of `neurons` hyperplanes in general position in R^d: sum over i <= d of C(n, i).

    Source: Zaslavsky 1975, "Facing up to arrangements".

    >>> most_cells(20, 2), most_cells(12, 3), most_cells(9, 4)
    (211, 299, 256)
    """
    return sum(math.comb(neurons, i) for i in range(dimension + 1))


def central_cells(neurons: int, dimension: int) -> int:
    """Cells of `neurons` hyperplanes through the origin, otherwise in general position: 2 sum over i < d of C(n-1, i).

    Source: Zaslavsky 1975; the count of a layer without biases.

    >>> central_cells(20, 2), central_cells(12, 3), central_cells(9, 4)
    (40, 134, 186)
    """
    return 2 * sum(math.comb(neurons - 1, i) for i in range(dimension)) if neurons else 1


def most_cells_deep(widths: Sequence[int], dimension: int) -> int:
    """Upper bound on the cells of a deep ReLU network.

    The sum over (j_1, ..., j_L) of the products of C(n_l, j_l), where j_l is at most d, at most n_l, and at
    most n_k - j_k for every layer k before l.

    Source: Serra, Tjandraatmadja, Ramalingam 2018, "Bounding and counting linear regions", theorem 1.

    >>> most_cells_deep([20], 2) == most_cells(20, 2), most_cells_deep([2, 8], 2)
    (True, 56)
    """

    @cache
    def rest(layer: int, room: int) -> int:
        if layer == len(widths):
            return 1
        width = widths[layer]
        return sum(
            math.comb(width, j) * rest(layer + 1, min(room, width - j)) for j in range(min(room, width) + 1)
        )

    return rest(0, dimension)


def mean_facets_bound(dimension: int) -> int:
    """Upper bound 2 d on the mean number of facets over the cells of a generic ReLU network on R^d.

    It knows neither width nor depth, and one wide layer comes as close as one likes: the mean says nothing
    about the network.

    Source: Gaines and Bi 2026 (arXiv 2606.07728). Differs: Fan et al. state a bound under assumptions on
    biases or ranks; this one needs general position only.
    """
    return 2 * dimension


def fewest_facets(first_width: int, dimension: int) -> int:
    """Lower bound min(n_1, d) on the facets of every cell of a generic ReLU network on R^d.

    Source: Gaines and Bi 2026 (arXiv 2606.07728).
    """
    return min(first_width, dimension)


def typical_faces(dimension: int, face: int) -> int:
    """Mean number of `face`-dimensional faces of a typical cell of a Poisson hyperplane tessellation.

    E f_k = 2^(d-k) C(d, k): 2 d facets, 2^d vertices. Source: Schneider and Weil 2008, "Stochastic and
    Integral Geometry", theorem 10.3.1.

    >>> [typical_faces(3, k) for k in range(3)]
    [8, 12, 6]
    """
    return 2 ** (dimension - face) * math.comb(dimension, face)


def weighted_vertices(dimension: int) -> float:
    """Mean number of vertices of the volume-weighted cell of an isotropic Poisson hyperplane tessellation.

    d! 2^-d kappa_d^2 with kappa_d the volume of the unit ball: pi^2 / 2 in the plane, 4 pi^2 / 3 in space.
    Source: Matheron 1975 (zero cell).

    >>> round(weighted_vertices(2), 4), round(weighted_vertices(3), 4)
    (4.9348, 13.1595)
    """
    ball = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    return math.factorial(dimension) * 2.0**-dimension * ball**2


def weighted_facets(dimension: int) -> float:
    """Mean number of facets of that cell, for d = 2 and 3 where simple polytopes fix it by their vertices.

    >>> round(weighted_facets(3), 4)
    8.5797
    """
    if dimension == 2:
        return weighted_vertices(2)
    if dimension == 3:
        return weighted_vertices(3) / 2 + 2
    raise InputError(
        "vertices fix the facets of a simple polytope in the plane and in space only",
        field="dimension",
        remedy="choose 2 or 3",
    )


TRIANGLES = 2 - math.pi**2 / 6
"""Share of triangles among the cells of an isotropic Poisson line tessellation (Miles 1964): 0.355."""

"""What an exact census is compared with: other ways to find cells, and what theory says about them."""

from visus.methods.polytopes.baselines.bounds import (
    TRIANGLES,
    central_cells,
    fewest_facets,
    mean_facets_bound,
    most_cells,
    most_cells_deep,
    typical_faces,
    weighted_facets,
    weighted_vertices,
)
from visus.methods.polytopes.baselines.networks import random_arrangement, tangent_network
from visus.methods.polytopes.baselines.programs import Walk, walk_cells
from visus.methods.polytopes.baselines.sampling import Sample, sample_cells
from visus.methods.polytopes.baselines.subdivision import Skeleton, subdivide_edges

__all__ = [
    "TRIANGLES",
    "Sample",
    "Skeleton",
    "Walk",
    "central_cells",
    "fewest_facets",
    "mean_facets_bound",
    "most_cells",
    "most_cells_deep",
    "random_arrangement",
    "sample_cells",
    "subdivide_edges",
    "tangent_network",
    "typical_faces",
    "walk_cells",
    "weighted_facets",
    "weighted_vertices",
]

"""Which human concepts a network misses: errors of the features as they are, split by VICE's dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visus.data.triplets import sample_triplets
from visus.methods.alignment.claims import data
from visus.methods.alignment.claims.arms import Size
from visus.methods.alignment.estimator import ConceptTable, concept_table
from visus.metrics.odd_one_out import hits, pair_similarities

STRONGEST = 10
"""Objects by which a dimension is named."""
FOOD_ANIMAL = frozenset(
    (
        *(
            "food",
            "fruit",
            "vegetable",
            "dessert",
            "drink",
            "candy",
            "seafood",
            "meat",
            "breakfast food",
            "nut",
        ),
        *("animal", "bird", "insect", "mammal", "sea animal", "sea creature"),
    )
)
"""Categories of the concept table."""


def dimension_errors(size: Size, seed: int) -> tuple[ConceptTable, ConceptTable]:
    """Errors per dimension of EfficientNet-Lite0's features (cosine), and of VICE itself, on the same triplets."""
    photos, everything = data.photos(), data.vice()
    reference = everything[photos.concept]
    triplets = sample_triplets(reference, size.judged, seed).rows
    names = [", ".join(named[:3]) for named in strongest(everything)]
    answers = [
        hits(pair_similarities(photos.features, triplets, kind="cosine")),
        hits(pair_similarities(reference, triplets, kind="dot")),
    ]
    rows = torch.from_numpy(triplets)
    first, second = (concept_table(reference, rows, right, names=names) for right in answers)
    return first, second


def strongest(reference: Float[Tensor, "m d"], most: int = STRONGEST) -> list[list[str]]:
    """Names of the objects with most of every dimension."""
    words = data.concepts().words
    return [[words[i] for i in column] for column in _strongest(reference, most)]


def _strongest(reference: Float[Tensor, "m d"], most: int) -> list[list[int]]:
    return reference.argsort(dim=0, descending=True, stable=True)[:most].T.tolist()


def food_or_animal(reference: Float[Tensor, "m d"]) -> Bool[np.ndarray, " d"]:
    """Dimensions at least half of whose ten strongest objects are food or animals by the concept table."""
    edible = [bool(FOOD_ANIMAL & set(kinds)) for kinds in data.concepts().categories]
    shares = [np.mean([edible[i] for i in column]) for column in _strongest(reference, STRONGEST)]
    return np.array(shares) >= 0.5


def group_error(table: ConceptTable, chosen: Bool[np.ndarray, " d"]) -> float:
    """Error of all triplets that the chosen dimensions decide."""
    return float(1 - table.hits[chosen].sum() / table.count[chosen].sum())


def concept_rows(table: ConceptTable, upper: ConceptTable, chosen: Any) -> list[dict[str, Any]]:
    """One row per dimension for the report's figure."""
    rows = zip(table.rows(), upper.rows(), chosen.tolist(), strict=True)
    return [{**row, "reference_error": best["error"], "food_animal": told} for row, best, told in rows]

"""The estimator of one transform, its cross-validation, concepts and the comparison of models."""

from visus.methods.alignment.estimator.aligner import Aligner
from visus.methods.alignment.estimator.comparison import Comparison, compare_models
from visus.methods.alignment.estimator.concepts import ConceptTable, concept_table, decodability
from visus.methods.alignment.estimator.folds import CrossValidation, cross_validate
from visus.methods.alignment.estimator.searching import SearchResult, search

__all__ = [
    "Aligner",
    "Comparison",
    "ConceptTable",
    "CrossValidation",
    "SearchResult",
    "compare_models",
    "concept_table",
    "cross_validate",
    "decodability",
    "search",
]

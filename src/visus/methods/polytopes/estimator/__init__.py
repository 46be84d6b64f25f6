"""The user-facing class: a table's rows in, classes and the cells they lie in out."""

from visus.methods.polytopes.estimator.polytopes import Polytopes

__all__ = ["Polytopes"]

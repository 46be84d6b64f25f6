"""Geometry of the cells of a piecewise affine network."""

from visus.methods.polytopes.model.boundary import Boundary
from visus.methods.polytopes.model.classifier import Classifier
from visus.methods.polytopes.model.complex import Complex
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.merging import Merged
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.slices import Slice
from visus.methods.polytopes.model.tally import Shapes, Tally
from visus.methods.polytopes.model.walk import census, census_stream

__all__ = [
    "Boundary",
    "Classifier",
    "Complex",
    "Lattice",
    "Merged",
    "Probe",
    "Shapes",
    "Slice",
    "Tally",
    "census",
    "census_stream",
]

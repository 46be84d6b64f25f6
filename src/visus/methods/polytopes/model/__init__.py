"""Geometry of the cells of a piecewise affine network."""

from visus.methods.polytopes.model.classifier import Classifier
from visus.methods.polytopes.model.complex import Complex
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.slices import Slice
from visus.methods.polytopes.model.tally import Tally
from visus.methods.polytopes.model.walk import census, census_stream

__all__ = ["Classifier", "Complex", "Lattice", "Probe", "Slice", "Tally", "census", "census_stream"]

"""Files of weights <-> torch networks. Nothing in a file is executed: no pickled object, no code."""

from visus.data.formats.weights.reading import read_network
from visus.data.formats.weights.writing import write_network

__all__ = ["read_network", "write_network"]

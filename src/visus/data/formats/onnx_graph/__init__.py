"""ONNX files as torch modules: the usual feed-forward operators, each refused by name where it is not known."""

from visus.data.formats.onnx_graph.graph import OnnxGraph, read_onnx
from visus.data.formats.onnx_graph.operators import OPERATORS

__all__ = ["OPERATORS", "OnnxGraph", "read_onnx"]

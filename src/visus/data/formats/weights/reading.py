"""A file of weights as a network that can be called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from visus.data.formats.weights.description import KEY, build
from visus.data.formats.weights.files import read_weights
from visus.data.formats.weights.stack import ACTIVATIONS, Activation, Orientation, assemble
from visus.errors import InputError


def read_network(
    path: str | Path,
    *,
    orientation: Orientation = "auto",
    activation: Activation = "relu",
    order: Sequence[str] | None = None,
) -> nn.Module:
    """Read a network, in evaluation mode, on the CPU. Nothing in the file is executed.

    - `.onnx` (extra `onnx`): the graph, operator by operator (`visus.data.formats.onnx_graph`).
    - `.safetensors` written by `write_network`: exactly that chain of layers.
    - other `.safetensors`, state dicts in `.pt` and `.pth`, `.npz`: a chain read off names and shapes. Matrices
      are linear layers, tensors of 3 to 5 axes convolutions of stride 1 without padding, tensors with running
      statistics batch normalization directly after the layer before; `activation` follows every layer but the
      last, and the step from convolutions to matrices is flattened. Layers come in the order of the state dict
      (`.pt`) or of their names with numbers by value. Known names: `0.weight`, `fc1.bias`, ...; `W0`, `b0`;
      `weights_0`, `biases_0`; `arr_0`, `arr_1`, ... where a vector is the bias of the matrix before it.

    Parameters
    ----------
    orientation : `out_in` (torch) or `in_out` (Keras, most hand-written lists) of matrices; `auto` finds the
        one that chains and asks where both do. Torch's own names mean torch's orientation there.
    activation : what stands between the layers of a file that does not say it.
    order : names of the layers from input to output (`fc1`, `head`, ...), where names do not sort that way.

    Raises
    ------
    InputError : names file, tensor and remedy: absent, cut-off or unknown files, pickled objects, values that are
        not finite, shapes that do not chain, tensors of other layers.
    """
    path = Path(path)
    if activation not in ACTIVATIONS:
        raise InputError(f"{activation!r} is not known", field="activation", remedy=", ".join(ACTIVATIONS))
    if path.suffix.lower() == ".onnx":
        from visus.data.formats.onnx_graph import read_onnx

        return read_onnx(path)
    found = read_weights(path)
    if found.layers is None:
        return assemble(
            found.tensors,
            ordered=found.ordered,
            orientation=orientation,
            activation=activation,
            order=order,
            file=path,
        )
    network = build(found.layers, file=path)
    _fill(network, found.tensors, path)
    return network.eval()


def _fill(network: nn.Sequential, tensors: dict[str, Tensor], path: Path) -> None:
    """Put the tensors into the layers that the header describes, in the precision they are stored in."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() ^ tensors.keys()):
        problem = "is not in the file" if name in wanted else f"belongs to no layer of {KEY}"
        raise InputError(problem, file=path, field=f"tensor {name}", remedy="write the network again")
    for name, value in tensors.items():
        if value.shape != wanted[name].shape:
            raise InputError(
                f"has shape {tuple(value.shape)}, the layer takes {tuple(wanted[name].shape)}",
                file=path,
                field=f"tensor {name}",
                remedy="write the network again",
            )
    network.load_state_dict(tensors, assign=True)
    for weight in network.parameters():
        weight.requires_grad_(True)

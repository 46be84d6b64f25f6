"""Published weights into backbones: every key and every shape is checked before anything changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from visus.data.formats.weights.files import read_weights
from visus.errors import InputError

if TYPE_CHECKING:
    from visus.methods.chestxray.model.backbones import DenseBackbone

FIRST = "features.conv0.weight"
OLD = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
COUNTER = "num_batches_tracked"
NAMED = 4
"""Keys an error message names of each kind."""


def load_torchvision_densenet(
    backbone: DenseBackbone, path: str | Path, *, head: nn.Linear | None = None
) -> None:
    """Fill a DenseNet backbone from a checkpoint with torchvision's names.

    torchvision writes `features.denseblock1.denselayer1.norm1.weight`, its oldest files `...norm.1.weight`,
    MONAI `...layers.norm1.weight`; all three are read, also behind a common prefix such as `module.`.
    Counters of batches, which the oldest files lack, may be missing.

    Parameters
    ----------
    path : .pth, .pt (read without unpickling objects) or .safetensors.
    head : takes over the checkpoint's classifier, e.g. `DualNet.dense_head` from a network trained on the
        same classes; without it the classifier is left out.

    Raises
    ------
    InputError : names the file and the keys that are missing, unexpected or of another shape. Nothing has
        changed then.
    """
    tensors = read_weights(path).tensors
    prefix = next((name.removesuffix(FIRST) for name in tensors if name.endswith(FIRST)), "")
    found = {_torchvision_name(name.removeprefix(prefix)): value for name, value in tensors.items()}
    features = {
        _torchvision_name(f"features.{name}"): value for name, value in backbone.features.state_dict().items()
    }
    classifier = {}
    if head is None:
        found = {name: value for name, value in found.items() if not _is_classifier(name)}
    else:
        classifier = {f"classifier.{name}": value for name, value in head.state_dict().items()}
    _check(features | classifier, found, path)
    _fill(features | classifier, found)


def load_state(module: nn.Module, path: str | Path, *, ignore: Collection[str] = ()) -> None:
    """Fill a module from a file of its own state_dict.

    Parameters
    ----------
    ignore : keys of the file that are left out.

    Raises
    ------
    InputError : as `load_torchvision_densenet`.
    """
    found = {name: value for name, value in read_weights(path).tensors.items() if name not in ignore}
    expected = module.state_dict()
    _check(expected, found, path)
    _fill(expected, found)


def _torchvision_name(name: str) -> str:
    """The name today's torchvision gives a tensor, from any of the three.

    >>> _torchvision_name("features.denseblock1.denselayer2.norm.1.weight")
    'features.denseblock1.denselayer2.norm1.weight'
    >>> _torchvision_name("features.denseblock1.denselayer2.layers.norm1.weight")
    'features.denseblock1.denselayer2.norm1.weight'
    """
    return OLD.sub(r"\1\2", name.replace(".layers.", "."))


def _is_classifier(name: str) -> bool:
    return name.startswith(("classifier.", "class_layers."))


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str | Path) -> None:
    missing = [name for name in expected if name not in found and not name.endswith(COUNTER)]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} {_sizes(found[name])} for {_sizes(value)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    kinds = {"missing": missing, "not of this network": unexpected, "of another shape": shapes}
    faults = [f"{len(names)} {kind} ({_listed(names)})" for kind, names in kinds.items() if names]
    if faults:
        problem = f"holds another network's weights: keys {'; '.join(faults)}"
        raise InputError(problem, file=path, remedy="give the checkpoint of the backbone you chose")


def _fill(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Copy; tensors of a state_dict share memory with the module's."""
    for name, value in expected.items():
        if name in found:
            value.copy_(found[name])


def _sizes(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")

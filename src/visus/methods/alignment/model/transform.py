"""The learned map as a record, and the file format that other tools read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.formats.arrays import read_arrays
from visus.errors import InputError
from visus.records import write_atomically

REWRITE = "write weights, mean, std and, if there is one, bias with numpy.savez"


@dataclass(frozen=True)
class Transform:
    """z = ((x - mean) / std) W + b, with one mean and one deviation for all features.

    The two numbers are those of the data the map was learned on; new data are standardized with them, never with
    their own.

    Paper: 2211.01201, sec. 4 and the public code (scalar standardization); the file is that of gLocal (2306.04507)
    and thingsvision: arrays `weights` (p, q), `mean` and `std` (single numbers) and, if there is one, `bias` (q,).

    >>> map = Transform(2 * torch.eye(2), None, mean=1.0, std=0.5)
    >>> map.apply(torch.tensor([[1.0, 2.0]]))
    tensor([[0., 4.]])
    """

    weights: Float[Tensor, "p q"]
    bias: Float[Tensor, " q"] | None = None
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def identity(cls, width: int) -> Self:
        """The map that leaves features of this width as they are."""
        return cls(torch.eye(width))

    @property
    def inputs(self) -> int:
        """p, the width of the features it takes."""
        return self.weights.shape[0]

    @property
    def outputs(self) -> int:
        """q, the width of what it gives."""
        return self.weights.shape[1]

    def standardize(self, features: Float[Tensor, "*n p"]) -> Float[Tensor, "*n p"]:
        """(x - mean) / std."""
        return (features - self.mean) / self.std

    def apply(self, features: Float[Tensor, "*n p"]) -> Float[Tensor, "*n q"]:
        """Transformed features, on the features' device and in their type (float32 for whole numbers).

        Raises
        ------
        InputError : features of another width.
        """
        if features.ndim < 1 or features.shape[-1] != self.inputs:
            raise InputError(
                f"have shape {tuple(features.shape)}; the transform takes {self.inputs} numbers per object",
                field="features",
                remedy="give features of the network and layer that the transform was learned on",
            )
        features = features if features.is_floating_point() else features.float()
        found = self.standardize(features) @ self.weights.to(features)
        return found if self.bias is None else found + self.bias.to(features)

    def save_npz(self, path: str | Path) -> None:
        """Write the file that gLocal and thingsvision read, whole or not at all."""
        arrays = {"weights": _array(self.weights), "mean": _number(self.mean), "std": _number(self.std)}
        if self.bias is not None:
            arrays["bias"] = _array(self.bias)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load_npz(cls, path: str | Path) -> Self:
        """Read a transform of gLocal, of thingsvision or of `save_npz`.

        A file whose weights have one column more than rows and that has no `bias` comes from code that stores the
        bias as a last column; it is taken apart.

        Raises
        ------
        InputError : absent or damaged file, arrays missing, of wrong shapes, or not finite.
        """
        path, arrays = Path(path), read_arrays(path)
        absent = [name for name in ("weights", "mean", "std") if name not in arrays]
        if absent:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(f"is missing; the file holds {held}", file=path, field=absent[0], remedy=REWRITE)
        weights = _tensor(arrays["weights"], path, "weights", axes=2)
        bias = _tensor(arrays["bias"], path, "bias", axes=1) if "bias" in arrays else None
        mean, std = (_scalar(arrays[name], path, name) for name in ("mean", "std"))
        if std <= 0:
            raise InputError(f"is {std}, not above 0", file=path, field="std", remedy=REWRITE)
        if bias is None and weights.shape[1] == weights.shape[0] + 1:
            weights, bias = weights[:, :-1].contiguous(), weights[:, -1].contiguous()
        if bias is not None and len(bias) != weights.shape[1]:
            problem = f"has {len(bias)} numbers for {weights.shape[1]} columns of weights"
            raise InputError(problem, file=path, field="bias", remedy=REWRITE)
        return cls(weights, bias, mean=mean, std=std)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()


def _number(value: float) -> np.ndarray:
    """float32 where nothing is lost, so that whoever applies it stays in the features' precision."""
    small = np.array(value, dtype=np.float32)
    return small if float(small) == value else np.array(value, dtype=np.float64)


def _tensor(array: np.ndarray, path: Path, name: str, *, axes: int) -> Tensor:
    if array.dtype.kind not in "fiu" or array.ndim != axes or array.size == 0:
        problem = f"has shape {array.shape} of {array.dtype}, not {axes} axes of numbers"
        raise InputError(problem, file=path, field=name, remedy=REWRITE)
    if not np.isfinite(array).all():
        raise InputError(
            "holds values that are not finite", file=path, field=name, remedy="fit the transform again"
        )
    kind: Any = array.dtype if array.dtype in (np.float32, np.float64) else np.float32
    return torch.from_numpy(np.array(array, dtype=kind, order="C"))


def _scalar(array: np.ndarray, path: Path, name: str) -> float:
    if array.dtype.kind not in "fiu" or array.size != 1 or not np.isfinite(array).all():
        problem = f"has shape {array.shape} of {array.dtype}, not one finite number"
        raise InputError(problem, file=path, field=name, remedy=REWRITE)
    return float(array.reshape(()))

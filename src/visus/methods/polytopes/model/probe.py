"""Any piecewise affine torch module, seen as a sequence of stages at which it bends."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.polytopes.model.tracing import Traced, Tracer

BATCH = 2**19  # numbers in the widest activation of one batch: it should stay in the cache
LEAST_BATCH = 64


class _Reached(BaseException):
    """The stage asked for; not an Exception, so that the model's own error handling lets it pass."""


class Probe:
    """A network as a sequence of stages: functionals that are affine wherever all earlier ones keep their sign.

    The user's own `forward` runs; what it does to the data is watched operation by operation. Every ReLU, leaky
    ReLU, PReLU or abs is a stage with its argument as functionals; a clamp, hardtanh or ReLU6 has two per unit, one
    per threshold; a maximum of n entries (max-pooling, `amax`, `max(dim)`) is a tournament of ceil(log2 n) stages
    with n - 1 differences, a refinement of the cells on which one entry wins. What is not piecewise affine and
    continuous is refused. The model is copied, in float64 and evaluation mode.

    Parameters
    ----------
    model : any module from (v, ...) to (v, k) whose rows do not depend on each other.
    shape : of one input, when it is not a vector: points (v, d) are given to the model as (v, *shape).

    Raises
    ------
    InputError : a weight is not finite; an operation is not piecewise affine (names module, operation, reason).
    """

    def __init__(
        self, model: nn.Module, *, shape: Sequence[int] | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.shape = None if shape is None else tuple(shape)
        self._model = copy.deepcopy(model).to(device=device, dtype=torch.float64).eval().requires_grad_(False)
        for name, weight in (*self._model.named_parameters(), *self._model.named_buffers()):
            if not bool(torch.isfinite(weight).all()):
                raise InputError(
                    "is not finite", field=f"weights {name}", remedy="repair or retrain the network"
                )
        self._path: list[str] = []
        for name, module in self._model.named_modules():
            label = f"module {name} ({type(module).__name__})" if name else type(module).__name__
            module.register_forward_pre_hook(lambda *_, label=label: self._path.append(label))
            module.register_forward_hook(lambda *_: self._path.pop() and None, always_call=True)
        self._widest = 1.0
        self.widths: list[int] = []

    def examine(self, points: Float[Tensor, "v d"]) -> None:
        """Run the whole model once and learn the width of every stage.

        Raises `InputError` when the model cannot be run on such points, when it holds an operation that cannot be
        followed, or when the result of one point depends on the others.
        """
        together = self._trace(points)
        self.widths = [stage.shape[1] for stage in together[:-1]]
        for row, point in enumerate(points):
            alone = self._trace(point[None])
            if [part.shape[1] for part in alone] != [part.shape[1] for part in together] or not all(
                torch.allclose(one[0], all_[row], rtol=1e-9, atol=1e-9)
                for one, all_ in zip(alone, together, strict=True)
            ):
                raise _mixed()

    def values(self, points: Float[Tensor, "v d"], stage: int) -> Float[Tensor, "v m"] | None:
        """The functionals of a stage at the points; None past the last stage."""
        found = self.functionals(points, stage)
        return None if found is None else found.t()

    def functionals(
        self, points: Float[Tensor, "v d"], stage: int, columns: Int[Tensor, " c"] | None = None
    ) -> Float[Tensor, "m v"] | None:
        """`values` transposed, of some columns only if these are given."""
        result: Tensor | None = None
        for start, part in self._batches(points):
            found = self._stage(part, stage)
            if found is None:
                return None
            found = found if columns is None else found.index_select(1, columns)
            if result is None:
                result = found.new_empty((found.shape[1], len(points)))
            result[:, start : start + len(part)] = found.t()
        return result

    def changing(self, points: Float[Tensor, "v d"], stage: int) -> Int[Tensor, " c"]:
        """The columns of a stage that are positive at some and negative at other points."""
        low, high = torch.tensor(torch.inf), torch.tensor(-torch.inf)
        for _, part in self._batches(points):
            found = self._stage(part, stage)
            assert found is not None
            least, most = found.aminmax(dim=0)
            low, high = torch.minimum(low.to(least), least), torch.maximum(high.to(most), most)
        return torch.nonzero((low < 0) & (high > 0))[:, 0]

    def patterns(self, points: Float[Tensor, "v d"]) -> Bool[Tensor, "v n"]:
        """Whether each functional is positive, all stages side by side."""
        parts = []
        for _, part in self._batches(points):
            signs: list[Tensor] = []
            self._run(part, lambda found, signs=signs: signs.append(found > 0))
            parts.append(torch.cat(signs, 1) if signs else points.new_zeros((len(part), 0), dtype=torch.bool))
        return torch.cat(parts)

    def packed_patterns(self, points: Float[Tensor, "v d"]) -> UInt8[Tensor, "v b"]:
        """`patterns`, eight to a byte, the first in the highest bit (as `numpy.packbits`)."""
        weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=points.device)
        parts = []
        for _, part in self._batches(points):
            signs = self.patterns(part)
            signs = nn.functional.pad(signs, (0, -signs.shape[1] % 8))
            parts.append((signs.unflatten(1, (-1, 8)) * weights).sum(-1, dtype=torch.uint8))
        return torch.cat(parts)

    def outputs(self, points: Float[Tensor, "v d"]) -> Float[Tensor, "v k"]:
        """What the model returns, one row per point."""
        return torch.cat([self._run(part, lambda _: None) for _, part in self._batches(points)])

    def _batches(self, points: Tensor) -> Iterator[tuple[int, Tensor]]:
        rows = max(LEAST_BATCH, int(BATCH / self._widest))
        for start in range(0, max(len(points), 1), rows):
            yield start, points[start : start + rows]

    def _stage(self, points: Tensor, stage: int) -> Tensor | None:
        """(v, m) functionals of one stage; the run stops there."""
        passed = 0
        reached: Tensor | None = None

        def visit(found: Tensor) -> None:
            nonlocal passed, reached
            passed += 1
            if passed > stage:
                reached = found
                raise _Reached

        with suppress(_Reached):
            self._run(points, visit)
        return reached

    def _trace(self, points: Tensor) -> list[Tensor]:
        """The functionals of all stages and the outputs."""
        stages: list[Tensor] = []
        try:
            outputs = self._run(points, lambda found: stages.append(found.clone()))
        except InputError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            shape = points.shape[1:] if self.shape is None else self.shape
            raise InputError(
                f"cannot be run on an input of shape {tuple(shape)}: {str(error).splitlines()[0]}",
                field="model",
                remedy="give the dimension or shape the model expects; its forward may hold torch operations only",
            ) from error
        return [*stages, outputs]

    @torch.no_grad()
    def _run(self, points: Tensor, visit: Callable[[Tensor], None]) -> Tensor:
        self._path.clear()
        count = len(points)

        def flatten(found: list[Tensor]) -> None:
            if any(part.dim() == 0 or part.shape[0] % max(count, 1) for part in found):
                raise _mixed()
            parts = [part.reshape(count, -1) for part in found]
            visit(parts[0] if len(parts) == 1 else torch.cat(parts, 1))

        tracer = Tracer(self._path, flatten)
        data = points.to(torch.float64)
        outputs = self._model(
            Traced(data if self.shape is None else data.reshape(count, *self.shape), tracer)
        )
        self._widest = max(self._widest, tracer.widest / max(count, 1))
        if not isinstance(outputs, Traced) or outputs.dim() == 0 or outputs.shape[0] != count:
            raise InputError(
                "does not return one row per input that depends on it",
                field="model",
                remedy="wrap it in a module that returns one tensor (v, k)",
            )
        return outputs.inner.reshape(count, -1)


def _mixed() -> InputError:
    return InputError(
        "the result of one input depends on the others in its batch, or the batch axis is not first",
        field="model",
        remedy="keep the batch axis first and treat its rows separately",
    )

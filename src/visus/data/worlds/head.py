"""A human head as an MRI scanner might see it (T1 weighting), drawn from a handful of numbers.

Axes of a volume: d from inferior to superior, h from posterior to anterior, w from left to right; flipping
the last axis mirrors the head. Coordinates are in mm from the center of the volume, before each head's own
scale, shift and rotation. Structures have soft edges one voxel wide: a voxel holds the fraction that they
fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from visus.errors import InputError

LABELS = (
    *("air", "soft tissue", "skull", "fluid", "gray", "white", "deep gray", "hindbrain"),
    *("hippocampus", "ventricle"),
)
"""Names of the codes in `Heads.labels`."""
_LAYERS = (  # tissue, label, intensity; later ones cover earlier ones
    ("muscle", "soft tissue", 0.40),
    ("fat", "soft tissue", 0.95),
    ("eyes", "soft tissue", 0.16),
    ("skull", "skull", 0.07),
    ("fluid", "fluid", 0.16),
    ("stem", "hindbrain", 0.78),
    ("cerebellum", "hindbrain", 0.55),
    ("cortex", "gray", 0.48),
    ("white", "white", 0.84),
    ("deep gray", "deep gray", 0.60),
    ("hippocampus", "hippocampus", 0.47),
    ("ventricle", "ventricle", 0.13),
)
_ELLIPSOIDS = {  # center (x, y, z) and half axes in mm; paired ones have a center beside the midline
    "face": ((0, 46, -46), (48, 46, 46)),
    "neck": ((0, -18, -85), (46, 52, 60)),
    "eyes": ((31, 72, -22), (12, 12, 11)),
    "callosum": ((0, -4, 6), (30, 46, 26)),
    "thalamus": ((12, -14, 7), (9, 15, 9)),
    "caudate": ((15, 16, 12), (5.5, 14, 9)),
    "putamen": ((27, 3, 2), (6, 15, 9)),
    "cerebellum": ((0, -46, -38), (50, 32, 24)),
    "stem": ((0, -22, -50), (13, 14, 48)),
}
_VAULT = ((0, 0, 8), (72, 92, 76))
_CEREBRUM = ((0, -1, 10), (61, 79, 61))
_VENTRICLE = (  # one side: from, to (x, y, z), relative thickness
    ((6, 34, 6), (8, 10, 17), 1.0),
    ((8, 10, 17), (13, -24, 18), 1.0),
    ((13, -24, 18), (23, -38, 8), 1.2),
    ((23, -38, 8), (21, -58, 5), 0.7),
    ((23, -38, 8), (31, -4, -20), 0.6),
)
_HIPPOCAMPUS = (((23, -4, -22), (26, -32, -8), 1.0),)
_VENTRICLE_BOX = ((-48, 58), (-82, 58), (-60, 60))  # mm in z, y, x
_HIPPOCAMPUS_BOX = ((-46, 14), (-56, 20), (-46, 46))
_GRAINS = {"shape": 42.0, "fold": 14.0, "texture": 11.0, "bias": 75.0}  # mm between independent values
_VOXELS_AT_ONCE = 200_000


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Volumes and what is in them."""

    images: Float[Tensor, "n 1 d h w"]
    ventricle: Float[Tensor, "n d h w"]
    """Filled fraction per voxel; its sum times the voxel volume is the stated volume."""
    hippocampus: Float[Tensor, "n d h w"]
    labels: UInt8[Tensor, "n d h w"]
    """What the voxel shows, see `LABELS`."""


def spacing_mm(shape: tuple[int, int, int]) -> float:
    """Edge of the cubic voxels with which a head fits into (d, h, w) voxels.

    >>> spacing_mm((32, 40, 32)), spacing_mm((64, 96, 64))
    (5.5, 2.75)
    """
    if len(shape) != 3 or min(shape) < 16:
        raise InputError(
            f"a head does not fit into {shape} voxels", field="shape", remedy="at least 16 per axis"
        )
    return max(176 / shape[0], 212 / shape[1], 166 / shape[2])


def draw_images(
    ventricle_ml: Float[np.ndarray, " n"],
    hippocampus_ml: Float[np.ndarray, " n"],
    *,
    seeds: list[tuple[int, ...]],
    shape: tuple[int, int, int] = (32, 40, 32),
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "n 1 d h w"]:
    """Heads with exactly these volumes of ventricles and of both hippocampi together (ml).

    Everything else - size, pose, folding, asymmetry, texture, bias field, contrast, noise - follows from a
    head's seed alone and is independent of the two volumes.
    """
    images = torch.empty(len(seeds), 1, *shape, dtype=dtype)
    for chosen, nature, *volumes in _chunks(ventricle_ml, hippocampus_ml, seeds, shape):
        fractions = _fractions(nature, *_exact_structures(nature, *volumes))
        images[chosen] = _scan(nature, fractions)[:, None].to(dtype)
    return images


def draw_heads(
    ventricle_ml: Float[np.ndarray, " n"],
    hippocampus_ml: Float[np.ndarray, " n"],
    *,
    seeds: list[tuple[int, ...]],
    shape: tuple[int, int, int] = (32, 40, 32),
) -> Heads:
    """The same images as `draw_images`, with what is in them."""
    n = len(seeds)
    images, ventricle, hippocampus = torch.empty(n, 1, *shape), torch.empty(n, *shape), torch.empty(n, *shape)
    labels = torch.zeros(n, *shape, dtype=torch.uint8)
    for chosen, nature, *volumes in _chunks(ventricle_ml, hippocampus_ml, seeds, shape):
        ventricle[chosen], hippocampus[chosen] = _exact_structures(nature, *volumes)
        fractions = _fractions(nature, ventricle[chosen], hippocampus[chosen])
        images[chosen] = _scan(nature, fractions)[:, None]
        for (_, label, _), filled in zip(_LAYERS, fractions):
            labels[chosen].masked_fill_(filled > 0.5, LABELS.index(label))
    return Heads(images=images, ventricle=ventricle, hippocampus=hippocampus, labels=labels)


def _chunks(ventricle_ml: np.ndarray, hippocampus_ml: np.ndarray, seeds: list, shape: tuple[int, int, int]):
    """A few heads at a time: (which, their nature, their volumes)."""
    spacing = spacing_mm(shape)
    if not (len(ventricle_ml) == len(hippocampus_ml) == len(seeds)):
        raise InputError("volumes and seeds differ in number", field="seeds")
    if len(seeds) and (np.min(ventricle_ml) < 1 or np.max(ventricle_ml) > 150):
        raise InputError("must lie within 1..150 ml", field="ventricle_ml")
    if len(seeds) and (np.min(hippocampus_ml) < 0.5 or np.max(hippocampus_ml) > 15):
        raise InputError("must lie within 0.5..15 ml", field="hippocampus_ml")
    step = max(1, _VOXELS_AT_ONCE // math.prod(shape))
    for start in range(0, len(seeds), step):
        chosen = slice(start, start + step)
        volumes = (
            torch.as_tensor(np.asarray(ml[chosen], dtype=np.float32)) for ml in (ventricle_ml, hippocampus_ml)
        )
        yield chosen, _Nature(seeds[chosen], shape, spacing), *volumes


class _Nature:
    """The random part of a few heads: coordinates (x, y, z) per voxel, smooth fields, contrasts, noise."""

    def __init__(self, seeds: list[tuple[int, ...]], shape: tuple[int, int, int], spacing: float) -> None:
        self.shape, self.spacing, self.n = shape, spacing, len(seeds)
        grids = {
            name: [max(2, round(size * spacing / mm) + 1) for size in shape] for name, mm in _GRAINS.items()
        }
        drawn: dict[str, list[np.ndarray]] = {"numbers": [], "noise": [], **{name: [] for name in grids}}
        for seed in seeds:
            rng = np.random.default_rng(seed)
            drawn["numbers"].append(rng.standard_normal(32, dtype=np.float32))
            for name, grid in grids.items():
                drawn[name].append(rng.standard_normal(grid, dtype=np.float32))
            drawn["noise"].append(rng.standard_normal((2, *shape), dtype=np.float32))
        self.tensors = {name: torch.from_numpy(np.stack(values)) for name, values in drawn.items()}
        self.numbers = self.tensors["numbers"].clamp(-2.5, 2.5)
        self.x, self.y, self.z = self._coordinates()

    def number(self, i: int, mean: float, spread: float) -> Float[Tensor, "b 1 1 1"]:
        """The head's i-th number, mean +- spread."""
        return (mean + spread * self.numbers[:, i])[:, None, None, None]

    def field(self, name: str) -> Float[Tensor, "b d h w"]:
        """Smooth random field: trilinear interpolation between independent standard normal values."""
        coarse = self.tensors[name]
        weights = [_between(size, knots) for size, knots in zip(self.shape, coarse.shape[1:])]
        return torch.einsum("bijk,di,hj,wk->bdhw", coarse, *weights)

    def soft(self, inside_mm: Tensor) -> Tensor:
        """Filled fraction from the depth below a structure's surface."""
        return torch.add(0.5, inside_mm, alpha=1 / self.spacing).clamp_(0, 1)

    def box(self, ranges_mm: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
        """The voxels within these ranges of (z, y, x)."""
        slices = []
        for (low, high), size in zip(ranges_mm, self.shape):
            ends = math.floor(low / self.spacing + size / 2), math.ceil(high / self.spacing + size / 2)
            slices.append(slice(max(ends[0], 0), min(ends[1], size)))
        return tuple(slices)

    def _coordinates(self) -> list[Float[Tensor, "b d h w"]]:
        axes = [(torch.arange(size) - (size - 1) / 2) * self.spacing for size in self.shape]
        z, y, x = torch.meshgrid(*axes, indexing="ij")
        grid = torch.stack([x, y, z]).flatten(1)
        shift, scale = self.numbers[:, 3:6] * 1.2, 1 + 0.025 * self.numbers[:, 6:9]
        turn = _rotation(self.numbers[:, 0:3] * math.radians(2.5)) / scale[:, :, None]
        moved = torch.baddbmm(-(turn @ shift[:, :, None]), turn, grid.expand(self.n, -1, -1))
        return list(moved.reshape(self.n, 3, *self.shape).unbind(1))


def _between(size: int, knots: int) -> Float[Tensor, "size knots"]:
    """Weights of linear interpolation from `knots` values to `size` values with common end points."""
    position = torch.linspace(0, knots - 1, size)[:, None]
    return (1 - (position - torch.arange(knots)).abs()).clamp(min=0)


def _rotation(angles: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    a, b, c = angles.unbind(1)
    generator = torch.zeros(len(angles), 3, 3)
    generator[:, 0, 1], generator[:, 0, 2], generator[:, 1, 2] = -c, b, -a
    return torch.matrix_exp(generator - generator.transpose(1, 2))


def _scan(nature: _Nature, fractions: list[Tensor]) -> Float[Tensor, "b d h w"]:
    """Signal of the tissues under a bias field, with a scanner's noise."""
    image = torch.zeros(nature.n, *nature.shape)
    for i, ((_, _, intensity), filled) in enumerate(zip(_LAYERS, fractions)):
        image.lerp_(nature.number(10 + i, intensity, 0.012).expand_as(image), filled)
    image *= (
        0.05 * nature.field("texture") + 0.12 * nature.field("bias") + nature.number(9, 0.0, 0.12)
    ).exp_()
    sigma, noise = nature.number(30, 0.03, 0.006), nature.tensors["noise"]
    # Magnitude of a complex signal with Gaussian noise in both channels (Rician), as scanners give it.
    return torch.hypot(torch.addcmul(image, sigma, noise[:, 0]), sigma * noise[:, 1])


def _fractions(nature: _Nature, ventricle: Tensor, hippocampus: Tensor) -> list[Tensor]:
    """What each of `_LAYERS` fills of every voxel, before later layers cover it."""
    x, y, z, soft = nature.x, nature.y, nature.z, nature.soft
    side, egg = x.abs(), x / (1 - 0.0012 * y)  # an egg is narrower in front
    depth = dict(zip(_ELLIPSOIDS, _depths(list(_ELLIPSOIDS.values()), side, y, z)))
    wobble, fold = nature.field("shape"), nature.field("fold")
    vault = _depths([_VAULT], egg.abs(), y, z)[0] + 1.2 * wobble
    cerebrum = _depths([_CEREBRUM], egg.abs(), y, z)[0] + 1.5 * wobble
    # Below the frontal and occipital lobes there is bone and cerebellum; the temporal lobes reach lower.
    floor = z + 22 + 0.5 * side.clamp(max=40) - 0.005 * (y + 2).square().clamp(max=2500)
    cerebrum = torch.minimum(cerebrum, floor)
    outer = torch.maximum(torch.maximum(vault, depth["face"]), depth["neck"])
    pit = torch.maximum(floor + 7, depth["cerebellum"] + 4)
    inner = torch.minimum(vault - 11, torch.maximum(pit, depth["stem"] + 3))
    callosum = soft(depth["callosum"])
    cleft = soft(2.0 - side) * (1 - callosum)
    sulcus = soft(3.2 * fold - 1.2 - 0.35 * cerebrum.clamp(min=0))
    cortex = soft(cerebrum) * (1 - 0.85 * cleft) * (1 - 0.75 * sulcus)
    white = soft(cerebrum - 9.0 - 4.5 * fold) * soft(cerebrum - 4) * soft(side - 4 + 9 * callosum)
    deep = torch.maximum(torch.maximum(depth["thalamus"], depth["caudate"]), depth["putamen"])
    skin = soft(outer)
    filled = {
        "muscle": skin,
        "fat": skin * (1 - soft(outer - 4.5)),
        "eyes": soft(depth["eyes"]),
        "skull": soft(torch.minimum(vault - 4.5, inner + 6.5)),
        "fluid": soft(inner),
        "stem": soft(torch.minimum(depth["stem"], -4 - z)),
        "cerebellum": soft(depth["cerebellum"] + 1.5 * fold),
        "cortex": cortex,
        "white": white,
        "deep gray": soft(deep),
        "hippocampus": hippocampus,
        "ventricle": ventricle,
    }
    return [filled[tissue] for tissue, _, _ in _LAYERS]


def _depths(ellipsoids: list[tuple], x: Tensor, y: Tensor, z: Tensor) -> list[Float[Tensor, "b d h w"]]:
    """Depth below each ellipsoid's surface, negative outside; in mm for a sphere, approximate for others."""
    rows, scales = [], []
    for (x0, y0, z0), (a, b, c) in ellipsoids:
        constant = (x0 / a) ** 2 + (y0 / b) ** 2 + (z0 / c) ** 2
        linear = (-2 * x0 / a**2, -2 * y0 / b**2, -2 * z0 / c**2)
        rows.append((1 / a**2, 1 / b**2, 1 / c**2, *linear, constant))
        scales.append((a * b * c) ** (1 / 3))
    # All squared radii at once, as one matrix product: three times quicker than ellipsoid by ellipsoid.
    radius = _quadratic(rows, x, y, z).clamp_(min=0).sqrt_()
    scale = torch.tensor(scales).reshape(1, -1, 1, 1, 1)
    return list(radius.neg_().add_(1).mul_(scale).unbind(1))


def _quadratic(rows: list[tuple], x: Tensor, y: Tensor, z: Tensor) -> Float[Tensor, "b k d h w"]:
    """Rows of coefficients of (x^2, y^2, z^2, x, y, z, 1), evaluated at every voxel."""
    terms = torch.stack([x * x, y * y, z * z, x, y, z, torch.ones_like(x)], dim=1)
    values = torch.matmul(torch.tensor(rows, dtype=torch.float32), terms.flatten(2))
    return values.reshape(len(x), len(rows), *x.shape[1:])


def _exact_structures(nature: _Nature, ventricle_ml: Tensor, hippocampus_ml: Tensor) -> tuple[Tensor, Tensor]:
    """Filled fractions of ventricles and hippocampi whose sums are the stated volumes."""
    voxel_ml = nature.spacing**3 / 1000
    ventricle, hippocampus = torch.zeros(2, nature.n, *nature.shape).unbind(0)
    box = (slice(None), *nature.box(_VENTRICLE_BOX))
    x, y, z = nature.x[box], nature.y[box], nature.z[box]
    lateral = _tubes(_VENTRICLE, x.abs(), y, z) * (1 + nature.number(28, 0.0, 0.09) * torch.tanh(x / 8))
    third = ((x / 0.35).square() + ((y + 6) / 1.9).square() + ((z - 1) / 1.8).square()).sqrt()
    field = torch.minimum(lateral, third)
    ventricle[box] = _fill(field, ventricle_ml / voxel_ml, None, nature.spacing)
    box = (slice(None), *nature.box(_HIPPOCAMPUS_BOX))
    x, y, z = nature.x[box], nature.y[box], nature.z[box]
    field = _tubes(_HIPPOCAMPUS, x.abs(), y, z) * (1 + nature.number(29, 0.0, 0.05) * torch.tanh(x / 8))
    hippocampus[box] = _fill(field, hippocampus_ml / voxel_ml, 1 - ventricle[box], nature.spacing)
    return ventricle, hippocampus


def _fill(field: Tensor, voxels: Float[Tensor, " b"], free: Tensor | None, width_mm: float) -> Tensor:
    """Fractions free * clamp((t - field) / width + 1/2); bisection finds the t that sums them to `voxels`."""
    low, high = torch.full_like(voxels, -1.0), torch.full_like(voxels, 60.0 / width_mm)
    start = 0.5 - field / width_mm
    for _ in range(24):
        middle = (low + high) / 2
        filled = (start + middle[:, None, None, None]).clamp_(0, 1)
        total = (filled if free is None else filled.mul_(free)).sum(dim=(1, 2, 3))
        low, high = torch.where(total >= voxels, low, middle), torch.where(total >= voxels, middle, high)
    filled = (start + high[:, None, None, None]).clamp_(0, 1)
    return filled if free is None else filled.mul_(free)


def _tubes(segments: tuple, x: Tensor, y: Tensor, z: Tensor) -> Float[Tensor, "b d h w"]:
    """Distance to the nearest segment in mm, each distance divided by the segment's relative thickness."""
    rows, lengths = [], []
    for start, end, _ in segments:
        step = [q - p for p, q in zip(start, end)]
        rows.append((0, 0, 0, *step, -sum(p * s for p, s in zip(start, step))))
        rows.append((1, 1, 1, *(-2 * p for p in start), sum(p * p for p in start)))
        lengths.append(sum(s * s for s in step))
    values = _quadratic(rows, x, y, z)
    dot, from_start = values[:, 0::2], values[:, 1::2]
    squared_length = torch.tensor(lengths, dtype=torch.float32).reshape(1, -1, 1, 1, 1)
    along = (dot / squared_length).clamp_(0, 1)
    squared = from_start - along * (2 * dot - along * squared_length)
    thickness = torch.tensor([t for *_, t in segments]).reshape(1, -1, 1, 1, 1)
    return (squared.clamp_(min=0).sqrt_() / thickness).amin(dim=1)

"""`census` and `slice`: a file of weights in, all its cells out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

Rule = Literal["pull", "delaunay"]
Orientation = Literal["auto", "out_in", "in_out"]
Activation = Literal["relu", "leaky_relu", "relu6", "hardtanh", "identity"]
Mode = Literal["exact", "stream", "sample"]
MOST_INPUTS = 6
"""Above, a whole census is out of reach for any network worth counting."""
USABLE = 0.8
"""Share of the free memory that a census may take."""


def census(
    weights: Path,
    /,
    *,
    out: Path,
    box: list[float] | None = None,
    mode: Mode = "exact",
    rule: Rule = "pull",
    orientation: Orientation = "auto",
    activation: Activation = "relu",
    order: list[str] | None = None,
    workers: int = 1,
    memory_gb: float | None = None,
    samples: int = 8000,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Enumerate every cell of a network in a box; writes tables, pictures and the whole complex.

    WEIGHTS is a file (.safetensors, .npz, .pt, .pth, .onnx) or the folder of a fit. OUT gets report.html,
    summary.json and, unless only histograms are wanted, cells.csv and complex.safetensors.

    Args:
        weights: the network, or the folder given to fit as --out.
        out: folder to write to.
        box: low and high of all inputs, or low and high of each input in turn; -1 1 (of a fit: its own box).
        mode: exact keeps everything; stream counts without keeping (for complexes that do not fit into memory);
            sample looks only where random points fall, as in the paper, which favors large cells.
        rule: how cells are cut into simplices.
        orientation: how the file stores matrices, where that cannot be told.
        activation: what stands between layers, where the file does not say.
        order: names of the layers from input to output, where they do not sort that way.
        workers: processes.
        memory_gb: refuse a complex that needs more; most of what is free if left out.
        samples: points of mode sample.
        seed: of mode sample.
        device: auto, cpu or cuda.
    """
    network, own_box = _network(weights, orientation=orientation, activation=activation, order=order)
    _count(
        network,
        out=out,
        weights=weights,
        box=_pairs(box) if box is not None else own_box,
        place=_inputs(network),
        mode=mode,
        rule=rule,
        settings={"workers": workers, "memory_gb": memory_gb, "device": _device(device)},
        sampling={"points": samples, "seed": seed},
    )


def slice(
    weights: Path,
    /,
    *,
    points: list[Path],
    out: Path,
    margin: float = 0.1,
    box: list[float] | None = None,
    mode: Literal["exact", "stream"] = "exact",
    rule: Rule = "pull",
    orientation: Orientation = "auto",
    activation: Activation = "relu",
    order: list[str] | None = None,
    workers: int = 1,
    memory_gb: float | None = None,
    device: str = "auto",
) -> None:
    """Enumerate the cells of a network on the flat through three or four of its inputs.

    Three points span a plane, four a 3-dimensional flat; networks of any number of inputs can be looked at.

    Args:
        weights: the network, or the folder given to fit as --out.
        points: an array of 3 or 4 inputs (.npy, .npz), a table of 3 or 4 rows (.csv), or 3 or 4 pictures.
        out: folder to write to.
        margin: how far the box reaches beyond the points, as a share of their extent.
        box: low and high of all coordinates of the flat, or of each in turn, in place of the margin.
        mode: exact keeps everything; stream counts without keeping.
        rule: how cells are cut into simplices.
        orientation: how the file stores matrices, where that cannot be told.
        activation: what stands between layers, where the file does not say.
        order: names of the layers from input to output, where they do not sort that way.
        workers: processes.
        memory_gb: refuse a complex that needs more; most of what is free if left out.
        device: auto, cpu or cuda.
    """
    from visus.methods.polytopes.model import Slice

    network, _ = _network(weights, orientation=orientation, activation=activation, order=order)
    given = read_points(points)
    try:
        flat = Slice(given, margin=margin)
    except InputError as error:
        if error.field != "points":
            raise
        told = ", ".join(map(str, points))
        raise InputError(error.problem, file=told, field="points", remedy=error.remedy) from None
    _count(
        network,
        out=out,
        weights=weights,
        box=_pairs(box) if box is not None else None,
        place={"slice": flat},
        mode=mode,
        rule=rule,
        settings={"workers": workers, "memory_gb": memory_gb, "device": _device(device)},
        sampling={},
    )


def read_points(paths: Sequence[Path]) -> Tensor:
    """Inputs (k, *shape) from one array, one table, or several pictures.

    Raises
    ------
    InputError : names the file that cannot be read, or whose shape differs from the first one's.
    """
    import torch

    from visus.data.formats import read_image, read_table
    from visus.data.formats.arrays import read_array

    first = paths[0]
    if len(paths) == 1 and first.suffix.lower() in (".npy", ".npz"):
        array = read_array(first)
        if array.ndim < 2 or array.dtype.kind not in "biuf":
            raise InputError(
                f"holds {array.dtype} of shape {array.shape}",
                file=first,
                remedy="give numbers, one input per row",
            )
        return torch.from_numpy(array.astype("float64"))
    if len(paths) == 1 and first.suffix.lower() in (".csv", ".tsv", ".txt"):
        table = read_table(first)
        whole = {str(name): table.loc[:, name].dtype.kind in "biuf" for name in table}
        gaps = table.isna().any().to_dict()
        wrong = [name for name, numeric in whole.items() if not numeric or gaps[name]]
        if wrong:
            raise InputError(
                "is not all numbers", file=first, field=f"column {wrong[0]}", remedy="give numbers"
            )
        return torch.from_numpy(table.to_numpy(dtype="float64"))
    pictures = [torch.from_numpy(read_image(path).array) for path in paths]
    for path, picture in zip(paths, pictures):
        if picture.shape != pictures[0].shape:
            shapes = f"{tuple(picture.shape)}, {first.name} is {tuple(pictures[0].shape)}"
            raise InputError(
                f"is {shapes}", file=path, remedy="give pictures of one size and number of channels"
            )
    return torch.stack(pictures).double()


def _network(
    weights: Path, *, orientation: Orientation, activation: Activation, order: Sequence[str] | None
) -> tuple[nn.Module, Any]:
    """The network, and the box it was fitted in."""
    from visus.data.formats.weights import read_network

    if weights.is_dir():
        from visus.methods.polytopes.estimator import Polytopes

        made = Polytopes.load(weights / "model" if (weights / "model").is_dir() else weights)
        return made.model_, made.box_
    return read_network(weights, orientation=orientation, activation=activation, order=order), None


def _inputs(network: nn.Module) -> dict[str, Any]:
    """What the census must know of an input: its shape, or the number of its entries; too many are refused."""
    from torch import nn

    declared = getattr(network, "input_shape", None)
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = (module for module in network.modules() if isinstance(module, (nn.Linear, *convolutions)))
    first = next(layers, None)
    if declared is not None and None not in declared:
        count = math.prod(declared)
    else:
        declared, count = None, getattr(first, "in_features", None)
    remedy = "look at a flat through three or four inputs: visus polytopes slice"
    if isinstance(first, convolutions) and declared is None:
        raise InputError("takes pictures or signals", field="weights", remedy=remedy)
    if count is not None and count > MOST_INPUTS:
        problem = f"has {count} inputs; a census of all of them is out of reach above {MOST_INPUTS}"
        raise InputError(problem, field="weights", remedy=remedy)
    return {"shape": declared} if declared is not None and len(declared) > 1 else {"dimension": count}


@contextmanager
def _explained(weights: Path) -> Iterator[None]:
    """Complete what a census refuses: faults of the network name its file, too many cells the flag that helps."""
    try:
        yield
    except InputError as error:
        field, remedy = error.field or "", error.remedy
        if field == "complex":
            remedy = (
                "count without keeping (--mode stream), choose a smaller --box, or allow more --memory-gb"
            )
        file = None if field.startswith(("box", "dimension")) else error.file or weights
        raise InputError(error.problem, file=file, field=error.field, remedy=remedy) from error


def free_memory() -> float | None:
    """GB that this process may still take, of the machine or of its container; None where it is not told."""
    found: list[int] = []
    for file, name in ((Path("/proc/meminfo"), "MemAvailable:"), (Path("/sys/fs/cgroup/memory.max"), None)):
        try:
            words = file.read_text().split()
            if name is not None:
                found.append(1024 * int(words[words.index(name) + 1]))
            elif words[0] != "max":
                found.append(int(words[0]) - int(file.with_name("memory.current").read_text()))
        except (OSError, ValueError):
            continue
    return max(min(found), 0) / 1e9 if found else None


def _pairs(box: Sequence[float]) -> tuple[Any, Any]:
    if len(box) < 2 or len(box) % 2:
        raise InputError(
            f"are {len(box)} numbers",
            field="--box",
            remedy="give low and high, or low and high of every input",
        )
    return (box[0], box[1]) if len(box) == 2 else (list(box[::2]), list(box[1::2]))


def _device(device: str) -> str:
    from visus.engine import Run

    return str(Run(device=device, progress=False).device)


def _count(
    network: nn.Module,
    *,
    out: Path,
    weights: Path,
    box: Any,
    place: dict[str, Any],
    mode: Mode,
    rule: Rule,
    settings: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    from visus.methods.polytopes.model import census as enumerate_cells
    from visus.methods.polytopes.model import census_stream
    from visus.methods.polytopes.verbs.pages import Watch, write_complex, write_sample, write_tally

    if out.exists() and not out.is_dir():
        raise InputError("is not a folder", file=out, field="--out", remedy="name a folder")
    free = free_memory()
    if mode == "exact" and settings["memory_gb"] is None and free is not None:
        settings = {**settings, "memory_gb": round(USABLE * free, 1)}
    name = weights.name
    if mode == "sample":
        from visus.methods.polytopes.baselines import sample_cells

        with _explained(weights):
            found = sample_cells(network, box if box is not None else (-1.0, 1.0), **sampling)
        write_sample(out, found, name=name, **sampling)
    elif mode == "stream":
        with _explained(weights), Watch() as watch:
            tally = census_stream(network, box, rule=rule, progress=watch, **place, **settings)
        write_tally(out, tally, name=name, dimension=_dimension(place, box))
    else:
        with _explained(weights), Watch() as watch:
            cells = enumerate_cells(network, box, progress=watch, **place, **settings)
        write_complex(out, cells, name=name, rule=rule, points=getattr(place.get("slice"), "points", None))


def _dimension(place: dict[str, Any], box: Any) -> int:
    """Of the space in which was counted."""
    if "slice" in place:
        return place["slice"].dimension
    return math.prod(place["shape"]) if "shape" in place else place["dimension"] or len(box[0])

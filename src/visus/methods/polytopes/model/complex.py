"""What a census finds: the cells of a network in a box, their shapes and maps, and how they touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.polytopes.model import storage
from visus.methods.polytopes.model.boundary import Boundary, decision_boundary
from visus.methods.polytopes.model.incidence import Ragged, rings
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.merging import Maps, Merged, fit_maps, merge_cells
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.signs import find_rows, unpack
from visus.methods.polytopes.model.simplices import Order, Pulling, Rule, delaunay
from visus.methods.polytopes.model.slices import Slice
from visus.methods.polytopes.model.tally import Shapes, Tally

if TYPE_CHECKING:
    import networkx

RULES = ("pull", "delaunay")
NUDGES, NUDGE = 8, 1e-9
"""How often, and by which share of the way into the box, a point on a face is moved to find a cell beside it."""


class Complex:
    """The activation cells of a piecewise affine network in a box.

    A cell is the closure of a set of inputs with one sign pattern; cells are convex polytopes that meet face to
    face. Quantities per cell are tensors over the cells 0..n-1, computed when first asked for and kept.
    Facets of a cell on the box count as facets; `interior_degree` leaves them out. Cells of equal affine map
    are counted apart; `merged` joins them.

    Parameters
    ----------
    lattice : the faces of all dimensions and how they touch.
    outputs : (v, k) the network's outputs at the lattice's points.
    patterns : (n, bytes) sign pattern of every cell, eight signs to a byte (`Probe.packed_patterns`).
    num_signs : length of a pattern.
    slice : the slice of the input space in which the complex lies; its coordinates are those of the complex.
    notes : anything plain that is to be kept with the complex.
    """

    def __init__(
        self,
        lattice: Lattice,
        outputs: Float[Tensor, "v k"],
        patterns: UInt8[Tensor, "n bytes"],
        *,
        num_signs: int,
        slice: Slice | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.lattice, self.outputs, self.packed, self.num_signs = lattice, outputs, patterns, num_signs
        self.slice, self.notes = slice, dict(notes or {})
        self._pullings: dict[Order, Pulling] = {}

    def __repr__(self) -> str:
        return f"Complex(dim={self.dim}, num_cells={self.num_cells}, num_signs={self.num_signs})"

    # ---- counts --------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimension d of the space and of the cells."""
        return self.lattice.dim

    @property
    def points(self) -> Float[Tensor, "v d"]:
        """All vertices."""
        return self.lattice.points

    @cached_property
    def f_vector(self) -> tuple[int, ...]:
        """Number of faces of dimension 0..d. Their alternating sum is 1."""
        return self.lattice.f_vector

    @property
    def num_cells(self) -> int:
        """Number of cells n."""
        return self.f_vector[-1]

    @cached_property
    def box(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Lowest and highest corner of the box."""
        return self.points.amin(0), self.points.amax(0)

    @cached_property
    def num_facets(self) -> Integer[Tensor, " n"]:
        """Facets of every cell, those on the box included."""
        return torch.bincount(self.lattice.rows[-1][:, 0], minlength=self.num_cells)

    @cached_property
    def interior_degree(self) -> Integer[Tensor, " n"]:
        """Facets of every cell that are not on the box: its degree in the dual graph."""
        cell, facet = self.lattice.rows[-1].unbind(1)
        return torch.bincount(cell[self.lattice.wall[facet.long()] < 0], minlength=self.num_cells)

    @cached_property
    def touches_box(self) -> Bool[Tensor, " n"]:
        """Whether a facet of the cell lies on the box."""
        return self.num_facets > self.interior_degree

    @property
    def num_vertices(self) -> Integer[Tensor, " n"]:
        """Vertices of every cell."""
        return self.members.lengths

    @cached_property
    def members(self) -> Ragged:
        """Vertices of every cell, ascending."""
        return self._pulling("lexicographic").members(self.dim)

    # ---- sizes ---------------------------------------------------------------------------------------------

    @cached_property
    def _measures(self) -> tuple[Tensor, Tensor]:
        return self._pulling("lexicographic").measures()

    @property
    def volumes(self) -> Float[Tensor, " n"]:
        """d-dimensional volume of every cell; they sum to the volume of the box."""
        return self._measures[1]

    @property
    def facet_areas(self) -> Float[Tensor, " f"]:
        """(d-1)-dimensional volume of every (d-1)-face."""
        return self._measures[0]

    @cached_property
    def centroids(self) -> Float[Tensor, "n d"]:
        """Mean of the vertices of every cell, a point inside it (not its center of mass)."""
        return self.members.mean(self.points)

    # ---- simplices and histograms --------------------------------------------------------------------------

    def _pulling(self, order: Order) -> Pulling:
        if order not in self._pullings:
            self._pullings[order] = Pulling(self.lattice, order)
        return self._pullings[order]

    def num_simplices(self, rule: Rule = "pull", order: Order = "lexicographic") -> Integer[Tensor, " n"]:
        """Simplices of a triangulation of every cell. For d >= 3 the number depends on the rule.

        Parameters
        ----------
        rule : `pull` (see `Pulling`; conforming, fast) or `delaunay` (see `delaunay`; cell by cell on the CPU).
        order : of the vertices that are pulled.
        """
        if rule == "pull":
            return self._pulling(order).counts()
        if self.dim == 2 and rule == "delaunay":
            return self.num_facets - 2
        return torch.bincount(self.simplices(rule)[1], minlength=self.num_cells)

    def simplices(
        self, rule: Rule = "pull", order: Order = "lexicographic"
    ) -> tuple[Integer[Tensor, "s d_plus_1"], Integer[Tensor, " s"]]:
        """The vertices of all simplices, and the cell of each, cell after cell."""
        if rule == "pull":
            return self._pulling(order).simplices()
        if rule != "delaunay":
            raise InputError(f"{rule!r} is no rule", field="rule", remedy=f"choose {' or '.join(RULES)}")
        return delaunay(self._pulling(order), self.members)

    def shapes(self, rule: Rule = "pull") -> Shapes:
        """The shape of every cell."""
        return Shapes(
            num_facets=self.num_facets,
            num_vertices=self.num_vertices,
            num_simplices=self.num_simplices(rule),
            interior_degree=self.interior_degree,
            volumes=self.volumes,
            touches_box=self.touches_box,
        )

    def tally(self, rule: Rule = "pull") -> Tally:
        """Histograms of the shapes."""
        return Tally(rule).add(self.shapes(rule))

    # ---- single cells --------------------------------------------------------------------------------------

    @cached_property
    def _facets(self) -> Ragged:
        cell, facet = self.lattice.rows[-1].unbind(1)
        return Ragged.grouped(cell, facet, self.num_cells)

    @cached_property
    def _rings(self) -> Ragged:
        return rings(self.points, self._pulling("lexicographic").members(2))

    def vertices_of(self, cell: int) -> Integer[Tensor, " m"]:
        """Numbers of the vertices of a cell (rows of `points`)."""
        return self.members[cell]

    def facets_of(self, cell: int) -> Integer[Tensor, " m"]:
        """Numbers of the (d-1)-faces around a cell."""
        return self._facets[cell].long()

    def polygon(self, cell: int) -> Float[Tensor, "m 2"]:
        """The corners of a cell of a 2-D complex, counterclockwise."""
        self._only(2, "polygon", "use facet_polygons for d = 3")
        return self.points[self._rings[cell]]

    def facet_polygons(self, cell: int) -> list[Float[Tensor, "_ 3"]]:
        """The corners of each facet of a cell of a 3-D complex, counterclockwise seen from outside."""
        self._only(3, "facet_polygons", "use polygon for d = 2")
        center, polygons = self.centroids[cell], []
        for facet in self.facets_of(cell).tolist():
            corners = self.points[self._rings[facet]]
            arms = corners - corners.mean(0)
            normal = torch.linalg.cross(arms, arms.roll(-1, 0)).sum(0)
            outward = normal @ (corners.mean(0) - center) > 0
            polygons.append(corners if outward else corners.flip(0))
        return polygons

    def _only(self, dim: int, name: str, remedy: str) -> None:
        if self.dim != dim:
            raise InputError(f"needs a complex of dimension {dim}, not {self.dim}", field=name, remedy=remedy)

    def patterns(self) -> Bool[Tensor, "n signs"]:
        """Sign pattern of every cell: whether each functional that cuts is positive inside it."""
        return unpack(self.packed, self.num_signs)

    # ---- neighbors -----------------------------------------------------------------------------------------

    @cached_property
    def facet_cells(self) -> Integer[Tensor, "f 2"]:
        """The two cells of every (d-1)-face, the smaller first; -1 in the second place on the box."""
        cell, facet = self.lattice.rows[-1].long().unbind(1)
        count = self.f_vector[-2]
        first = torch.full((count,), self.num_cells, device=cell.device).scatter_reduce_(
            0, facet, cell, "amin"
        )
        last = torch.full((count,), -1, device=cell.device).scatter_reduce_(0, facet, cell, "amax")
        return torch.stack([first, torch.where(last == first, -1, last)], 1)

    def cells_of(self, facets: Integer[Tensor, " m"]) -> Integer[Tensor, "m 2"]:
        """The cells on both sides of some (d-1)-faces, -1 for none."""
        return self.facet_cells[facets]

    def dual_graph(self, rule: Rule = "pull") -> networkx.Graph:
        """One node per cell, one edge per facet between two cells; all attributes can be written as GraphML.

        Nodes: `facets`, `simplices`, `volume`, `pattern` (`+` and `-`, one per functional in the order in which
        they cut). Edges: `area` ((d-1)-volume of the facet) and `sign` (first functional whose sign differs).
        """
        import networkx

        width = self.num_signs
        text = bytes(torch.where(self.patterns(), ord("+"), ord("-")).byte().flatten().tolist()).decode()
        columns = (self.num_facets, self.num_simplices(rule), self.volumes)
        rows = zip(range(self.num_cells), *(column.tolist() for column in columns), strict=True)
        inside = torch.nonzero(self.facet_cells[:, 1] >= 0)[:, 0]
        one, two = self.facet_cells[inside].unbind(1)
        differing = unpack(self.packed[one] ^ self.packed[two], self.num_signs)
        first = differing.to(torch.uint8).argmax(1) if self.num_signs else one
        graph = networkx.Graph()
        graph.add_nodes_from(
            (i, {"facets": f, "simplices": s, "volume": v, "pattern": text[i * width : (i + 1) * width]})
            for i, f, s, v in rows
        )
        graph.add_edges_from(
            (p, q, {"area": area, "sign": sign})
            for p, q, area, sign in zip(
                one.tolist(), two.tolist(), self.facet_areas[inside].tolist(), first.tolist(), strict=True
            )
        )
        return graph

    # ---- the network on the cells --------------------------------------------------------------------------

    @cached_property
    def _maps(self) -> Maps:
        return fit_maps(self.points, self.outputs, self.members)

    def affine_maps(self) -> tuple[Float[Tensor, "n k d"], Float[Tensor, "n k"]]:
        """(A, b) with network(x) = A x + b on every cell."""
        return self._maps.slopes, self._maps.offsets

    def merged(self, tolerance: float = 1e-9) -> Merged:
        """Linear regions: cells joined over facets that the network does not bend at (see `merge_cells`)."""
        neighbors = self.facet_cells[self.facet_cells[:, 1] >= 0]
        scale = float(torch.maximum(self.outputs.abs().max(), self.points.abs().max()))
        return merge_cells(self._maps, neighbors, scale, tolerance=tolerance)

    def decision_boundary(self) -> Boundary:
        """Faces between inputs of different predicted class (see `boundary.decision_boundary`)."""
        return decision_boundary(self.lattice, self.outputs, self.members, self.facet_cells)

    def locate(
        self, points: Float[Tensor, "m d"], model: nn.Module | Probe, *, shape: Sequence[int] | None = None
    ) -> Integer[Tensor, " m"]:
        """The cell of every point, by its sign pattern; -1 outside the box. Costs one evaluation of the network.

        A point on a common face gets one of the cells around it.

        Parameters
        ----------
        points : in the coordinates of the complex (of the slice, if it lies in one).
        model : the network whose complex this is.
        shape : of one input of the network, when it is not a vector.
        """
        points = torch.as_tensor(points).to(self.points)
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise InputError(
                f"have shape {tuple(points.shape)}", field="points", remedy=f"give rows of {self.dim} numbers"
            )
        if not isinstance(model, Probe):
            whole = model if self.slice is None else nn.Sequential(self.slice, model)
            model = Probe(whole, shape=None if self.slice is not None else shape, device=points.device)
        low, high = self.box
        inside = ((points >= low) & (points <= high)).all(1)
        cells = torch.full((len(points),), -1, device=points.device)
        cells[inside] = self._matching(model, points[inside])
        generator = torch.Generator().manual_seed(0)
        for _ in range(NUDGES):
            lost = torch.nonzero(inside & (cells < 0))[:, 0]
            if not len(lost):
                break
            # On degenerate faces all signs may be zero, which no cell has: step into the box a little.
            aim = low + (high - low) * torch.rand(len(lost), self.dim, generator=generator).to(points)
            cells[lost] = self._matching(model, torch.lerp(points[lost], aim, NUDGE))
        return cells

    def _matching(self, probe: Probe, points: Tensor) -> Tensor:
        if not len(points):
            return torch.empty(0, dtype=torch.int64, device=points.device)
        packed = probe.packed_patterns(points)
        if packed.shape[1] != self.packed.shape[1]:
            raise InputError(
                f"has sign patterns of another length than the {self.num_signs} signs of this complex",
                field="model",
                remedy="give the network whose census this is",
            )
        return find_rows(self.packed, packed)

    # ---- storage -------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write everything into one safetensors file; `load` needs no network.

        Raises
        ------
        InputError : the file cannot be written. Nothing is left behind then.
        """
        storage.save(
            storage.Stored(self.lattice, self.outputs, self.packed, self.num_signs, self.slice, self.notes),
            path,
        )

    @classmethod
    def load(cls, path: Path | str, *, device: torch.device | str = "cpu") -> Self:
        """The complex that `save` wrote.

        Raises
        ------
        InputError : the file is missing, damaged, or holds something else.
        """
        stored = storage.load(path, device=device)
        return cls(
            stored.lattice,
            stored.outputs,
            stored.patterns,
            num_signs=stored.num_signs,
            slice=stored.slice,
            notes=stored.notes,
        )

"""An index of scenes: find pictures by a program or a part of one, and programs by a picture."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.model.scores import Assign, Reduce, bilevel_scores
from visus.records import read_json, write_json

BLOCK = 2**17
"""Scenes whose vectors lie together. Each block is one product of matrices: threads meet a few times per search, not
a few times per thousand scenes, which on a busy machine would cost more than the arithmetic."""
CELLS = 2**24
"""Similarities held at once, 64 MiB; more queries than fit are taken in turn."""


class Hits(NamedTuple):
    """The best entries of every query, best first: their numbers (q, k), names and scores (q, k)."""

    number: Int[Tensor, "q k"]
    names: list[list[str]]
    score: Float[Tensor, "q k"]


class SceneIndex:
    """Embedded scenes, found by the bi-level score.

    Vectors are kept slot by slot, (k, n, e): with the score `max` a search is one product of matrices per block of
    scenes, whose rows are then compared element by element. The scores are those of `bilevel_scores`.

    Parameters
    ----------
    slots : of every picture, in the joint space.
    names : one per picture.
    programs, length : primitives of every picture's own program and their number, to be found by pictures.
    assign, reduce, normalize : the score that the model was trained with.
    model : what tells the model apart whose vectors these are (`NSI.fingerprint`); empty for any.

    Memory: k e numbers per picture, twice that with `normalize`; 100,000 pictures with 8 slots of width 64 are
    205 MB.
    """

    def __init__(
        self,
        slots: Float[Tensor, "n k e"],
        names: Sequence[str],
        *,
        programs: Float[Tensor, "n p e"] | None = None,
        length: Int[Tensor, " n"] | None = None,
        assign: Assign = "max",
        reduce: Reduce = "sum",
        normalize: bool = False,
        model: str = "",
    ) -> None:
        if slots.ndim != 3:
            raise InputError(f"have the shape {tuple(slots.shape)}", field="slots", remedy="give (n, k, e)")
        if len(names) != len(slots):
            problem = f"are {len(names)} for {len(slots)} scenes"
            raise InputError(problem, field="names", remedy="give one per scene")
        if (programs is None) != (length is None) or (programs is not None and len(programs) != len(slots)):
            raise InputError("do not fit the scenes", field="programs", remedy="give one program per scene")
        for field, given, known in (
            ("assign", assign, get_args(Assign)),
            ("reduce", reduce, get_args(Reduce)),
        ):
            if given not in known:
                raise InputError(f"is {given!r}", field=field, remedy=f"choose from {', '.join(known)}")
        self.names, self.length, self.model = list(names), length, model
        self.assign: Assign = assign
        self.reduce: Reduce = reduce
        self.normalize = normalize
        self._slots = _Vectors(slots, normalize=normalize)
        self._programs = None if programs is None else _Vectors(programs, normalize=normalize)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def slots(self) -> Float[Tensor, "n k e"]:
        """The pictures' slots."""
        return self._slots.whole()

    @property
    def programs(self) -> Float[Tensor, "n p e"] | None:
        """The primitives of the pictures' programs, where they had some."""
        return None if self._programs is None else self._programs.whole()

    def scores(self, primitives: Float[Tensor, "q p e"], length: Int[Tensor, " q"]) -> Float[Tensor, "q n"]:
        """S of every program (or part of one) with every picture of the index."""
        self._check(primitives)
        # rows that are padding in all queries would only be multiplied for nothing
        primitives = primitives[:, : max(1, int(length.max()) if len(length) else 1)]
        if self.assign != "max":
            return self._plainly(self.slots, primitives, length).T
        padded = torch.arange(primitives.shape[1]) >= length[:, None]
        found = []
        for some, skipped in self._in_turn(self._slots, primitives, padded):
            taken = [similar.amax(2) for similar in self._slots.products(some)]
            found.append(torch.cat(taken, -1).masked_fill_(skipped[..., None], 0.0).sum(1))
        scores = torch.cat(found)
        return scores / length.clamp(min=1)[:, None] if self.reduce == "mean" else scores

    def program_scores(self, slots: Float[Tensor, "q k e"]) -> Float[Tensor, "q n"]:
        """S of every picture with every program of the index.

        Raises
        ------
        InputError : the index holds pictures only.
        """
        if self._programs is None or self.length is None:
            remedy = "build it from pictures with programs"
            raise InputError("holds no programs", field="index", remedy=remedy)
        self._check(slots)
        if self.assign != "max":
            return self._plainly(slots, self._programs.whole(), self.length)
        padded = torch.arange(self._programs.rows)[:, None] >= self.length
        found = []
        for (some,) in self._in_turn(self._programs, slots):
            taken = [similar.amax(1) for similar in self._programs.products(some)]
            found.append(torch.cat(taken, -1).masked_fill_(padded, 0.0).sum(1))
        scores = torch.cat(found)
        return scores / self.length.clamp(min=1) if self.reduce == "mean" else scores

    def search(self, primitives: Float[Tensor, "q p e"], length: Int[Tensor, " q"], *, k: int = 5) -> Hits:
        """The pictures that programs, or parts of programs, describe best."""
        return self._hits(self.scores(primitives, length), k)

    def search_programs(self, slots: Float[Tensor, "q k e"], *, k: int = 5) -> Hits:
        """The scenes whose programs describe pictures best.

        Raises
        ------
        InputError : the index holds pictures only.
        """
        return self._hits(self.program_scores(slots), k)

    def save(self, folder: str | Path) -> None:
        """Write index.safetensors and index.json, each whole or not at all."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError("is not a folder", file=folder, remedy="name a folder for the index")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            tensors = {"slots": self.slots}
            if self.programs is not None and self.length is not None:
                tensors |= {"programs": self.programs, "length": self.length}
            save_file(tensors, draft / "index.safetensors")
            about = {"library": "visus", "method": "nsi", "model": self.model}
            score = {"assign": self.assign, "reduce": self.reduce, "normalize": self.normalize}
            write_json(draft / "index.json", {**about, **score, "names": self.names})
            folder.mkdir(exist_ok=True)
            for name in ("index.safetensors", "index.json"):
                (draft / name).chmod(0o644)
                (draft / name).replace(folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> SceneIndex:
        """Read what `save` wrote.

        Raises
        ------
        InputError : a file is missing, damaged, or of something else.
        """
        folder = Path(folder)
        file = folder / "index.json"
        if not file.is_file():
            remedy = "give the folder that `visus nsi retrieve --build` wrote"
            raise InputError("holds no index", file=folder, remedy=remedy)
        plain = read_json(file)
        try:
            tensors = load_file(folder / "index.safetensors")
            return cls(
                tensors["slots"],
                plain["names"],
                programs=tensors.get("programs"),
                length=tensors.get("length"),
                assign=plain["assign"],
                reduce=plain["reduce"],
                normalize=plain["normalize"],
                model=plain["model"],
            )
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            remedy = "build the index again"
            raise InputError(f"cannot be read ({reason})", file=folder, remedy=remedy) from None

    def _in_turn(self, held: _Vectors, queries: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """As many queries at a time as the similarities of a block leave room for, normalized if need be."""
        if self.normalize:
            queries = F.normalize(queries, dim=-1)
        step = max(1, CELLS // max(1, queries.shape[1] * held.rows * min(BLOCK, len(self))))
        return zip(*(each.split(step) for each in (queries, *others)))

    def _plainly(self, slots: Tensor, primitives: Tensor, length: Tensor) -> Float[Tensor, "a b"]:
        settings = {"assign": self.assign, "reduce": self.reduce, "normalize": self.normalize}
        return bilevel_scores(slots, primitives, length, **settings)

    def _check(self, queries: Tensor) -> None:
        if self._slots.width != queries.shape[-1]:
            problem = f"has width {self._slots.width}, the query {queries.shape[-1]}"
            raise InputError(problem, field="index", remedy="take index and query from the same model")

    def _hits(self, scores: Float[Tensor, "q n"], k: int) -> Hits:
        if k < 1:
            raise InputError(f"is {k}", field="k", remedy="ask for at least one")
        best, number = scores.topk(min(k, scores.shape[1]), dim=1)
        return Hits(number, [[self.names[i] for i in row] for row in number.tolist()], best)


class _Vectors:
    """Vectors of n scenes with r rows each, in blocks (r, at most `BLOCK` scenes, e)."""

    def __init__(self, vectors: Float[Tensor, "n r e"], *, normalize: bool) -> None:
        self.rows, self.width = vectors.shape[1:]
        self.given = [block.transpose(0, 1).contiguous() for block in vectors.split(BLOCK)]
        self.blocks = [F.normalize(block, dim=-1) for block in self.given] if normalize else self.given

    def products(self, queries: Float[Tensor, "q s e"]) -> Iterator[Float[Tensor, "q s r m"]]:
        """Inner products of some queries with every block's scenes."""
        flat = queries.flatten(0, 1)
        for block in self.blocks:
            product = flat @ block.flatten(0, 1).T
            yield product.view(*queries.shape[:2], self.rows, block.shape[1])

    def whole(self) -> Float[Tensor, "n r e"]:
        """The vectors as they were given."""
        return torch.cat([block.transpose(0, 1) for block in self.given]).contiguous()

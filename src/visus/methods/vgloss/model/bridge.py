"""A map from a text encoder's space to a picture encoder's, learned from classes whose pictures are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.loader import sample_order
from visus.errors import InputError

Kernel = Literal["linear", "gaussian"]
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS = 5
FEWEST = 10


class TextBridge(nn.Module):
    """Kernel ridge regression from texts to visual prototypes.

    Texts: t = normalize(normalize(x) - m) with the mean m of the seen classes; prototypes: unit rows p less their
    mean q. With the kernel matrix K of the seen texts: A = (K + ridge I)^-1 (P - q), and a text's row is
    normalize(k(t) A + q). `linear`: k = <t, t'>, so the map is affine; `gaussian`: k = exp(-|t - t'|^2 / s) with
    the median s of the seen classes' squared distances.

    The ridge is chosen by how well held-out seen classes are found (5 folds; mean reciprocal rank of a class's own
    text for its prototype): the least one that is within a standard error of the best. Over a wide range all are
    alike there, and a smaller one keeps similar classes further apart. Unseen classes take no part.

    Parameters
    ----------
    kernel : see above.
    ridge : its weight; 0 chooses it.

    >>> generator = torch.Generator().manual_seed(0)
    >>> texts, prototypes = (torch.randn(40, n, generator=generator) for n in (6, 5))
    >>> TextBridge(ridge=1.0).fit(texts, prototypes)(texts[:2]).shape
    torch.Size([2, 5])
    """

    text_mean: Tensor
    seen: Tensor
    spread: Tensor
    dual: Tensor
    prototype_mean: Tensor

    def __init__(self, *, kernel: Kernel = "gaussian", ridge: float = 0.0) -> None:
        super().__init__()
        if kernel not in ("linear", "gaussian"):
            raise InputError(f"{kernel!r} is unknown", field="kernel", remedy="linear or gaussian")
        self.kernel: Kernel = kernel
        self.asked, self.ridge = ridge, ridge
        self.resize(0, 0, 0)

    def resize(self, seen: int, text: int, image: int) -> Self:
        """Make room for a fitted state of that many classes and those widths."""
        self.register_buffer("text_mean", torch.zeros(text))
        self.register_buffer("seen", torch.zeros(seen, text))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("dual", torch.zeros(seen, image))
        self.register_buffer("prototype_mean", torch.zeros(image))
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Seen classes, width of texts, width of pictures."""
        return (*self.seen.shape, self.dual.shape[1])  # pyright: ignore[reportReturnType]

    def fit(self, texts: Float[Tensor, "n t"], prototypes: Float[Tensor, "n p"], *, seed: int = 0) -> Self:
        """Learn from seen classes.

        Parameters
        ----------
        seed : of the folds that choose the ridge.

        Raises
        ------
        InputError : fewer than ten classes, another number of prototypes, or values that are not finite.
        """
        if len(texts) < FEWEST or len(texts) != len(prototypes):
            problem = f"are {len(texts)} texts and {len(prototypes)} prototypes"
            raise InputError(problem, field="seen classes", remedy=f"give {FEWEST} or more classes with both")
        for name, rows in (("texts", texts), ("prototypes", prototypes)):
            if not torch.isfinite(rows).all() or bool((rows.norm(dim=1) == 0).any()):
                raise InputError("hold a row that is zero or not finite", field=name, remedy="leave it out")
        texts, prototypes = texts.double().cpu(), F.normalize(prototypes.double().cpu(), dim=-1)
        self.ridge = self.asked or self._chosen(texts, prototypes, seed)
        self._solve(texts, prototypes, self.ridge)
        return self

    def forward(self, texts: Float[Tensor, "n t"]) -> Float[Tensor, "n p"]:
        """Texts in the pictures' space, unit rows."""
        rows = self._kernel(self._centered(texts.to(self.seen))) @ self.dual + self.prototype_mean
        return F.normalize(rows, dim=-1).to(texts.device)

    def to_plain(self) -> dict[str, Any]:
        """What `from_plain` needs besides the buffers."""
        return {"kernel": self.kernel, "ridge": self.ridge, "shape": list(self.shape)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """An empty bridge of that shape, to load the buffers into."""
        return cls(kernel=plain["kernel"], ridge=float(plain["ridge"])).resize(*plain["shape"])

    def _place(self, texts: Tensor) -> Float[Tensor, "n n"]:
        """Remember the seen texts; their kernel matrix."""
        self.text_mean = F.normalize(texts, dim=-1).mean(0)
        self.seen = self._centered(texts)
        self.spread = torch.pdist(self.seen).square().median().clamp(min=1e-12)
        return self._kernel(self.seen)

    def _solve(self, texts: Tensor, prototypes: Tensor, ridge: float) -> None:
        kernel = self._place(texts)
        self.prototype_mean = prototypes.mean(0)
        kernel = kernel + ridge * torch.eye(len(kernel), dtype=kernel.dtype)
        self.dual = torch.linalg.solve(kernel, prototypes - self.prototype_mean)
        for name in ("text_mean", "seen", "spread", "dual", "prototype_mean"):
            setattr(self, name, getattr(self, name).float())

    def _chosen(self, texts: Tensor, prototypes: Tensor, seed: int) -> float:
        """The least ridge within a standard error of the best; one eigendecomposition per fold serves all."""
        order, found = sample_order(len(texts), seed=seed, epoch=0), []
        for held in order.chunk(FOLDS):
            rest = torch.ones(len(texts), dtype=torch.bool)
            rest[held] = False
            values, vectors = torch.linalg.eigh(self._place(texts[rest]))
            mean = prototypes[rest].mean(0)
            left = self._kernel(self._centered(texts[held])) @ vectors
            right = vectors.T @ (prototypes[rest] - mean)
            rows = (left @ (right / (values + ridge)[:, None]) + mean for ridge in RIDGES)
            ranks = [_reciprocal_ranks(prototypes[held] @ F.normalize(row, dim=-1).T) for row in rows]
            found.append(torch.stack(ranks))
        ranks = torch.cat(found, dim=1)
        best = ranks[ranks.mean(1).argmax()]
        least = best.mean() - best.std() / len(texts) ** 0.5
        return RIDGES[int((ranks.mean(1) >= least).nonzero()[0])]

    def _centered(self, texts: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        return F.normalize(F.normalize(texts, dim=-1) - self.text_mean, dim=-1)

    def _kernel(self, rows: Float[Tensor, "m t"]) -> Float[Tensor, "m n"]:
        if self.kernel == "linear":
            return rows @ self.seen.T
        return (-torch.cdist(rows, self.seen).square() / self.spread).exp()


def _reciprocal_ranks(scores: Float[Tensor, "n n"]) -> Float[Tensor, " n"]:
    """One over the place of the diagonal entry in its row."""
    return 1 / (scores >= scores.diagonal()[:, None]).sum(1).double()


def prototypes_of(
    features: Float[Tensor, "n p"], labels: Sequence[int] | Tensor, classes: int
) -> Float[Tensor, "c p"]:
    """The mean of the unit features of each class's pictures.

    Raises
    ------
    InputError : a class without pictures.
    """
    owner = torch.as_tensor(labels)
    counts = torch.bincount(owner, minlength=classes)
    if bool((counts == 0).any()):
        missing = int((counts == 0).nonzero()[0])
        raise InputError(f"class {missing} has no pictures", field="labels", remedy="leave the class out")
    rows = F.normalize(features.float(), dim=-1)
    return rows.new_zeros(classes, rows.shape[1]).index_add(0, owner, rows) / counts[:, None]

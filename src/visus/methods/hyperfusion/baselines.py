"""What HyperFusion is compared with, from the same parts: FiLM, DAFT, matched concatenation, boosting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

BOTTLENECK = 7


class Modulation(nn.Module):
    """Scale and shift feature maps by the table (FiLM), or by the table and the maps' means (DAFT).

    x' = s * x + t,   [s, t] = V relu(U a),   a = T (FiLM) or [mean(x); T] (DAFT)

    Paper: Perez et al. 2018 (FiLM), Polsterl et al. 2021 (DAFT); sizes as 2403.13319 uses them: U to 7
    units, both layers without bias. Differs: `centered` scales by 1 + s. Without it s starts near zero and
    mutes the maps.

    >>> Modulation(4, columns=3, look=True, centered=True)(torch.ones(2, 4, 5, 5), torch.zeros(2, 3)).shape
    torch.Size([2, 4, 5, 5])
    """

    def __init__(self, channels: int, *, columns: int, look: bool, centered: bool) -> None:
        super().__init__()
        self.look, self.centered = look, centered
        self.squeeze = nn.Linear(columns + (channels if look else 0), BOTTLENECK, bias=False)
        self.expand = nn.Linear(BOTTLENECK, 2 * channels, bias=False)

    def forward(
        self, x: Float[Tensor, "b c *space"], table: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b c *space"]:
        seen = torch.cat([x.flatten(2).mean(2), table], dim=1) if self.look else table
        scale, shift = self.expand(self.squeeze(seen).relu()).chunk(2, dim=1)
        spread = (..., *[None] * (x.ndim - 2))
        return x * (scale + float(self.centered))[spread] + shift[spread]


def modulation(fusion: str, channels: int, columns: int) -> Modulation | None:
    """The modulation that a `fusion` setting names, None for the others."""
    kind, _, centered = fusion.partition("_")
    if kind not in ("film", "daft"):
        return None
    return Modulation(channels, columns=columns, look=kind == "daft", centered=centered == "centered")


def matched_width(target: int, rest: int, per_unit: int) -> int:
    """Hidden units, at least one, that bring `rest + units * per_unit` parameters closest to `target`."""
    return max(1, round((target - rest) / per_unit))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(weight.numel() for weight in module.parameters())


class Forest(nn.Module):
    """Boosted regression trees as tensors, so that they are saved like any network and never unpickled.

    Raw scores: f_k(x) = base_k + sum over trees of class k of the value of the leaf that x falls into. Two
    classes share one score r, given as (0, r).
    """

    feature: Tensor
    left: Tensor
    right: Tensor
    threshold: Tensor
    value: Tensor
    leaf: Tensor
    klass: Tensor
    base: Tensor

    def __init__(self, trees: int, nodes: int, scores: int) -> None:
        super().__init__()
        integers, numbers = torch.zeros(trees, nodes, dtype=torch.long), torch.zeros(trees, nodes).double()
        for name in ("feature", "left", "right"):
            self.register_buffer(name, integers.clone())
        for name in ("threshold", "value"):
            self.register_buffer(name, numbers.clone())
        self.register_buffer("leaf", torch.ones(trees, nodes, dtype=torch.bool))
        self.register_buffer("klass", torch.zeros(trees, dtype=torch.long))
        self.register_buffer("base", torch.zeros(scores).double())

    @property
    def shape(self) -> dict[str, int]:
        """Arguments of the constructor."""
        return {"trees": self.leaf.shape[0], "nodes": self.leaf.shape[1], "scores": len(self.base)}

    @classmethod
    def grow(
        cls,
        rows: Float[np.ndarray, "n m"],
        target: np.ndarray,
        *,
        classes: int | None,
        weights: Mapping[int, float] | None = None,
        rounds: int = 100,
    ) -> Self:
        """Fit scikit-learn's histogram gradient boosting; `classes` None means regression.

        Rows hold finite numbers (gaps are filled and marked by the table's preprocessing).
        """
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        settings: dict[str, Any] = {"max_iter": rounds, "early_stopping": False, "random_state": 0}
        if classes is None:
            fitted = HistGradientBoostingRegressor(**settings).fit(rows, target)
        else:
            sample = None if weights is None else np.array([weights[int(label)] for label in target])
            fitted = HistGradientBoostingClassifier(**settings).fit(rows, target, sample_weight=sample)
        present = list(range(1)) if classes is None or classes == 2 else [int(k) for k in fitted.classes_]
        return cls._from_fitted(
            fitted, scores=1 if classes is None or classes == 2 else classes, present=present
        )

    @classmethod
    def _from_fitted(cls, fitted: Any, *, scores: int, present: list[int]) -> Self:
        trees = [(klass, tree.nodes) for stage in fitted._predictors for klass, tree in zip(present, stage)]
        made = cls(len(trees), max(len(nodes) for _, nodes in trees), scores)
        for i, (klass, nodes) in enumerate(trees):
            size = len(nodes)
            made.klass[i] = klass
            for name, key in (("feature", "feature_idx"), ("left", "left"), ("right", "right")):
                getattr(made, name)[i, :size] = torch.from_numpy(nodes[key].astype(np.int64))
            for name, key in (("threshold", "num_threshold"), ("value", "value")):
                getattr(made, name)[i, :size] = torch.from_numpy(nodes[key].astype(np.float64))
            made.leaf[i, :size] = torch.from_numpy(nodes["is_leaf"].astype(bool))
        made.base.fill_(-torch.inf if scores > 1 else 0.0)  # a class without training rows is never predicted
        made.base[present] = torch.from_numpy(
            np.asarray(fitted._baseline_prediction, dtype=np.float64).reshape(-1)
        )
        return made

    @torch.no_grad()
    def forward(self, rows: Float[Tensor, "b m"]) -> Float[Tensor, "b k"]:
        """Raw scores (b, classes), or the value (b, 1)."""
        rows = rows.double()
        place = torch.zeros(len(rows), len(self.klass), dtype=torch.long, device=rows.device)
        trees = torch.arange(len(self.klass), device=rows.device)[None]
        while not bool(self.leaf[trees, place].all()):
            low = rows.gather(1, self.feature[trees, place]) <= self.threshold[trees, place]
            step = torch.where(low, self.left[trees, place], self.right[trees, place])
            place = torch.where(self.leaf[trees, place], place, step)
        scores = self.base.repeat(len(rows), 1)
        return scores.index_add(1, self.klass, self.value[trees, place])

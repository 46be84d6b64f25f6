"""What holds whatever the data: losses, ties, partitions, files, penalties, tables, closed forms and ceilings."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visus.data.triplets import OddOneOutData, Triplets, object_folds, within
from visus.methods.alignment.baselines import random_rotation
from visus.methods.alignment.claims.statements.laws import LAWS
from visus.methods.alignment.config import AlignmentConfig
from visus.methods.alignment.estimator import Aligner, concept_table
from visus.methods.alignment.losses import pair_dots, triplet_losses
from visus.methods.alignment.model import Transform, ridge
from visus.metrics.odd_one_out import choices, hits, noise_ceiling, pair_similarities
from visus.metrics.rsa import compare_rdms, human_ceiling
from visus.metrics.similarity import condensed, distances

ROUNDING = 1e-9
"""Below this a double-precision difference is rounding, and counts as none."""
OBJECTS, WIDTH, TRIPLETS = 24, 6, 300
STATED = {claim.metric: 0.0 for claim in LAWS}


def measured(run: Any) -> dict[str, float]:
    """What the implementation does, under the names of `STATED`; rounding counts as nothing."""
    draw = torch.Generator().manual_seed(run.seed)
    x = torch.randn(OBJECTS, WIDTH, generator=draw, dtype=torch.float64)
    triplets = torch.stack([torch.randperm(OBJECTS, generator=draw)[:3] for _ in range(TRIPLETS)])
    found = {
        **loss_laws(x, triplets, draw),
        **partition_laws(triplets, run.seed),
        **file_laws(x, draw, run),
        **penalty_laws(x, triplets, run),
        **table_laws(x, triplets),
        **ridge_laws(x, draw),
        **ceiling_laws(triplets, draw),
    }
    return {name: 0.0 if abs(value) < ROUNDING else value for name, value in found.items()}


def loss_laws(x: Tensor, triplets: Tensor, draw: torch.Generator) -> dict[str, float]:
    """The loss against a plain transcription, at W = 0, by one-hot rows, with a and b exchanged, turned."""
    z = x @ torch.randn(WIDTH, WIDTH, generator=draw, dtype=torch.float64)
    similar = pair_dots(z, triplets)
    losses = triplet_losses(similar)
    plain = []
    for a, b, odd in triplets.tolist():
        s = [float(z[i] @ z[j]) for i, j in ((a, b), (a, odd), (b, odd))]
        top = max(s)
        plain.append(top - s[0] + math.log(sum(math.exp(value - top) for value in s)))
    nothing = pair_dots(torch.zeros_like(z), triplets)
    hot = torch.eye(OBJECTS, dtype=torch.float64)[triplets] @ z
    one_hot = torch.stack([(hot[:, i] * hot[:, j]).sum(1) for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    turn = random_rotation(WIDTH, seed=1).weights.double()
    turn = torch.linalg.qr(turn)[0]
    cosines = [condensed(distances(part)).numpy() for part in (z, z @ turn)]
    missed = [hits(pair_similarities(part, triplets)).double().mean() for part in (z, z @ turn)]
    rotated = triplet_losses(pair_dots(z @ turn, triplets))
    return {
        "loss_error": _far(losses, torch.tensor(plain, dtype=torch.float64)),
        "zero_map_loss": float(triplet_losses(nothing).mean()) - math.log(3),
        "zero_map_hits": float(hits(nothing).sum()),
        "one_hot_error": _far(similar, one_hot),
        "swap_error": _far(losses, triplet_losses(pair_dots(z, triplets[:, [1, 0, 2]]))),
        "rotation_loss": _far(losses, rotated),
        "rotation_accuracy": float(missed[0] - missed[1]),
        "rotation_rsa": 1 - float(compare_rdms(cosines[0], cosines[1], "pearson")),
    }


def partition_laws(triplets: Tensor, seed: int) -> dict[str, float]:
    """Objects on both sides of a fold, and triplets counted otherwise than by looking at each."""
    shared, miscounted = 0, 0
    for training, held in object_folds(OBJECTS, 3, seed):
        shared += int((training & held).sum())
        for mask in (training, held):
            own = set(np.flatnonzero(mask).tolist())
            expected = [set(row) <= own for row in triplets.tolist()]
            miscounted += int((within(triplets.numpy(), mask) != np.array(expected)).sum())
    return {"shared_objects": float(shared), "miscounted_triplets": float(miscounted)}


def file_laws(x: Tensor, draw: torch.Generator, run: Any) -> dict[str, float]:
    """Features that differ in any bit after a transform went through its file."""
    changed = 0
    for bias in (None, torch.randn(WIDTH, generator=draw)):
        weights = torch.randn(WIDTH, WIDTH, generator=draw)
        made = Transform(weights, bias, mean=0.1234567, std=0.7654321)
        made = Transform(weights, bias, mean=float(np.float32(made.mean)), std=float(np.float32(made.std)))
        file = run.folder / "transform.npz"
        made.save_npz(file)
        again = Transform.load_npz(file)
        changed += int((again.apply(x.float()) != made.apply(x.float())).sum())
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            changed += int(
                set(stored) != {"weights", "mean", "std"} | ({"bias"} if bias is not None else set())
            )
    return {"changed_by_file": float(changed)}


def penalty_laws(x: Tensor, triplets: Tensor, run: Any) -> dict[str, float]:
    """What heavy penalties leave: a multiple of the identity, or nothing."""
    data = OddOneOutData(x.float(), Triplets(rows=triplets.numpy(), objects=OBJECTS))
    common: dict[str, Any] = {"penalty_weight": 1e3, "steps": 150, "learning_rate": 2e-3, "clip": 0.0}
    common |= {"batch_size": TRIPLETS, "init": "gaussian", "init_scale": 1e-2}
    toward = Aligner(AlignmentConfig(penalty="identity", **common)).fit(data, run.child("identity"))
    weights = toward.transform_.weights
    rest = weights - weights.diagonal().mean() * torch.eye(WIDTH)
    share = float(rest.norm() / weights.norm())
    plain = toward.transform_.standardize(data.features)
    changed = choices(pair_similarities(plain, triplets)) != choices(
        pair_similarities(plain @ weights, triplets)
    )
    nothing = Aligner(AlignmentConfig(penalty="fro2", **common)).fit(data, run.child("nothing"))
    return {
        "identity_rest": _beyond(share, 0.05),
        "identity_changes": _beyond(float(changed.double().mean()), 0.01),
        "collapsed_norm": _beyond(float(nothing.transform_.weights.norm()), 1e-2),
        "collapsed_loss": _beyond(nothing.evaluate(data)["cross_entropy"] - math.log(3), 1e-3),
    }


def table_laws(x: Tensor, triplets: Tensor) -> dict[str, float]:
    """The concept table against the triplets that it is of."""
    right = hits(pair_similarities(x, triplets))
    table = concept_table(x.abs(), triplets, right)
    return {
        "table_count": float(table.count.sum() - TRIPLETS),
        "table_error": table.overall_error - (1 - float(right.double().mean())),
    }


def ridge_laws(x: Tensor, draw: torch.Generator) -> dict[str, float]:
    """Ridge regression against the normal equations, and its leave-one-out errors against leaving out."""
    y = torch.randn(OBJECTS, 3, generator=draw, dtype=torch.float64)
    alphas = (0.1, 10.0)
    found = ridge(x, y, alphas)
    far, errors = 0.0, torch.zeros(len(alphas), 3, dtype=torch.float64)
    for number, alpha in enumerate(alphas):
        for left in range(OBJECTS):
            kept = torch.arange(OBJECTS) != left
            weights, bias = _normal_equations(x[kept], y[kept], alpha)
            errors[number] += (y[left] - x[left] @ weights - bias).square() / OBJECTS
    for column, alpha in enumerate(found.alphas.tolist()):
        weights, bias = _normal_equations(x, y, alpha)
        far = max(
            far, _far(found.weights[:, column], weights[:, column]), _far(found.bias[column], bias[column])
        )
    return {"ridge_error": far, "leave_one_out_error": _far(found.errors, errors)}


def ceiling_laws(triplets: Tensor, draw: torch.Generator) -> dict[str, float]:
    """Noise ceilings of trials and of matrices against counting, and what does not change them."""
    few = triplets[:6].repeat_interleave(5, 0)
    orders = torch.stack([torch.randperm(3, generator=draw) for _ in range(len(few))])
    trials = few.gather(1, orders)
    shares = []
    for said in trials[:, 2].view(6, 5).tolist():
        shares.append(max(said.count(value) for value in said) / 5)
    groups = np.repeat(np.arange(6), 5)
    people = torch.rand(4, 15, generator=draw, dtype=torch.float64).numpy()
    lower, upper = human_ceiling(people)
    alike = human_ceiling(np.stack([people[0]] * 3))
    return {
        "ceiling_error": noise_ceiling(trials.numpy(), groups).ceiling - float(np.mean(shares)),
        "ceiling_order": max(0.0, lower - upper),
        "agreed_ceiling": max(abs(1 - bound) for bound in alike),
        "rank_error": float(compare_rdms(people[0], people[1]) - compare_rdms(np.exp(people[0]), people[1])),
    }


def _normal_equations(x: Tensor, y: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Weights and intercept of (X'X + alpha I) W = X'Y on centered data."""
    mean, level = x.mean(0), y.mean(0)
    gram = (x - mean).T @ (x - mean) + alpha * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, (x - mean).T @ (y - level))
    return weights, level - mean @ weights


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _beyond(error: float, tolerance: float) -> float:
    """0 within a tolerance that the law states."""
    return 0.0 if abs(error) <= tolerance else error

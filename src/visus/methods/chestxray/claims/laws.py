"""What holds for any weights: identities of densities, losses, stages and the network, in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

ROUNDING = 1e-9
"""Below this a double-precision difference is rounding, and counts as none."""
BATCH, SIZE, CLASSES = 6, 32, 3
PUBLISHED_PARAMETERS = 66_643_143
PUBLISHED_WIDTH = 1920 + 64
STATED: dict[str, float] = {
    **dict.fromkeys(
        (
            "density_error",
            "padding_error",
            "neighbor_error",
            "kl_of_truth",
            "kl_loop_error",
            "missing_gaze",
            "uncertainty_error",
            "triplet_error",
            "one_class_triplets",
            "frozen_changes",
            "early_changes",
            "head_changes",
            "duration_mass_error",
            "wrapped_mass",
            "spread_error",
        ),
        0.0,
    ),
    "fusion_width": float(PUBLISHED_WIDTH),
    "parameters": float(PUBLISHED_PARAMETERS),
}


def measured(run: Any) -> dict[str, float]:
    """What the implementation does, under the names of `STATED`; rounding counts as nothing."""
    with run.seeded("laws"):
        found = {**network_laws(), **loss_laws(), **triplet_laws()}
    found |= {**map_laws(), **stage_laws(run), **published_counts()}
    return {name: 0.0 if abs(value) < ROUNDING else value for name, value in found.items()}


# ---- network


@torch.no_grad()
def network_laws() -> dict[str, float]:
    """Densities sum to 1, padding leaves no trace, batch mates do not matter."""
    net = small_network().double().eval()
    image = torch.rand(BATCH, 1, 2 * SIZE, SIZE).double()
    cut = image[..., : 2 * SIZE - 7, : SIZE - 3]
    repeated = nn.functional.pad(cut, (0, 3, 0, 7), mode="replicate")
    part, fine = net(cut), net.decoder(net.backbone(repeated), net.encoder(repeated))
    expected = net.saliency(fine[..., : 2 * SIZE - 7, : SIZE - 3])
    alone = [net(image[i : i + 1]) for i in range(BATCH)]
    together = net(image)
    sums = [reading.log_density.exp().sum((1, 2)) for reading in (together, part)]
    return {
        "density_error": max(_far(each, torch.ones_like(each)) for each in sums),
        "padding_error": _far(part.log_density, expected),
        "neighbor_error": max(
            _far(getattr(together, name), torch.cat([getattr(one, name) for one in alone]))
            for name in ("logits", "log_density")
        ),
    }


def small_network() -> Any:
    """The network at its smallest, from the global generator."""
    from visus.methods.chestxray.model import DualNet, build_backbone

    return DualNet(build_backbone("compact"), classes=CLASSES, base_channels=2, hidden=4, dropout=0.0)


def published_counts() -> dict[str, float]:
    """Parameters and width of the fused vector at the paper's size, without making the weights.

    nan where MONAI, which builds DenseNet-201, is not installed.
    """
    from visus.errors import MissingExtra
    from visus.methods.chestxray.model import DualNet, build_backbone

    try:
        with torch.device("meta"):
            net = DualNet(build_backbone("densenet201"), classes=CLASSES, base_channels=64)
    except MissingExtra:
        return {"parameters": math.nan, "fusion_width": math.nan}
    first = next(layer for layer in net.fusion if isinstance(layer, nn.Linear))
    return {
        "parameters": float(sum(weight.numel() for weight in net.parameters())),
        "fusion_width": float(first.in_features),
    }


# ---- losses


def loss_laws() -> dict[str, float]:
    """Of the saliency loss and of the uncertainty weights."""
    from visus.methods.chestxray.losses import UncertaintyWeighting, saliency_kl

    truth = torch.rand(BATCH, 5, 7).double()
    truth[:, 0, :3] = 0  # pixels that nobody looked at
    truth /= truth.sum((1, 2), keepdim=True)
    everyone = torch.ones(BATCH, dtype=torch.bool)
    logits = torch.randn(BATCH, 35).double().requires_grad_()
    log_density = logits.log_softmax(1).view_as(truth)
    loops = [
        sum(float(p) * (math.log(p) - float(q)) for p, q in zip(a.flatten(), b.flatten()) if p > 0)
        for a, b in zip(truth, log_density.detach())
    ]
    some = torch.tensor([True, False, True, True, False, True])
    losses = saliency_kl(log_density, truth * some[:, None, None], some)
    losses.sum().backward()
    assert logits.grad is not None
    absent = torch.cat([losses[~some].detach().abs().flatten(), logits.grad[~some].abs().flatten()])
    diagnosis, gaze = (torch.rand(()).double() + 0.5 for _ in range(2))
    together = UncertaintyWeighting().double()(diagnosis, gaze)
    return {
        "kl_of_truth": float(saliency_kl(truth.clamp(min=1e-300).log(), truth, everyone).abs().max()),
        "kl_loop_error": _far(
            saliency_kl(log_density.detach(), truth, everyone), torch.tensor(loops, dtype=torch.float64)
        ),
        "missing_gaze": float(absent.max()),
        "uncertainty_error": float(together.detach() - (diagnosis + gaze / 2 + 2 * math.log(2))),
    }


def triplet_laws() -> dict[str, float]:
    """The triplet loss against three loops, and where there is no triplet."""
    from visus.methods.chestxray.losses import triplet

    embedding, labels = torch.randn(9, 4).double(), torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 0])
    loss = triplet(embedding, labels, margin=1.0, mining="all", normalize=False)
    lonely = embedding.clone().requires_grad_()
    none = triplet(lonely, torch.zeros_like(labels), margin=1.0)
    none.backward()
    assert lonely.grad is not None
    return {
        "triplet_error": float(loss) - looped_triplets(embedding, labels, margin=1.0),
        "one_class_triplets": max(float(none.detach().abs()), float(lonely.grad.abs().max())),
    }


def looped_triplets(embedding: Tensor, labels: Tensor, *, margin: float) -> float:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over all valid triplets, by three loops."""
    terms = []
    for a, p, n in itertools.product(range(len(labels)), repeat=3):
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
            near, far = (float((embedding[a] - embedding[i]).norm()) for i in (p, n))
            terms.append(max(0.0, near - far + margin))
    return sum(terms) / len(terms)


# ---- maps


def map_laws() -> dict[str, float]:
    """Of density maps made from fixations."""
    import numpy as np

    from visus.data.gaze.density import density_map

    native, half = (400, 400), 200
    two = np.array([[100.0, 200.0, 1.0], [300.0, 200.0, 3.0]])
    masses = []
    for weight in ("duration", "count"):
        found = density_map(two, native=native, size=(100, 100), sigma_px=8.0, weight=weight).double()
        left, right = float(found[:, :50].sum()), float(found[:, 50:].sum())
        masses.append(right / left)
    hits = np.array([[100.5, 200.5, 1.0]] * half + [[300.5, 200.5, 1.0]])
    wrapped = density_map(hits, native=native, size=(100, 100), sigma_px=8.0, weight="count").double()
    one = density_map(np.array([[200.0, 200.0, 1.0]]), native=native, size=(100, 100), sigma_px=40.0).double()
    places = torch.arange(100, dtype=torch.float64) + 0.5
    rows = one.sum(1)
    spread = float((rows * (places - (rows * places).sum()) ** 2).sum().sqrt())
    return {
        "duration_mass_error": _beyond(max(abs(masses[0] - 3.0), abs(masses[1] - 1.0)), 1e-5),
        "wrapped_mass": _beyond(float(wrapped[:, :50].sum() / wrapped[:, 50:].sum()) - half, 1e-2),
        "spread_error": _beyond(spread / 10.0 - 1.0, 0.02),
    }


# ---- stages


def stage_laws(run: Any) -> dict[str, float]:
    """Tensors (weights and statistics) that change in stages that must leave them alone."""
    everything = {"dense", "dense_head", "encoder", "decoder", "saliency", "fusion"}
    return {
        "frozen_changes": changed_in(run, ("saliency",), {"dense", "dense_head", "fusion"}),
        "early_changes": changed_in(run, ("contrastive", "classify"), everything - {"dense", "dense_head"}),
        "head_changes": changed_in(run, ("final",), everything - {"fusion"}),
    }


def changed_in(run: Any, stages: Sequence[str], groups: set[str]) -> float:
    """How many tensors of the groups differ after one epoch of each of the stages; nan if nothing was trained."""
    from visus.methods.chestxray.config import ChestXrayConfig
    from visus.methods.chestxray.training import StagedTraining, phases, plan

    lengths: dict[str, Any] = {f"{name}_epochs": int(name in stages) for name in ("contrastive", "classify")}
    lengths |= {f"{name}_epochs": int(name in stages) for name in ("saliency", "final")}
    config = ChestXrayConfig(
        **lengths, final_stage="head", batch_size=BATCH, contrastive_batch=BATCH, final_batch=BATCH
    )
    with run.seeded("stages", *stages):
        net, items = small_network(), small_items()
    chosen = plan(config, net.groups(), gaze=True)
    before = {name: copies(modules) for name, modules in net.groups().items()}
    never = {stage.name: False for stage in chosen}
    lasting = phases(chosen, config, items=len(items), validated=never)
    run.child("-".join(stages)).train(StagedTraining(net, chosen, config), items, lasting)
    after = {name: copies(modules) for name, modules in net.groups().items()}
    different = {
        name: sum(not torch.equal(a, b) for a, b in zip(before[name], after[name])) for name in before
    }
    if not any(count for name, count in different.items() if name not in groups):
        return math.nan
    return float(sum(different[name] for name in groups))


def small_items() -> Any:
    """Noise with labels and gaze, from the global generator."""
    from visus.data.loader import Tensors
    from visus.methods.chestxray.training import Examples

    count = 2 * BATCH
    gaze = torch.rand(count, SIZE, SIZE)
    fields = {
        "image": torch.rand(count, 1, SIZE, SIZE),
        "gaze": gaze / gaze.sum((1, 2), keepdim=True),
        "has_gaze": torch.ones(count, dtype=torch.bool),
    }
    return Examples(Tensors(fields), torch.arange(count) % CLASSES)


def copies(modules: Sequence[nn.Module]) -> list[Tensor]:
    """All weights and statistics of the modules as they are now."""
    return [value.detach().cpu().clone() for module in modules for value in module.state_dict().values()]


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _beyond(error: float, tolerance: float) -> float:
    """0 within a tolerance that the law states or that single precision needs."""
    return 0.0 if abs(error) <= tolerance else error

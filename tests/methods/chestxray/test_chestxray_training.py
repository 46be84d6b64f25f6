"""Stages: which there are, what they leave untouched, what a step minimizes, what the ledger remembers."""

from __future__ import annotations

import itertools
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from chestxray_samples import small
from torch import Tensor, nn

from visus.data.image_table import resize
from visus.data.loader import Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.chestxray.config import ChestXrayConfig
from visus.methods.chestxray.estimator import build
from visus.methods.chestxray.losses import saliency_kl, triplet
from visus.methods.chestxray.training import (
    Examples,
    Ledger,
    Stage,
    StagedTraining,
    freeze,
    phases,
    plan,
    weights_hash,
)

DUAL = ("dense", "dense_head", "encoder", "decoder", "saliency", "fusion")
UNET = ("encoder", "decoder", "saliency", "fusion")


def noise(n: int = 12, *, side: int = 32, seed: int = 0, seen: Sequence[bool] | None = None) -> Examples:
    """Random pictures, maps and classes 0, 1, 2, 0, ...; `seen` says which have gaze."""
    generator = torch.Generator().manual_seed(seed)
    gaze = torch.rand(n, side, side, generator=generator)
    has = torch.tensor([True] * n if seen is None else list(seen))
    gaze = torch.where(has[:, None, None], gaze / gaze.sum((1, 2), keepdim=True), 0.0)
    image = torch.rand(n, 1, side, side, generator=generator)
    return Examples(Tensors({"image": image, "gaze": gaze, "has_gaze": has}), torch.arange(n) % 3)


def network(config: ChestXrayConfig, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build(config, 3)


def trained(
    config: ChestXrayConfig, items: Examples, *, held: Examples | None = None, gaze: bool = True
) -> tuple[StagedTraining, list[dict[str, Any]]]:
    net = network(config)
    stages = plan(config, net.groups(), gaze=gaze, auxiliary=hasattr(net, "auxiliary_loss"))
    training = StagedTraining(net, stages, config)
    told = dict.fromkeys((stage.name for stage in stages), held is not None)
    lasting = phases(stages, config, items=len(items), validated=told)
    check = None if held is None else lambda: training.validate(held)
    rows = Run(progress=False, device="cpu").train(training, items, lasting, check=check)
    return training, rows


def only(stage: str, *settings: str) -> ChestXrayConfig:
    """Settings with one stage of one epoch."""
    names = ("contrastive", "classify", "saliency", "final")
    return small(*(f"{name}_epochs={int(name == stage)}" for name in names), *settings)


def state(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [value.detach().clone() for module in modules for value in module.state_dict().values()]


class Alone:
    """A turn of one process: keeps the losses of updates and does nothing with them."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, Tensor]] = []

    def mean(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        return values.mean() if weight is None else (values * weight).sum() / weight.sum().clamp(min=1e-30)

    def update(self, name: str, loss: Tensor) -> None:
        self.updates.append((name, loss))


def at(stage: str, config: ChestXrayConfig) -> StagedTraining:
    """A training that has begun a stage, with dropout off."""
    net = network(config)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    training = StagedTraining(net, plan(config, net.groups(), gaze=True), config)
    net.train()
    training.begin(stage)
    return training


# ---- which stages there are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "settings", "gaze", "expected"),
    [
        (DUAL, [], True, ["contrastive", "classify", "saliency", "final"]),
        (DUAL, [], False, ["contrastive", "classify", "final"]),
        (DUAL, ["contrastive_epochs=0", "final_epochs=0"], True, ["classify", "saliency"]),
        (DUAL, ["schedule=joint"], True, ["joint"]),
        (UNET, [], True, ["saliency", "final"]),
        (UNET, ["schedule=joint"], True, ["joint"]),
        (UNET[:3], [], True, ["saliency"]),
        (UNET[:3], ["schedule=joint"], True, ["joint"]),
        (DUAL[:2], [], True, ["contrastive", "classify"]),
        (DUAL[:2], ["schedule=joint"], False, ["joint"]),
    ],
)
def test_a_network_goes_through_the_stages_whose_groups_it_has(
    groups: tuple[str, ...], settings: list[str], gaze: bool, expected: list[str]
) -> None:
    stages = plan(small(*settings), groups, gaze=gaze)
    assert [stage.name for stage in stages] == expected
    assert all(stage.trains <= set(groups) for stage in stages)
    assert all(not stage.gaze for stage in stages) or gaze


def test_what_each_stage_trains() -> None:
    trains = {stage.name: stage.trains for stage in plan(small(), DUAL, gaze=True)}
    assert trains == {
        "contrastive": {"dense"},
        "classify": {"dense", "dense_head"},
        "saliency": {"encoder", "decoder", "saliency"},
        "final": {"dense", "encoder", "decoder", "saliency", "fusion"},
    }
    head = plan(small("final_stage=head"), DUAL, gaze=True)[-1]
    assert (head.trains, head.diagnosis, head.gaze) == ({"fusion"}, True, False)
    joint = plan(small("schedule=joint"), DUAL, gaze=False)[0]
    assert joint.trains == {"dense", "encoder", "decoder", "fusion"}


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(InputError, match="no training image has gaze"):
        plan(small("network=unet"), UNET[:3], gaze=False)
    with pytest.raises(InputError, match="no stage is left"):
        plan(small("saliency_epochs=0"), UNET[:3], gaze=True)


def test_phases_carry_lengths_batches_and_the_monitor() -> None:
    config = small("patience=5", "contrastive_batch=9", "final_batch=7", "saliency_epochs=4")
    stages = plan(config, DUAL, gaze=True)
    known = {"contrastive": False, "classify": True, "saliency": True, "final": True}
    made = phases(stages, config, items=8, validated=known)
    assert [(phase.name, phase.epochs, phase.batch_size) for phase in made] == [
        ("contrastive", 1, 8),
        ("classify", 1, 8),
        ("saliency", 4, 8),
        ("final", 1, 7),
    ]
    assert [(phase.monitor, phase.patience) for phase in made] == [(None, None), *[("loss", 5)] * 3]


# ---- freezing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "settings"),
    [("contrastive", []), ("classify", []), ("saliency", []), ("final", []), ("final", ["final_stage=head"])],
)
def test_a_stage_changes_its_groups_and_no_bit_of_the_others(stage: str, settings: list[str]) -> None:
    config = only(stage, f"{stage}_epochs=2", *settings)
    before = {name: state(modules) for name, modules in network(config).groups().items()}
    training, _ = trained(config, noise(), held=noise(8, seed=3))  # a validation must not wake what rests
    trains = training.stages[0].trains
    assert trains
    for name, modules in training.network.groups().items():
        same = [torch.equal(a, b) for a, b in zip(before[name], state(modules), strict=True)]
        assert all(same) is (name not in trains), name


@pytest.mark.parametrize("stage", ["contrastive", "classify", "saliency", "final"])
def test_frozen_parts_rest_and_the_optimizer_holds_nothing_else(stage: str) -> None:
    training = at(stage, small("weighting=fixed"))
    for name, modules in training.network.groups().items():
        for module in modules:
            assert all(part.training is (name in training.stage.trains) for part in module.modules())
    held = {id(w) for group in training.optimizers()["model"].param_groups for w in group["params"]}
    assert held == {id(w) for w in training.net.parameters() if w.requires_grad}
    assert held


def test_freezing_can_be_undone() -> None:
    net = network(small())
    freeze(net.groups(), ())
    assert not any(w.requires_grad for w in net.parameters())
    freeze(net.groups(), DUAL)
    assert all(w.requires_grad for w in net.parameters())


def test_the_dense_encoder_has_a_rate_of_its_own_where_all_learn() -> None:
    config = small("dense_rate=0.1", "learning_rate=0.002", "weighting=fixed")
    training = at("final", config)
    dense = {id(w) for w in training.network.backbone.parameters()}
    rates = {
        group["lr"]: {id(w) for w in group["params"]} for group in training.optimizers()["model"].param_groups
    }
    assert sorted(rates) == [pytest.approx(0.0002), 0.002]
    assert rates[min(rates)] == dense
    early = at("classify", config).optimizers()["model"].param_groups
    assert [group["lr"] for group in early] == [0.002]
    assert isinstance(at("classify", config).optimizers()["model"], torch.optim.Adam)


# ---- what a step minimizes --------------------------------------------------------------------------------


def test_the_final_step_minimizes_the_two_losses_by_uncertainty() -> None:
    training, batch, turn = at("final", small()), noise(6).batch(range(6)), Alone()
    assert training.weighting is not None
    reading = training.network(batch["image"])
    entropy = F.cross_entropy(reading.logits, batch["label"])
    divergence = saliency_kl(reading.log_density, batch["gaze"], batch["has_gaze"]).mean()
    logs: Any = training.step(batch, turn)  # type: ignore[arg-type]
    wanted = entropy + divergence / 2 + 2 * math.log(2)
    assert turn.updates[0][1].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert logs["diagnosis"].item() == pytest.approx(entropy.item(), rel=1e-5)
    assert logs["gaze"].item() == pytest.approx(divergence.item(), rel=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_the_uncertainty_of_the_gaze_moves_only_if_asked(learned: bool) -> None:
    training, _ = trained(only("final", f"learn_saliency_sigma={str(learned).lower()}"), noise())
    sigmas = training.sigmas
    assert sigmas is not None
    assert sigmas["diagnosis"] != 1.0
    assert (sigmas["gaze"] != 1.0) is learned


def test_fixed_weights_add_the_losses_as_told() -> None:
    config = small("weighting=fixed", "saliency_weight=0.3")
    training, turn = at("final", config), Alone()
    assert training.weighting is None
    assert training.sigmas is None
    logs: Any = training.step(noise(6).batch(range(6)), turn)  # type: ignore[arg-type]
    wanted = logs["diagnosis"].item() + 0.3 * logs["gaze"].item()
    assert turn.updates[0][1].item() == pytest.approx(wanted, rel=1e-6)


def test_class_weights_weigh_the_cross_entropy() -> None:
    config, batch, turn = small(), noise(6).batch(range(6)), Alone()
    training = at("classify", config)
    training.weights = torch.tensor([1.0, 3.0, 0.5])
    logits = training.network.classify(batch["image"]).logits
    wanted = F.cross_entropy(logits, batch["label"], weight=training.weights)
    training.step(batch, turn)  # type: ignore[arg-type]
    assert turn.updates[0][1].item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(("size", "wanted"), [("null", (16, 16)), ("[24, 20]", (24, 20))])
def test_the_contrastive_stage_compares_pooled_features_of_smaller_images(
    size: str, wanted: tuple[int, int]
) -> None:
    config, turn = small(f"contrastive_size={size}", "margin=0.7", "normalize=true"), Alone()
    training, batch = at("contrastive", config), noise(9).batch(range(9))
    embedding = training.network.embed(resize(batch["image"], wanted))
    loss = triplet(embedding, batch["label"], margin=0.7, normalize=True)
    training.step(batch, turn)  # type: ignore[arg-type]
    assert turn.updates[0][1].item() == pytest.approx(loss.item(), rel=1e-5)
    assert loss.item() > 0


def test_images_without_gaze_add_exactly_nothing_to_the_loss_of_the_gaze_or_its_gradient() -> None:
    """The map of an image that nobody read may hold anything, and the mean is that of the others."""
    training = at("saliency", small())
    seen = noise(6, seen=[True, False, True, False, False, True]).batch(range(6))
    junk = seen | {"gaze": torch.where(seen["has_gaze"][:, None, None], seen["gaze"], torch.nan)}
    training.net.eval()  # batch statistics are the one thing that mates share
    found = []
    few = {name: value[seen["has_gaze"]] for name, value in seen.items()}
    for batch in (seen, junk, few):
        turn = Alone()
        training.step(batch, turn)  # type: ignore[arg-type]
        weights = list(training.network.decoder.parameters())
        found.append([turn.updates[0][1], *torch.autograd.grad(turn.updates[0][1], weights)])
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    for a, b in zip(found[0], found[2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    assert any(float(gradient.abs().max()) > 0 for gradient in found[0][1:])


def test_a_batch_without_any_gaze_moves_nothing_by_the_gaze() -> None:
    """The engine's own weighted mean: no division by the number of no images."""
    config = small("saliency_epochs=2", "contrastive_epochs=0", "classify_epochs=0", "final_epochs=0")
    before = [weight.detach().clone() for weight in network(config).parameters()]
    training, rows = trained(config, noise(8, seen=[False] * 8))
    assert all(row["loss"] == 0.0 for row in rows)
    assert rows
    assert all(torch.equal(a, b) for a, b in zip(training.net.parameters(), before, strict=True))


def test_gaze_features_teach_the_classifier_beside_the_diagnosis() -> None:
    training, rows = trained(only("classify", "network=gaze_mtl"), noise(12, seen=[True, False] * 6))
    assert training.stages[0].gaze
    for row in rows:
        assert row["loss"] == pytest.approx(row["diagnosis"] + 0.5 * row["gaze"], rel=1e-5)
        assert row["gaze"] > 0


# ---- validation -------------------------------------------------------------------------------------------


def test_validation_compares_epochs_by_fixed_weights() -> None:
    training, held = at("final", small("saliency_weight=0.2", "final_batch=4")), noise(10, seed=1)
    training.weighting.log_sigma_class.data.fill_(3.0)  # type: ignore[union-attr]
    scores = training.validate(held)
    reading, batch = training.network.eval()(held.batch(range(10))["image"]), held.batch(range(10))
    entropy = F.cross_entropy(reading.logits, batch["label"]).item()
    divergence = saliency_kl(reading.log_density, batch["gaze"], batch["has_gaze"]).mean().item()
    assert scores["diagnosis"] == pytest.approx(entropy, rel=1e-5)
    assert scores["gaze"] == pytest.approx(divergence, rel=1e-5)
    assert scores["loss"] == pytest.approx(entropy + 0.2 * divergence, rel=1e-5)


def test_a_stage_ends_with_the_weights_of_its_best_epoch() -> None:
    """With a rate that is far too high the last epoch is not the best one."""
    config = only("saliency", "saliency_epochs=6", "learning_rate=0.05", "patience=null")
    held = noise(8, seed=5)
    training, rows = trained(config, noise(), held=held)
    record = training.ledger.records(["saliency"], rows, training.net)[0]
    assert record.epochs == 6
    assert record.best == min(row["loss"] for row in rows if row.get("check"))
    assert training.validate(held)["loss"] == pytest.approx(record.best, rel=1e-6)
    last = [row["loss"] for row in rows if row.get("check")][-1]
    assert record.best_epoch is not None
    assert (record.best_epoch == 6) is (last == record.best)


def test_impatience_ends_a_stage_early() -> None:
    config = only("saliency", "saliency_epochs=30", "learning_rate=0.3", "patience=2")
    training, rows = trained(config, noise(), held=noise(8, seed=5))
    record = training.ledger.records(["saliency"], rows, training.net)[0]
    assert record.best_epoch is not None
    assert record.epochs == min(record.best_epoch + 2, 30) < 30


def test_the_rate_falls_tenfold_on_a_plateau() -> None:
    training = at("saliency", small("plateau=2", "learning_rate=0.01"))
    group = training.optimizers()["model"].param_groups[0]
    group["initial_lr"] = 0.01
    held = noise(4)
    for expected in (0.01, 0.01, 0.001):  # the first is the lowest, then two that are no lower
        training.validate(held)
        assert group["initial_lr"] == pytest.approx(expected)


# ---- lineage ----------------------------------------------------------------------------------------------


def test_the_hash_knows_every_bit_and_name() -> None:
    one, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    assert weights_hash(one) == weights_hash(other)
    other.running_mean[1] = 1e-30  # type: ignore[index]
    assert weights_hash(one) != weights_hash(other)
    assert weights_hash(nn.Sequential(one)) != weights_hash(one)


def test_the_ledger_tells_a_chain_of_stages() -> None:
    config = small()
    start = weights_hash(network(config))
    training, rows = trained(config, noise(), held=noise(8, seed=2))
    names = [stage.name for stage in training.stages]
    records = training.ledger.records(names, rows, training.net)
    assert [record.stage for record in records] == ["contrastive", "classify", "saliency", "final"]
    assert records[0].began == start
    assert all(one.ended == following.began for one, following in itertools.pairwise(records))
    assert records[-1].ended == weights_hash(training.net)
    assert len({record.began for record in records}) == 4
    assert all(record.epochs == record.best_epoch == 1 for record in records)


def test_a_ledger_travels_in_a_state_dict() -> None:
    ledger, layer = Ledger(3), nn.Linear(2, 2)
    ledger.note(2, layer)
    other = Ledger(3)
    other.load_state_dict(ledger.state_dict())
    assert other.began(2) == weights_hash(layer)
    assert other.began(0) == "0" * 64


def test_examples_give_what_training_needs_in_the_order_asked_for() -> None:
    items = noise(7)
    part = items.subset([5, 2, 6])
    batch = part.batch([2, 0])
    assert set(batch) == {"image", "gaze", "has_gaze", "label"}
    assert batch["label"].tolist() == [0, 2]
    assert torch.equal(batch["image"], items.batch([6, 5])["image"])
    assert part.own_labels.tolist() == [2, 2, 0]
    assert part.read_through().tolist() == [True] * 3
    with pytest.raises(IndexError):
        part.batch([3])


def test_a_stage_knows_what_it_is() -> None:
    made = Stage(name="contrastive", trains=frozenset({"dense"}), epochs=1, batch_size=2)
    assert made.contrast
    assert not made.mixed


@pytest.mark.slow
def test_two_processes_train_as_one_in_every_stage(tmp_path: Path) -> None:
    """In float64, where rounding does not grow: unequal shares, images without gaze, weighted classes."""
    logs = []
    for world in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        shared |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
        words = [
            sys.executable,
            str(Path(__file__).with_name("chestxray_pair.py")),
            str(tmp_path / str(world)),
        ]
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
        processes = [subprocess.Popen(words, env={**os.environ, **shared, **rank}) for rank in ranks]
        assert [process.wait(120) for process in processes] == [0] * world
        lines = (tmp_path / str(world) / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
    assert {row["phase"] for row in logs[0]} == {"contrastive", "classify", "saliency", "final"}
    for one, two in zip(*logs, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)

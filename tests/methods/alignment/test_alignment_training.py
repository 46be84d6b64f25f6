"""Which triplets a step reads, when training stops, and what is kept."""

from __future__ import annotations

import json
import math
import os
import signal

import numpy as np
import pytest
import torch
from alignment_samples import planted, quick

from visus.engine import Run, derive_seed
from visus.errors import Interrupted
from visus.methods.alignment import Aligner, AlignmentConfig
from visus.methods.alignment.estimator.sides import sides_of
from visus.methods.alignment.losses import contrastive_losses, penalty, triplet_losses
from visus.methods.alignment.model import LinearAligner
from visus.methods.alignment.training import AlignerTraining, Patience, Stream, similarities_of
from visus.metrics.odd_one_out import choices, pair_similarities

# ---- the stream -------------------------------------------------------------------------------------------


def triplets(count: int) -> torch.Tensor:
    return torch.arange(3 * count).view(count, 3)


def read(stream: Stream, windows: int) -> list[int]:
    places = torch.arange(len(stream))
    return [int(row[0]) // 3 for window in range(windows) for row in stream.rows(places, window)]


def test_every_pass_holds_every_triplet_once_whatever_the_windows():
    stream = Stream(triplets(10), batch_size=4, steps=2, seed=5)
    assert len(stream) == 8
    found = read(stream, 10)
    passes = [found[start : start + 10] for start in range(0, 80, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 8, "passes come in different orders"


def test_rows_are_a_pure_function_of_the_seed_and_the_window():
    one, other = (Stream(triplets(10), batch_size=4, steps=3, seed=5) for _ in range(2))
    assert read(one, 4) == read(other, 4)
    assert torch.equal(one.rows(torch.tensor([3, 1]), 2), one.rows(torch.arange(12), 2)[[3, 1]])
    assert read(Stream(triplets(10), batch_size=4, steps=3, seed=6), 4) != read(one, 4)


def test_a_window_is_a_pass_by_default_and_a_batch_no_larger_than_the_data():
    assert Stream(triplets(10), batch_size=4, steps=0, seed=0).steps == 3
    small = Stream(triplets(3), batch_size=256, steps=0, seed=0)
    assert (small.batch_size, small.steps, len(small)) == (3, 1, 3)


# ---- one step ---------------------------------------------------------------------------------------------


class Turn:
    """What the engine shows a step; keeps the loss and takes no step."""

    seed, phase, epoch, step, progress, device = 0, "train", 0, 3, 0.5, torch.device("cpu")

    def mean(self, values: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        return values.mean()

    def update(self, name: str, loss: torch.Tensor) -> None:
        self.loss = loss.detach()


def training(**changes: object) -> AlignerTraining:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(12, 5, generator=draw, dtype=torch.float64)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(np.stack([rng.choice(12, 3, replace=False) for _ in range(20)]))
    config = quick(batch_size=7, contrastive_batch=6, **changes)
    net = LinearAligner(5, 5, bias=config.bias).double().start("gaussian", 0.5, draw)
    unrelated = x if config.aligner == "glocal" else None
    stream = Stream(rows, batch_size=7, steps=0, seed=1)
    return AlignerTraining(net, config, x, stream, unrelated=unrelated, seed=1)


@pytest.mark.parametrize("kind", ["fro", "fro2", "identity", "none"])
@pytest.mark.parametrize("aligner", ["probe", "glocal"])
def test_the_loss_of_a_step_is_the_sum_of_its_terms(aligner, kind):
    made, turn = training(aligner=aligner, penalty=kind, penalty_weight=0.3, contrastive_weight=0.4), Turn()
    place = torch.arange(7)
    made.step({"place": place}, turn)
    rows = made.stream.rows(place, 0)
    wanted = triplet_losses(similarities_of(made.net, made.x, rows)).mean()
    if aligner == "glocal":
        generator = torch.Generator().manual_seed(derive_seed(1, "contrast", "train", 3))
        images = made.x[torch.randperm(12, generator=generator)[:6]]
        contrast = contrastive_losses(images, made.net(images), temperature=0.1).mean()
        wanted = 0.6 * wanted + 0.4 * contrast
    wanted = wanted + 0.3 * penalty(made.net.weight, kind)
    torch.testing.assert_close(turn.loss, wanted.detach())


def test_contrastive_images_follow_the_seed_and_the_step_whatever_the_process():
    made = training(aligner="glocal")
    one, same, later = Turn(), Turn(), Turn()
    same.seed, later.step = 99, 4
    for turn in (one, same, later):
        made.step({"place": torch.arange(7)}, turn)
    assert torch.equal(one.loss, same.loss)
    assert not torch.equal(one.loss, later.loss)


def test_the_learning_rate_rises_from_its_start():
    made, turn = training(start_rate=0.25, learning_rate=0.08), Turn()
    (optimizer,) = made.optimizers().values()
    rates = []
    for progress in (0.0, 0.5, 1.0):
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"] = 0.08
        turn.progress = progress
        made.step({"place": torch.arange(7)}, turn)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.02, 0.05, 0.08])


# ---- stopping ---------------------------------------------------------------------------------------------


def test_a_fall_smaller_than_min_delta_is_no_improvement():
    patience = Patience(0.1)
    assert [patience.told(loss) for loss in (1.0, 0.95, 0.85, 0.8, math.nan, 0.7)] == pytest.approx(
        [1.0, 1.0, 0.85, 0.85, 0.85, 0.7]
    )
    other = Patience(0.1)
    other.load_state_dict(patience.state_dict())
    assert other.told(0.65) == pytest.approx(0.7)


def overfitting() -> AlignmentConfig:
    """Few triplets, a large rate and no penalty: validation soon gets worse."""
    return quick(penalty="none", learning_rate=0.1, epochs=40, patience=4, validation=0.4, min_delta=0.0)


def test_the_best_validation_is_restored_and_waiting_ends(tmp_path):
    data = planted(count=1500)
    model = Aligner(overfitting()).fit(data, Run(tmp_path, progress=False))
    losses = [row["validation"] for row in model.validation_]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1, (
        "training must have gone on beyond the best for this test to say something"
    )
    assert len(losses) == best + 1 + 4
    assert len(losses) < 40
    assert model.steps_ == model.validation_[best]["step"]
    sides = sides_of(overfitting(), data, seed=derive_seed(0, "objects"))
    z = model.transform(data.features)
    again = triplet_losses(
        torch.stack(
            [(z[sides.chosen[:, i]] * z[sides.chosen[:, j]]).sum(1) for i, j in ((0, 1), (0, 2), (1, 2))], 1
        )
    )
    assert again.double().mean().item() == pytest.approx(min(losses), rel=1e-5)


def test_resumed_while_waiting_stops_where_it_would_have(tmp_path):
    data, config = planted(count=1500), overfitting()
    whole = Aligner(config).fit(data, Run(tmp_path / "whole", progress=False))
    stop_after = whole.steps_ + 5
    step = AlignerTraining.step

    def interrupted(self, batch, turn):
        if turn.step == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlignerTraining, "step", interrupted)
        with pytest.raises(Interrupted):
            Aligner(config).fit(data, Run(tmp_path / "cut", progress=False))
    resumed = Aligner(config).fit(data, Run(tmp_path / "cut", progress=False))
    assert resumed.steps_ == whole.steps_
    assert torch.equal(resumed.transform_.weights, whole.transform_.weights)
    assert [row["monitored"] for row in resumed.validation_] == [
        row["monitored"] for row in whole.validation_
    ]


def test_validation_may_come_more_often_than_once_per_pass(tmp_path):
    model = Aligner(quick(check_every=3, epochs=2)).fit(planted(), Run(tmp_path, progress=False))
    assert [row["step"] for row in model.validation_][:3] == [3, 6, 9]


def test_a_fixed_number_of_steps_holds_nothing_out(tmp_path):
    data = planted()
    model = Aligner(quick(steps=13)).fit(data, Run(tmp_path, progress=False))
    assert model.steps_ == 13
    assert model.validation_ == []
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 13


# ---- what a strong penalty does ---------------------------------------------------------------------------


def test_a_strong_identity_penalty_leaves_a_multiple_of_the_identity_and_its_choices():
    data = planted()
    config = quick(
        penalty="identity", penalty_weight=1e4, learning_rate=1e-3, init="identity", init_scale=0.1
    )
    transform = Aligner(config).fit(data).transform_
    scale = float(transform.weights.diagonal().mean())
    off = (transform.weights - scale * torch.eye(16)).abs().max()
    assert off < 5e-3 * abs(scale)
    standardized = transform.standardize(data.features)
    before, after = (
        choices(pair_similarities(x, data.triplets, kind="cosine"))
        for x in (standardized, transform.apply(data.features))
    )
    assert (before == after).double().mean() > 0.99


@pytest.mark.parametrize("kind", ["fro", "fro2"])
def test_a_strong_frobenius_penalty_leaves_nothing(kind):
    data = planted()
    # a fixed number of steps, so that no early stopping hides the collapse
    config = quick(
        penalty=kind, penalty_weight=1e4, learning_rate=1e-3, init="gaussian", init_scale=0.1, steps=300
    )
    model = Aligner(config).fit(data)
    assert model.transform_.weights.norm() < 0.02, "it started at 1.6"
    assert model.evaluate(data)["cross_entropy"] == pytest.approx(math.log(3), abs=1e-4)

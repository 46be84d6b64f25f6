"""A run that stopped and went on is, bit for bit, one that never stopped."""

from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest
import torch
from torch import nn
from toy import Toy, quiet, read_log, same, source, steps_of

from visus.engine.loop import Position
from visus.errors import InputError, Interrupted, VisusError
from visus.protocols import Phase


class Crash(Exception):
    """Stands for anything that ends the process without warning."""


def interrupt(at: int):
    """Ask for a stop in the `at`-th step that is taken, as Ctrl-C does."""
    taken = iter(range(1, 10_000))
    return lambda step: os.kill(os.getpid(), signal.SIGINT) if next(taken) == at else None


def crash(at: int):
    taken = iter(range(1, 10_000))

    def beat(step: int) -> None:
        if next(taken) == at:
            raise Crash

    return beat


PLANS = {
    "adam": ({}, [Phase(steps=20, batch_size=8)]),
    "sgd momentum": ({"optimizer": "sgd"}, [Phase(steps=20, batch_size=8, schedule="cosine", warmup=0.2)]),
    "ema and clipping": ({}, [Phase(steps=20, batch_size=8, ema_decay=0.9, clip_norm=0.5)]),
    "accumulation": ({"norm": False}, [Phase(steps=20, batch_size=9, accumulate=3, ema_decay=0.5)]),
    "no adversary, linear": ({"adversary": False}, [Phase(steps=20, batch_size=16, schedule="linear")]),
    "phases, inside the first": ({}, [Phase(name="a", steps=13, batch_size=8), Phase(name="b", epochs=1)]),
    "phases, at the border": ({}, [Phase(name="a", steps=11, batch_size=8), Phase(name="b", steps=9)]),
    "phases, inside the second": (
        {},
        [Phase(name="a", steps=4, batch_size=8, ema_decay=0.9), Phase(name="b", steps=16, ema_decay=0.5)],
    ),
}


@pytest.mark.parametrize("case", PLANS)
@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_twenty_steps_are_eleven_and_nine(tmp_path, case, how):
    options, phases = PLANS[case]
    whole = Toy(**options)
    rows = quiet(tmp_path / "whole", seed=3).train(whole, source(), phases)

    folder = tmp_path / "torn"
    if how == "stopped":
        first = Toy(**options, on_step=None if phases[0].accumulate > 1 else interrupt(11))
        if phases[0].accumulate > 1:  # `step` runs once per micro-batch
            first.on_step = interrupt(3 * 11)
        with pytest.raises(Interrupted):
            quiet(folder, seed=3).train(first, source(), phases)
    else:
        first = Toy(**options, on_step=crash(12 if phases[0].accumulate == 1 else 3 * 12))
        with pytest.raises(Crash):
            quiet(folder, seed=3, checkpoint_steps=11).train(first, source(), phases)
    assert [path.name.split("-")[1] for path in (folder / "checkpoints").glob("step-*")] == ["000000011"]

    again = Toy(**options)
    with torch.no_grad():
        again.network[0].weight.fill_(9.0)  # nothing of the new object's own weights may matter
    resumed = quiet(folder, seed=3).train(again, source(), phases)
    assert same(again.weights(), whole.weights())
    assert steps_of(resumed) == steps_of(rows) == steps_of(read_log(folder))
    assert [row["loss"] for row in resumed] == [row["loss"] for row in rows]


def test_stopped_after_every_step(tmp_path):
    phases = [
        Phase(name="a", epochs=1, batch_size=10, ema_decay=0.8),
        Phase(name="b", steps=3, batch_size=25),
    ]
    whole = Toy()
    quiet(tmp_path / "whole").train(whole, source(), phases)
    for _ in range(8):
        toy = Toy(on_step=interrupt(1))
        with pytest.raises(Interrupted):
            quiet(tmp_path / "torn").train(toy, source(), phases)
    rows = quiet(tmp_path / "torn").train(toy, source(), phases)
    assert steps_of(rows) == [("a", n) for n in range(1, 6)] + [("b", n) for n in range(1, 4)]
    assert same(toy.weights(), whole.weights())


def test_seed_decides(tmp_path):
    def trained(seed):
        toy = Toy()
        quiet(seed=seed).train(toy, source(), [Phase(steps=5)])
        return toy.weights()

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


def test_global_generators_are_left_as_they_were():
    def draw():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002

    def seed_all():
        torch.manual_seed(5), np.random.seed(5), random.seed(5)  # noqa: NPY002

    seed_all()
    expected = draw()
    toy = Toy()
    seed_all()
    quiet().train(toy, source(), [Phase(steps=3)])
    assert draw() == expected


def test_done_stays_done(tmp_path):
    toy, phases = Toy(), [Phase(steps=4, ema_decay=0.9)]
    rows = quiet(tmp_path).train(toy, source(), phases)

    def never(step):
        raise AssertionError("a finished run must not train")

    again = Toy(on_step=never)
    assert quiet(tmp_path).train(again, source(), phases) == rows
    assert same(again.weights(), toy.weights())
    assert not any(module.training for module in again.network.modules())


@pytest.mark.parametrize(
    ("phases", "items"),
    [([Phase(steps=9)], 50), ([Phase(steps=8)], 49), ([Phase(steps=8, batch_size=4)], 50)],
)
def test_another_training_is_refused(tmp_path, phases, items):
    quiet(tmp_path).train(Toy(), source(50), [Phase(steps=8)])
    with pytest.raises(InputError, match=r"other phases or data.*another folder"):
        quiet(tmp_path).train(Toy(), source(items), phases)


def test_another_model_is_refused(tmp_path):
    class Wide(Toy):
        def __init__(self):
            super().__init__()
            self.network[4] = nn.Linear(8, 2)

    quiet(tmp_path).train(Toy(), source(), [Phase(steps=2)])
    with pytest.raises(InputError, match="another model"):
        quiet(tmp_path).train(Wide(), source(), [Phase(steps=2)])


# ---- phases with a hook -----------------------------------------------------------------------------------


class Staged(Toy):
    """Freezes part of the network by phase, starts the head anew, and keeps one optimizer for all phases."""

    def __init__(self, *, keep: bool = True, **options) -> None:
        super().__init__(adversary=False, **options)
        self.keep = keep
        self.body = torch.optim.Adam(self.network[0].parameters(), lr=0.01)
        self.begun: list[str] = []

    def begin(self, phase: str) -> None:
        self.begun.append(phase)
        frozen = phase == "head"
        self.network[0].requires_grad_(not frozen)
        if frozen:
            nn.init.uniform_(self.network[4].weight)
            nn.init.zeros_(self.network[4].bias)

    def optimizers(self):
        head = torch.optim.Adam(self.network[4].parameters(), lr=0.01)
        if not self.network[0].weight.requires_grad:
            return {"head": head}
        body = self.body if self.keep else torch.optim.Adam(self.network[0].parameters(), lr=0.01)
        return {"body": body, "head": head}

    def step(self, batch, turn):
        if self.on_step is not None:
            self.on_step(turn.step)
        loss = turn.mean(self.losses(batch))
        turn.update("head", loss)
        if turn.phase != "head":
            turn.update("body", turn.mean(self.losses(batch)))
        return {"loss": loss}


STAGES = [
    Phase(name="all", steps=5, schedule="cosine"),
    Phase(name="head", steps=4),
    Phase(name="again", steps=4, ema_decay=0.7),
]


def test_hook_freezes_and_optimizer_state_returns():
    toy = Staged()
    seen = {}

    def watch(step):
        if step == 0:
            state = toy.body.state_dict()["state"]
            rate = toy.body.param_groups[0]["lr"]
            seen[len(seen)] = (
                toy.network[0].weight.clone(),
                toy.network[4].weight.clone(),
                state[0]["step"].item() if state else 0,
                rate,
            )

    toy.on_step = watch
    quiet().train(toy, source(), STAGES)
    assert toy.begun == ["all", "head", "again"]
    assert torch.equal(seen[1][0], seen[2][0]), "the frozen layer moved"
    assert not torch.equal(seen[1][1], seen[2][1])
    assert (seen[1][1] >= 0).all(), "the head did not start anew"
    assert [seen[n][2] for n in range(3)] == [0, 5, 5]
    assert [seen[n][3] for n in range(3)] == [0.01, 0.01, 0.01], (
        "the learning rate is that of the phase before"
    )


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("at", range(1, 13))
def test_staged_resume(tmp_path, at, keep):
    whole = Staged(keep=keep)
    quiet(tmp_path / "whole").train(whole, source(), STAGES)
    with pytest.raises(Interrupted):
        quiet(tmp_path / "torn").train(Staged(keep=keep, on_step=interrupt(at)), source(), STAGES)
    again = Staged(keep=keep)
    quiet(tmp_path / "torn").train(again, source(), STAGES)
    assert same(again.weights(), whole.weights())
    if keep:
        ours, theirs = (toy.body.state_dict()["state"][0] for toy in (again, whole))
        assert same(ours, theirs)


def test_returning_optimizer_matters(tmp_path):
    """The cases above could not fail if a fresh optimizer gave the same weights."""
    kept, fresh = Staged(keep=True), Staged(keep=False)
    for toy in (kept, fresh):
        quiet().train(toy, source(), STAGES)
    assert not same(kept.weights(), fresh.weights())


def test_hook_may_set_the_learning_rate(tmp_path):
    class Slower(Staged):
        def begin(self, phase):
            super().begin(phase)
            if phase == "again":
                self.body.param_groups[0]["lr"] = 0.001

    seen = []
    toy = Slower()
    toy.on_step = lambda step: seen.append(toy.body.param_groups[0]["lr"])
    quiet().train(toy, source(), STAGES)
    assert seen[-1] == 0.001
    assert seen[0] == 0.01


def test_hook_may_add_a_part(tmp_path):
    class Growing(Toy):
        extra = None

        def begin(self, phase):
            if phase == "b" and self.extra is None:
                self.extra = nn.Linear(1, 1)

        def parts(self):
            return super().parts() | ({"extra": self.extra} if self.extra is not None else {})

        def optimizers(self):
            made = super().optimizers()
            if self.extra is not None:
                made["extra"] = torch.optim.Adam(self.extra.parameters(), lr=0.1)
            return made

        def step(self, batch, turn):
            logs = super().step(batch, turn)
            if self.extra is not None:
                turn.update("extra", turn.mean((self.extra(batch["y"][:, None]) - 1.0).square().squeeze(-1)))
            return logs

    phases = [Phase(name="a", steps=3), Phase(name="b", steps=5)]
    whole = Growing()
    quiet(tmp_path / "whole").train(whole, source(), phases)
    with pytest.raises(Interrupted):
        quiet(tmp_path / "torn").train(Growing(on_step=interrupt(6)), source(), phases)
    again = Growing()
    quiet(tmp_path / "torn").train(again, source(), phases)
    assert "extra.weight" in again.weights()
    assert same(again.weights(), whole.weights())


# ---- numbers that are none --------------------------------------------------------------------------------


class Poisoned(Toy):
    """From step `at` on the loss, or only its gradient, is not a number."""

    def __init__(self, at: int, *, quietly: bool = False) -> None:
        super().__init__(adversary=False, norm=False)
        self.at, self.quietly = at, quietly

    def step(self, batch, turn):
        losses = self.losses(batch)
        if turn.step >= self.at:
            # sqrt has an infinite gradient at 0, times 0 is not a number; the value stays what it was
            bad = (self.network[4].bias * 0).sqrt().sum()
            losses = losses + (bad if self.quietly else float("nan"))
        loss = turn.mean(losses)
        turn.update("network", loss)
        return {"loss": loss}


@pytest.mark.parametrize("quietly", [False, True])
@pytest.mark.parametrize("at", [2, 7, 8])
def test_divergence_is_told_and_never_kept(tmp_path, at, quietly):
    toy = Poisoned(at, quietly=quietly)
    with pytest.raises(VisusError, match=r"not a number.*lower the learning rate or set a gradient clipping"):
        quiet(tmp_path, checkpoint_steps=3).train(toy, source(), [Phase(steps=9)])
    names = [path.name for path in (tmp_path / "checkpoints").glob("step-*")]
    assert names == ([] if at == 2 else ["step-000000006-00"])
    with pytest.raises(
        VisusError, match="not a number"
    ):  # running again fails in the same way, not in another
        quiet(tmp_path).train(Poisoned(at, quietly=quietly), source(), [Phase(steps=9)])


def test_position_is_plain():
    assert Position(**vars(Position(phase=1, best=0.1))) == Position(phase=1, best=0.1)

"""Validation chooses and stops; nothing of it leaks into training."""

from __future__ import annotations

import math

import pytest
import torch
from toy import Toy, quiet, read_log, same, source, steps_of

from visus.errors import InputError
from visus.protocols import Phase


class Scripted:
    """A check that gives one score after another and notes the weights it saw."""

    def __init__(self, toy, scores, *, then=None):
        self.toy, self.scores, self.seen, self.then = toy, list(scores), [], then

    def __call__(self):
        assert not torch.is_grad_enabled()
        self.seen.append(self.toy.weights())
        if self.then == len(self.seen):
            raise KeyboardInterrupt
        return {"score": self.scores[len(self.seen) - 1], "other": 0.5}


def phase(**options):
    return Phase(**{"epochs": 10, "batch_size": 10, "monitor": "score", **options})


@pytest.mark.parametrize("ema", [None, 0.8])
@pytest.mark.parametrize(
    ("better", "scores", "best", "checks"),
    [
        ("higher", [1, 3, 2, 3, 0.5, 9], 1, 5),  # a tie is no improvement
        ("lower", [5, 4, 6, math.nan, 7, 0], 1, 5),
        ("higher", [math.nan, math.nan, 1, 2, 1, 0, 0, 0], 3, 7),
        ("higher", list(range(10)), 9, 10),
    ],
)
def test_patience_and_best_weights(tmp_path, ema, better, scores, best, checks):
    toy = Toy()
    check = Scripted(toy, scores)
    rows = quiet(tmp_path).train(
        toy, source(), [phase(better=better, patience=3, ema_decay=ema)], check=check
    )
    assert len(check.seen) == checks
    assert len(steps_of(rows)) == 5 * checks
    assert same(toy.weights(), check.seen[best])
    assert not same(check.seen[best], check.seen[best - 1])
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"best-{5 * (best + 1):09d}", f"step-{5 * checks:09d}-00-done"]


def test_averaged_weights_are_scored_and_the_live_ones_trained_on():
    scored, plain = Toy(), Toy()
    check = Scripted(scored, range(10))
    quiet().train(scored, source(), [phase(epochs=4, ema_decay=0.9)], check=check)
    quiet().train(plain, source(), [phase(epochs=4, ema_decay=0.9, monitor=None)])
    assert same(scored.weights(), plain.weights()), "scoring changed the training"
    live = Toy()
    quiet().train(live, source(), [phase(epochs=1, monitor=None)])
    assert not same(check.seen[0], live.weights())


def test_without_monitor_the_last_weights_stay():
    toy = Toy()
    check = Scripted(toy, [3, 2, 1])
    quiet().train(toy, source(), [phase(epochs=3, monitor=None)], check=check)
    assert same(toy.weights(), check.seen[-1])


@pytest.mark.parametrize(
    ("epochs", "every", "at"), [(7, 1, range(5, 40, 5)), (7, 3, (15, 30, 35)), (6, 4, (20, 30))]
)
def test_checks_every_few_epochs_and_at_the_end(epochs, every, at):
    toy = Toy()
    rows = quiet().train(
        toy, source(), [phase(epochs=epochs, check_every=every)], check=Scripted(toy, range(9))
    )
    assert [row["step"] for row in rows if "check" in row] == list(at)


def test_checks_of_a_phase_counted_in_steps():
    toy = Toy()
    steps = phase(epochs=None, steps=12)
    rows = quiet().train(toy, source(), [steps], check=Scripted(toy, range(9)))
    assert [row["step"] for row in rows if "check" in row] == [5, 10, 12]


def test_check_may_change_modes():
    toy, seen = Toy(), []
    toy.on_step = lambda step: seen.append([module.training for module in toy.network.modules()])

    def check():
        toy.network.eval()
        return {"score": 1.0}

    class Partly(Toy):
        def begin(self, name):
            self.network[1].eval()

    quiet().train(toy, source(), [phase(epochs=2)], check=check)
    assert all(all(flags) for flags in seen)
    toy, seen = Partly(), []
    toy.on_step = lambda step: seen.append([module.training for module in toy.network])
    quiet().train(toy, source(), [phase(epochs=2)], check=check)
    assert seen == [[True, False, True, True, True]] * 10


def test_check_may_draw_random_numbers():
    """Its own draws are reproducible and do not change the training."""
    draws = []

    def check():
        draws.append(torch.rand(1).item())
        return {"score": 1.0}

    one, two = Toy(), Toy()
    for toy in (one, two):
        quiet().train(toy, source(), [phase(epochs=2, monitor=None)], check=check if toy is one else None)
    assert same(one.weights(), two.weights())
    quiet().train(Toy(), source(), [phase(epochs=2, monitor=None)], check=check)
    assert draws[:2] == draws[2:]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("ema", [None, 0.7])
@pytest.mark.parametrize("at", range(1, 7))
def test_best_and_patience_survive_a_kill(tmp_path, at, ema):
    """Killed inside check `at`: between the best weights' checkpoint and the next one to resume from."""
    phases = [phase(patience=3, ema_decay=ema), phase(name="second", epochs=2, monitor=None)]
    scores = [1, 2, 5, 4, 3, 2, 0, 0, 0]
    whole = Toy()
    quiet(tmp_path / "whole").train(whole, source(), phases, check=Scripted(whole, scores))
    torn = Toy()
    folder = tmp_path / "torn"
    with pytest.raises(KeyboardInterrupt):
        quiet(folder, checkpoint_steps=4).train(torn, source(), phases, check=Scripted(torn, scores, then=at))
    again = Toy()
    done = (5 * at - 1) // 4 * 4 // 5  # checks before the checkpoint that is resumed from
    rows = quiet(folder).train(again, source(), phases, check=Scripted(again, scores[done:]))
    assert same(again.weights(), whole.weights())
    told = [(row["phase"], row["step"], row.get("score"), row.get("loss")) for row in rows]
    assert told == [
        (row["phase"], row["step"], row.get("score"), row.get("loss")) for row in read_log(tmp_path / "whole")
    ]


def test_second_phase_starts_from_the_best_weights():
    toy = Toy(dropout=0.0)
    check, first = Scripted(toy, [2, 1, 1, 7, 7]), {}
    toy.on_step = lambda step: first.setdefault(len(check.seen), toy.weights()) if step == 0 else None
    quiet().train(toy, source(), [phase(epochs=3), phase(name="b", epochs=1)], check=check)
    assert same(first[3], check.seen[0])
    assert not same(first[3], check.seen[2])


def test_unknown_monitor():
    toy = Toy()
    with pytest.raises(InputError, match=r"monitor 'auc'.*one of \['score', 'other'\]"):
        quiet().train(toy, source(), [phase(monitor="auc")], check=Scripted(toy, [1]))


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ([], "phases"),
        ([Phase()], "either epochs or steps"),
        ([Phase(epochs=1, steps=1)], "either epochs or steps"),
        ([Phase(epochs=1, monitor="score")], "validation set"),
        ([Phase(epochs=1, patience=2)], "needs a monitor"),
        ([Phase(epochs=1), Phase(epochs=2)], "same name"),
        ([Phase(epochs=1, batch_size=0)], "at least 1"),
        ([Phase(epochs=1, batch_size=10, accumulate=3)], "not a multiple of accumulate"),
        ([Phase(epochs=1, batch_size=60, accumulate=60)], "at least 60 items"),
    ],
)
def test_phases_that_cannot_be_trained(tmp_path, phases, told):
    with pytest.raises(InputError, match=told):
        quiet(tmp_path).train(Toy(), source(), phases)
    assert list(tmp_path.iterdir()) == []


def test_empty_source(tmp_path):
    class Nothing:
        def __len__(self):
            return 0

    with pytest.raises(InputError, match="training set: is empty"):
        quiet(tmp_path).train(Toy(), Nothing(), [Phase(epochs=1)])


@pytest.mark.parametrize(
    ("items", "options", "steps"),
    [
        (50, {}, 7),
        (48, {}, 6),
        (49, {}, 6),  # one item is too few for batch normalization and is left out
        (50, {"drop_last": True}, 6),
        (5, {}, 1),
        (51, {"accumulate": 2}, 6),  # two micro-batches of a rest of three: one would hold a single item
        (52, {"accumulate": 2}, 7),
    ],
)
def test_rest_of_an_epoch(items, options, steps):
    sizes = []

    class Counting(Toy):
        def losses(self, batch):
            sizes.append(len(batch["x"]))
            return super().losses(batch)

    rows = quiet().train(Counting(adversary=False), source(items), [Phase(epochs=1, batch_size=8, **options)])
    assert len(rows) == steps
    assert min(sizes) >= 2


def test_every_item_once_per_epoch_in_a_new_order():
    seen = []

    class Watching(Toy):
        def losses(self, batch):
            seen.append(batch["y"])
            return super().losses(batch)

    data = source(50)
    quiet().train(Watching(adversary=False), data, [Phase(epochs=2, batch_size=8)])
    first, second = torch.cat(seen[:7]), torch.cat(seen[7:])
    assert torch.equal(first.sort().values, data["y"].sort().values)
    assert torch.equal(second.sort().values, data["y"].sort().values)
    assert not torch.equal(first, second)


def test_errors_of_the_source_come_through():
    class Broken:
        def __len__(self):
            return 50

        def batch(self, indices):
            raise InputError("cannot be read", file="scan7.nii")

    with pytest.raises(InputError, match=r"scan7\.nii"):
        quiet().train(Toy(), Broken(), [Phase(epochs=1)])

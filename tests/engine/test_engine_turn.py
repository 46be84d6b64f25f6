"""A step's view: means, whose gradient, accumulation, clipping, precision - against plain torch."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy import Toy, quiet, same, source

from visus.data.loader import sample_order
from visus.engine.seeds import derive_seed
from visus.engine.turn import StepTurn
from visus.errors import VisusError
from visus.protocols import Phase


class Double(Toy):
    """The toy in float64 without batch norm and dropout; remembers the items of each micro-batch."""

    def __init__(self, **options):
        super().__init__(norm=False, dropout=0.0, **options)
        self.network.double(), self.noise.double()
        self.sizes: list[int] = []

    def losses(self, batch):
        self.sizes.append(len(batch["x"]))
        return super().losses({key: value.double() for key, value in batch.items()})


def close(a, b, tolerance=1e-12):
    return all(torch.allclose(a[key], b[key], rtol=0, atol=tolerance) for key in a)


@pytest.mark.parametrize("accumulate", [2, 3, 6])
def test_micro_batches_equal_one_batch(accumulate):
    """Also at the end of an epoch, where the pieces are unequal."""
    whole, pieces = Double(adversary=False), Double(adversary=False)
    items = 44 if accumulate == 6 else 47  # the last batches: 8 in pieces of 2 2 1 1 1 1; 11 of 6 5 and 4 4 3
    rows = []
    for toy, parts in ((whole, 1), (pieces, accumulate)):
        phase = Phase(epochs=3, batch_size=12, accumulate=parts, clip_norm=0.7, ema_decay=0.5)
        rows.append(quiet().train(toy, source(items), [phase]))
    assert len(set(pieces.sizes)) > 1
    assert sum(pieces.sizes) == sum(whole.sizes)
    assert close(whole.weights(), pieces.weights())
    assert [row["loss"] for row in rows[0]] == pytest.approx([row["loss"] for row in rows[1]], abs=1e-6)


def test_two_optimizers_accumulate():
    """The adversary sees the network before its step, so only losses of separate weights can be compared."""

    class Separate(Double):
        def step(self, batch, turn):
            loss = turn.mean(self.losses(batch))
            turn.update("network", loss)
            shift = (batch["x"].double() - self.noise["shift"]).square().sum(1)
            turn.update("noise", turn.mean(shift))
            return {"loss": loss}

    whole, pieces = Separate(), Separate()
    for toy, parts in ((whole, 1), (pieces, 3)):
        quiet().train(toy, source(48), [Phase(epochs=2, batch_size=12, accumulate=parts)])
    assert close(whole.weights(), pieces.weights())
    assert whole.noise["shift"].abs().max() > 0


def test_against_a_plain_loop():
    """What the engine does, written out with torch alone."""
    toy = Double(adversary=False)
    reference = copy.deepcopy(toy)
    phase = Phase(epochs=2, batch_size=8, clip_norm=0.5, schedule="cosine", warmup=0.25, ema_decay=0.8)
    quiet(seed=4).train(toy, source(), [phase])

    import math

    network, data, total = reference.network, source(), 14
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    shadow = [weight.detach().clone() for weight in network.parameters()]
    for step in range(total):
        epoch, place = divmod(step, 7)
        order = sample_order(50, seed=derive_seed(4, "train", "order"), epoch=epoch)
        batch = data.batch(order[8 * place : 8 * place + 8])
        rising = round(0.25 * total)
        done = (step - rising) / (total - rising)
        factor = (step + 1) / rising if step < rising else 0.5 * (1 + math.cos(math.pi * done))
        optimizer.param_groups[0]["lr"] = 0.01 * factor
        optimizer.zero_grad()
        reference.losses(batch).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        for index, weight in enumerate(network.parameters()):
            shadow[index] = 0.8 * shadow[index] + 0.2 * weight.detach()
    for ours, theirs in zip(toy.network.parameters(), shadow):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def turn_of(optimizers, *, scaler=None, world=1, items=1, **options):
    """A turn outside the loop, with a stand-in for the accelerator."""

    def backward(loss, **named):
        (loss if scaler is None else scaler.scale(loss)).backward(**named)

    accelerator = SimpleNamespace(
        device=torch.device("cpu"), num_processes=world, scaler=scaler, backward=backward
    )
    turn = StepTurn(accelerator, optimizers, **options)
    place = {"items": items, "seed": 0, "phase": "p", "epoch": 0, "step": 0, "progress": 0.0}
    turn.enter(micro=0, **place)
    return turn, lambda micro: turn.enter(micro=micro, **place)


def test_mean_is_the_mean():
    values, weight = torch.randn(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    turn, _ = turn_of({}, items=5)
    assert torch.allclose(turn.mean(values), values.mean())
    assert torch.allclose(turn.mean(values, weight), (values * weight).sum() / weight.sum())
    assert torch.allclose(turn.mean(values, torch.tensor([1, 1, 0, 0, 1])), values[[0, 1, 4]].mean())
    assert turn.mean(values, torch.zeros(5)).item() == 0.0


def test_weighted_mean_over_micro_batches():
    """Weights are normalized within a micro-batch; micro-batches count by their number of items."""
    values, weight = torch.randn(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    turn, enter = turn_of({}, items=5, accumulate=2)
    total = 0.0
    for micro, part in enumerate((slice(0, 3), slice(3, 5))):
        enter(micro)
        total += turn.mean(values[part], weight[part]) / 2
    expected = sum(
        n / 5 * (values[part] * weight[part]).sum() / weight[part].sum()
        for n, part in ((3, slice(0, 3)), (2, slice(3, 5)))
    )
    assert torch.allclose(total, expected)


def test_gradient_reaches_the_named_optimizer_only():
    one, two = nn.Linear(2, 2), nn.Linear(2, 1)
    before = copy.deepcopy(one)
    turn, _ = turn_of({"two": torch.optim.SGD(two.parameters(), lr=0.1)})
    turn.update("two", two(one(torch.ones(3, 2))).sum())
    assert all(weight.grad is None for weight in one.parameters())
    assert same(one.state_dict(), before.state_dict())
    assert all(weight.grad is None for weight in two.parameters()), "gradients are cleared after the step"


def test_unknown_second_and_frozen_updates_are_refused():
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    turn, _ = turn_of({"net": optimizer}, accumulate=2)
    with pytest.raises(KeyError, match="net"):
        turn.update("critic", layer(torch.ones(1, 2)).sum())
    turn.update("net", layer(torch.ones(1, 2)).sum())
    with pytest.raises(VisusError, match="twice in one step: use accumulate=1"):
        turn.update("net", layer(torch.ones(1, 2)).sum())
    layer.requires_grad_(False)
    turn, _ = turn_of({"net": optimizer})
    with pytest.raises(VisusError, match=r"'net' is frozen in phase 'p'"):
        turn.update("net", layer(torch.ones(1, 2, requires_grad=True)).sum())


def test_frozen_and_unreached_parameters_stay():
    layer, extra = nn.Linear(2, 1), nn.Parameter(torch.ones(1))
    layer.bias.requires_grad_(False)
    bias, weight = layer.bias.clone(), layer.weight.clone()
    optimizer = torch.optim.AdamW([*layer.parameters(), extra], lr=0.1, weight_decay=0.5)
    turn, _ = turn_of({"net": optimizer})
    turn.update("net", layer(torch.ones(1, 2)).sum())
    assert torch.equal(layer.bias, bias)
    assert extra.item() == 1.0
    assert not torch.equal(layer.weight, weight)


def test_stale_gradients_do_not_enter():
    clean, dirty = Double(adversary=False), Double(adversary=False)
    dirty.losses(source().batch(range(50))).sum().backward()
    for toy in (clean, dirty):
        quiet().train(toy, source(), [Phase(steps=2)])
    assert same(clean.weights(), dirty.weights())


@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_scaled_losses_give_plain_steps(accumulate, clip):
    """Two optimizers under a loss scale that grows after every step move as without a scale."""

    def trained(scaler):
        torch.manual_seed(0)
        nets = {name: nn.Linear(3, 1).double() for name in ("a", "b")}
        optimizers = {name: torch.optim.SGD(net.parameters(), lr=0.1) for name, net in nets.items()}
        turn, enter = turn_of(optimizers, scaler=scaler, accumulate=accumulate, clip_norm=clip)
        for step in range(3):
            for micro in range(accumulate):
                enter(micro)
                x = torch.full((2, 3), 1.0 + step + micro, dtype=torch.float64)
                for name, net in nets.items():
                    turn.update(name, net(x).square().mean())
            turn.leave()
        return {
            f"{name}.{key}": value for name, net in nets.items() for key, value in net.state_dict().items()
        }

    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    assert close(trained(scaler), trained(None))
    assert scaler.get_scale() == 1024.0 * 2 ** (3 if accumulate == 2 else 6)


def test_overflow_skips_the_step_and_lowers_the_scale():
    layer = nn.Linear(2, 1)
    before = copy.deepcopy(layer.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizers = {"net": torch.optim.SGD(layer.parameters(), lr=0.1)}
    turn, _ = turn_of(optimizers, scaler=scaler, clip_norm=1.0)
    turn.update("net", layer(torch.ones(1, 2)).sum() * float("inf"))
    turn.leave()
    assert same(layer.state_dict(), before)
    assert scaler.get_scale() == 512.0


class TwoUpdates(Toy):
    """Looks at its own weights without gradient, then updates them twice, all in one step."""

    def __init__(self):
        super().__init__(norm=False, dropout=0.0, adversary=False, optimizer="sgd")

    def step(self, batch, turn):
        with torch.no_grad():
            target = self.losses(batch).mean()
        for _ in range(2):
            loss = turn.mean(self.losses(batch))
            turn.update("network", loss)
        return {"loss": loss, "before": target}


def test_bf16_sees_fresh_weights_in_every_forward():
    toy, reference = TwoUpdates(), TwoUpdates()
    rows = quiet(precision="bf16").train(toy, source(), [Phase(steps=3, batch_size=50)])
    optimizer = reference.optimizers()["network"]
    losses = []
    for step in range(3):
        order = sample_order(50, seed=derive_seed(0, "train", "order"), epoch=step)
        batch = source().batch(order)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                loss = reference.losses(batch).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-3)
    assert close(toy.weights(), reference.weights(), 1e-4)
    assert toy.network[0].weight.dtype == torch.float32


def test_backward_and_step_run_outside_autocast():
    """An optimizer that multiplies matrices must do so in full precision."""
    seen = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            seen.append(torch.is_autocast_enabled("cpu"))
            super().step(closure)

    class Watched(Toy):
        def optimizers(self):
            return {"network": Watching(self.network.parameters(), lr=0.1)}

        def step(self, batch, turn):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().step(batch, turn)

    quiet(precision="bf16").train(Watched(adversary=False), source(), [Phase(steps=1)])
    assert seen == [True, False]

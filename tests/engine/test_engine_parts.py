"""Averages and schedules against slow loops and formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy import Toy, quiet, source

from visus.engine.ema import Averages
from visus.engine.schedules import rate_factor
from visus.protocols import Phase


def test_averages_against_a_slow_loop():
    torch.manual_seed(0)
    module, decay = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double(), 0.9
    averages = Averages({"net": module}, decay)
    slow = {name: weight.detach().tolist() for name, weight in module.named_parameters()}

    def mix(old, new):
        if isinstance(old, list):
            return [mix(a, b) for a, b in zip(old, new)]
        return decay * old + (1.0 - decay) * new

    for _ in range(20):
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(torch.randn_like(weight))
        averages.update()
        slow = {name: mix(slow[name], weight.detach().tolist()) for name, weight in module.named_parameters()}
    live = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    module[1].running_mean.fill_(5.0)
    with averages.applied():
        for name, weight in module.named_parameters():
            expected = torch.tensor(slow[name], dtype=torch.float64)
            assert torch.allclose(weight, expected, rtol=0, atol=1e-12)
        assert module[1].running_mean.eq(5.0).all(), "buffers are the live ones"
    for name, weight in module.named_parameters():
        assert torch.equal(weight, live[name])


def test_applied_puts_back_after_an_error():
    module = nn.Linear(1, 1)
    averages = Averages({"net": module}, 0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
    with pytest.raises(RuntimeError), averages.applied():
        raise RuntimeError
    assert module.weight.item() == 3.0


def test_weights_shared_by_parts_are_exchanged_once():
    one, two = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    two.weight = one.weight
    nn.init.ones_(one.weight)
    averages = Averages({"one": one, "two": two, "again": one}, 0.5)
    nn.init.constant_(one.weight, 3.0)
    averages.update()
    with averages.applied():
        assert two.weight.item() == 2.0
    assert two.weight.item() == 3.0


def test_one_average_per_step_however_many_updates():
    """An adversary's update, or a third critic's, does not make the average follow faster."""

    class Watching(Toy):
        def step(self, batch, turn):
            logs = super().step(batch, turn)
            seen.append(self.network[4].weight.detach().clone())
            return logs

    seen: list[torch.Tensor] = []
    toy = Watching(adversary=True)
    shadow = toy.network[4].weight.detach().clone()
    quiet().train(toy, source(), [Phase(steps=6, ema_decay=0.75)])
    for weight in seen:
        shadow = 0.75 * shadow + 0.25 * weight
    assert torch.allclose(toy.network[4].weight, shadow, rtol=0, atol=1e-6)


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.33, 1.0])
def test_schedules_are_their_formulas(total, warmup):
    rising = round(warmup * total)
    for step in range(total):
        up = (step + 1) / rising if step < rising else None
        left = max(1, total - rising)
        expected = {
            "constant": 1.0,
            "linear": 1.0 - (step - rising) / left,
            "cosine": math.cos(math.pi / 2 * (step - rising) / left) ** 2,
        }
        for kind, value in expected.items():
            found = rate_factor(Phase(schedule=kind, warmup=warmup), step, total)
            assert found == pytest.approx(value if up is None else up, abs=1e-14)


@given(
    kind=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.floats(0, 1),
    total=st.integers(1, 300),
)
def test_factors_stay_between_zero_and_one_and_fall_after_warmup(kind, warmup, total):
    factors = [rate_factor(Phase(schedule=kind, warmup=warmup), step, total) for step in range(total)]
    assert all(0.0 < factor <= 1.0 for factor in factors)
    rising = round(warmup * total)
    assert factors[:rising] == sorted(factors[:rising])
    assert factors[rising:] == sorted(factors[rising:], reverse=True)


def test_every_group_keeps_its_own_rate():
    class Grouped(Toy):
        def optimizers(self):
            groups = [
                {"params": self.network[0].parameters(), "lr": 0.5},
                {"params": self.network[4].parameters(), "lr": torch.tensor(0.25)},
            ]
            self.made = torch.optim.SGD(groups, lr=0.1)
            return {"network": self.made}

    rates = []
    toy = Grouped(adversary=False)
    toy.on_step = lambda step: rates.append([group["lr"] for group in toy.made.param_groups])
    quiet().train(toy, source(), [Phase(steps=4, schedule="linear")])
    assert rates == [[0.5, 0.25], [0.375, 0.1875], [0.25, 0.125], [0.125, 0.0625]]
    assert [group["lr"] for group in toy.made.param_groups] == [0.5, 0.25], "put back afterwards"

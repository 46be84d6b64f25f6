"""Any network, conditioned without touching its code."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.nn.hyper import HyperConv2d, Hyperfan, HyperLinear, hyperize


class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.downsample = nn.Sequential(
            nn.Conv2d(c_in, c_out, 1, stride=2, bias=False), nn.BatchNorm2d(c_out)
        )

    def forward(self, x):
        return (self.norm(self.conv(x)) + self.downsample(x)).relu()


class ResNet(nn.Module):
    """Names as in the usual residual networks."""

    def __init__(self):
        super().__init__()
        self.layer3 = nn.Sequential(Block(3, 4))
        self.layer4 = nn.Sequential(Block(4, 6))
        self.fc = nn.Linear(6, 2)

    def forward(self, x, *, scale=1.0):
        return scale * self.fc(self.layer4(self.layer3(x)).mean((2, 3)))


NAMES = ["layer4.0.downsample.0", "fc"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ResNet()


@pytest.fixture
def x():
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def cond():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(2))


def disturb(wrapped):
    generator = torch.Generator().manual_seed(3)
    for layer in wrapped.conditioned().values():
        layer.weight_generator.weight.data.normal_(generator=generator)


def test_the_original_network_is_reproduced_bit_for_bit(net, x, cond):
    wrapped = hyperize(net, NAMES, cond_dim=3)
    for mode in (True, False):
        net.train(mode)
        wrapped.train(mode)
        assert torch.equal(wrapped(x, cond=cond, scale=2.0), net(x, scale=2.0))
    disturb(wrapped)
    assert not torch.allclose(wrapped(x, cond=cond), net(x))
    assert isinstance(net.fc, nn.Linear), "the given network is untouched"
    kinds = {name: type(layer) for name, layer in wrapped.conditioned().items()}
    assert kinds == {"layer4.0.downsample.0": HyperConv2d, "fc": HyperLinear}


def test_one_training_step_equals_the_plain_step_for_the_old_weights(net, x, cond):
    """At zero generators the gradient of the old weights (now generator biases) is the plain gradient."""
    wrapped = hyperize(net, NAMES, cond_dim=3)
    net(x).square().sum().backward()
    wrapped(x, cond=cond).square().sum().backward()
    got = wrapped.model.fc.weight_generator.bias.grad.view_as(net.fc.weight)
    torch.testing.assert_close(got, net.fc.weight.grad)
    assert wrapped.model.fc.weight_generator.weight.grad.abs().sum() > 0


def test_batch_independence_in_evaluation(net, x, cond):
    wrapped = hyperize(net, NAMES, cond_dim=3).eval()
    disturb(wrapped)
    together = wrapped(x, cond=cond)
    for i in range(5):
        alone = wrapped(x[i : i + 1], cond=cond[i : i + 1])[0]
        torch.testing.assert_close(alone, together[i], atol=1e-5, rtol=1e-5)


def test_threads_do_not_mix_conditions(net, x, cond):
    wrapped = hyperize(net, NAMES, cond_dim=3).eval()
    disturb(wrapped)
    conditions = [cond, -cond, cond * 2, cond * 0]
    wanted = [wrapped(x, cond=c) for c in conditions]
    gate, wrong = threading.Barrier(4), []

    def work(i):
        for _ in range(20):
            gate.wait()
            if not torch.allclose(wrapped(x, cond=conditions[i]), wanted[i], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nested_wrapped_networks_keep_their_own_condition(x, cond):
    class Outer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.head = inner, nn.Linear(2, 1)

        def forward(self, x, inner_cond):
            return self.head(self.inner(x, cond=inner_cond))

    torch.manual_seed(0)
    inner = hyperize(ResNet(), ["fc"], cond_dim=3)
    outer = hyperize(Outer(inner), ["head", "inner.model.layer3.0.conv"], cond_dim=2).eval()
    disturb(outer)
    disturb(outer.model.inner)
    first = outer(x, cond, cond=torch.zeros(5, 2))
    assert not torch.allclose(first, outer(x, cond, cond=torch.ones(5, 2)))
    assert not torch.allclose(first, outer(x, cond + 1, cond=torch.zeros(5, 2)))


def test_copies_and_pickles_are_independent(net, x, cond):
    wrapped = hyperize(net, NAMES, cond_dim=3).eval()
    disturb(wrapped)
    wanted = wrapped(x, cond=cond)
    for twin in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(twin(x, cond=cond), wanted)
        with wrapped.condition(cond), pytest.raises(InputError, match="no condition"):
            twin.model(x)
    again = hyperize(ResNet(), NAMES, cond_dim=3).eval()
    again.load_state_dict(wrapped.state_dict())
    assert torch.equal(again(x, cond=cond), wanted)


def test_a_fresh_draw_conditions_from_the_start(net, x, cond):
    wrapped = hyperize(net, ["*.downsample.0"], cond_dim=3, init=Hyperfan(variance=1.0), impl="rule")
    assert wrapped.names == ("layer3.0.downsample.0", "layer4.0.downsample.0")
    assert not torch.allclose(wrapped(x, cond=cond), wrapped(x, cond=-cond))


def test_a_transformer_layer_and_its_fast_path():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    wrapped = hyperize(layer, ["linear1", "linear2"], cond_dim=3).eval()
    x, cond = torch.randn(2, 5, 8), torch.randn(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(wrapped(x, cond=cond), layer(x), atol=1e-5, rtol=1e-5)
        disturb(wrapped)
        assert not torch.allclose(wrapped(x, cond=cond), layer(x), atol=1e-2)


def test_shared_layers_stay_shared():
    part = nn.Linear(4, 4)
    wrapped = hyperize(nn.Sequential(part, nn.ReLU(), part), ["0"], cond_dim=2)
    assert wrapped.model[0] is wrapped.model[2]
    assert wrapped(torch.ones(3, 4), cond=torch.ones(3, 2)).shape == (3, 4)


def test_frozen_weights_stay_frozen(net):
    net.fc.weight.requires_grad_(False)
    layer = hyperize(net, ["fc"], cond_dim=3).conditioned()["fc"]
    assert not layer.weight_generator.bias.requires_grad
    assert layer.weight_generator.weight.requires_grad


def test_in_place_and_precision(net, x, cond):
    net.double()
    wrapped = hyperize(net, ["fc"], cond_dim=3, in_place=True)
    assert wrapped.model is net
    assert wrapped(x.double(), cond=cond.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["layer4.0.downsample"], "is a Sequential"),
        (["layer4.0.downsampel.0"], r"near names: .*layer4\.0\.downsample\.0"),
        (["nothing*"], "no such layer"),
        ("fc", "not a list"),
        ([], "not a list"),
    ],
)
def test_wrong_names_are_refused_in_words(net, names, words):
    with pytest.raises(InputError, match=words):
        hyperize(net, names, cond_dim=3)


def test_hooks_and_missing_conditions_are_refused(net, x, cond):
    wrapped = hyperize(net, ["fc"], cond_dim=3)
    with pytest.raises(InputError, match="no condition"):
        wrapped.model(x)
    with wrapped.condition(cond):
        assert wrapped.model(x).shape == (5, 2)
    with pytest.raises(InputError, match="cond"):
        wrapped(x, cond=cond[:3])
    net.fc.register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match="hooks"):
        hyperize(net, ["fc"], cond_dim=3)

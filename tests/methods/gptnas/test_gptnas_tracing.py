"""Tracing and rebuilding: the same layers, the same numbers, and honesty where that is impossible."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.gptnas.model.rebuild import build, copy_weights, obstacles
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer
from visus.methods.gptnas.model.tracing import trace

SIZE = (4, 8, 8)


class Fn(nn.Module):
    """A module that calls a function."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


@pytest.fixture
def draw():
    torch.manual_seed(0)
    return torch.randn(2, *SIZE, dtype=torch.float64)


def shaken(model):
    """Away from the initial values, where a scale of 1 and a shift of 0 hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.1)
    return model.double().eval()


def assert_rebuilt(model, x):
    """build(trace(m)) has m's layers, parameters and, with m's weights, m's outputs."""
    shaken(model)
    record = trace(model, x.shape[1:])
    assert obstacles(record) == []
    made = build(record).double()
    assert trace(made, x.shape[1:]).layers == record.layers
    counts = [sum(p.numel() for p in m.parameters()) for m in (model, made)]
    assert counts == [record.num_params, record.num_params]
    copy_weights(model, made, x.shape[1:])
    assert torch.equal(made.eval()(x.clone()), model(x.clone()))
    assert Architecture.from_text(record.to_text()) == record
    return record


MODULES = [
    nn.Conv2d(4, 6, 3, padding="same", dilation=2),
    nn.Conv2d(4, 6, (1, 5), stride=(2, 1), padding=(0, 2), bias=False),
    nn.Conv2d(4, 8, 3, groups=2),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    nn.ConvTranspose2d(4, 2, 3, 2, 1, output_padding=1, groups=2),
    nn.BatchNorm2d(4),
    nn.BatchNorm2d(4, eps=1e-3, momentum=0.01, affine=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.GroupNorm(2, 4),
    nn.GroupNorm(2, 4, affine=False),
    nn.LayerNorm((8, 8)),
    nn.LayerNorm(8, bias=False),
    nn.LayerNorm(8, elementwise_affine=False),
    nn.Linear(8, 3),
    nn.Linear(8, 3, bias=False),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(3, 2, ceil_mode=True),
    nn.MaxPool2d(2, dilation=2),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AvgPool2d((2, 4)),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((2, 3)),
    nn.AdaptiveMaxPool2d(2),
    nn.PReLU(),
    nn.PReLU(4),
    nn.LeakyReLU(0.2),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.Hardtanh(-2, 2),
    nn.ELU(0.5),
    nn.Softplus(2),
    nn.GELU(approximate="tanh"),
    nn.SiLU(),
    nn.Sigmoid(),
    nn.Hardswish(),
    nn.Softmax(1),
    nn.Dropout(0.3),
    nn.ChannelShuffle(2),
    nn.PixelShuffle(2),
    nn.Upsample(scale_factor=2),
    nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True),
    nn.ZeroPad2d((1, 0, 2, 1)),
    nn.ConstantPad2d(1, 3.5),
    nn.Flatten(),
]


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_a_module_is_one_layer_and_comes_back(module, draw):
    record = assert_rebuilt(copy.deepcopy(module), draw)
    reflecting = getattr(module, "padding_mode", "zeros") != "zeros"
    assert len(record.layers) == (2 if reflecting else 1)


FUNCTIONS = {
    "add": lambda x: x + x.relu(),
    "add a number": lambda x: 3 + x,
    "subtract": lambda x: x - x.relu(),
    "subtract from a number": lambda x: 1 - x,
    "scale": lambda x: x * 0.5,
    "divide": lambda x: x / (x.abs() + 1),
    "one over": lambda x: 2 / (x.square() + 1),
    "power": lambda x: (x.abs() + 1) ** 1.5,
    "join": lambda x: torch.cat([x, x.relu()], dim=-3),
    "stack": lambda x: torch.stack([x, x], 2),
    "chunk": lambda x: torch.add(*x.chunk(2, 1)),
    "split": lambda x: torch.cat(torch.split(x, [3, 1], dim=1)[::-1], 1),
    "slices": lambda x: x[:, 1:3] * x[:, :2][..., 3:4],
    "select": lambda x: x[:, -1],
    "narrow": lambda x: x.narrow(2, -3, 2),
    "mean": lambda x: x.mean([2, 3]),
    "mean with axes": lambda x: x - x.mean((-1, -2), keepdim=True),
    "maximum": lambda x: x.amax(1).sum(-1),
    "shuffle": lambda x: (
        x.view(x.shape[0], 2, 2, 8, 8).transpose(1, 2).contiguous().view(x.size(0), -1, 8, 8)
    ),
    "permute": lambda x: x.permute(0, 2, 3, 1).flatten(1, 2) @ x.flatten(2).flatten(1, 1),
    "squeeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "bounds": lambda x: x.clamp(min=-0.5).clip(max=0.25),
    "interpolate": lambda x: F.interpolate(x, size=(4, 4), mode="nearest"),
    "in place": lambda x: F.relu(x.clone(), inplace=True).add_(x).mul_(2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_recorded_and_come_back(name, draw):
    function = FUNCTIONS[name]
    record = assert_rebuilt(nn.Sequential(nn.Conv2d(4, 4, 1), Fn(function)), draw)
    assert len(record.layers) > 1


def test_module_and_function_give_the_same_record():
    as_module = nn.Sequential(
        nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )

    def as_function(x):
        x = F.dropout(F.max_pool2d(torch.relu_(x), 2), 0.1, training=False)
        return F.adaptive_avg_pool2d(x, 1).reshape(x.size(0), -1)

    assert trace(as_module, SIZE).layers == trace(Fn(as_function), SIZE).layers


class Residual(nn.Module):
    """Reuses its ReLU, adds in place, splits and shuffles."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        y += x
        first, second = self.relu(y).chunk(2, 1)
        return torch.cat((second, first), 1)


def test_the_topology_is_kept(draw):
    record = assert_rebuilt(nn.Sequential(Residual(), Residual()), draw)
    said = [(layer.name or layer.family, layer.inputs) for layer in record.layers[:8]]
    assert said == [
        ("conv", (SOURCE,)),
        ("BatchNorm2d", (0,)),
        ("ReLU", (1,)),
        ("add", (2, SOURCE)),
        ("ReLU", (3,)),
        ("slice", (4,)),
        ("slice", (4,)),
        ("cat", (6, 5)),
    ]
    assert record.layers[8].inputs == (7,)


def test_shared_weights_stay_shared(draw):
    layer = nn.Conv2d(4, 4, 1)
    record = assert_rebuilt(nn.Sequential(layer, nn.ReLU(), layer), draw)
    assert record.layers[2].settings == {"shared": 0}
    assert record.num_params == 20
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    tied[2].weight, tied[2].bias = tied[0].weight, tied[0].bias
    assert assert_rebuilt(tied, draw).num_params == 72
    tied[2].bias = nn.Parameter(torch.zeros(8))
    assert "opaque" in trace(tied, SIZE).layers[2].settings, "sharing a part cannot be said"


def test_order_of_execution_not_of_registration(draw):
    model = Fn(lambda x, first, second: first(second(x)), nn.Conv2d(6, 2, 1), nn.Conv2d(4, 6, 1))
    record = assert_rebuilt(model, draw)
    assert [layer.out_size[0] for layer in record.layers] == [6, 2]


def test_what_has_no_effect_is_left_out():
    model = Fn(lambda x, used, unused: (used(x), unused(x))[0], nn.Conv2d(4, 2, 1), nn.Conv2d(4, 9, 1))
    assert len(trace(model, SIZE).layers) == 1
    both = Fn(
        lambda x, used, other: {"main": used(x), "more": other(x)}, nn.Conv2d(4, 2, 1), nn.Conv2d(4, 9, 1)
    )
    assert trace(both, SIZE).out_size == (2, 8, 8), "of several outputs the first counts"


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()
    before = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict(keep_vars=True).items()}
    state = torch.get_rng_state()
    trace(model, SIZE)
    assert [module.training for module in model] == [True, False, True]
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_on_the_meta_device_is_traced():
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Conv2d(3, 512, 7, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512 * 512 * 512, 1000)
        )
    assert trace(model, (3, 1024, 1024)).num_params > 10**11


class Gated(nn.Module):
    """Branches on a number, draws noise in passing, keeps a constant that is no buffer and counts its calls."""

    def __init__(self):
        super().__init__()
        self.conv, self.shift = nn.Conv2d(4, 4, 1), torch.ones(1, 4, 1, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        torch.rand(3)
        return self.conv(x) if float(x.sum()) > 0 else x + self.shift


def test_a_model_that_needs_numbers_runs_on_its_device():
    model, state = Gated(), torch.get_rng_state()
    assert [layer.family for layer in trace(model, SIZE).layers] == ["conv"]
    assert model.calls.item() == 0
    assert torch.equal(torch.get_rng_state(), state)


class Scale(nn.Module):
    """A learned scale per channel: no record can say it."""

    def __init__(self):
        super().__init__()
        self.gamma, self.start, self.shape = nn.Parameter(torch.ones(4, 1, 1)), 0.5, (4, 1)

    def forward(self, x):
        return x * self.gamma * 2


class StandardizedConv(nn.Conv2d):
    """A subclass with other arithmetic must not pass for a convolution."""

    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias)


OPAQUE = [
    (Scale(), "Scale", 4),
    (StandardizedConv(4, 2, 1), "StandardizedConv", 10),
    (nn.Softshrink(), "Softshrink", 0),
    (Fn(lambda x, lstm: lstm(x)[0], nn.LSTM(8, 3, batch_first=True)), "LSTM", 156),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), "TransformerEncoderLayer", 600),
    (Fn(lambda x: torch.fft.fft2(x).real), "fft_fft2", 0),
    (Fn(lambda x: x.sort(1).values), "sort", 0),
    (Fn(lambda x: x[:, [0, 2]]), "getitem", 0),
    (Fn(lambda x: x[:, ::2]), "getitem", 0),
    (Fn(lambda x: x.max(1).values), "max", 0),
    (Fn(lambda x: x + torch.ones(4, 8, 8, device=x.device)), "add", 0),
]


@pytest.mark.parametrize(("module", "name", "learned"), OPAQUE, ids=[name for _, name, _ in OPAQUE])
def test_what_cannot_be_rebuilt_says_so(module, name, learned):
    size = (5, 8) if name in ("LSTM", "TransformerEncoderLayer") else SIZE
    record = trace(nn.Sequential(module, nn.ReLU()), size)
    assert record.layers[0].name == name
    assert record.layers[0].settings["opaque"] is True
    assert record.layers[0].num_params == record.num_params == learned
    assert record.layers[-1].name == "ReLU"
    assert record.layers[-1].inputs == (len(record.layers) - 2,)
    assert name in obstacles(record)[0]
    with pytest.raises(InputError, match=name):
        build(record)
    assert Architecture.from_text(record.to_text()) == record


def test_numbers_of_an_unknown_module_are_kept():
    settings = trace(nn.Sequential(Scale()), SIZE).layers[0].settings
    assert settings == {"opaque": True, "parameters": 4, "shape": (4, 1), "start": 0.5}


def test_a_module_with_children_keeps_the_layers_around_the_unknown_call():
    model = Fn(lambda x, conv: conv(x).sort(1).values, nn.Conv2d(4, 4, 1))
    assert [layer.name or layer.family for layer in trace(model, SIZE).layers] == ["conv", "sort"]


def test_writing_into_a_tensor_is_not_overlooked():
    def write(x, conv):
        y = conv(x)
        y[:, 0] = x[:, 1]
        return y

    record = trace(Fn(write, nn.Conv2d(4, 4, 1)), SIZE)
    assert record.layers[-1].name == "setitem"
    assert obstacles(record)


def test_a_tensor_kept_from_inside_an_unknown_module_is_not_misread():
    class Leaky(nn.Module):
        def forward(self, x):
            self.kept = x.relu()
            return self.kept.sort(1).values

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.leaky = Leaky()

        def forward(self, x):
            return torch.cat([self.leaky(x).abs(), self.leaky.kept], 1)

    record = trace(Outer(), SIZE)
    assert [layer.name for layer in record.layers] == ["Leaky", "abs", "cat"]
    assert record.layers[-1].settings["opaque"] is True


def test_blocks_are_spans_of_the_modules_named():
    model = nn.Sequential(Residual(), nn.Identity(), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 1)))
    record = trace(
        model, SIZE, name="x", blocks={"0": "outer", "0.conv": "inner", "1": "nothing", "2.1": "last"}
    )
    assert record.blocks == (("outer", 0, 8), ("last", 9, 10))
    assert record.name == "x"


@pytest.mark.parametrize("size", [(), (0, 8, 8), (3, -1, 8)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InputError, match="input_size"):
        trace(nn.ReLU(), size)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Conv2d(5, 4, 1)), "cannot run on an input of size"),
        (nn.Identity(), "no recorded call"),
        (Fn(lambda x: torch.zeros(2, 3)), "no recorded call"),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(5)), "cannot run on an input of size"),
    ],
)
def test_a_model_that_cannot_be_traced_is_an_input_error(model, words):
    with pytest.raises(InputError, match=words):
        trace(model, SIZE)


def test_weights_go_only_to_the_same_layers():
    model, other = nn.Sequential(nn.Conv2d(4, 4, 1)), nn.Sequential(nn.Conv2d(4, 4, 3))
    with pytest.raises(InputError, match="rebuilt"):
        copy_weights(model, other, SIZE)


def test_padding_that_torch_has_no_layer_for_is_refused():
    layer = Layer(
        family="conv",
        id=0,
        in_size=(1, 4, 4),
        out_size=(1, 4, 3),
        inputs=(SOURCE,),
        kernel=(2, 2),
        stride=(1, 1),
        padding=(1, 0, 0, 0),
        dilation=(1, 1),
        groups=1,
        bias_used=True,
    )
    with pytest.raises(InputError, match="layer 0, padding"):
        build(Architecture(name="uneven", input_size=(1, 4, 4), layers=(layer,)))

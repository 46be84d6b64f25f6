"""The probe: which modules it follows, that its stages explain them, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from polytopes_nets import mlp
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.walk import census


class Function(nn.Module):
    """A function of four features behind a linear layer of two inputs."""

    def __init__(self, function, width: int = 4) -> None:
        super().__init__()
        self.function, self.first = function, nn.Linear(2, width)

    def forward(self, x):
        return self.function(self.first(x))


class Residual(nn.Module):
    """A convolutional net with everything at once, written the way people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(2), nn.PReLU(2)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.one(x)))
        x = x + self.act(self.two(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = torch.cat([F.relu6(4 * x), F.avg_pool2d(x.abs(), 3, 1, 1)], dim=1)
        x = F.leaky_relu(F.adaptive_avg_pool2d(x, (2, 1)).flatten(1), 0.1, inplace=True)
        return self.head(self.drop(x))


def halves(x):
    return torch.cat([F.relu(x[:, :2]), x[:, 2:]], 1)


def written_in_place(x):
    out = torch.zeros_like(x)
    out[:, :2] = F.relu(x[:, 2:])
    out[:, 2] = x[:, 0]
    return out


FOLLOWED = {
    "relu": (torch.relu, [4]),
    "relu in place": (lambda x: F.relu_(x.clone()) + x, [4]),
    "leaky": (lambda x: F.leaky_relu(x, 0.2), [4]),
    "rrelu": (F.rrelu, [4]),
    "abs": (torch.abs, [4]),
    "clamp": (lambda x: x.clamp(-0.2, 0.3), [8]),
    "clamp above": (lambda x: x.clamp(max=0.3), [4]),
    "clamp by tensors": (lambda x: torch.clamp(x, torch.zeros(4), torch.ones(4)), [8]),
    "hardtanh": (F.hardtanh, [8]),
    "relu6": (lambda x: F.relu6(9 * x), [8]),
    "hardsigmoid": (lambda x: F.hardsigmoid(5 * x), [8]),
    "softshrink": (lambda x: F.softshrink(x, 0.1), [8]),
    "threshold": (lambda x: F.threshold(x, 0.1, 0.1), [4]),
    "maximum": (lambda x: torch.maximum(x, x.flip(1)), [4]),
    "minimum with constant": (lambda x: torch.minimum(x, torch.ones(4) / 5), [4]),
    "amax": (lambda x: x.amax(1, keepdim=True), [2, 1]),
    "max over a dimension": (lambda x: x.max(1).values[:, None], [2, 1]),
    "min over three": (lambda x: x[:, :3].min(1, keepdim=True)[0], [1, 1]),
    "max-pool": (lambda x: F.max_pool1d(x[:, None], 2).flatten(1), [2]),
    "adaptive max-pool": (lambda x: F.adaptive_max_pool1d(x[:, None], 3).flatten(1), [3]),
    "overlapping ceil-mode max-pool": (
        lambda x: F.max_pool2d(x.view(-1, 1, 2, 2), (2, 2), 1, 1, ceil_mode=True).flatten(1),
        [18, 9],
    ),
    "reshape and matmul": (lambda x: torch.relu(x.view(-1, 2, 2) @ torch.ones(2, 3)).flatten(1), [6]),
    "einsum": (lambda x: torch.einsum("bi,oi->bo", x, torch.eye(4)[:2]).relu(), [2]),
    "branches": (halves, [2]),
    "in place": (written_in_place, [2]),
    "float32 in between": (lambda x: torch.relu(x.float()).to(torch.float32) * torch.tensor(0.5), [4]),
    "division by a constant": (lambda x: (x - x.mean(1, keepdim=True)).relu() / 3, [4]),
    "dropout off": (lambda x: F.dropout(x, 0.5, training=False).relu(), [4]),
    "nothing": (lambda x: 2 * x - 1, []),
}


def check_affine_on_cells(model, complex_, draws=40):
    """On every cell the network equals the affine map through d + 1 vertices, at random mixtures of its vertices."""
    slopes, offsets = complex_.affine_maps()
    generator = torch.Generator().manual_seed(0)
    cells = torch.randperm(complex_.num_cells, generator=generator)[:draws].tolist()
    probe = Probe(model)
    for cell in cells:
        corners = complex_.points[complex_.vertices_of(cell)]
        weights = torch.rand(5, len(corners), generator=generator, dtype=torch.float64)
        mixtures = weights / weights.sum(1, keepdim=True) @ corners
        want = mixtures @ slopes[cell].T + offsets[cell]
        torch.testing.assert_close(probe.outputs(mixtures), want, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed_operations_are_affine_on_their_cells(name):
    function, widths = FOLLOWED[name]
    torch.manual_seed(3)
    model = Function(function)
    probe = Probe(model)
    points = torch.rand(5, 2, dtype=torch.float64)
    probe.examine(points)
    assert probe.widths == widths
    assert probe.values(points, len(widths)) is None
    complex_ = census(model, (-1.5, 1.5))
    assert complex_.num_signs == sum(widths)
    check_affine_on_cells(model, complex_)


def test_residual_convolutional_net_on_a_slice():
    torch.manual_seed(0)
    net = Residual()
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    images = torch.randn(3, 16)
    basis = torch.linalg.qr((images[1:] - images[0]).T.double())[0]

    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.register_buffer("basis", basis)

        def forward(self, x):
            return self.net((x @ self.basis.T + images[0]).view(-1, 1, 4, 4))

    model = Sliced().train()
    complex_ = census(model, (-2.0, 2.0), dimension=2)
    assert complex_.num_cells > 100
    assert model.training
    assert net.norm.weight.dtype == torch.float32
    check_affine_on_cells(model, complex_, draws=100)


def test_inputs_are_reshaped():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten())
    probe = Probe(net, shape=(1, 2, 2))
    points = torch.randn(7, 4, dtype=torch.float64)
    torch.testing.assert_close(probe.outputs(points), net.double()(points.view(-1, 1, 2, 2)))
    assert probe.patterns(points).shape == (7, 2)
    assert census(net, (-1, 1), shape=(1, 2, 2)).dim == 4


def test_values_are_the_preactivations_and_stop_there():
    net = mlp((3, 5, 4, 2), seed=1)
    probe = Probe(net)
    points = torch.randn(6, 3, dtype=torch.float64)
    first = net[0](points)
    second = net[2](first.relu())
    torch.testing.assert_close(probe.values(points, 0), first)
    torch.testing.assert_close(probe.values(points, 1), second)
    torch.testing.assert_close(probe.functionals(points, 1, torch.tensor([3, 1])), second[:, [3, 1]].T)
    assert probe.values(points, 2) is None
    signs = torch.cat([first, second], 1) > 0
    assert torch.equal(probe.patterns(points), signs)
    torch.testing.assert_close(probe.outputs(points), net(points))
    want = [sum(2 ** (7 - i) * bit for i, bit in enumerate(row[:8])) for row in signs.int().tolist()]
    assert probe.packed_patterns(points)[:, 0].tolist() == want
    mixed = points.clone()
    mixed[:3] *= 50
    low, high = (net[0](mixed).amin(0), net[0](mixed).amax(0))
    assert probe.changing(mixed, 0).tolist() == torch.nonzero((low < 0) & (high > 0))[:, 0].tolist()


def test_batches_do_not_matter(monkeypatch):
    net = mlp((2, 9, 9, 1), seed=2)
    points = torch.randn(300, 2, dtype=torch.float64)
    whole = Probe(net)
    monkeypatch.setattr("visus.methods.polytopes.model.probe.BATCH", 1)
    parts = Probe(net)
    torch.testing.assert_close(parts.values(points, 1), whole.values(points, 1))
    assert torch.equal(parts.packed_patterns(points), whole.packed_patterns(points))
    assert torch.equal(parts.changing(points, 1), whole.changing(points, 1))


SMOOTH = [
    nn.GELU(),
    nn.SiLU(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Softmax(1),
    nn.LogSoftmax(1),
    nn.Softplus(),
    nn.ELU(),
    nn.Mish(),
    nn.GLU(),
    nn.Hardswish(),
    nn.LayerNorm(4),
    nn.GroupNorm(2, 4),
]


@pytest.mark.parametrize("layer", SMOOTH, ids=lambda layer: type(layer).__name__)
def test_smooth_layers_are_refused_by_name(layer):
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Sequential(layer))
    with pytest.raises(InputError, match=r"smooth.*piecewise affine operations") as caught:
        census(model)
    assert f"module 2.0 ({type(layer).__name__})" in str(caught.value)


def by_condition(x):
    return x if x.sum() > 0 else -x


def into_a_plain_tensor(x):
    out = torch.zeros(len(x), 4, dtype=x.dtype)
    out[:, 0] = x[:, 0]
    return out


REFUSED = {
    "product of data": (lambda x: x * x.flip(1), "mul.*both depend"),
    "matrix product of data": (lambda x: x.view(-1, 2, 2) @ x.view(-1, 2, 2), "bmm.*both depend"),
    "power": (lambda x: x**2, "pow.*smooth"),
    "reciprocal": (lambda x: 1 / x, "reciprocal.*smooth"),
    "quotient of data": (lambda x: x / x.sum(1, keepdim=True), "div.*depend"),
    "floor division": (lambda x: torch.div(x, 2, rounding_mode="floor"), "div.*rounds"),
    "sign": (torch.sign, "sign.*jumps"),
    "round": (torch.round, "round.*jumps"),
    "hardshrink": (F.hardshrink, "hardshrink.*jumps"),
    "threshold with a jump": (lambda x: F.threshold(x, 0.1, 0.0), "threshold.*jumps"),
    "to integer": (lambda x: x.long().double(), "to_integer.*jumps"),
    "argmax as index": (lambda x: x.gather(1, x.argmax(1, keepdim=True)), "argmax.*branches"),
    "index of a maximum": (lambda x: x.gather(1, x.max(1, keepdim=True)[1]), "gather.*indices"),
    "condition": (by_condition, "gt.*branches"),
    "where": (lambda x: torch.where(x > 0, x, 0 * x), "gt.*branches"),
    "item": (lambda x: x * float(x[0, 0]), "scalar.*branches"),
    "sort": (lambda x: x.sort(1).values, "sort.*branches"),
    "norm": (lambda x: x.norm(dim=1, keepdim=True), "norm.*smooth"),
    "batch statistics": (lambda x: F.batch_norm(x, None, None, training=True), "statistics of the batch"),
    "forced dropout": (lambda x: F.dropout(x, 0.5, training=True), "random"),
    "noise": (lambda x: x + torch.rand_like(x), "random"),
    "write into a plain tensor": (into_a_plain_tensor, "copy.*carried none"),
    "data as bound": (lambda x: torch.clamp(x, max=x.sum(1, keepdim=True)), "clamp.*bounds depend"),
    "unknown operation": (lambda x: torch.special.i0(x), "i0.*not known"),
    "rows that mix": (lambda x: x - x.mean(0), "others in its batch"),
    "maximum of all": (lambda x: x.max(), "others in its batch"),
    "reshaped in place": (lambda x: x.clone().unsqueeze_(1), "unsqueeze.*shape"),
    "leaves torch": (lambda x: torch.from_numpy(x.numpy()), "cannot be run"),
    "two results": (lambda x: (x, x), "one row per input"),
    "constant": (lambda x: torch.ones(len(x), 1), "one row per input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_piecewise_affine_is_refused(name):
    function, reason = REFUSED[name]
    with pytest.raises(InputError, match=reason) as caught:
        census(Function(function))
    assert caught.value.field
    assert caught.value.remedy


def test_weights_that_are_not_finite_are_named():
    net = mlp((2, 4, 1))
    with torch.no_grad():
        net[2].weight[0, 1] = torch.nan
    with pytest.raises(InputError, match=r"weights 2\.weight: is not finite"):
        Probe(net)


def test_wrong_input_size_is_told():
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        census(mlp((2, 4, 1)), dimension=3)

"""The networks of the paper, their conditioned layers, and the baselines built from the same parts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visus.errors import InputError
from visus.methods.hyperfusion.baselines import Forest, Modulation, parameter_count
from visus.methods.hyperfusion.model import (
    AgeNet,
    BatchNorm,
    Embedding,
    FusionResNet,
    PreactBlock,
    Sizes,
    TabularNet,
    conditioned_layers,
    initialize,
)
from visus.nn.hyper import HyperConv2d, HyperConv3d, HyperLinear

SMALL = Sizes(channels=1, columns=3, outputs=2, space=(8, 8))
AD = Sizes(channels=1, columns=16, outputs=3, space=(64, 96, 64))
AGE = Sizes(channels=1, columns=2, outputs=1, space=(90, 120, 99))
POSITIONS = ["fc1", "fc2", "paper_ad", "block1", "block2", "block3", "last_TTF", "last_TFF", "last_TTT"]
FUSIONS = ["hyper", "image", "concat", "concat_matched", "film", "daft", "film_centered", "daft_centered"]


def small(fusion="hyper", position="fc1", **more):
    torch.manual_seed(0)
    return FusionResNet(SMALL, fusion=fusion, position=position, width=4, blocks=3, stem_pool=False, **more)


def inputs(batch=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 1, 8, 8, generator=generator), torch.randn(batch, 3, generator=generator)


# ---- the published sizes


def test_ad_network_of_the_paper():
    net = FusionResNet(AD, position="paper_ad", width=16)
    ((layer, embedding),) = conditioned_layers(net)
    assert isinstance(layer, HyperConv3d)
    assert layer.emits == (32_768, 256)
    assert (layer.in_channels, layer.out_channels, layer.stride) == (128, 256, (2, 2, 2))
    assert [tuple(m.weight.shape) for m in embedding if isinstance(m, nn.Linear)] == [(8, 16)]
    sizes = []
    for part in (net.stem, *net.blocks):
        part.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert net.eval()(torch.zeros(2, 1, 64, 96, 64), torch.zeros(2, 16)).shape == (2, 3)
    assert sizes == [
        (16, 32, 48, 32),
        (32, 32, 48, 32),
        (64, 16, 24, 16),
        (128, 8, 12, 8),
        (256, 4, 6, 4),
    ]
    assert [block.drop.p for block in net.blocks] == [0.1, 0.2, 0.2, 0.3]
    assert (net.drop1.p, net.drop2.p) == (0.6, 0.5)
    assert (net.fc1.in_features, net.fc1.out_features, net.fc2.out_features) == (256, 64, 3)
    assert {m.momentum for m in net.modules() if isinstance(m, BatchNorm)} == {0.05, 0.1}


def test_age_network_of_the_paper():
    with torch.device("meta"):
        net = AgeNet(AGE)
        shapes = [(layer.in_features, layer.out_features) for layer in net.layers]
        assert net.flat == 39_424
        assert net.features(torch.zeros(1, 1, 90, 120, 99), torch.zeros(1, 2)).shape == (1, 39_424)
    assert shapes == [(39_424, 16), (16, 32), (32, 64), (64, 1)]
    assert all(isinstance(layer, HyperLinear) for layer in net.layers)
    small_net = AgeNet(Sizes(channels=1, columns=2, outputs=1, space=(36, 36, 40)), width=2)
    cond = [embedding(torch.eye(2)) for embedding in small_net.embeddings]
    assert all(torch.equal(c, torch.ones(2, 1)) for c in cond), "no conditioning until trained"
    concat = AgeNet(Sizes(channels=1, columns=2, outputs=1, space=(36, 36)), fusion="concat")
    assert concat.layers[1].in_features == 16 + 2


def test_emitting_heads_of_the_ad_shortcut_count_297_216_parameters():
    ((layer, _),) = conditioned_layers(FusionResNet(AD, position="paper_ad"))
    assert parameter_count(layer) == 297_216


# ---- order of operations, against a transcription


@pytest.mark.parametrize("emitted", ["FFF", "FFT", "TTF", "TFF", "TTT"])
def test_block_equals_its_transcription(emitted):
    torch.manual_seed(0)
    block = PreactBlock(3, 5, dims=2, stride=2, dropout=0.5, emitted=emitted, cond_dim=4).double().eval()
    for norm in (m for m in block.modules() if isinstance(m, BatchNorm)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x, cond = torch.randn(3, 3, 6, 6).double(), torch.randn(3, 4).double()

    def conv(layer, image, i):
        if isinstance(layer, HyperConv2d):
            weight, bias = layer.emit(cond[i : i + 1])
            return F.conv2d(image, weight[0], bias[0], layer.stride, layer.padding)
        return layer(image)

    def norm(layer, image):
        shape = (1, -1, 1, 1)
        scaled = (image - layer.running_mean.view(shape)) / (layer.running_var.view(shape) + 1e-5).sqrt()
        return scaled * layer.weight.view(shape) + layer.bias.view(shape)

    y = block(x, cond)
    for i in range(3):
        image = x[i : i + 1]
        main = conv(block.conv1, norm(block.norm1, image).clamp(min=0), i)
        main = conv(block.conv2, norm(block.norm2, main).clamp(min=0), i)
        if emitted[2] == "T":
            shortcut = norm(block.shortcut_norm, conv(block.shortcut, image, i))
        else:
            shortcut = conv(block.shortcut, norm(block.shortcut_norm, image), i)
        torch.testing.assert_close(y[i : i + 1], main + shortcut, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("look", [False, True])
@pytest.mark.parametrize("centered", [False, True])
def test_modulation_equals_its_formula(look, centered):
    torch.manual_seed(0)
    layer = Modulation(3, columns=2, look=look, centered=centered)
    x, table = torch.randn(2, 3, 4, 5), torch.randn(2, 2)
    y = layer(x, table)
    for i in range(2):
        seen = torch.cat([x[i].mean((1, 2)), table[i]]) if look else table[i]
        numbers = layer.expand.weight @ (layer.squeeze.weight @ seen).clamp(min=0)
        scale, shift = numbers[:3] + centered, numbers[3:]
        torch.testing.assert_close(y[i], x[i] * scale[:, None, None] + shift[:, None, None])
    assert layer.squeeze.out_features == 7
    assert layer.squeeze.bias is None
    assert layer.expand.bias is None


def test_modulation_enters_the_main_path_of_the_last_block_only():
    net = small("film_centered").eval()
    with torch.no_grad():
        net.modulation.expand.weight.zero_()
    image, table = inputs()
    plain = small("image")
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("modulation")})
    assert torch.equal(net(image, table), plain.eval()(image, table)), "1 + 0 leaves the maps alone"
    net.modulation.expand.weight.data.normal_()
    seen = []
    net.blocks[-1].shortcut.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    net(image, table), net(image, table + 1)
    assert torch.equal(seen[0], seen[1]), "the shortcut sees unmodulated maps"


# ---- acceptance: batch, conditioning, gradients


@pytest.mark.parametrize("position", POSITIONS)
def test_hyper_network_in_evaluation_is_independent_of_the_batch(position):
    net = small(position=position).eval()
    image, table = inputs(6)
    together = net(image, table)
    for i in range(6):
        torch.testing.assert_close(
            net(image[i : i + 1], table[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5
        )
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    torch.testing.assert_close(net(image[order], table[order]), together[order], atol=1e-5, rtol=1e-5)
    swapped = net(image, table[[0, 2, 1, 3, 4, 5]])
    changed = (swapped - together).abs().amax(1) > 1e-5
    assert changed.tolist() == [False, True, True, False, False, False]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_zeroed_generator_is_the_plain_network(position):
    """With G = 0 the network equals one with ordinary layers of the generators' biases."""
    net = small(position=position).eval()
    for layer, _ in conditioned_layers(net):
        layer.weight_generator.bias.data.normal_(std=0.1)
        layer.weight_generator.weight.data.zero_()
        layer.bias_generator.weight.data.zero_()
    image, table = inputs()
    names = {layer: name for name, layer in net.named_modules()}
    wanted = net(image, table)
    assert torch.equal(wanted, net(image, table)[:])
    torch.testing.assert_close(net(image, table + 3), wanted, atol=1e-6, rtol=1e-5)
    for layer, _ in list(conditioned_layers(net)):
        parent, _, leaf = names[layer].rpartition(".")
        setattr(net.get_submodule(parent), leaf, plain_twin(layer))
    torch.testing.assert_close(net(image, table), wanted, atol=1e-5, rtol=1e-5)


def plain_twin(layer):
    if isinstance(layer, HyperLinear):
        twin = nn.Linear(layer.in_features, layer.out_features)
    else:
        geometry = {"stride": layer.stride, "padding": layer.padding}
        twin = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, **geometry)
    twin.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    return twin


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("fusion", ["hyper", "daft"])
def test_every_parameter_and_the_table_get_a_gradient(position, fusion):
    if fusion != "hyper" and position != "fc1":
        position = "paper_ad"
    net = small(fusion, position, dropout=0.0)
    image, table = inputs(8)
    table.requires_grad_()
    net(image, table).square().sum().backward()
    assert table.grad.abs().sum() > 0
    idle = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    # a bias before batch normalization moves nothing
    assert [name for name in idle if not name.endswith("bias")] == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_trains_on_a_batch_of_one_and_takes_odd_sizes(fusion):
    for space in ((8, 8), (5, 9), (6, 7, 5)):
        sizes = Sizes(channels=2, columns=3, outputs=4, space=space)
        net = FusionResNet(sizes, fusion=fusion, width=4, blocks=4, stem_pool=len(space) == 2)
        output = net.train()(torch.randn(1, 2, *space), torch.randn(1, 3))
        output.sum().backward()
        assert output.shape == (1, 4)
        assert torch.isfinite(output).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_age_network_with_every_fusion(fusion):
    net = AgeNet(Sizes(channels=1, columns=2, outputs=1, space=(36, 36)), fusion=fusion, width=4)
    output = net(torch.randn(3, 1, 36, 36), torch.randn(3, 2))
    output.sum().backward()
    assert output.shape == (3, 1)


@pytest.mark.parametrize("position", ["fc1", "paper_ad", "last_TTF"])
def test_matched_concatenation_has_as_many_parameters(position):
    hyper, matched = (parameter_count(small(fusion, position)) for fusion in ("hyper", "concat_matched"))
    assert abs(hyper - matched) / hyper < 0.02
    assert parameter_count(small("concat", position)) < 0.9 * hyper


# ---- normalization and initialization


def test_batch_norm_of_one_value_uses_running_statistics():
    norm = BatchNorm(3)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    y = norm.train()(torch.full((1, 3), 5.0))
    torch.testing.assert_close(y, torch.full((1, 3), 2.0), atol=1e-5, rtol=1e-5)
    assert torch.equal(norm.running_mean, torch.ones(3))
    x = torch.randn(4, 3, 5)
    torch.testing.assert_close(norm(x), nn.BatchNorm1d(3)(x))


def test_initialization_uses_what_enters_the_generator():
    net, table = small(), torch.randn(200, 3) * 3 + 2
    initialize(net, table, "embedding_second_moment")
    rows = net.embedding[0](table)
    rows = net.embedding[2]((rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt())
    second = float(rows.detach().square().mean())
    ((layer, _),) = conditioned_layers(net)
    bound = (3 / (layer.in_features * 8 * second)) ** 0.5
    largest = float(layer.weight_generator.weight.detach().abs().max())
    assert 0.97 * bound < largest <= bound
    fixed = small()
    initialize(fixed, table, 0.25)
    ((layer, _),) = conditioned_layers(fixed)
    assert (
        float(layer.weight_generator.weight.detach().abs().max())
        <= (3 / (layer.in_features * 8 * 0.25)) ** 0.5
    )


def test_tabular_network_and_its_embedding():
    net = TabularNet(SMALL)
    _, table = inputs()
    assert net(None, table).shape == (5, 2)
    other = small()
    other.embedding.load_state_dict(net.embedding.state_dict())
    assert torch.equal(other.eval().embedding(table), net.eval().embedding(table))
    embedding = Embedding(3, 8)
    embedding.calibrate(table)
    assert torch.allclose(embedding.eval()[1](embedding[0](table)).mean(0), torch.zeros(8), atol=1e-5)


# ---- boosted trees as tensors


@pytest.mark.parametrize("classes", [None, 2, 4])
def test_forest_equals_scikit_learn(classes):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 5)).astype(np.float32)
    target = rows[:, 0] * rows[:, 1] + 0.1 * rng.normal(size=300)
    settings = {"max_iter": 15, "early_stopping": False, "random_state": 0}
    if classes is None:
        oracle = HistGradientBoostingRegressor(**settings).fit(rows, target)
        got = Forest.grow(rows, target, classes=None, rounds=15)(torch.from_numpy(rows))[:, 0].numpy()
        np.testing.assert_allclose(got, oracle.predict(rows), atol=1e-9)
        return
    label = np.digitize(target, np.quantile(target, np.linspace(0, 1, classes + 1)[1:-1]))
    sample = np.where(label == 1, 2.0, 1.0)
    oracle = HistGradientBoostingClassifier(**settings).fit(rows, label, sample_weight=sample)
    forest = Forest.grow(
        rows, label, classes=classes, rounds=15, weights={k: 1.0 + (k == 1) for k in range(classes)}
    )
    scores = forest(torch.from_numpy(rows))
    scores = torch.cat([torch.zeros_like(scores), scores], 1) if classes == 2 else scores
    np.testing.assert_allclose(scores.softmax(1).numpy(), oracle.predict_proba(rows), atol=1e-9)
    twin = Forest(**forest.shape)
    twin.load_state_dict(forest.state_dict())
    assert torch.equal(twin(torch.from_numpy(rows)), forest(torch.from_numpy(rows)))


def test_forest_never_predicts_a_class_it_has_not_seen():
    rows, label = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32), np.arange(60) % 2 * 2
    scores = Forest.grow(rows, label, classes=3, rounds=3)(torch.from_numpy(rows)).softmax(1)
    assert scores.shape == (60, 3)
    assert float(scores[:, 1].max()) == 0.0


# ---- refusals


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sizes(channels=1, columns=1, outputs=1, space=(8,)), "spatial axes"),
        (lambda: FusionResNet(SMALL, blocks=5), "blocks"),
        (lambda: FusionResNet(SMALL, blocks=2, position="block3"), "2 blocks"),
        (lambda: FusionResNet(SMALL, position="paper_age"), "not a place"),
        (lambda: AgeNet(SMALL), "too small"),
    ],
)
def test_impossible_networks_are_refused_in_words(make, words):
    with pytest.raises(InputError, match=words):
        make()

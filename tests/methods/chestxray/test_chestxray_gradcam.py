"""Grad-CAM against finite differences and against MONAI's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chestxray_slow import FixedMap, dual_net, shaken, weights_of
from torch import nn

from visus.errors import InputError
from visus.methods.chestxray.model import DualNet, Reading, build_backbone, grad_cam


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small() -> DualNet:
    return DualNet(build_backbone("compact"), classes=3, base_channels=4).eval()


def enlarged(map_: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, pixel centers at +0.5, borders repeated: one pixel at a time."""
    rows, columns = map_.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(v), int(u)
            low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = v - top, u - left
            upper = (1 - b) * map_[top, left] + b * map_[top, right]
            out[y, x] = (1 - a) * upper + a * ((1 - b) * map_[low, left] + b * map_[low, right])
    return out


@pytest.mark.parametrize("size", [(64, 64), (50, 40)])
def test_it_is_the_slope_of_the_logit_times_the_map(size):
    top = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    net = shaken(DualNet(FixedMap(top), classes=3, base_channels=1, hidden=6))
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    weights, a = weights_of(net), top[0].numpy()

    def logit(change: np.ndarray) -> float:
        return dual_net(image[0, 0].numpy(), a + change, weights)[0][2]

    slope = np.zeros_like(a)
    for place in np.ndindex(a.shape):
        step = np.zeros_like(a)
        step[place] = 1e-5
        slope[place] = (logit(step) - logit(-step)) / 2e-5
    evidence = np.maximum((slope.mean((1, 2))[:, None, None] * a).sum(0), 0)
    slow = enlarged(evidence, 64, 64)[: size[0], : size[1]]
    assert slow.max() > 0
    assert np.allclose(grad_cam(net, image, 2)[0], slow, atol=1e-7 * slow.max() + 1e-10)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
def test_it_is_monais():
    visualize = pytest.importorskip("monai.visualize")

    class Logits(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.net(image).logits

    net, image = small(), torch.rand(2, 1, 64, 96)
    # by default it stretches maps to 0..1, upside down
    other = visualize.GradCAM(
        nn_module=Logits(net).eval(), target_layers="net.backbone", postprocessing=lambda found: found
    )
    seen = []
    for index in range(3):
        own = grad_cam(net, image, index)
        for item in range(2):
            theirs = torch.as_tensor(other(image[item : item + 1], class_idx=index))[0, 0]
            assert torch.allclose(own[item], theirs, rtol=1e-4, atol=1e-4 * own.max().item())
        seen.append(own.max().item())
    assert max(seen) > 0


def test_each_image_can_have_its_class_and_does_not_depend_on_its_mates():
    net, image = small(), torch.rand(3, 1, 50, 64)
    mixed = grad_cam(net, image, torch.tensor([0, 2, 1]))
    assert mixed.shape == (3, 50, 64)
    assert (mixed >= 0).all()
    for item, index in enumerate((0, 2, 1)):
        assert torch.allclose(mixed[item], grad_cam(net, image[item : item + 1], index)[0], atol=1e-5)


def test_it_leaves_the_network_as_it_was():
    net = small()
    net.backbone.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        found = grad_cam(net, image, 0)
        assert not torch.is_grad_enabled()
    assert torch.equal(found, grad_cam(net.requires_grad_(True), image, 0))
    net.backbone.requires_grad_(False)
    assert not found.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())
    assert not any(value.requires_grad for value in net.backbone.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_a_failing_layer_leaves_gradients_on():
    net = small()
    with pytest.raises(InputError, match="image: has the shape"):
        grad_cam(net, torch.rand(1, 3, 64, 64), 0)
    with pytest.raises(RuntimeError):
        grad_cam(net, torch.rand(1, 1, 64, 64), 0, layer=Broken(net))
    assert torch.is_grad_enabled()


class Broken(nn.Module):
    """Takes the place of a network's backbone and fails."""

    def __init__(self, net: DualNet) -> None:
        super().__init__()
        self.channels, self.stride = net.backbone.channels, net.backbone.stride
        net.backbone = self

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no map today")


def test_other_layers_can_be_looked_at():
    net, image = small(), torch.rand(1, 1, 64, 64)
    assert grad_cam(net, image, 1, layer=net.encoder.levels[4]).shape == (1, 64, 64)
    with pytest.raises(InputError, match="layer: is not part of the network"):
        grad_cam(net, image, 1, layer=nn.Identity())
    with pytest.raises(InputError, match="layer: has no part in the logits"):
        grad_cam(net, image, 1, layer=net.saliency[0])
    net.requires_grad_(False)
    with pytest.raises(InputError, match="layer: has no part in the logits"):
        grad_cam(net, image, 1, layer=net.saliency[0])


@pytest.mark.parametrize("index", [3, -1, torch.tensor([0, 5])])
def test_classes_the_network_does_not_have(index):
    with pytest.raises(InputError, match=r"index: is .* the network has 3 classes"):
        grad_cam(small(), torch.rand(2, 1, 64, 64), index)


def test_networks_without_logits_or_backbone():
    class Map(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, image: torch.Tensor) -> Reading:
            maps = self.conv(image)
            return Reading(None, None, maps.mean((2, 3)))

    net = Map()
    with pytest.raises(InputError, match="network: has no backbone"):
        grad_cam(net, torch.rand(1, 1, 8, 8), 0)
    with pytest.raises(InputError, match="network: gives no logits"):
        grad_cam(net, torch.rand(1, 1, 8, 8), 0, layer=net.conv)

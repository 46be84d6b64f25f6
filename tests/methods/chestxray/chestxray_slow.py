"""The network once more, one channel pair and one pixel at a time, in double precision."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import correlate2d
from torch import nn

from visus.methods.chestxray.model import Backbone

Weights = dict[str, np.ndarray]


class FixedMap(Backbone):
    """A backbone that answers with a map of its own, so that nothing but the rest of a network is tested."""

    def __init__(self, top: torch.Tensor, stride: int = 32) -> None:
        super().__init__()
        self.register_buffer("top", top)
        self.channels, self.stride = top.shape[1], stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.top


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """In double precision and evaluation mode, with normalizations that do something."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for value in (layer.weight.data, layer.running_var):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            for value in (layer.bias.data, layer.running_mean):
                value.copy_(torch.randn(value.shape, generator=generator) / 4)
    return module.double().eval()


def weights_of(module: nn.Module, prefix: str = "") -> Weights:
    return {
        name.removeprefix(prefix): value.numpy()
        for name, value in module.state_dict().items()
        if name.startswith(prefix)
    }


def conv(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    kernel, bias = w[f"{name}.weight"], w.get(f"{name}.bias")
    out = np.zeros((kernel.shape[0], *x.shape[1:]))
    for o in range(kernel.shape[0]):
        for i in range(kernel.shape[1]):
            out[o] += correlate2d(x[i], kernel[o, i], mode="same")
        if bias is not None:
            out[o] += bias[o]
    return out


def norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    out = np.empty_like(x)
    for c in range(len(x)):
        mean, variance = w[f"{name}.running_mean"][c], w[f"{name}.running_var"][c]
        out[c] = (x[c] - mean) / np.sqrt(variance + 1e-5) * w[f"{name}.weight"][c] + w[f"{name}.bias"][c]
    return out


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def cnr(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """conv -> BN -> ReLU."""
    return relu(norm(conv(x, w, f"{name}.0"), w, f"{name}.1"))


def double_conv(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return cnr(cnr(x, w, f"{name}.0"), w, f"{name}.1")


def res_se(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    a = norm(conv(cnr(x, w, f"{name}.main.0"), w, f"{name}.main.1"), w, f"{name}.main.2")
    y = relu(a + conv(x, w, f"{name}.shortcut"))
    squeezed = np.array([channel.sum() / channel.size for channel in y])
    hidden = relu(w[f"{name}.excite.0.weight"] @ squeezed)
    gate = 1 / (1 + np.exp(-(w[f"{name}.excite.2.weight"] @ hidden)))
    return np.stack([g * channel for g, channel in zip(gate, y)])


def up_block(x: np.ndarray, skip: np.ndarray, w: Weights, name: str) -> np.ndarray:
    factor = skip.shape[1] // x.shape[1]
    up = cnr(x.repeat(factor, 1).repeat(factor, 2), w, f"{name}.up")
    return double_conv(np.concatenate([skip, up]), w, f"{name}.merge")


def halved(x: np.ndarray) -> np.ndarray:
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).max((2, 4))


def padded(image: np.ndarray, multiple: int) -> np.ndarray:
    h, w = image.shape
    out = np.zeros((-(-h // multiple) * multiple, -(-w // multiple) * multiple))
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = image[min(y, h - 1), min(x, w - 1)]
    return out


def pooled(top: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """Mean over the image's own pixels of the map, written out to pixels."""
    return top.repeat(stride, 1).repeat(stride, 2)[:, : size[0], : size[1]].mean((1, 2))


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def dual_net(
    image: np.ndarray, top: np.ndarray, w: Weights, stride: int = 32, decoder: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, log density and embedding of one image (h, w), from the dense map `top` of its padded form."""
    size = image.shape
    x = padded(image, stride)[None]
    maps = []
    for level in range(5):
        x = res_se(halved(x) if level else x, w, f"encoder.levels.{level}")
        maps.append(x)
    x = top
    for level in range(5):
        x = up_block(x, maps[4 - level], w, f"decoder.levels.{level}")
    fine = x[:, : size[0], : size[1]]
    raw = conv(cnr(fine, w, "saliency.0"), w, "saliency.1")[0]
    density = raw - raw.max()
    density = density - np.log(np.exp(density).sum())
    embedding = pooled(top, size, stride)
    features = np.concatenate([embedding, fine.mean((1, 2))]) if decoder else embedding
    return linear(relu(linear(features, w, "fusion.0")), w, "fusion.3"), density, embedding

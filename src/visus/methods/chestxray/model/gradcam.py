"""Grad-CAM: where the evidence for a class lies in the last feature map."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.chestxray.model.padding import crop, padded_size


def grad_cam(
    network: nn.Module,
    image: Float[Tensor, "b 1 h w"],
    index: int | Int[Tensor, " b"],
    *,
    layer: nn.Module | None = None,
) -> Float[Tensor, "b h w"]:
    """Evidence for a class, per pixel of the image.

    alpha_c = mean_yx d logit / d A_c(y, x),   L = ReLU(sum_c alpha_c A_c), enlarged bilinearly

    A is the output of `layer` and logit all that follows from it: in `DualNet` the pooled dense features and
    the decoder alike. Values are not scaled; divide by the maximum of an image to show it.

    Source: Grad-CAM (1610.02391), eq. 1 and 2.

    Parameters
    ----------
    network : gives a `Reading` with logits. It runs as it is: put it into evaluation mode before.
    index : the class, one for all images or one each.
    layer : a part of the network with a feature map; by default its `backbone`. Parameters get no gradient.

    Raises
    ------
    InputError : the network has no class logits, no such class, or its logits do not depend on the layer.
    """
    target = getattr(network, "backbone", None) if layer is None else layer
    if not isinstance(target, nn.Module):
        raise InputError("has no backbone", field="network", remedy="name the layer to look at")
    logits, maps = _run(network, target, image)
    with torch.enable_grad():
        chosen = logits.gather(1, _indices(index, logits)[:, None]).sum()
    gradient = torch.autograd.grad(chosen, maps, allow_unused=True)[0] if chosen.requires_grad else None
    if gradient is None:
        raise InputError("has no part in the logits", field="layer", remedy="choose one that they depend on")
    found = (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(1, keepdim=True).relu()
    size = (image.shape[2], image.shape[3])
    covered = padded_size(size, getattr(network, "multiple", 1))
    return crop(F.interpolate(found, size=covered, mode="bilinear", align_corners=False)[:, 0], size)


def _run(network: nn.Module, target: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and the feature map they were computed from, as a leaf: gradients stop there."""
    caught: list[Tensor] = []

    def before(module: nn.Module, args: Any) -> None:
        torch.set_grad_enabled(False)

    def after(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        caught.append(output.detach().requires_grad_())
        return caught[-1]

    handles = [target.register_forward_pre_hook(before), target.register_forward_hook(after)]
    try:
        with torch.enable_grad():  # also undoes `before`, should the layer fail
            logits = network(image).logits
    finally:
        for handle in handles:
            handle.remove()
    if not caught:
        raise InputError("is not part of the network", field="layer", remedy="give one of its modules")
    if logits is None:
        raise InputError("gives no logits", field="network", remedy="explain a network that classifies")
    return logits, caught[-1]


def _indices(index: int | Tensor, logits: Tensor) -> Tensor:
    rows, classes = logits.shape
    chosen = torch.as_tensor(index, device=logits.device).expand(rows)
    if not ((chosen >= 0) & (chosen < classes)).all():
        remedy = f"give one of 0 .. {classes - 1}"
        raise InputError(f"is {index}, the network has {classes} classes", field="index", remedy=remedy)
    return chosen

"""From settings to a network, and to the view of the images that it reads."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from visus.data.gaze.table import View
from visus.methods.chestxray.baselines import DenseClassifier, GazeMTL, MTUNet, ResSENet, SaliencyUNet
from visus.methods.chestxray.config import ChestXrayConfig
from visus.methods.chestxray.model import Backbone, DualNet, Reading, build_backbone


def build(config: ChestXrayConfig, classes: int, *, weights: bool = True) -> nn.Module:
    """The network that the settings name; weights are drawn from torch's global generator.

    Parameters
    ----------
    classes : number of classes; `unet` has none.
    weights : False leaves `backbone_weights` unread, for a network whose own weights are loaded afterwards.

    Raises
    ------
    visus.errors.InputError : no such backbone, or weights that do not fit it.
    visus.errors.MissingExtra : the backbone's package is not installed.

    >>> from visus.methods.chestxray.config import PRESETS
    >>> sorted(build(PRESETS["smoke"], 3).groups())
    ['decoder', 'dense', 'dense_head', 'encoder', 'fusion', 'saliency']
    """
    sizes = {"base_channels": config.base_channels, "hidden": config.hidden, "dropout": config.dropout}
    if config.network == "mtunet":
        return MTUNet(classes=classes, **sizes)
    if config.network == "res_se":
        return ResSENet(classes=classes, **sizes)
    if config.network == "unet":
        return SaliencyUNet(base_channels=config.base_channels)
    backbone: Backbone = build_backbone(config.backbone, config.backbone_weights if weights else None)
    if config.network == "dense":
        return DenseClassifier(backbone, classes=classes)
    if config.network == "gaze_mtl":
        return GazeMTL(backbone, classes=classes)
    return DualNet(backbone, classes=classes, use_decoder=config.fuse_decoder, **sizes)


def view_of(config: ChestXrayConfig) -> View:
    """How a `GazeTable` gives out images and gaze for a network of these settings."""
    return View(
        image_size=config.image_size, fit=config.fit, sigma_px=config.sigma_px, weight=config.gaze_weight
    )


class DenseAlone(nn.Module):
    """A network of two heads seen from its dense head: forward is `classify`."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net, self.backbone = net, net.backbone
        self.multiple = getattr(net, "multiple", 1)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Reading:
        """Logits of the dense head."""
        return self.net.classify(image)

"""The dual-encoder network, its parts and backbones, published weights, Grad-CAM."""

from visus.methods.chestxray.model.backbones import BACKBONES, Backbone, build_backbone, wrap
from visus.methods.chestxray.model.blocks import (
    ClassHead,
    ConvNormReLU,
    Decoder,
    DoubleConv,
    Encoder,
    ResSE,
    SaliencyHead,
    UpBlock,
    log_density,
)
from visus.methods.chestxray.model.checkpoints import load_state, load_torchvision_densenet
from visus.methods.chestxray.model.gradcam import grad_cam
from visus.methods.chestxray.model.network import DualNet, Reading
from visus.methods.chestxray.model.padding import covered_mean, crop, pad_to_multiple, padded_size

__all__ = [
    "BACKBONES",
    "Backbone",
    "ClassHead",
    "ConvNormReLU",
    "Decoder",
    "DoubleConv",
    "DualNet",
    "Encoder",
    "Reading",
    "ResSE",
    "SaliencyHead",
    "UpBlock",
    "build_backbone",
    "covered_mean",
    "crop",
    "grad_cam",
    "load_state",
    "load_torchvision_densenet",
    "log_density",
    "pad_to_multiple",
    "padded_size",
    "wrap",
]

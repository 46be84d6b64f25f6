"""Layers whose weights are emitted per sample from a condition, and the means to put them into any network.

>>> import torch
>>> layer = HyperConv2d(3, 8, 3, padding=1, cond_dim=5)
>>> layer(torch.zeros(4, 3, 16, 16), torch.zeros(4, 5)).shape
torch.Size([4, 8, 16, 16])
"""

from visus.nn.hyper.apply import conv_each, linear_each
from visus.nn.hyper.choose import forget_measurements, measurements
from visus.nn.hyper.hyperize import Hyperized, hyperize
from visus.nn.hyper.initialize import Hyperfan, condition_variance
from visus.nn.hyper.layers import HyperConv1d, HyperConv2d, HyperConv3d, HyperLinear

__all__ = [
    "HyperConv1d",
    "HyperConv2d",
    "HyperConv3d",
    "HyperLinear",
    "Hyperfan",
    "Hyperized",
    "condition_variance",
    "conv_each",
    "forget_measurements",
    "hyperize",
    "linear_each",
    "measurements",
]

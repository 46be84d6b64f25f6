"""What the dual-encoder network is compared with: networks of the same parts, and maps that look at no image.

Every network maps an image (b, 1, h, w) to a `Reading` and names its parts by `groups()`. Joint training from
scratch, stages without triplets, fixed weights and a last stage of the head alone are settings of the same
estimator, not networks.
"""

from visus.methods.chestxray.baselines.dense import DenseClassifier, GazeFeatures, GazeMTL, gaze_features
from visus.methods.chestxray.baselines.maps import center_prior, mean_gaze_map
from visus.methods.chestxray.baselines.unets import MTUNet, ResSENet, SaliencyUNet, UNet

__all__ = [
    "DenseClassifier",
    "GazeFeatures",
    "GazeMTL",
    "MTUNet",
    "ResSENet",
    "SaliencyUNet",
    "UNet",
    "center_prior",
    "gaze_features",
    "mean_gaze_map",
]
